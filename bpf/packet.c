/* From a packet to plain numbers, and from sockets to flows. */

#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define TLS_HANDSHAKE 22
#define TCP_FIN 1
#define TCP_SYN 2

/* The socket's network namespace. Where the kernel does not tell it to a program of this type (the loader asks),
 * a socket keeps what was known before: from its connect, its establishment, or the listener that it came from. */
#ifdef NETNS_IN_PACKETS
#define NETNS_OF_PACKET(skb, known) bpf_get_netns_cookie(skb)
#else
#define NETNS_OF_PACKET(skb, known) (known)
#endif
#ifdef NETNS_IN_CALLBACKS
#define NETNS_OF_CALLBACK(op, known) bpf_get_netns_cookie(op)
#else
#define NETNS_OF_CALLBACK(op, known) (known)
#endif

struct packet {
  u64 local_address[2];
  u64 peer_address[2];
  u32 sequence;
  u32 payload_offset;
  u32 payload_length;
  u16 local_port;
  u16 peer_port;
  u8 egress;
  u8 flags;
};

/* How a packet goes from an entry program to the programs that read it, in skb->cb: */
enum { CB_FLAGS, CB_OFFSET, CB_SEQUENCE, CB_LENGTH, CB_END };   /* its payload; the end of a replay's bytes */
enum {
  CB_EGRESS = 1,
  CB_MISSED = 2,           /* bytes that mattered were missed and will not come again */
  CB_FIRST = 4,            /* what was kept comes before the packet */
  CB_TURN = 8,             /* this run has the turn at the peer's bytes */
  CB_GOES_ON = 16,         /* a program that called itself for more */
  CB_LISTENER = 32,        /* the socket is a listener */
  CB_RUN = 256,            /* above: how many program runs went to what was kept */
};
#define FIRST_RUNS 16      /* of the 33 that a packet has: the others are for itself */
#define KEPT_HAS_RUNS(flags) (!((flags) & CB_FIRST) || (flags) < CB_RUN * FIRST_RUNS)

static __always_inline u64 mapped(u32 ipv4) {
  return (u64)ipv4 << 32 | 0xffff0000ULL;
}

/* Where the transport's header begins, or 0. Looks at the packet's own version, not at the socket's family: a v6
 * socket sends IPv4 to mapped addresses. */
static __always_inline u32 transport_offset(const u8 *data, const u8 *end, u32 transport) {
  if (data + 28 > end)
    return 0;
  if (data[0] >> 4 == 4)
    return (data[0] & 15) * 4;
  return data + 40 > end || data[6] != transport ? 0 : 40;   /* extension headers */
}

/* The transport's header, `offset` bytes behind `data`. */
static __always_inline int read_transport(const u8 *data, const u8 *end, u32 offset, u32 transport, struct packet *packet) {
  const u8 *header = data + offset;
  if (header + (transport == IPPROTO_TCP ? 20 : 8) > end)
    return 0;
  u16 source_port = bpf_ntohs(*(u16 *)header), destination_port = bpf_ntohs(*(u16 *)(header + 2));
  packet->local_port = packet->egress ? source_port : destination_port;
  packet->peer_port = packet->egress ? destination_port : source_port;
  packet->payload_offset = offset + 8;
  if (transport == IPPROTO_TCP) {
    packet->sequence = bpf_ntohl(*(u32 *)(header + 4));
    packet->payload_offset = offset + (header[12] >> 4) * 4;
    packet->flags = header[13];
    packet->sequence += (header[13] & TCP_SYN) != 0;   /* which counts one */
  }
  return 1;
}

/* All but the addresses, which few segments need. The stack has pulled these headers into reach before the hooks run. */
static __always_inline int read_packet(struct __sk_buff *skb, u32 transport, u32 egress, struct packet *packet) {
  const u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
  u32 offset = transport_offset(data, end, transport);
  packet->egress = egress;
  if (RARE(!offset || !read_transport(data, end, offset, transport, packet))) {
    lose(LOSS_header_unreadable);
    return 0;
  }
  packet->payload_length = skb->len > packet->payload_offset ? skb->len - packet->payload_offset : 0;
  return 1;
}

