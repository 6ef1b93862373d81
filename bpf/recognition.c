/* Which protocol a connection speaks, and the way to the program that reads it. */

/* On to the program that reads or keeps the payload. Comes back only where that one is not loaded. */
static __always_inline void call_reader(struct __sk_buff *skb, struct packet *p, u32 flags, u32 reader) {
  skb->cb[CB_FLAGS] = flags;
  skb->cb[CB_OFFSET] = p->payload_offset;
  skb->cb[CB_SEQUENCE] = p->sequence;
  skb->cb[CB_LENGTH] = p->payload_length;
  parsers_by_protocol.call(skb, reader);
  asm volatile("" :: "i"(reader));   /* keeps the calls apart: the kernel jumps straight to a constant place, and not past a retpoline */
}

/* `peer`: what tells the clients of one socket apart. */
static __always_inline void call_dns(struct __sk_buff *skb, struct packet *p, u32 role, u32 peer) {
  u32 from_client = (role == ROLE_CLIENT) == p->egress;
  skb->cb[0] = from_client | role << 1;
  skb->cb[1] = p->payload_offset;
  skb->cb[2] = peer;
  skb->cb[3] = p->payload_length;
  parsers_by_protocol.call(skb, PARSER_DNS);
}

/* The first bytes of the client tell the protocol, or that it is none we know. */
static __always_inline void recognise_bytes(struct connection *c, struct bpf_sock *sk, struct packet *p, u64 first, u32 length,
                                            struct control *settings) {
  c->protocol = PROTOCOL_TCP;
  if ((c->role == ROLE_CLIENT ? p->peer_port : p->local_port) == 53) {
    c->protocol = PROTOCOL_DNS;
    c->confirmed = 1;
  } else if (length >= 8 && (first & 0xffff) == 0x0316 && (first >> 40 & 0xff) == 1) {   /* a handshake record with a client's hello */
    c->protocol = PROTOCOL_TLS;
    c->confirmed = 1;
  } else if (http_begins(first, length >= 8 ? 8 : 1)) {
    http_start(c, sk, p, settings);
  }
}

/* `skip` bytes of the payload were seen before. */
static __always_inline void recognise(struct __sk_buff *skb, struct connection *c, struct bpf_sock *sk, struct packet *p, u32 skip,
                                      struct control *settings) {
  u64 first = 0;
  u32 length = p->payload_length - skip, offset = p->payload_offset + skip;
  if (length >= 8 ? bpf_skb_load_bytes(skb, offset, &first, 8) : bpf_skb_load_bytes(skb, offset, &first, 1))
    c->protocol = PROTOCOL_TCP;
  else
    recognise_bytes(c, sk, p, first, length, settings);
}

#define OLDER_TURNS 16

/* A connection that is older than the agent may be in the middle of a message: its protocol is looked for again at each
 * turn, for some turns, or for ever once it has spoken HTTP. */
static __always_inline void recognise_older(struct __sk_buff *skb, struct connection *c, struct bpf_sock *sk, struct packet *p,
                                            struct control *settings) {
  if (c->turn_start_ns)
    return;   /* in the midst of what a client says */
  recognise(skb, c, sk, p, 0, settings);
  if (c->protocol == PROTOCOL_TCP && (c->confirmed || c->turns < OLDER_TURNS))
    c->protocol = PROTOCOL_UNKNOWN;
}

/* A segment on a connection of unknown protocol. Gives whether it is the client's and comes before its turn. */
static __always_inline u32 meet_client(struct __sk_buff *skb, struct connection *c, struct bpf_sock *sk, struct packet *p, u32 whole,
                                       struct control *settings) {
  if (c->protocol != PROTOCOL_UNKNOWN || !c->role || (c->role == ROLE_CLIENT) != p->egress)
    return 0;
  if (c->adopted) {
    if (whole)
      recognise_older(skb, c, sk, p, settings);
    return 0;
  }
  u32 next = p->egress ? c->matters[1] : c->matters[0], order = order_of(sk, p, next);
  if (order == ORDER_NEW)
    recognise(skb, c, sk, p, next - p->sequence, settings);
  else if (order == ORDER_MISSED)
    c->protocol = PROTOCOL_TCP;
  return order == ORDER_EARLY;
}

/* The segment that the listener met before this connection was. Only what begins where its bytes begin, or early, is its
 * own: to a listener anybody may send. Gives whether it is to be read before all others. */
static __always_inline u32 take_met(struct connection *c, struct bpf_sock *sk, struct packet *p, u64 stream, struct control *settings) {
  struct first_segment *first = first_segments.lookup(&stream);
  if (!first || !c->sequenced || c->protocol != PROTOCOL_UNKNOWN || first->start - c->matters[0] >= EARLY_REACH)
    return 0;
  struct early_bytes *e = early_streams.sk_storage_get(sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!e) {
    lose(LOSS_early_state);
    return 0;
  }
  forget_early(e);
  e->stream = stream;
  e->runs[0].start = first->start;
  e->runs[0].end = first->end;
  c->early = 1;
  c->gap = 1;
  if (first->start == c->matters[0]) {
    c->turn_start_ns = first->time_ns;
    recognise_bytes(c, sk, p, first->bytes, first->end - first->start, settings);
    c->matters[0] = first->start;
  }
  first_segments.delete(&stream);
  return c->protocol == PROTOCOL_HTTP ? CB_FIRST : 0;
}

/* Until it is taken an answer waits for its turn: one that another CPU sends meanwhile would go by unread. */
static __always_inline u32 take_first(struct connection *c, struct __sk_buff *skb, struct bpf_sock *sk, struct packet *p,
                                      struct control *settings) {
  read_addresses(skb, p);
  u32 taken = take_met(c, sk, p, stream_of(p, c->netns_cookie), settings);
  barrier();
  c->first_at_listener = 0;
  return taken;
}
