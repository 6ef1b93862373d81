/* A socket's first packet: whose it is, who opened it, and which flow that makes. */

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

/* Who opened a connection that is older than the agent, by TCP's own counts: what the opener has sent began with a SYN,
 * and its acknowledgement was counted as a byte; that of who accepted was not. 0: they do not tell at this moment. */
static __always_inline u32 opener_of(struct bpf_sock *sk, struct packet *p, struct control *settings) {
  if (!settings->bytes_sent_offset || !settings->bytes_retrans_offset || sk->state != BPF_TCP_ESTABLISHED)
    return ROLE_UNKNOWN;
  struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
  void *kernel_socket = bpf_skc_to_tcp_sock(sk);
  if (!tcp || !kernel_socket)
    return ROLE_UNKNOWN;
  u64 sent = 0, again = 0, later = 0;
  read_kernel(&sent, sizeof(sent), kernel_socket + settings->bytes_sent_offset);
  read_kernel(&again, sizeof(again), kernel_socket + settings->bytes_retrans_offset);
  u32 next = tcp->snd_nxt, first = tcp->snd_una, acknowledged = tcp->bytes_acked, end = p->sequence + p->payload_length;
  asm volatile("" : "+r"(next), "+r"(first), "+r"(acknowledged));
  read_kernel(&later, sizeof(later), kernel_socket + settings->bytes_sent_offset);
  if (sent != later)
    return ROLE_UNKNOWN;   /* it was sending meanwhile */
  if (p->egress && AFTER(end, next))
    next = end;   /* counted as sent already, but not yet in snd_nxt */
  u32 waiting = next - first, left = (u32)(sent - again) - acknowledged;
  return waiting == left + 1 ? ROLE_CLIENT : waiting == left ? ROLE_SERVER : ROLE_UNKNOWN;
}

/* The number that /proc shows, for a cookie would say nothing of a namespace that nobody has met yet. */
static __always_inline u32 namespace_of(struct bpf_sock *sk, struct control *settings) {
  void *kernel_socket = bpf_skc_to_tcp_sock(sk), *net = 0;
  u32 number = 0;
  if (!kernel_socket || !settings->skc_net_offset || !settings->inum_offset)
    return 0;
  read_kernel(&net, sizeof(net), kernel_socket + settings->skc_net_offset);
  if (net)
    read_kernel(&number, sizeof(number), net + settings->inum_offset);
  return number;
}

/* A connection that was open before the agent: TCP's counts tell who opened it, or /proc, maybe only after its first
 * packet. */
static __always_inline void learn_role(struct connection *c, struct bpf_sock *sk, struct packet *p, struct control *settings) {
  struct tuple tuple = { .local_port = p->local_port, .peer_port = p->peer_port };
  tuple.network_namespace = namespace_of(sk, settings);
  #pragma unroll
  for (int i = 0; i < 2; i++) {
    tuple.local_address[i] = p->local_address[i];
    tuple.peer_address[i] = p->peer_address[i];
  }
  u8 *told = known_connections.lookup(&tuple);
  u32 role = opener_of(sk, p, settings);
  if (!role && told)
    role = *told;
  if (!role)
    return;
  c->role = role;
  c->adopted = 1;
  c->flow = 0;   /* what came before counts for a flow of unknown role */
  known_connections.delete(&tuple);
}

static __always_inline void begin_flow(struct connection *c, struct __sk_buff *skb, struct bpf_sock *sk, struct packet *p,
                                       u64 server_name, struct control *settings, int generation) {
  u64 cgroup_id = bpf_sk_cgroup_id(sk);
  if (cgroup_id)
    c->cgroup_id = cgroup_id;
  c->netns_cookie = NETNS_OF_PACKET(skb, c->netns_cookie);
  u16 port = c->role == ROLE_SERVER ? p->local_port : p->peer_port;
  c->flow = connection_flow(c, settings, p->local_address, p->peer_address, port, server_name);
  if (!c->adopted && c->role != ROLE_CLIENT)
    return;
  struct flow_counts *counts = counts_of(generation, c->flow);
  if (!counts)
    return;
  if (c->adopted)
    lock_xadd(&counts->adopted, 1);
  else
    count_unsaid(c, counts, sk->state, generation);
}

#define MOST_HELLO_PACKETS 8192   /* what came before would not fit into its counter for ever */

/* Whether the name in a client's hello is still waited for. */
static __always_inline u32 awaits_name(struct connection *c) {
  if (!c->waits || c->unsaid_packets < MOST_HELLO_PACKETS)
    return c->waits;
  lose(LOSS_hello_unread);
  return 0;
}

/* Whether a client's first byte may be that of a TLS hello: then it has no flow before that has been read. */
static __always_inline u32 begins_hello(struct connection *c, struct __sk_buff *skb, struct packet *p) {
  u8 first = 0;
  if (c->role != ROLE_CLIENT || c->adopted || !p->egress || c->protocol != PROTOCOL_UNKNOWN)
    return 0;
  if (bpf_skb_load_bytes(skb, p->payload_offset, &first, 1) || first != TLS_HANDSHAKE)
    return 0;
  c->protocol = PROTOCOL_TLS;
  c->matters[1] = p->sequence;
  return 1;
}

/* Whether nobody can say yet whom a client means: it has said nothing. */
static __always_inline u32 is_silent_client(struct connection *c, struct packet *p) {
  return c->role == ROLE_CLIENT && !c->adopted && !p->payload_length && !(p->flags & TCP_FIN);
}

/* A connection's first packet, and each while nobody knows who opened it, or whom a client means. */
static __always_inline void meet_connection(struct connection *c, struct __sk_buff *skb, struct bpf_sock *sk, struct packet *p,
                                            struct control *settings, int generation) {
  read_addresses(skb, p);
  if (!c->role)
    learn_role(c, sk, p, settings);
  if (c->flow)
    return;
  c->waits = p->egress && p->payload_length && (awaits_name(c) || begins_hello(c, skb, p));
  if (!c->waits)
    begin_flow(c, skb, sk, p, 0, settings, generation);
}
