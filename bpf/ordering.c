/* The room under every stream parser: each direction's bytes reach it once and in order, as far as they matter.
 *
 * A parser keeps, for each direction, the sequence number of the next byte that matters: what it can skip (a body)
 * it moves past at once, so retransmits, duplicates and holes in bodies cost nothing. What is sent is in order, or
 * old. What is received may come early: then it is kept, and read when the hole before it is filled. TCP's own
 * rcv_nxt is the judge: past the next byte that matters, with that byte neither here nor kept, it proves that the
 * byte was missed and will not come again. Then the direction is tainted until its parser knows a certain boundary. */

#define EARLY_REACH (63 * PAGE_BYTES)   /* fewer pages than bits in `present` */
#define LARGEST_WINDOW (1 << 30)
#define NONE 0xffffffff
#define TURN_TRIES 64        /* some 25 us: as long as a long run of a program */

enum order {
  ORDER_OLD,       /* all before the next byte that matters */
  ORDER_NEW,       /* the next byte that matters is in it */
  ORDER_EARLY,     /* begins after it */
  ORDER_MISSED,    /* bytes that mattered were missed and will not come again */
};

/* Whether TCP has passed a byte on that its parser has not had. The peer's FIN counts as a byte. */
static __always_inline u32 has_passed(struct bpf_sock *sk, u32 next) {
  u32 state = sk->state, ended = state == BPF_TCP_CLOSE_WAIT || state == BPF_TCP_LAST_ACK || state == BPF_TCP_CLOSING;
  if (!ended && state != BPF_TCP_ESTABLISHED && state != BPF_TCP_FIN_WAIT1 && state != BPF_TCP_FIN_WAIT2)
    return 0;
  struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
  return tcp && AFTER(tcp->rcv_nxt, next + ended);
}

static __always_inline u32 order_of(struct bpf_sock *sk, struct packet *packet, u32 next) {
  s32 early = packet->sequence - next;
  if (early <= 0 && early + (s32)packet->payload_length > 0)
    return ORDER_NEW;
  if (packet->egress)
    return early > 0 ? ORDER_MISSED : ORDER_OLD;
  return has_passed(sk, next) ? ORDER_MISSED : early > 0 ? ORDER_EARLY : ORDER_OLD;
}

/* Two CPUs may receive for one socket at once. Adding without fetching is all that old kernels have: who reads one
 * after adding one has the turn. The owner never sleeps; a wait is as long as its run. */
static __always_inline u32 take_turn(struct connection *c) {
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < TURN_TRIES; i++) {
    if (!*(volatile u32 *)&c->reader) {
      lock_xadd(&c->reader, 1);
      if (*(volatile u32 *)&c->reader == 1)
        return CB_TURN;
      lock_xadd(&c->reader, -1);
    }
    #pragma unroll
    for (u32 k = 0; k < 16; k++)
      bpf_ktime_get_ns();   /* to pass some time */
  }
  lose(LOSS_segment_contended);
  return 0;
}

static __always_inline void end_turn(struct connection *c, u32 flags) {
  if (flags & CB_TURN)
    lock_xadd(&c->reader, -1);
}

static __always_inline u64 stream_of(struct packet *p, u64 netns_cookie) {
  u64 id = mix(netns_cookie, (u64)p->local_port << 16 | p->peer_port);
  #pragma unroll
  for (int i = 0; i < 2; i++)
    id = mix(mix(id, p->local_address[i]), p->peer_address[i]);
  return id;
}

static __always_inline struct early_run *early_run(struct early_bytes *e, u64 index) {
  TRIM_INDEX(index, 31);
  return (struct early_run *)((char *)e->runs + index * sizeof(struct early_run));
}

static __always_inline void forget_early(struct early_bytes *e) {
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < EARLY_RUNS; i++) {
    struct early_run *run = early_run(e, i);
    run->start = run->end = 0;
    barrier();
  }
}

/* Drops the runs before `next`; gives the run that has that byte, or NONE. */
static __always_inline u32 find_run(struct early_bytes *e, u32 next) {
  e->live = 0;
  e->found = e->free = NONE;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < EARLY_RUNS; i++) {
    struct early_run *run = early_run(e, i);
    if (run->start == run->end || !AFTER(run->end, next)) {
      run->start = run->end = 0;
      e->free = i;
    } else {
      e->live++;
      if (!AFTER(run->start, next))
        e->found = i;
    }
    barrier();
  }
  return e->found;
}

