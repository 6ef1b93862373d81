/* UDP: who is the client, and which flow a datagram belongs to. */

static __always_inline u64 datagram_flow(struct datagrams *d, struct __sk_buff *skb, struct bpf_sock *sk, struct packet *p,
                                         u64 server_name, struct control *settings) {
  struct flow flow = {};
  flow.cgroup_id = bpf_sk_cgroup_id(sk);
  flow.netns_cookie = NETNS_OF_PACKET(skb, d->netns_cookie);
  flow.local_address[0] = p->local_address[0];
  flow.local_address[1] = p->local_address[1];
  note_command(&flow, d->command);
  flow.server_name = server_name;
  flow.port = d->role == ROLE_SERVER ? p->local_port : p->peer_port;
  flow.role = d->role;
  note_peer(&flow, p->peer_address, settings);
  flow.transport = IPPROTO_UDP;
  return flow_id(&flow, settings, d->process_id);
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
                                      u64 server_name, struct control *settings) {
  d->role = role;
  #pragma unroll
  for (int i = 0; i < 2; i++) {
    d->peer_address[i] = p->peer_address[i];
    d->local_address[i] = p->local_address[i];
  }
  d->peer_port = p->peer_port;
  d->flow = datagram_flow(d, skb, sk, p, server_name, settings);
}

#define QUIC_SHORTEST 1200       /* a client fills its first datagrams up to that */
#define QUIC_LONGEST_ID 20
#define QUIC_VERSION_2 0x6b3343cf

/* How a socket stands to the programs of QUIC. */
enum quic_socket { QUIC_NONE, QUIC_UNSETTLED, QUIC_SETTLED };

/* Whether a client's datagram begins with a packet of the kind that carries its hello, at whatever port. */
static __always_inline u32 quic_begins(struct __sk_buff *skb, struct packet *p, u32 role) {
  u8 head[8];
  if ((role == ROLE_CLIENT) != p->egress || p->payload_length < QUIC_SHORTEST)
    return 0;
  if (bpf_skb_load_bytes(skb, p->payload_offset, head, 8))
    return 0;
  u32 version = (u32)head[1] << 24 | (u32)head[2] << 16 | (u32)head[3] << 8 | head[4], kind = head[0] & 0xf0;
  return (version == 1 && kind == 0xc0) || (version == QUIC_VERSION_2 && kind == 0xd0);
}

/* Whether a datagram is of a connection whose name is not known yet, or of another one than the socket's last, or begins one. */
static __always_inline u32 is_for_quic(struct datagrams *d, struct __sk_buff *skb, struct packet *p, u32 role) {
  if (p->peer_port == 53 || p->local_port == 53)
    return 0;
  if (d->quic && role == ROLE_CLIENT && (d->quic == QUIC_UNSETTLED || !is_last_peer(d, p, role)))
    return 1;
  return quic_begins(skb, p, role);
}

static __always_inline void call_quic(struct __sk_buff *skb, struct packet *p, u32 role) {
  skb->cb[CB_FLAGS] = p->egress | role << 1;
  parsers_by_protocol.call(skb, PARSER_QUIC);
}

static __always_inline void on_datagram(struct __sk_buff *skb, struct bpf_sock *sk, u32 egress, struct control *s) {
  struct packet p;
  if (!read_packet(skb, IPPROTO_UDP, egress, &p))
    return;
  read_addresses(skb, &p);
  struct datagrams *d = new_datagrams(sk);
  if (!d) {
    lose_datagrams(sk);
    return;
  }
  u32 role = datagram_role(d, &p);
  if (RARE(is_for_quic(d, skb, &p, role)))
    call_quic(skb, &p, role);
  if (!is_last_peer(d, &p, role))
    meet_peer(d, skb, sk, &p, role, 0, s);
  struct flow_counts *counts = counts_of(generation_of(s), d->flow);
  if (!counts)
    return;
  u32 is_dns = p.peer_port == 53 || p.local_port == 53;
  count_packet(counts, egress, p.payload_length, is_dns);
  if (is_dns) {
    note_protocol(counts, PROTOCOL_DNS);
    call_dns(skb, &p, role, p.peer_port | mix(p.peer_address[0], p.peer_address[1]) >> 48 << 16);
  }
}
