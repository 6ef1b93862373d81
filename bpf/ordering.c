/* Which bytes of a segment a stream parser has not had yet.
 *
 * A parser keeps, for each direction, the sequence number of the next byte that matters: what it can skip
 * (a body) it moves past at once, so retransmits, duplicates and holes in bodies cost nothing. A segment
 * that begins later is passed over, which is right whenever it turns out to be a body; where it was not,
 * TCP's own rcv_nxt proves that a byte was missed, and the direction is tainted until a boundary that is
 * certain. Keeping early segments for a replay has its place here. */

enum order {
  ORDER_NOTHING_NEW,   /* before the next byte that matters, or early */
  ORDER_NEW,           /* parse from packet->payload_offset + skip */
  ORDER_TAINTED,       /* bytes that mattered were missed and will not come again */
};

static __always_inline u32 order_of(struct bpf_sock *sk, struct packet *packet, u32 next, u32 *skip) {
  s32 early = packet->sequence - next;
  if (!packet->egress && (sk->state == BPF_TCP_ESTABLISHED || sk->state == BPF_TCP_FIN_WAIT1 || sk->state == BPF_TCP_FIN_WAIT2)) {
    struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
    if (tcp && AFTER(tcp->rcv_nxt, next))
      return ORDER_TAINTED;
  }
  if (early > 0)
    return packet->egress ? ORDER_TAINTED : ORDER_NOTHING_NEW;
  if (early + (s32)packet->payload_length <= 0)
    return ORDER_NOTHING_NEW;
  *skip = -early;
  return ORDER_NEW;
}
