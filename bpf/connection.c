/* The life of TCP connections: asked for, established or failed and why, listened for, closed. */

#define ECONNREFUSED 111
#define ETIMEDOUT 110
#define ECONNRESET 104
#define EHOSTUNREACH 113
#define ENETUNREACH 101
#define EACCES 13
#define SOCK_STREAM 1
#define SOCK_DGRAM 2

/* Two words of a context as one: read one by one, since the verifier refuses them as eight bytes. */
#define TWO_WORDS(low, high) ((u64)*(volatile u32 *)&(high) << 32 | *(volatile u32 *)&(low))

static __always_inline void fill_from_callback(struct bpf_sock_ops *op, u64 *local, u64 *peer) {
  if (op->family == 2) {
    local[0] = peer[0] = 0;
    local[1] = mapped(op->local_ip4);
    peer[1] = mapped(op->remote_ip4);
  } else {
    local[0] = TWO_WORDS(op->local_ip6[0], op->local_ip6[1]);
    local[1] = TWO_WORDS(op->local_ip6[2], op->local_ip6[3]);
    peer[0] = TWO_WORDS(op->remote_ip6[0], op->remote_ip6[1]);
    peer[1] = TWO_WORDS(op->remote_ip6[2], op->remote_ip6[3]);
  }
}

/* The flow of a connection from a socket callback, for connections without a packet of their own yet. */
static __always_inline u64 flow_from_callback(struct bpf_sock_ops *op, struct connection *c, struct control *settings) {
  if (c->flow)
    return c->flow;
  u64 local[2], peer[2];
  fill_from_callback(op, local, peer);
  u16 port = c->role == ROLE_SERVER ? op->local_port : bpf_ntohl(op->remote_port);
  c->flow = connection_flow(c, settings, local, peer, port, 0);
  return c->flow;
}

static __always_inline void note_datagram_connect(struct bpf_sock_addr *ask, struct bpf_sock *sk) {
  struct datagrams *d = new_datagrams(sk);
  if (!d) {
    lose(LOSS_socket_state);
    return;
  }
  d->netns_cookie = bpf_get_netns_cookie(ask);
  d->process_id = bpf_get_current_pid_tgid() >> 32;
  bpf_get_current_comm(d->command, sizeof(d->command));
}

static __always_inline void note_who(struct connection *c) {
  c->cgroup_id = bpf_get_current_cgroup_id();
  c->process_id = bpf_get_current_pid_tgid() >> 32;
  bpf_get_current_comm(c->command, sizeof(c->command));
}

static __always_inline void begin_connect(struct connection *c, struct bpf_sock_addr *ask, u64 high, u64 low) {
  __builtin_memset(c, 0, sizeof(*c));   /* the socket may have been used for a connect before */
  c->role = ROLE_CLIENT;
  c->netns_cookie = bpf_get_netns_cookie(ask);
  note_who(c);
  c->asked_address[0] = high;
  c->asked_address[1] = low;
  c->asked_port = bpf_ntohs(ask->user_port);
  c->opened_ns = bpf_ktime_get_ns();
}

/* Until its SYN shows that there is a route. */
static __always_inline void remember_connecting(struct connection *c, u64 cookie) {
  struct connecting begun = { .time_ns = c->opened_ns, .process_id = c->process_id };
  begun.flow.cgroup_id = c->cgroup_id;
  begun.flow.netns_cookie = c->netns_cookie;
  begun.flow.peer_address[0] = c->asked_address[0];
  begun.flow.peer_address[1] = c->asked_address[1];
  begun.flow.port = c->asked_port;
  begun.flow.role = ROLE_CLIENT;
  begun.flow.transport = IPPROTO_TCP;
  note_command(&begun.flow, c->command);
  if (connecting.update(&cookie, &begun))
    lose(LOSS_connecting_full);
}