/* The run that these bytes go to: one that ends where they begin, or a free one. What it has already is put off. */
static __always_inline struct early_run *run_for(struct early_bytes *e, u32 next, u32 start) {
  find_run(e, next);
  e->found = NONE;
  e->at = start;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < EARLY_RUNS; i++) {
    struct early_run *run = early_run(e, i);
    if (run->start != run->end && !AFTER(run->start, e->at) && !AFTER(e->at, run->end)) {
      e->found = i;
      e->at = run->end;
    }
    barrier();
  }
  u32 index = e->found != NONE ? e->found : e->free;
  if (index == NONE)
    return 0;
  struct early_run *run = early_run(e, index);
  if (e->found == NONE)
    run->start = run->end = start;
  return run;
}

/* Pages before the next byte that matters make room at once: else those that still wait would be the oldest. */
static __always_inline void release_pages(struct early_bytes *e, u32 next) {
  struct early_page_key key = { e->stream };
  u32 first = next >> PAGE_BITS;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < 64; i++) {
    if (!e->present || e->first_page == first)
      break;
    key.number = e->first_page;
    if (e->present & 1)
      early_pages.delete(&key);
    e->present >>= 1;
    e->first_page = (e->first_page + 1) & (NONE >> PAGE_BITS);
    barrier();
  }
  e->first_page = first;
}

/* Whether this socket had the page and lost it to another's bytes. Else notes that it has it now. */
static __always_inline u32 page_is_torn(struct early_bytes *e, u32 number) {
  u64 index = (number - e->first_page) & (NONE >> PAGE_BITS), bit = 1;
  TRIM_INDEX(index, 63);
  bit <<= index;
  u32 torn = (e->present & bit) != 0;
  e->present ^= bit;
  return torn;
}

static __always_inline struct early_page *new_page(struct early_page_key *key) {
  int zero = 0;
  struct early_page *blank = blank_page.lookup(&zero);
  if (!blank)
    return 0;
  early_pages.insert(key, blank);
  struct early_page *page = early_pages.lookup(key);
  if (page)
    page->key = *key;
  return page;
}

/* Bytes of a packet into one page of a stream. Gives how many. */
static __always_inline u32 keep_in_page(struct __sk_buff *skb, struct early_page *page, u32 at, u64 n, u32 offset) {
  u64 in_page = at & (PAGE_BYTES - 1);
  if (n > PAGE_BYTES - in_page)
    n = PAGE_BYTES - in_page;
  if (n > EARLY_UNIT)
    n = EARLY_UNIT;
  TRIM_INDEX(in_page, 4095);
  asm volatile("%0 += -1; %0 &= 1023; %0 += 1" : "+r"(n));
  return bpf_skb_load_bytes(skb, offset, page->bytes + in_page, n) ? 0 : n;
}

/* One unit of a segment into its page. Gives how many bytes. */
static __always_inline u32 keep_unit(struct __sk_buff *skb, struct early_bytes *e) {
  struct early_page_key key = { e->stream, e->at >> PAGE_BITS };
  if (!AFTER(e->end, e->at))
    return 0;
  struct early_page *page = early_pages.lookup(&key);
  if (!page) {
    if (page_is_torn(e, key.number)) {
      lose(LOSS_early_evicted);
      forget_early(e);
      e->at = 0;   /* nor is this segment kept */
      return 0;
    }
    page = new_page(&key);
  }
  return page ? keep_in_page(skb, page, e->at, e->end - e->at, e->offset) : 0;
}

static __always_inline void keep_units(struct __sk_buff *skb, struct early_bytes *e) {
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < 65536 / EARLY_UNIT + 65536 / PAGE_BYTES + 2; i++) {
    u32 n = keep_unit(skb, e);
    if (!n)
      break;
    e->at += n;
    e->offset += n;
    barrier();
  }
}

/* Kept bytes for a parser, from one page: fewer than asked for at a page's end. Gives how many. */
static __always_inline u32 read_early(struct early_bytes *e, u32 sequence, u8 *into, u64 n) {
  u64 in_page = sequence & (PAGE_BYTES - 1);
  struct early_page_key key = { e->stream, sequence >> PAGE_BITS };
  struct early_page *page = early_pages.lookup(&key);
  if (!page)
    return 0;
  if (n > PAGE_BYTES - in_page)
    n = PAGE_BYTES - in_page;
  TRIM_INDEX(in_page, 4095);
  asm volatile("%0 += -1; %0 &= 255; %0 += 1" : "+r"(n));
  if (read_kernel(into, n, page->bytes + in_page))
    return 0;
  barrier();
  if (page->key.stream != key.stream || page->key.number != key.number)
    return 0;   /* given to another meanwhile */
  return n;
}

