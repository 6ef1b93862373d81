/* Every packet of every socket under the cgroup: the entry programs. They count bytes and turns,
 * recognise protocols, and call one parser. They never alter or drop anything. */

/* The listener's storage passes to the connections that it accepts: so those know their cgroup, also when
 * the listener is older than the agent. */
static __always_inline void begin_listener(struct __sk_buff *skb, struct bpf_sock *sk) {
  struct connection *c = new_connection(sk);
  if (!c) {
    lose_connection(sk);
    return;
  }
  c->role = ROLE_SERVER;
  c->cgroup_id = bpf_sk_cgroup_id(sk);
  c->netns_cookie = NETNS_OF_PACKET(skb, c->netns_cookie);
}

/* A connection that was open before the agent: /proc told who opened it, maybe only after its first packet. */
static __always_inline void learn_role(struct connection *c, struct packet *p) {
  struct tuple tuple = { .local_port = p->local_port, .peer_port = p->peer_port };
  #pragma unroll
  for (int i = 0; i < 2; i++) {
    tuple.local_address[i] = p->local_address[i];
    tuple.peer_address[i] = p->peer_address[i];
  }
  u8 *role = known_connections.lookup(&tuple);
  if (!role)
    return;
  c->role = *role;
  c->adopted = 1;
  c->flow = 0;   /* what came before counts for a flow of unknown role */
  known_connections.delete(&tuple);
}

static __always_inline void begin_flow(struct connection *c, struct __sk_buff *skb, struct bpf_sock *sk, struct packet *p,
                                       struct control *settings, void *half, u64 now_ns) {
  u64 cgroup_id = bpf_sk_cgroup_id(sk);
  if (cgroup_id)
    c->cgroup_id = cgroup_id;
  c->netns_cookie = NETNS_OF_PACKET(skb, c->netns_cookie);
  u16 port = c->role == ROLE_SERVER ? p->local_port : p->peer_port;
  c->flow = connection_flow(c, settings, p->local_address, p->peer_address, port, now_ns);
  if (!c->adopted)
    return;
  struct flow_counts *counts = counts_of(half, c->flow);
  if (counts)
    lock_xadd(&counts->adopted, 1);
}

static __always_inline void turn_ended(struct connection *c, struct flow_counts *counts, void *request_rows,
                                       struct bpf_sock *sk, u64 now_ns) {
  u64 latency_ns = now_ns - c->turn_start_ns;
  c->turn_start_ns = 0;
  struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
  if (tcp && tcp->srtt_us) {
    lock_xadd(&counts->rtt_sum_us, tcp->srtt_us >> 3);
    lock_xadd(&counts->rtt_count, 1);
  }
  if (c->confirmed && c->protocol != PROTOCOL_TLS)
    return;   /* its parser tells the latency of requests, which says more */
  struct request turn = { .flow = c->flow, .latency_bucket = latency_bucket(latency_ns), .protocol = PROTOCOL_TCP,
                          .outcome = OUTCOME_ANSWERED };
  count_request(request_rows, &turn, latency_ns);
}

/* The first bytes of the client tell the protocol, or that it is none we know. */
static __always_inline void recognise(struct __sk_buff *skb, struct connection *c, struct bpf_sock *sk, struct packet *p,
                                      struct control *settings) {
  u64 first = 0;
  u32 length = p->payload_length;
  c->protocol = PROTOCOL_TCP;
  if ((c->role == ROLE_CLIENT ? p->peer_port : p->local_port) == 53) {
    c->protocol = PROTOCOL_DNS;
    c->confirmed = 1;
    return;
  }
  if (length >= 8 ? bpf_skb_load_bytes(skb, p->payload_offset, &first, 8) : bpf_skb_load_bytes(skb, p->payload_offset, &first, 1))
    return;
  if (length >= 8 && (first & 0xffff) == 0x0316 && (first >> 40 & 0xff) == 1) {   /* a handshake record with a client's hello */
    c->protocol = PROTOCOL_TLS;
    c->confirmed = 1;
  } else if (http_begins(first, length >= 8 ? 8 : 1)) {
    http_start(c, sk, p, settings);
  }
}

/* Bytes that were not counted before: a retransmitted segment has none. */
static __always_inline u32 fresh_bytes(struct connection *c, struct packet *p, struct bpf_sock *sk) {
  if (!c->sequenced) {
    struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
    if (!tcp)
      return 0;
    c->next_out = tcp->snd_nxt;
    c->next_in = tcp->rcv_nxt;
    c->received_bytes = tcp->bytes_received;
    c->sequenced = 1;
  }
  u32 end = p->sequence + p->payload_length, next = p->egress ? c->next_out : c->next_in;
  if (!AFTER(end, next))
    return 0;
  if (p->egress)
    c->next_out = end;
  else
    c->next_in = end;
  u32 fresh = end - next;
  return fresh < p->payload_length ? fresh : p->payload_length;
}