/* In the context of the process that connects: who it is, and what it asked for before any translation. */
static __always_inline void note_connect(struct bpf_sock_addr *ask, u64 high, u64 low) {
  struct bpf_sock *sk = ask->sk;
  if (!sk)
    return;
  if (ask->type == SOCK_DGRAM)
    note_datagram_connect(ask, sk);
  if (ask->type != SOCK_STREAM || ask->protocol != IPPROTO_TCP)
    return;
  struct connection *c = new_connection(sk);
  if (!c) {
    lose(LOSS_socket_state);
    return;
  }
  begin_connect(c, ask, high, low);
  remember_connecting(c, bpf_get_socket_cookie(ask));
}

int on_connect4(struct bpf_sock_addr *ask) {
  note_connect(ask, 0, mapped(ask->user_ip4));
  return 1;
}

int on_connect6(struct bpf_sock_addr *ask) {
  note_connect(ask, TWO_WORDS(ask->user_ip6[0], ask->user_ip6[1]), TWO_WORDS(ask->user_ip6[2], ask->user_ip6[3]));
  return 1;
}

/* Older kernels (6.12 is one) do not tell a socket callback whose process it runs in; the loader asks. There the bind
 * notes who will listen. A socket that listens without one gets its storage with its first packet. */
#ifdef WHO_IN_CALLBACKS
#define NOTE_WHO_LISTENS(c) note_who(c)
#define CALLBACK_BEGINS(what) \
  ((what) == BPF_SOCK_OPS_TCP_CONNECT_CB || (what) == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB || (what) == BPF_SOCK_OPS_TCP_LISTEN_CB)
#else
#define NOTE_WHO_LISTENS(c)
#define CALLBACK_BEGINS(what) ((what) == BPF_SOCK_OPS_TCP_CONNECT_CB || (what) == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)

static __always_inline int note_bind(struct bpf_sock *sk) {
  if (sk->type != SOCK_STREAM || sk->protocol != IPPROTO_TCP)
    return 1;
  struct connection *c = new_connection(sk);
  if (!c) {
    lose(LOSS_socket_state);
    return 1;
  }
  c->netns_cookie = bpf_get_netns_cookie(sk);
  note_who(c);
  return 1;
}

int on_bind4(struct bpf_sock *sk) {
  return note_bind(sk);
}

int on_bind6(struct bpf_sock *sk) {
  return note_bind(sk);
}
#endif

/* An ICMP error wakes who waits for the socket before it is noted as soft, and asking for it takes that note away;
   the message itself stays queued until somebody reads it as such. */
static __always_inline u32 queued_error(void *kernel_socket, struct control *settings) {
  struct { void *first; void *last; u32 length; } queue = {};
  u32 error = 0;
  if (!settings->queued_errno_offset)
    return 0;
  read_kernel(&queue, sizeof(queue), kernel_socket + settings->sk_error_queue_offset);
  if (queue.length && queue.first)
    read_kernel(&error, sizeof(error), queue.first + settings->queued_errno_offset);
  return error;
}

static __always_inline u32 socket_error(struct bpf_sock *sk, struct control *settings) {
  void *kernel_socket = bpf_skc_to_tcp_sock(sk);
  u32 error = 0;
  if (!kernel_socket || !settings->sk_err_offset)
    return 0;
  read_kernel(&error, sizeof(error), kernel_socket + settings->sk_err_offset);
  if (!error)   /* an ICMP error that came while the socket was in use waits as a soft one */
    read_kernel(&error, sizeof(error), kernel_socket + settings->sk_err_soft_offset);
  return error ? error : queued_error(kernel_socket, settings);
}

static __always_inline void connect_failed(struct connection *c, struct flow_counts *counts, u32 error) {
  if (error == ECONNREFUSED)
    lock_xadd(&counts->refused, 1);
  else if (error == ETIMEDOUT || (!error && bpf_ktime_get_ns() - c->opened_ns >= 1000000000ULL))
    lock_xadd(&counts->timeout, 1);   /* or the application gave up after the SYN was sent again */
  else if (error == ECONNRESET)
    lock_xadd(&counts->reset, 1);
  else if (error == EHOSTUNREACH || error == ENETUNREACH || error == EACCES)
    lock_xadd(&counts->unreachable, 1);
  else
    lock_xadd(&counts->other, 1);
}

