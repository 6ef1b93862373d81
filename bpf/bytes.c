/* What of a segment is counted: bytes once each, and turns. */

/* The first of a connection's turns and every eighth after it give the round-trip time. */
static __always_inline void sample_rtt(struct connection *c, struct flow_counts *counts, struct bpf_sock *sk) {
  if (!RARE(!(c->turns++ & 7)))
    return;
  struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
  if (!tcp || !tcp->srtt_us)
    return;
  lock_xadd(&counts->rtt_sum_us, tcp->srtt_us >> 3);
  lock_xadd(&counts->rtt_count, 1);
}

/* Whether a parser tells the latency of requests, which says more than that of turns: then nobody asks the clock here. */
static __always_inline u32 has_requests(struct connection *c) {
  return c->confirmed && c->protocol != PROTOCOL_TLS;
}

/* What was sent may bear a time before that of what came meanwhile. */
static __always_inline void turn_ended(struct connection *c, struct flow_counts *counts, struct __sk_buff *skb, u32 egress,
                                       int generation, struct bpf_sock *sk) {
  u64 start_ns = c->turn_start_ns;
  c->turn_start_ns = 0;
  sample_rtt(c, counts, sk);
  if (has_requests(c))
    return;
  struct control *now = settings();
  if (RARE(now && now->shed & SHED_LATENCY)) {
    lose(LOSS_turns_shed);
    return;
  }
  u64 latency_ns = time_of(skb, egress) - start_ns;
  latency_ns &= IS_NEGATIVE(latency_ns) - 1;
  struct request turn = { .flow = c->flow, .latency_bucket = latency_bucket(latency_ns), .protocol = PROTOCOL_TCP,
                          .outcome = OUTCOME_ANSWERED };
  count_request(generation, &turn, latency_ns);
}

static __always_inline void count_bytes(struct flow_counts *counts, u32 egress, u64 bytes, u32 parsed) {
  if (egress && parsed)
    lock_xadd(&counts->parsed_sent, bytes);
  else if (egress)
    lock_xadd(&counts->unparsed_sent, bytes);
  else if (parsed)
    lock_xadd(&counts->parsed_received, bytes);
  else
    lock_xadd(&counts->unparsed_received, bytes);
}

static __always_inline void count_packet(struct flow_counts *counts, u32 egress, u32 bytes, u32 parsed) {
  count_bytes(counts, egress, bytes, parsed);
  if (egress)
    lock_xadd(&counts->packets_sent, 1);
  else
    lock_xadd(&counts->packets_received, 1);
}

static __always_inline u32 is_parsed(struct connection *c) {
  return c->protocol == PROTOCOL_HTTP || c->protocol == PROTOCOL_DNS;
}

static __always_inline void note_protocol(struct flow_counts *counts, u32 protocol) {
  u64 bit = 1ULL << (protocol & 31);
  if (!(counts->protocols & bit))
    counts->protocols |= bit;
}

static __always_inline void count_received(struct connection *c, struct flow_counts *counts, u64 bytes) {
  count_bytes(counts, 0, bytes, is_parsed(c));
  c->received_bytes += bytes;
}

static __always_inline void count_segment(struct connection *c, struct flow_counts *counts, u32 egress, u32 fresh) {
  count_packet(counts, egress, fresh, is_parsed(c));
  if (!egress)
    c->received_bytes += fresh;
  if (c->confirmed)
    note_protocol(counts, c->protocol);
}

/* Beside the connection, which has a flow here: how long its client waited for it. */
static __always_inline void count_connect(struct connection *c, int generation) {
  struct request row = { .flow = c->flow, .latency_bucket = c->connect_bucket, .kind = TCP_CONNECT, .protocol = PROTOCOL_TCP,
                         .outcome = OUTCOME_ANSWERED };
  if (c->connect_bucket)
    count_request(generation, &row, c->opened_ns);
}

/* What a client did before it had a flow: it has one when it has said whom it means, or by its end. A connect that still
 * may fail is none yet. */
static __always_inline void count_unsaid(struct connection *c, struct flow_counts *counts, u32 state, int generation) {
  c->waits = WAITS_FOR_NOTHING;
  if (state != BPF_TCP_SYN_SENT && !c->counted) {
    c->counted = 1;
    lock_xadd(&counts->connections, 1);
    count_connect(c, generation);
  }
  if (c->unsaid_packets) {
    lock_xadd(&counts->unparsed_sent, c->unsaid_bytes);
    lock_xadd(&counts->packets_sent, c->unsaid_packets);
  }
  if (c->unsaid_retransmits)
    lock_xadd(&counts->retransmits, c->unsaid_retransmits);
  c->unsaid_bytes = c->unsaid_packets = c->unsaid_retransmits = 0;
}

static __always_inline u32 begin_counting(struct connection *c, struct packet *p, struct bpf_sock *sk) {
  struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
  if (!tcp)
    return 0;
  c->next_out = c->matters[1] = tcp->snd_nxt;
  c->next_in = c->matters[0] = tcp->rcv_nxt;
  if (p->egress)
    c->matters[1] = p->sequence;
  c->received_bytes = tcp->bytes_received;
  c->sequenced = 1;
  return 1;
}

/* What came out of order is counted when TCP has taken it, by TCP's own count: anybody may send a segment that it does
 * not take. */
static __always_inline void close_gap(struct connection *c, struct bpf_sock *sk, struct flow_counts *counts) {
  struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
  if (!tcp)
    return;
  u32 rcv_nxt = tcp->rcv_nxt;
  asm volatile("" : "+r"(rcv_nxt));
  if (AFTER(rcv_nxt, c->next_in))
    c->next_in = rcv_nxt;
  s64 missing = tcp->bytes_received + (c->next_in - rcv_nxt) - c->received_bytes;   /* what TCP had no room for comes again */
  c->gap = missing > 0;
  if (missing > 0)
    count_received(c, counts, missing);
}

/* Bytes that were not counted before: a retransmitted segment has none. */
static __always_inline u32 fresh_bytes(struct connection *c, struct packet *p, struct bpf_sock *sk, struct flow_counts *counts) {
  if (!c->sequenced && !begin_counting(c, p, sk))
    return 0;
  if (c->gap && !p->egress && sk->state != BPF_TCP_SYN_SENT)   /* nothing has been taken there */
    close_gap(c, sk, counts);
  u32 end = p->sequence + p->payload_length, next = p->egress ? c->next_out : c->next_in, fresh = end - next;
  if (!AFTER(end, next))
    return 0;
  if (p->egress) {
    c->next_out = end;
    return fresh < p->payload_length ? fresh : p->payload_length;
  }
  if (AFTER(p->sequence, next)) {
    c->gap = 1;
    return 0;
  }
  c->next_in = end;
  return fresh;
}

/* Payload into the flow's counters and turns; `fresh` of its bytes are new. */
static __always_inline void count_payload(struct connection *c, struct __sk_buff *skb, struct bpf_sock *sk, struct packet *p, u32 fresh,
                                          struct flow_counts *counts, int generation) {
  u32 from_client = (c->role == ROLE_CLIENT) == p->egress;
  count_segment(c, counts, p->egress, fresh);
  if (fresh && from_client && !c->turn_start_ns)
    c->turn_start_ns = has_requests(c) ? 1 : time_of(skb, p->egress);
  else if (fresh && !from_client && c->turn_start_ns)
    turn_ended(c, counts, skb, p->egress, generation, sk);
}