static __always_inline void count_packet(struct flow_counts *counts, u32 egress, u32 bytes) {
  if (egress) {
    lock_xadd(&counts->bytes_sent, bytes);
    lock_xadd(&counts->packets_sent, 1);
  } else {
    lock_xadd(&counts->bytes_received, bytes);
    lock_xadd(&counts->packets_received, 1);
  }
}

static __always_inline void note_protocol(struct flow_counts *counts, u32 protocol) {
  u64 bit = 1ULL << (protocol & 31);
  if (!(counts->protocols & bit))
    counts->protocols |= bit;
}

static __always_inline void count_segment(struct connection *c, struct flow_counts *counts, u32 egress, u32 fresh) {
  count_packet(counts, egress, fresh);
  if (!egress)
    c->received_bytes += fresh;
  if (c->protocol == PROTOCOL_HTTP || c->protocol == PROTOCOL_DNS)
    lock_xadd(&counts->parsed_bytes, fresh);
  if (c->confirmed)
    note_protocol(counts, c->protocol);
}

static __always_inline void call_http(struct __sk_buff *skb, struct connection *c, struct bpf_sock *sk, struct packet *p) {
  u32 skip = 0, order = order_of(sk, p, p->egress ? c->matters[1] : c->matters[0], &skip);
  if (order == ORDER_NOTHING_NEW)
    return;
  skb->cb[0] = p->egress | (order == ORDER_TAINTED ? 2 : 0);
  skb->cb[1] = p->payload_offset + skip;
  skb->cb[2] = p->sequence + skip;
  skb->cb[3] = p->payload_length - skip;
  skb->cb[4] = 0;
  parsers_by_protocol.call(skb, PARSER_HTTP);
}

static __always_inline void call_dns(struct __sk_buff *skb, struct packet *p, u32 role) {
  u32 from_client = (role == ROLE_CLIENT) == p->egress;
  skb->cb[0] = from_client | role << 1;
  skb->cb[1] = p->payload_offset;
  skb->cb[2] = p->peer_port;
  skb->cb[3] = p->payload_length;
  parsers_by_protocol.call(skb, PARSER_DNS);
}

/* The connection that a packet belongs to; none where there is nothing to say about it. */
static __always_inline struct connection *connection_of_packet(struct bpf_sock *sk, struct packet *p) {
  u32 state = sk->state;
  struct connection *c = connections.sk_storage_get(sk, 0, 0);
  if (c)
    return c;
  if (!p->payload_length || state == BPF_TCP_CLOSE)
    return c;   /* the kernel's own socket for resets, or a connection older than us that is silent */
  c = new_connection(sk);
  if (!c)
    lose_connection(sk);
  return c;
}

/* Payload into the flow's counters and turns. Gives its bytes that are new. */
static __always_inline u32 count_payload(struct __sk_buff *skb, struct connection *c, struct bpf_sock *sk, struct packet *p,
                                         struct control *settings, struct flow_counts *counts, void *request_rows, u64 now_ns) {
  u32 next = p->egress ? c->next_out : c->next_in, from_client = (c->role == ROLE_CLIENT) == p->egress;
  u32 fresh = fresh_bytes(c, p, sk), whole = fresh == p->payload_length;
  if (c->protocol == PROTOCOL_UNKNOWN && c->role && from_client && whole && (p->sequence == next || c->adopted))
    recognise(skb, c, sk, p, settings);
  count_segment(c, counts, p->egress, fresh);
  if (fresh && from_client && !c->turn_start_ns)
    c->turn_start_ns = now_ns;
  else if (fresh && !from_client && c->turn_start_ns)
    turn_ended(c, counts, request_rows, sk, now_ns);
  return fresh;
}

static __always_inline void on_segment(struct __sk_buff *skb, struct bpf_sock *sk, u32 egress, struct control *s, struct halves *halves) {
  struct packet p;
  if (!read_packet(skb, IPPROTO_TCP, egress, &p))
    return;
  u64 now_ns = bpf_ktime_get_ns();
  struct connection *c = connection_of_packet(sk, &p);
  if (!c)
    return;
  if (!c->role)
    learn_role(c, &p);
  if (!c->flow)
    begin_flow(c, skb, sk, &p, s, halves->flow_counts, now_ns);
  if (p.fin && !egress)
    c->fin_received = 1;
  struct flow_counts *counts = p.payload_length ? counts_of(halves->flow_counts, c->flow) : 0;
  if (!counts)
    return;
  u32 fresh = count_payload(skb, c, sk, &p, s, counts, halves->request_rows, now_ns);
  if (c->protocol == PROTOCOL_HTTP)
    call_http(skb, c, sk, &p);
  else if (c->protocol == PROTOCOL_DNS && fresh == p.payload_length)
    call_dns(skb, &p, c->role);
}