/* Bytes that came out of order were not counted when they came: TCP's own count closes the gap. */
static __always_inline void count_remaining_bytes(struct bpf_sock_ops *op, struct connection *c, struct flow_counts *counts) {
  u64 missing = op->bytes_received - c->received_bytes - (c->fin_received & 1);
  if (!c->sequenced || !missing || missing >= 1ULL << 40)
    return;
  count_received(c, counts, missing);
}

/* Whether the peer's bytes, or ours, went past a parser that wanted them. Our own FIN counts as a byte. */
static __always_inline u32 received_unread(struct bpf_sock_ops *op, struct connection *c) {
  return c->reading[0] == READING && AFTER(op->rcv_nxt - (c->fin_received & 1), c->matters[0]);
}

static __always_inline u32 sent_unread(struct bpf_sock_ops *op, struct connection *c) {
  return c->reading[1] == READING && AFTER(op->snd_nxt - 1, c->matters[1]);
}

static __always_inline void note_ended_by(struct connection *c, u32 state, u32 error) {
  if (c->ended_by)
    return;
  u32 peer_ended = state == BPF_TCP_CLOSE_WAIT || (state == BPF_TCP_CLOSE && error);
  c->ended_by = peer_ended ? ROLE_CLIENT + ROLE_SERVER - c->role : c->role;
}

/* It ended in the midst of a handshake. */
static __always_inline void handshake_broken(struct connection *c, int generation) {
  struct request row = { .flow = c->flow, .protocol = PROTOCOL_TLS };
  row.outcome = c->ended_by == ROLE_CLIENT ? OUTCOME_UNANSWERED_CLIENT : OUTCOME_UNANSWERED_SERVER;
  count_request(generation, &row, 0);
}

static __always_inline void on_state_change(struct bpf_sock_ops *op, struct bpf_sock *sk, struct connection *c,
                                            struct control *settings) {
  u32 before = op->args[0], after = op->args[1], error = 0;
  if (after == BPF_TCP_CLOSE)
    error = socket_error(sk, settings);
  if (before == BPF_TCP_ESTABLISHED)
    note_ended_by(c, after, error);
  u32 is_silent_client = c->role == ROLE_CLIENT && c->sequenced && !c->adopted && before != BPF_TCP_CLOSE;
  if (after != BPF_TCP_CLOSE || (before != BPF_TCP_SYN_SENT && !c->counted && !is_silent_client))
    return;
  int generation = generation_of(settings);
  struct flow_counts *counts = counts_of(generation, flow_from_callback(op, c, settings));
  if (!counts)
    return;
  if (c->waits == WAITS_FOR_HANDSHAKE)
    handshake_broken(c, generation);
  if (c->role == ROLE_CLIENT)
    count_unsaid(c, counts, before, generation);
  if (before == BPF_TCP_SYN_SENT) {
    connect_failed(c, counts, error);
    if (c->protocol == PROTOCOL_HTTP)
      http_count_parser(c, -1);   /* by fast open a request went with the SYN */
    return;
  }
  c->counted = 0;
  lock_xadd(&counts->closed, 1);
  count_remaining_bytes(op, c, counts);
  if (c->protocol != PROTOCOL_HTTP)
    return;
  u32 received = received_unread(op, c), is_client = c->role == ROLE_CLIENT;
  if (received && !is_client)
    lose(LOSS_http_gap);
  http_closed(sk, c, is_client ? received : sent_unread(op, c), generation);
}

/* A client's is counted when it has a flow, which it may have here only by fast open. */
static __always_inline void on_established(struct bpf_sock_ops *op, struct connection *c, struct control *settings) {
  if (!c->sequenced) {   /* data may have come before us on another CPU, or gone with the SYN */
    c->next_out = c->matters[1] = op->snd_nxt;
    c->next_in = c->matters[0] = op->rcv_nxt;
    c->sequenced = 1;
  } else if (c->role == ROLE_CLIENT && c->next_in - op->rcv_nxt >= EARLY_REACH) {   /* else answers by fast open were read already */
    c->next_in = c->matters[0] = op->rcv_nxt;
  }
  u64 flow = c->role == ROLE_CLIENT ? c->flow : flow_from_callback(op, c, settings);
  int generation = generation_of(settings);
  struct flow_counts *counts = c->counted || !flow ? 0 : counts_of(generation, flow);
  if (!counts)
    return;
  c->counted = 1;
  lock_xadd(&counts->connections, 1);
  count_connect(c, generation);
}

