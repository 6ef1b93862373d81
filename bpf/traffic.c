/* Every packet of every socket under the cgroup: the entry programs. They count bytes and turns,
 * recognise protocols, and call one parser. They never alter or drop anything. */

static __always_inline void call_http(struct __sk_buff *skb, struct packet *p, u32 flags) {
  if (p->egress)
    call_reader(skb, p, flags, PARSER_HTTP_SENT);
  else
    call_reader(skb, p, flags, PARSER_HTTP_RECEIVED);
}

/* A segment of a stream that a parser reads: to it if it brings the next byte that matters, else it is kept, or nothing. */
static __always_inline void read_stream(struct __sk_buff *skb, struct connection *c, struct bpf_sock *sk, struct packet *p, u32 flags,
                                        struct control *s, int generation) {
  u32 reading = p->egress ? c->reading[1] : c->reading[0];
  if (reading == READING_OVER)
    return;
  if (flags & CB_FIRST) {
    call_reader(skb, p, flags, REPLAY_EARLY);
    return;
  }
  u32 order = order_of(sk, p, p->egress ? c->matters[1] : c->matters[0]);
  if (order == ORDER_NEW && http_repeated(skb, sk, c, p, s, generation))
    return;
  if (reading == READING_TAINTED || order == ORDER_NEW)
    call_http(skb, p, flags);
  else if (order == ORDER_EARLY || (order == ORDER_MISSED && c->early))
    call_reader(skb, p, flags, KEEP_EARLY);   /* what is kept already may hold what is missed here, not read yet */
  else if (order == ORDER_MISSED)
    call_http(skb, p, flags | CB_MISSED);
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

/* A segment with payload. Gives what it still has of its flags. */
static __always_inline u32 read_segment(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct packet *p, u32 flags,
                                         struct control *s, int generation) {
  struct flow_counts *counts = counts_of(generation, c->flow);
  if (!counts)
    return flags;
  u32 fresh = fresh_bytes(c, p, sk, counts), whole = fresh == p->payload_length;
  u32 may_read = flags & (CB_EGRESS | CB_TURN);   /* else nobody knows what the other CPU reads meanwhile */
  u32 early = may_read && meet_client(skb, c, sk, p, whole, s);
  count_payload(c, skb, sk, p, fresh, counts, generation);
  if (!may_read)
    return flags;
  if (early)
    call_reader(skb, p, flags, KEEP_EARLY);
  if (RARE(c->waits))
    call_reader(skb, p, flags, PARSER_TLS);
  if (c->protocol == PROTOCOL_HTTP) {
    read_stream(skb, c, sk, p, flags, s, generation);
  } else if (c->protocol == PROTOCOL_DNS && whole) {
    end_turn(c, flags);   /* its parser needs no order */
    call_dns(skb, p, c->role, 0);
    return 0;
  }
  return flags;
}

/* What was kept and not read to its end: a program run goes as far as its tail calls. */
static __always_inline void read_on(struct __sk_buff *skb, struct connection *c, struct packet *p) {
  u32 flags = c->protocol == PROTOCOL_HTTP ? take_turn(c) : 0;
  if (flags)
    call_reader(skb, p, flags, REPLAY_EARLY);
  end_turn(c, flags);
}

/* What the listener had of a connection by fast open, at its SYN-ACK: so the first answer has a program run for itself. */
static __always_inline void read_first(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct packet *p,
                                       struct control *s) {
  u32 turn = take_turn(c);
  if (turn && take_first(c, skb, sk, p, s))
    call_reader(skb, p, turn, REPLAY_EARLY);
  end_turn(c, turn);
}

/* Who reads before this segment: nobody else at the same time, and what was kept before it. */
static __always_inline u32 begin_reading(struct connection *c, struct bpf_sock *sk, struct __sk_buff *skb, struct packet *p,
                                         struct control *s) {
  u32 requests_kept = p->egress && c->early && c->role == ROLE_SERVER && has_passed(sk, c->matters[0]);
  if (p->egress && !c->first_at_listener && !requests_kept)   /* one that is answered here may be among those */
    return CB_EGRESS;
  u32 turn = take_turn(c), first = 0;
  if (!turn)
    return 0;   /* an answer that is read before its request would be nobody's */
  if (c->first_at_listener)
    first = take_first(c, skb, sk, p, s);
  else if (requests_kept)
    first = CB_FIRST;
  return p->egress | turn | first;
}

/* By fast open a request goes with the SYN, and its answers may come while the socket is in use: then neither the SYN-ACK nor
 * they have been dealt with, and TCP does not know yet where they begin. */
static __always_inline void note_first_answer(struct connection *c, struct bpf_sock *sk, struct packet *p) {
  if (sk->state == BPF_TCP_SYN_SENT && c->sequenced && !c->next_in)
    c->next_in = c->matters[0] = p->sequence;
}

/* Whether TCP may take what ends there. It says itself how far it is: what came out of order, or waits for a socket that is in
 * use, is not counted yet, and may be megabytes. */
static __always_inline u32 is_within_a_window(struct bpf_sock *sk, u32 end) {
  struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
  if (!tcp)
    return 0;
  u32 rcv_nxt = tcp->rcv_nxt;
  asm volatile("" : "+r"(rcv_nxt));
  return end - rcv_nxt <= LARGEST_WINDOW;
}

/* What a client sends before it has a flow. Its parser gives it one. */
static __always_inline void on_hello(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct packet *p) {
  if (!c->sequenced && !begin_counting(c, p, sk))
    return;
  u32 end = p->sequence + p->payload_length, fresh = end - c->next_out;
  if (AFTER(end, c->next_out)) {
    c->unsaid_bytes += fresh < p->payload_length ? fresh : p->payload_length;
    c->next_out = end;
  }
  c->unsaid_packets++;
  if (!c->turn_start_ns)
    c->turn_start_ns = bpf_ktime_get_ns();
  call_reader(skb, p, CB_EGRESS, PARSER_TLS);
}

static __always_inline void on_segment(struct __sk_buff *skb, struct bpf_sock *sk, u32 egress, struct control *s) {
  struct packet p;
  if (!read_packet(skb, IPPROTO_TCP, egress, &p))
    return;
  if (!p.payload_length && !(p.flags & (TCP_FIN | TCP_SYN)))
    return;   /* an acknowledgement by itself says nothing that is counted */
  struct connection *c = connection_of_packet(sk, &p);
  if (!c)
    return;
  int generation = generation_of(s);
  if (RARE(!c->role || !c->flow) && !is_silent_client(c, &p))
    meet_connection(c, skb, sk, &p, s, generation);
  if (RARE(c->begins_again))
    http_begin_again(sk, c);
  if (p.flags & TCP_FIN && !egress && is_within_a_window(sk, p.sequence + p.payload_length))
    c->fin_received = 1;
  if (RARE(!egress && p.flags & TCP_SYN))
    note_first_answer(c, sk, &p);
  if (!p.payload_length) {
    if (egress && p.flags & TCP_SYN && c->first_at_listener)
      read_first(skb, sk, c, &p, s);
    else if (c->early)
      read_on(skb, c, &p);
    return;
  }
  if (RARE(c->waits == WAITS_FOR_NAME)) {
    on_hello(skb, sk, c, &p);
    return;
  }
  u32 flags = begin_reading(c, sk, skb, &p, s);
  flags = read_segment(skb, sk, c, &p, flags, s, generation);
  end_turn(c, flags);
}

static __always_inline void on_listener(struct __sk_buff *skb, struct bpf_sock *sk, u32 egress) {
  struct packet p;
  if (egress)
    return;
  if (!connections.sk_storage_get(sk, 0, 0))
    begin_listener(skb, sk);
  if (read_packet(skb, IPPROTO_TCP, 0, &p) && p.payload_length)
    call_reader(skb, &p, CB_LISTENER, KEEP_EARLY);
}

static __always_inline int on_packet(struct __sk_buff *skb, u32 egress) {
  struct bpf_sock *sk = skb->sk;
  struct control *s = settings();
  if (!sk || !s)
    return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk)
    return 1;
  if (RARE(sk->protocol == IPPROTO_UDP))
    on_datagram(skb, sk, egress, s);
  else if (RARE(sk->protocol == IPPROTO_TCP && sk->state == BPF_TCP_LISTEN))
    on_listener(skb, sk, egress);
  else if (sk->protocol == IPPROTO_TCP)
    on_segment(skb, sk, egress, s);
  return 1;
}

int on_egress(struct __sk_buff *skb) {
  return on_packet(skb, 1);
}

int on_ingress(struct __sk_buff *skb) {
  return on_packet(skb, 0);
}