/* A segment that comes before its turn, and the first segment of a connection that a listener meets. */
static __always_inline void keep_segment(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct packet *p) {
  struct early_bytes *e = early_streams.sk_storage_get(sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!e) {
    lose(LOSS_early_state);
    return;
  }
  u32 next = c->matters[0], end = p->sequence + p->payload_length;
  if (!AFTER(end, next))
    return;
  if (!c->early)
    forget_early(e);
  e->stream = stream_of(p, c->netns_cookie);
  release_pages(e, next);
  if (p->sequence - next >= EARLY_REACH && AFTER(p->sequence, next))
    return;   /* beyond what TCP takes, most often */
  struct early_run *run = run_for(e, next, p->sequence);
  if (!run) {
    lose(LOSS_early_full);
    return;
  }
  e->end = end - next > EARLY_REACH ? next + EARLY_REACH : end;
  e->offset = p->payload_offset + (e->at - p->sequence);
  c->early = 1;
  keep_units(skb, e);
  if (AFTER(e->at, run->end))
    run->end = e->at;
}

#define FIRST_UNITS 4   /* a page's end may lie between: 2 KB at least */

static __always_inline u32 keep_first_bytes(struct __sk_buff *skb, u64 stream, struct packet *p) {
  u32 kept = 0;
  #pragma unroll
  for (u32 i = 0; i < FIRST_UNITS; i++) {
    u32 at = p->sequence + kept;
    struct early_page_key key = { stream, at >> PAGE_BITS };
    struct early_page *page = early_pages.lookup(&key);
    if (!page)
      page = new_page(&key);
    if (!page || kept >= p->payload_length)
      break;
    kept += keep_in_page(skb, page, at, p->payload_length - kept, p->payload_offset + kept);
  }
  return kept;
}

static __always_inline void keep_first(struct __sk_buff *skb, struct connection *c, struct packet *p) {
  struct first_segment first = { .time_ns = bpf_ktime_get_ns(), .start = p->sequence };
  u64 stream = stream_of(p, c->netns_cookie);
  if (p->payload_length >= 8)
    bpf_skb_load_bytes(skb, p->payload_offset, &first.bytes, 8);
  else
    bpf_skb_load_bytes(skb, p->payload_offset, &first.bytes, 1);
  first.end = p->sequence + keep_first_bytes(skb, stream, p);
  first_segments.update(&stream, &first);
  c->first_at_listener = 1;
}

int keep_early(struct __sk_buff *skb) {
  struct bpf_sock *sk = skb->sk;
  struct packet p;
  if (!sk)
    return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk)
    return 1;
  struct connection *c = connections.sk_storage_get(sk, 0, 0);
  u32 flags = skb->cb[CB_FLAGS];
  if (!c)
    return 1;
  if (read_packet(skb, IPPROTO_TCP, 0, &p)) {
    read_addresses(skb, &p);
    if (flags & CB_LISTENER)
      keep_first(skb, c, &p);
    else
      keep_segment(skb, sk, c, &p);
  }
  if (c->early && c->protocol != PROTOCOL_UNKNOWN)
    parsers_by_protocol.call(skb, REPLAY_EARLY);
  end_turn(c, flags);
  return 1;
}

/* What was kept, to the parser, as far as there is no hole in it. */
int replay_early(struct __sk_buff *skb) {
  struct bpf_sock *sk = skb->sk;
  if (!sk)
    return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk)
    return 1;
  struct connection *c = connections.sk_storage_get(sk, 0, 0);
  struct early_bytes *e = early_streams.sk_storage_get(sk, 0, 0);
  if (!c)
    return 1;
  u32 flags = skb->cb[CB_FLAGS] & ~CB_GOES_ON, next = c->matters[0], found = NONE;
  if (e && c->early) {
    found = find_run(e, next);
    release_pages(e, next);
    c->early = e->live > 0;
  }
  if (found != NONE && KEPT_HAS_RUNS(flags)) {
    skb->cb[CB_END] = early_run(e, found)->end;
    skb->cb[CB_FLAGS] = flags + 2 * CB_RUN;
    parsers_by_protocol.call(skb, REPLAY_HTTP);
  } else if (flags & CB_FIRST) {
    skb->cb[CB_FLAGS] = flags & ~CB_FIRST;
    if (flags & CB_EGRESS)
      parsers_by_protocol.call(skb, PARSER_HTTP_SENT);
    else if (c->reading[0] == READING && AFTER(skb->cb[CB_SEQUENCE], next))
      parsers_by_protocol.call(skb, KEEP_EARLY);   /* there is a hole between them */
    else
      parsers_by_protocol.call(skb, PARSER_HTTP_RECEIVED);
  } else if (!(flags & CB_EGRESS) && c->reading[0] == READING && has_passed(sk, next)) {
    skb->cb[CB_FLAGS] = flags | CB_MISSED;
    parsers_by_protocol.call(skb, PARSER_HTTP_RECEIVED);
  }
  end_turn(c, flags);
  return 1;
}