static __always_inline void on_retransmit(struct bpf_sock_ops *op, struct connection *c, struct control *settings) {
  struct flow_counts *counts = c->flow ? counts_of(generation_of(settings), c->flow) : 0;
  if (counts)
    lock_xadd(&counts->retransmits, op->args[1]);
  else
    c->unsaid_retransmits += op->args[1];
}

static __always_inline void on_listen(struct bpf_sock_ops *op, struct connection *c) {
  u64 peer[2];
  c->role = ROLE_SERVER;
  NOTE_WHO_LISTENS(c);
  struct listener_seen *seen = announcements.ringbuf_reserve(sizeof(*seen));
  if (!seen) {
    lose(LOSS_ring_full);
    return;
  }
  __builtin_memset(seen, 0, sizeof(*seen));
  seen->what = SEEN_LISTENER;
  seen->process_id = c->process_id;
  seen->cgroup_id = c->cgroup_id;
  seen->netns_cookie = c->netns_cookie;
  seen->time_ns = bpf_ktime_get_ns();
  fill_from_callback(op, seen->address, peer);
  __builtin_memcpy(seen->command, c->command, sizeof(seen->command));
  seen->port = op->local_port;
  seen->transport = IPPROTO_TCP;
  announcements.ringbuf_submit(seen, 0);
}

/* A socket that begins to connect, has been connected to, or listens gets its storage here, if it has none. */
static __always_inline struct connection *connection_of_callback(struct bpf_sock_ops *op, struct bpf_sock *sk) {
  u32 what = op->op;
  if (!CALLBACK_BEGINS(what))
    return connections.sk_storage_get(sk, 0, 0);
  struct connection *c = new_connection(sk);
  if (c)
    c->netns_cookie = NETNS_OF_CALLBACK(op, c->netns_cookie);
  else
    lose(LOSS_socket_state);
  return c;
}

static __always_inline void on_connecting(struct bpf_sock_ops *op, struct connection *c) {
  u64 cookie = bpf_get_socket_cookie(op);
  connecting.delete(&cookie);
  c->role = ROLE_CLIENT;
  bpf_sock_ops_cb_flags_set(op, BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG);
}

static __always_inline void on_connected(struct bpf_sock_ops *op, struct connection *c, struct control *settings) {
  if (c->opened_ns) {
    c->opened_ns = bpf_ktime_get_ns() - c->opened_ns;
    c->connect_bucket = (latency_bucket(c->opened_ns) + 2) & ~3;   /* two an octave: each is a row for each name */
  }
  on_established(op, c, settings);
}

static __always_inline void on_accepted(struct bpf_sock_ops *op, struct connection *c, struct control *settings) {
  c->role = ROLE_SERVER;
  bpf_sock_ops_cb_flags_set(op, BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG);
  on_established(op, c, settings);
}

int on_socket(struct bpf_sock_ops *op) {
  struct bpf_sock *sk = op->sk;
  struct control *s = settings();
  u32 what = op->op;
  if (!sk || !s || what < BPF_SOCK_OPS_TCP_CONNECT_CB || what > BPF_SOCK_OPS_TCP_LISTEN_CB)
    return 1;
  struct connection *c = connection_of_callback(op, sk);
  if (!c)
    return 1;
  if (what == BPF_SOCK_OPS_TCP_CONNECT_CB)
    on_connecting(op, c);
  else if (what == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
    on_accepted(op, c, s);
  else if (what == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
    on_connected(op, c, s);
  else if (what == BPF_SOCK_OPS_STATE_CB)
    on_state_change(op, sk, c, s);
  else if (what == BPF_SOCK_OPS_RETRANS_CB)
    on_retransmit(op, c, s);
  else if (what == BPF_SOCK_OPS_TCP_LISTEN_CB)
    on_listen(op, c);
  return 1;
}