static __always_inline void on_listener(struct __sk_buff *skb, struct bpf_sock *sk, u32 egress) {
  if (!egress && !connections.sk_storage_get(sk, 0, 0))
    begin_listener(skb, sk);
}

static __always_inline u64 datagram_flow(struct datagrams *d, struct __sk_buff *skb, struct bpf_sock *sk, struct packet *p,
                                         struct control *settings) {
  struct flow flow = {};
  flow.cgroup_id = bpf_sk_cgroup_id(sk);
  flow.netns_cookie = NETNS_OF_PACKET(skb, d->netns_cookie);
  #pragma unroll
  for (int i = 0; i < 2; i++) {
    flow.local_address[i] = p->local_address[i];
    flow.peer_address[i] = p->peer_address[i];
  }
  note_command(&flow, d->command);
  flow.port = d->role == ROLE_SERVER ? p->local_port : p->peer_port;
  flow.role = d->role;
  flow.transport = IPPROTO_UDP;
  return flow_id(&flow, settings, d->process_id, bpf_ktime_get_ns());
}

/* Who sent first is the client, except where a port says more. */
static __always_inline u32 datagram_role(struct datagrams *d, struct packet *p) {
  if (p->peer_port == 53)
    return ROLE_CLIENT;
  if (p->local_port == 53)
    return ROLE_SERVER;
  return d->role ? d->role : p->egress ? ROLE_CLIENT : ROLE_SERVER;
}

static __always_inline u32 is_last_peer(struct datagrams *d, struct packet *p, u32 role) {
  return d->flow && d->role == role && d->peer_address[0] == p->peer_address[0] && d->peer_address[1] == p->peer_address[1] &&
         d->local_address[1] == p->local_address[1] && d->local_address[0] == p->local_address[0] &&
         (role == ROLE_SERVER || d->peer_port == p->peer_port);
}

static __always_inline void meet_peer(struct datagrams *d, struct __sk_buff *skb, struct bpf_sock *sk, struct packet *p, u32 role,
                                      struct control *settings) {
  d->role = role;
  #pragma unroll
  for (int i = 0; i < 2; i++) {
    d->peer_address[i] = p->peer_address[i];
    d->local_address[i] = p->local_address[i];
  }
  d->peer_port = p->peer_port;
  d->flow = datagram_flow(d, skb, sk, p, settings);
}

static __always_inline void on_datagram(struct __sk_buff *skb, struct bpf_sock *sk, u32 egress, struct control *s, struct halves *halves) {
  struct packet p;
  if (!read_packet(skb, IPPROTO_UDP, egress, &p))
    return;
  struct datagrams *d = new_datagrams(sk);
  if (!d) {
    lose_datagrams(sk);
    return;
  }
  u32 role = datagram_role(d, &p);
  if (!is_last_peer(d, &p, role))
    meet_peer(d, skb, sk, &p, role, s);
  struct flow_counts *counts = counts_of(halves->flow_counts, d->flow);
  if (!counts)
    return;
  count_packet(counts, egress, p.payload_length);
  if (p.peer_port == 53 || p.local_port == 53) {
    lock_xadd(&counts->parsed_bytes, p.payload_length);
    note_protocol(counts, PROTOCOL_DNS);
    call_dns(skb, &p, role);
  }
}

static __always_inline int on_packet(struct __sk_buff *skb, u32 egress) {
  struct bpf_sock *sk = skb->sk;
  struct control *s = settings();
  struct halves halves;
  if (!sk || !s || !halves_of(s, &halves))
    return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk)
    return 1;
  if (sk->protocol == IPPROTO_UDP)
    on_datagram(skb, sk, egress, s, &halves);
  else if (sk->protocol == IPPROTO_TCP && sk->state == BPF_TCP_LISTEN)
    on_listener(skb, sk, egress);
  else if (sk->protocol == IPPROTO_TCP)
    on_segment(skb, sk, egress, s, &halves);
  return 1;
}

int on_egress(struct __sk_buff *skb) {
  return on_packet(skb, 1);
}

int on_ingress(struct __sk_buff *skb) {
  return on_packet(skb, 0);
}