/* Of a segment of TCP: what is sent bears the time at which that has sent it. */
static __always_inline u64 time_of(struct __sk_buff *skb, u32 egress) {
  u64 sent_ns = egress ? skb->tstamp : 0;
  return sent_ns ? sent_ns : bpf_ktime_get_ns();
}

/* Of a packet whose header has been read. */
static __always_inline void read_addresses(struct __sk_buff *skb, struct packet *packet) {
  const u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
  u64 source[2] = {}, destination[2] = {};
  if (data + 40 <= end && data[0] >> 4 == 6) {
    __builtin_memcpy(source, data + 8, 16);
    __builtin_memcpy(destination, data + 24, 16);
  } else if (data + 20 <= end) {
    source[1] = mapped(*(u32 *)(data + 12));
    destination[1] = mapped(*(u32 *)(data + 16));
  }
  #pragma unroll
  for (int i = 0; i < 2; i++) {
    packet->local_address[i] = packet->egress ? source[i] : destination[i];
    packet->peer_address[i] = packet->egress ? destination[i] : source[i];
  }
}

/* Two CPUs that meet a new socket at once both make its storage, and one of them is refused: so it looks again. */
static __always_inline struct connection *new_connection(struct bpf_sock *sk) {
  struct connection *c = connections.sk_storage_get(sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  return c ? c : connections.sk_storage_get(sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline struct datagrams *new_datagrams(struct bpf_sock *sk) {
  struct datagrams *d = datagram_sockets.sk_storage_get(sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  return d ? d : datagram_sockets.sk_storage_get(sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
}

/* A packet may still meet a socket that its last user has closed. The kernel gives such a one no storage, and
 * nobody will read what it got: no loss. Both are read anew, since the close is at work meanwhile. */
static __always_inline void lose_connection(struct bpf_sock *sk) {
  if (*(volatile u32 *)&sk->state != BPF_TCP_CLOSE)
    lose(LOSS_socket_state);
}

static __always_inline void lose_datagrams(struct bpf_sock *sk) {
  if (*(volatile u32 *)&sk->src_port)   /* it gives its port back before it goes; its state is always closed */
    lose(LOSS_socket_state);
}

/* A command is noted for cgroups without a name only: in a named one it would only make more flows. */
static __always_inline void note_command(struct flow *flow, const char *command) {
  u64 cgroup_id = flow->cgroup_id;
  if (!named_cgroups.lookup(&cgroup_id))
    __builtin_memcpy(flow->command, command, sizeof(flow->command));
}

/* Outside addresses are without number at a server that faces them: all its clients from there are one peer. A client's
 * own peers keep their address. Looked at once a connection. */
static __always_inline u32 is_outside(const u64 *address, struct control *settings) {
  struct network wanted = { .length = 128 };
  if (!settings->inside_known)
    return 0;
  __builtin_memcpy(wanted.address, address, sizeof(wanted.address));
  return !inside.lookup(&wanted);
}

static __always_inline void note_peer(struct flow *flow, const u64 *peer, struct control *settings) {
  if (flow->role == ROLE_SERVER && is_outside(peer, settings))
    return;
  flow->peer_address[0] = peer[0];
  flow->peer_address[1] = peer[1];
}

static __always_inline u64 connection_flow(struct connection *c, struct control *settings, const u64 *local,
                                           const u64 *peer, u16 port, u64 server_name) {
  struct flow flow = {};
  flow.cgroup_id = c->cgroup_id;
  flow.netns_cookie = c->netns_cookie;
  flow.local_address[0] = local[0];
  flow.local_address[1] = local[1];
  if (c->asked_port && (c->asked_address[0] != peer[0] || c->asked_address[1] != peer[1] || c->asked_port != port)) {
    flow.asked_address[0] = c->asked_address[0];
    flow.asked_address[1] = c->asked_address[1];
    flow.asked_port = c->asked_port;
  }
  note_command(&flow, c->command);
  flow.server_name = server_name;
  flow.port = port;
  flow.role = c->role;
  note_peer(&flow, peer, settings);
  flow.transport = IPPROTO_TCP;
  return flow_id(&flow, settings, c->process_id);
}
