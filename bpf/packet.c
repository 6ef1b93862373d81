/* From a packet to plain numbers, and from sockets to flows. */

#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

struct packet {
  u64 local_address[2];
  u64 peer_address[2];
  u32 sequence;
  u32 payload_offset;
  u32 payload_length;
  u16 local_port;
  u16 peer_port;
  u8 egress;
  u8 fin;
};

static __always_inline u64 mapped(u32 ipv4) {
  return (u64)ipv4 << 32 | 0xffff0000ULL;
}

/* Looks at the packet's own version, not at the socket's family: a v6 socket sends IPv4 to mapped
 * addresses. The stack has pulled these headers into reach before the hooks run. */
static __always_inline int read_packet(struct __sk_buff *skb, u32 transport, u32 egress, struct packet *packet) {
  u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end, *ports;
  u64 source[2], destination[2];
  u32 offset;
  if (data + 28 > end)
    goto unreadable;
  if (data[0] >> 4 == 4) {
    offset = (data[0] & 15) * 4;
    source[0] = destination[0] = 0;
    source[1] = mapped(*(u32 *)(data + 12));
    destination[1] = mapped(*(u32 *)(data + 16));
  } else {
    if (data + 40 > end || data[6] != transport)
      goto unreadable;   /* extension headers */
    offset = 40;
    __builtin_memcpy(source, data + 8, 16);
    __builtin_memcpy(destination, data + 24, 16);
  }
  ports = data + offset;
  u16 source_port, destination_port;
  if (transport == IPPROTO_TCP) {
    if (ports + 20 > end)
      goto unreadable;
    packet->sequence = bpf_ntohl(*(u32 *)(ports + 4));
    packet->payload_offset = offset + (ports[12] >> 4) * 4;
    packet->fin = ports[13] & 1;
  } else {
    if (ports + 8 > end)
      goto unreadable;
    packet->payload_offset = offset + 8;
  }
  source_port = bpf_ntohs(*(u16 *)ports);
  destination_port = bpf_ntohs(*(u16 *)(ports + 2));
  packet->payload_length = skb->len > packet->payload_offset ? skb->len - packet->payload_offset : 0;
  packet->egress = egress;
  packet->local_port = egress ? source_port : destination_port;
  packet->peer_port = egress ? destination_port : source_port;
  #pragma unroll
  for (int i = 0; i < 2; i++) {
    packet->local_address[i] = egress ? source[i] : destination[i];
    packet->peer_address[i] = egress ? destination[i] : source[i];
  }
  return 1;
unreadable:
  lose(LOSS_header_unreadable);
  return 0;
}

/* A command is noted for cgroups without a name only: in a named one it would only make more flows. */
static __always_inline void note_command(struct flow *flow, const char *command) {
  u64 cgroup_id = flow->cgroup_id;
  if (!named_cgroups.lookup(&cgroup_id))
    __builtin_memcpy(flow->command, command, sizeof(flow->command));
}

static __always_inline u64 connection_flow(struct connection *c, struct control *settings, const u64 *local,
                                           const u64 *peer, u16 port, u64 now_ns) {
  struct flow flow = {};
  flow.cgroup_id = c->cgroup_id;
  flow.local_address[0] = local[0];
  flow.local_address[1] = local[1];
  flow.peer_address[0] = peer[0];
  flow.peer_address[1] = peer[1];
  if (c->asked_port && (c->asked_address[0] != peer[0] || c->asked_address[1] != peer[1] || c->asked_port != port)) {
    flow.asked_address[0] = c->asked_address[0];
    flow.asked_address[1] = c->asked_address[1];
    flow.asked_port = c->asked_port;
  }
  note_command(&flow, c->command);
  flow.port = port;
  flow.role = c->role;
  flow.transport = IPPROTO_TCP;
  return flow_id(&flow, settings, c->process_id, now_ns);
}
