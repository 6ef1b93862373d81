/* QUIC: a client's connections, by the name in the hello of each.
 *
 * The hello is sealed, by keys that follow from its packet: the agent opens it. It is told of the first datagrams of a
 * connection, within a rate, and says which name it has read. Until then the connection's flow is one of its own, which the
 * agent counts under the name; after that it is the name's. A connection is known by its socket, its peer and the id that
 * the client has chosen for itself, which stays the same as long as there are packets of this kind. */

#define QUIC_SAMPLES 4           /* of one connection: a hello has one to three datagrams, and may be sent again */
#define QUIC_SEGMENTS 3          /* datagrams that leave as one packet */
#define QUIC_SAMPLES_EACH 16     /* in a window, of one endpoint */
#define QUIC_SAMPLES_ALL 64
#define QUIC_SETTLES_NS 2000000000ULL   /* who has no name by then has none; the agent gives up before */

/* Whether one more datagram may be looked at now. */
static __always_inline u32 quic_may_sample(u64 cgroup_id, u64 now_ns, struct control *settings) {
  u64 window = now_ns >> SAMPLE_WINDOW_BITS;
  if (settings->shed & SHED_NAMES) {
    lose(LOSS_names_shed);
    return 0;
  }
  if (window_takes(cgroup_id, window, QUIC_SAMPLES_EACH) && window_takes(SAMPLES_OF_QUIC, window, QUIC_SAMPLES_ALL))
    return 1;
  lose(LOSS_quic_over_rate);
  return 0;
}

static __always_inline void quic_sample(struct __sk_buff *skb, u64 connection, u64 cgroup_id, u32 offset, u64 n, u64 now_ns) {
  struct quic_seen *seen = announcements.ringbuf_reserve(sizeof(*seen));
  if (!seen) {
    lose(LOSS_ring_full);
    return;
  }
  if (n > QUIC_BYTES)
    n = QUIC_BYTES;
  asm volatile("%0 += -1; %0 &= 2047; %0 += 1" : "+r"(n));
  seen->what = SEEN_QUIC;
  seen->length = n;
  seen->connection = connection;
  seen->cgroup_id = cgroup_id;
  seen->time_ns = now_ns;
  if (bpf_skb_load_bytes(skb, offset, seen->datagram, n))
    seen->length = 0;
  announcements.ringbuf_submit(seen, 0);
}

/* Which connection a client's packet is of; 0 where it is none after all. */
static __always_inline u64 quic_connection(struct __sk_buff *skb, struct quic_peer_key *key, u32 offset, struct control *settings) {
  u64 own[4] = {}, hash = mix(settings->seed ^ PROTOCOL_QUIC, key->socket), n;
  u8 size = 0;
  if (bpf_skb_load_bytes(skb, offset + 5, &size, 1) || size > QUIC_LONGEST_ID)
    return 0;
  u32 at = offset + 6 + size;
  if (bpf_skb_load_bytes(skb, at, &size, 1) || size > QUIC_LONGEST_ID)
    return 0;
  n = size;
  if (n) {
    asm volatile("%0 += -1; %0 &= 31; %0 += 1" : "+r"(n));
    if (bpf_skb_load_bytes(skb, at + 1, own, n))
      return 0;
  }
  hash = mix(mix(mix(hash, key->address[0]), key->address[1]), key->port);
  hash = mix(mix(mix(hash, own[0]), own[1]), own[2] << 8 | size);
  return hash <= NAME_OTHER ? NAME_OTHER + 1 : hash;
}

/* The name that a connection has by now; 0: none. */
static __always_inline u64 quic_name_by_now(struct quic_peer *peer) {
  u64 connection = peer->connection;
  if (peer->settled)
    return peer->server_name;
  u64 *told = quic_names.lookup(&connection);
  return told ? *told : 0;
}

/* A connection that was not the newest of its socket and peer. */
static __always_inline struct quic_peer *quic_begins_there(struct quic_peer_key *key, struct quic_peer *before, u64 connection,
                                                           u64 now_ns) {
  struct quic_peer first = { .connection = connection, .began_ns = now_ns };
  if (before) {
    first.server_name = quic_name_by_now(before);   /* no other one may take its place */
    first.shared = before->shared;
  }
  quic_peers.update(key, &first);
  return quic_peers.lookup(key);
}

/* A datagram with a packet of the kind that carries hellos. */
static __always_inline struct quic_peer *quic_hello(struct __sk_buff *skb, struct bpf_sock *sk, struct quic_peer_key *key,
                                                    struct quic_peer *peer, struct packet *p, struct control *settings) {
  u64 connection = quic_connection(skb, key, p->payload_offset, settings), now_ns = bpf_ktime_get_ns();
  if (!connection)
    return peer;
  if (!peer || peer->connection != connection)
    peer = quic_begins_there(key, peer, connection, now_ns);
  if (!peer || peer->settled || peer->samples >= QUIC_SAMPLES || quic_names.lookup(&connection))
    return peer;
  u32 step = skb->gso_size ? skb->gso_size : p->payload_length, at = 0;
  u64 cgroup_id = bpf_sk_cgroup_id(sk);
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < QUIC_SEGMENTS && at < p->payload_length; i++, at += step) {
    if (!quic_may_sample(cgroup_id, now_ns, settings)) {
      peer->settled = !peer->samples;   /* else the agent waits for what is missing, and says so */
      peer->shared |= peer->server_name != 0;
      break;
    }
    u32 left = p->payload_length - at;
    peer->samples++;
    quic_sample(skb, connection, cgroup_id, p->payload_offset + at, left < step ? left : step, now_ns);
    barrier();
  }
  return peer;
}

/* For what the connection's flow is called, and whether that is for ever. */
static __always_inline u64 quic_server_name(struct datagrams *d, struct quic_peer *peer) {
  u64 connection = peer->connection;
  d->quic = QUIC_SETTLED;
  if (peer->settled)
    return peer->shared ? 0 : peer->server_name;
  u64 *told = quic_names.lookup(&connection), name = told ? *told : 0;
  if (!told && bpf_ktime_get_ns() - peer->began_ns < QUIC_SETTLES_NS) {
    d->quic = QUIC_UNSETTLED;
    return connection;
  }
  if (peer->server_name && name && peer->server_name != name) {
    peer->shared = 1;
    lose(LOSS_quic_shared);
  }
  peer->server_name = name;
  peer->settled = 1;
  return peer->shared ? 0 : name;
}

static __always_inline u64 quic_client(struct __sk_buff *skb, struct bpf_sock *sk, struct datagrams *d, struct packet *p,
                                       u32 begins, struct control *settings) {
  struct quic_peer_key key = { .socket = bpf_get_socket_cookie(skb), .port = p->peer_port };
  key.address[0] = p->peer_address[0];
  key.address[1] = p->peer_address[1];
  struct quic_peer *peer = quic_peers.lookup(&key);
  if (begins)
    peer = quic_hello(skb, sk, &key, peer, p, settings);
  if (peer)
    return quic_server_name(d, peer);
  d->quic = d->quic ? QUIC_SETTLED : QUIC_NONE;
  return 0;
}

/* Datagrams that may change what their flow is, and those that say that it is QUIC: counted here, like all others there. */
int parse_quic(struct __sk_buff *skb) {
  struct bpf_sock *sk = skb->sk;
  struct control *s = settings();
  struct packet p;
  if (!sk || !s)
    return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk)
    return 1;
  u32 egress = skb->cb[CB_FLAGS] & 1, role = skb->cb[CB_FLAGS] >> 1 & 3;
  struct datagrams *d = datagram_sockets.sk_storage_get(sk, 0, 0);
  if (!d || !read_packet(skb, IPPROTO_UDP, egress, &p))
    return 1;
  read_addresses(skb, &p);
  u32 begins = quic_begins(skb, &p, role);
  if (role == ROLE_CLIENT)
    meet_peer(d, skb, sk, &p, role, quic_client(skb, sk, d, &p, begins, s), s);
  else if (!is_last_peer(d, &p, role))
    meet_peer(d, skb, sk, &p, role, 0, s);
  struct flow_counts *counts = counts_of(generation_of(s), d->flow);
  if (!counts)
    return 1;
  count_packet(counts, egress, p.payload_length, 0);
  if (begins)
    note_protocol(counts, PROTOCOL_QUIC);
  return 1;
}
