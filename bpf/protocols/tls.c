/* TLS: the name by which a client's hello calls its server, and how the handshake ended.
 *
 * Read at the client's end alone, up to the end of the handshake. A field may be cut anywhere, by segments and by records:
 * what is there of it waits. All that does not matter is passed over by its length. What the server sends is read only while it
 * comes in order; else this handshake is not told. The state is let go when the handshake is over. */

#define TLS_FIELD 256
#define TLS_STEPS 32             /* of one program run; it calls itself for more */
#define TLS_LONGEST_RECORD 18432
#define TLS_FIXED 32             /* random bytes of a hello */
#define TLS_1_3 0x0304
#define TLS_SEALED_ALERT 19      /* bytes of a record in which an alert is, and nothing else */
#define TLS_PADDED_ALERT 35      /* as Java fills it up; whatever ends a handshake well is longer, or 25 or 41 bytes */
#define TLS_FATAL 2

enum tls_record { TLS_CHANGE = 20, TLS_ALERT = 21, TLS_DATA = 23 };   /* and TLS_HANDSHAKE */
enum tls_message { TLS_CLIENT_HELLO = 1, TLS_SERVER_HELLO = 2 };
enum tls_extension { TLS_SERVER_NAME = 0, TLS_VERSIONS = 43 };

/* What the present field is. */
enum tls_step {
  TLS_RECORDS,             /* none: records are passed over */
  TLS_MESSAGE, TLS_VERSION, TLS_SESSION, TLS_SUITES, TLS_COMPRESSIONS, TLS_EXTENSIONS, TLS_EXTENSION, TLS_NAMES, TLS_NAME,
  TLS_CHOSEN, TLS_WARNING,
};

/* What one end says. */
struct tls_side {
  u32 next;                /* sequence of the next byte that is looked at */
  u32 record_left;         /* bytes of the present record */
  u32 left;                /* bytes of the hello behind the present field */
  u32 skip;                /* bytes before the present field */
  u16 wanted;              /* size of the present field */
  u16 filled;
  u8 step;
  u8 header_filled;
  u8 begun;
  u8 is_server;
  u8 header[16];           /* of the present record */
  u8 field[TLS_FIELD];
};
struct tls {
  struct tls_side side[2]; /* client, server */
  u64 began_ns;
  u16 version;             /* that the server chose; 0: it did not say yet */
  u16 shown;               /* pieces of what the server says that were announced */
  u32 shown_to;            /* sequence of the byte behind them */
};
SOCKET_STORAGE(tls_connections, struct tls, 0);

enum tls_found {
  TLS_MORE,
  TLS_ENDS,                /* the segment does */
  TLS_NAMED,
  TLS_NAMELESS,
  TLS_NONE,                /* this is no TLS */
  TLS_UP,                  /* the handshake is done */
  TLS_BROKEN,              /* this end has said so */
  TLS_UNREAD,              /* bytes of it were missed */
};

static __always_inline u32 tls_number(const u8 *at) {
  return (u32)at[0] << 8 | at[1];
}

/* `skip` bytes, then a field of that size. A hello that has no room for it ends without one. */
static __always_inline u32 tls_want(struct tls_side *t, u32 step, u32 skip, u32 wanted) {
  t->filled = 0;
  t->step = step;
  t->skip = skip;
  t->wanted = wanted;
  if (skip + wanted > t->left)
    return TLS_NAMELESS;
  t->left -= skip + wanted;
  return TLS_MORE;
}

/* Of a hello, which begins alike at both ends. */
static __always_inline u32 tls_hello_field(struct tls_side *t, struct tls *tls) {
  u8 *field = t->field;
  u32 step = t->step, number = tls_number(field), kind = t->is_server ? TLS_VERSIONS : TLS_SERVER_NAME;
  if (step == TLS_MESSAGE) {
    if (field[0] != (t->is_server ? TLS_SERVER_HELLO : TLS_CLIENT_HELLO))
      return TLS_NONE;
    t->left = (u32)field[1] << 16 | tls_number(field + 2);
    return tls_want(t, TLS_VERSION, 0, 2);
  }
  if (step == TLS_VERSION) {
    if (t->is_server)
      tls->version = number;
    return tls_want(t, TLS_SESSION, TLS_FIXED, 1);
  }
  if (step == TLS_SESSION)   /* a server names one suite and one compression */
    return t->is_server ? tls_want(t, TLS_EXTENSIONS, field[0] + 3, 2) : tls_want(t, TLS_SUITES, field[0], 2);
  if (step == TLS_SUITES)
    return tls_want(t, TLS_COMPRESSIONS, number, 1);
  if (step == TLS_COMPRESSIONS)
    return tls_want(t, TLS_EXTENSIONS, field[0], 2);
  if (step == TLS_EXTENSIONS)
    return tls_want(t, TLS_EXTENSION, 0, 4);
  if (number != kind)
    return tls_want(t, TLS_EXTENSION, tls_number(field + 2), 4);
  return t->is_server ? tls_want(t, TLS_CHOSEN, 0, 2) : tls_want(t, TLS_NAMES, 0, 5);
}

/* A field is whole. */
static __always_inline u32 tls_field(struct tls_side *t, struct tls *tls) {
  u8 *field = t->field;
  u32 step = t->step;
  if (step <= TLS_EXTENSION)
    return tls_hello_field(t, tls);
  if (step == TLS_NAMES) {
    u32 length = tls_number(field + 3);
    return field[2] || !length || length > FOLD_LIMIT ? TLS_NAMELESS : tls_want(t, TLS_NAME, 0, length);
  }
  if (step == TLS_NAME)
    return TLS_NAMED;
  if (step == TLS_CHOSEN) {
    tls->version = tls_number(field);
    return TLS_NAMED;
  }
  t->step = TLS_RECORDS;
  return field[0] == TLS_FATAL ? TLS_BROKEN : TLS_MORE;
}

/* A record begins. Of a hello it is one more piece. */
static __always_inline u32 tls_record_begins(struct tls_side *t, struct tls *tls) {
  u32 kind = t->header[0], length = t->record_left;
  if (t->header[1] != 3 || !length || length > TLS_LONGEST_RECORD)
    return TLS_NONE;
  if (kind == TLS_ALERT && length == 2 && t->is_server + tls->side[1].begun) {   /* that is not sealed */
    t->left = length;
    return tls_want(t, TLS_WARNING, 0, 2) == TLS_MORE ? TLS_MORE : TLS_NONE;
  }
  if (t->step != TLS_RECORDS)
    return kind == TLS_HANDSHAKE ? TLS_MORE : TLS_NONE;
  if (tls->version >= TLS_1_3 && kind == TLS_DATA && !t->is_server)
    return length == TLS_SEALED_ALERT || length == TLS_PADDED_ALERT ? TLS_BROKEN : TLS_UP;
  if (tls->version && tls->version < TLS_1_3 && kind == TLS_CHANGE && t->is_server)
    return TLS_UP;
  return TLS_MORE;
}

static __always_inline u32 tls_offset(struct __sk_buff *skb, struct tls_side *t) {
  return skb->cb[CB_OFFSET] + (t->next - skb->cb[CB_SEQUENCE]);
}

static __always_inline u32 tls_load(struct __sk_buff *skb, struct tls_side *t, u64 n) {
  u64 at = t->filled;
  TRIM_INDEX(at, 127);
  asm volatile("%0 += -1; %0 &= 127; %0 += 1" : "+r"(n));
  return bpf_skb_load_bytes(skb, tls_offset(skb, t), t->field + at, n);
}

/* Five bytes: what kind of record, which version, how long. */
static __always_inline u32 tls_record(struct __sk_buff *skb, struct tls_side *t, struct tls *tls, u32 there) {
  u64 n = 5 - t->header_filled, at = t->header_filled;
  if (n > there)
    n = there;
  TRIM_INDEX(at, 7);
  asm volatile("%0 += -1; %0 &= 7; %0 += 1" : "+r"(n));
  if (bpf_skb_load_bytes(skb, tls_offset(skb, t), t->header + at, n))
    return TLS_UNREAD;
  t->header_filled += n;
  t->next += n;
  if (t->header_filled < 5)
    return TLS_MORE;
  t->header_filled = 0;
  t->record_left = tls_number(t->header + 3);
  return tls_record_begins(t, tls);
}

/* One piece: of a record's header, of what is passed over, or of a field. */
static __always_inline u32 tls_step(struct __sk_buff *skb, struct tls_side *t, struct tls *tls) {
  s32 there = skb->cb[CB_SEQUENCE] + skb->cb[CB_LENGTH] - t->next;
  if (there <= 0)
    return TLS_ENDS;
  if (!t->record_left)
    return tls_record(skb, t, tls, there);
  u32 n = there;
  if (n > t->record_left)
    n = t->record_left;
  if (t->step != TLS_RECORDS && t->skip) {
    if (n > t->skip)
      n = t->skip;
    t->skip -= n;
  } else if (t->step != TLS_RECORDS) {
    u32 missing = t->wanted - t->filled;
    if (n > missing)
      n = missing;
    if (tls_load(skb, t, n))
      return TLS_UNREAD;
    t->filled += n;
  }
  t->record_left -= n;
  t->next += n;
  return t->step == TLS_RECORDS || t->skip || t->filled < t->wanted ? TLS_MORE : tls_field(t, tls);
}

static __always_inline struct tls_side *tls_side(struct tls *tls, u64 is_server) {
  TRIM_INDEX(is_server, 1);
  return (struct tls_side *)((char *)tls + is_server * sizeof(struct tls_side));
}

static __always_inline void tls_begin_side(struct connection *c, struct tls *tls, struct tls_side *t, u32 egress) {
  t->begun = 1;
  t->is_server = !egress;
  t->next = egress ? c->matters[1] : c->matters[0];
  t->step = TLS_MESSAGE;
  t->wanted = 4;
  if (egress)
    tls->began_ns = bpf_ktime_get_ns();
}

static __always_inline u32 tls_read(struct __sk_buff *skb, struct connection *c, struct tls *tls, struct tls_side *t) {
  u32 found = TLS_MORE;
  if (!t->begun)
    tls_begin_side(c, tls, t, skb->cb[CB_FLAGS] & CB_EGRESS);
  if (AFTER(skb->cb[CB_SEQUENCE], t->next))
    return TLS_UNREAD;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < TLS_STEPS; i++) {
    found = tls_step(skb, t, tls);
    if (found == TLS_NAMED || found == TLS_NAMELESS)
      t->step = TLS_RECORDS;
    if (found != TLS_MORE && (found == TLS_ENDS || !t->is_server || found > TLS_NAMELESS))
      break;
    found = TLS_MORE;
    barrier();
  }
  return found;
}

/* The name's id, as if it stood in a Host header. */
static __always_inline u64 tls_name(struct connection *c, struct tls_side *t, struct control *settings) {
  u64 hash = settings->seed ^ NAME_KIND_HOST, length = t->wanted;
  u32 named;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < FOLD_LIMIT; i++) {
    u64 at = i;
    TRIM_INDEX(at, 127);
    if (at >= length)
      break;
    u64 letter = t->field[at];
    hash = hash_letter(hash, letter + (IS_WITHIN(letter, 'A', 26) << 5));
    barrier();
  }
  hash = name_id(mix(hash, NAME_KIND_HOST), NAME_KIND_HOST, 0, c->cgroup_id, settings, t->field, length, &named);
  return hash == NAME_OTHER ? 0 : hash;
}

/* It is known whom the client means, or that it does not say. */
static __always_inline void tls_begin_flow(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, u64 server_name,
                                           u32 is_tls, struct control *settings) {
  struct packet p;
  int generation = generation_of(settings);
  c->confirmed = is_tls;
  if (!is_tls)
    c->protocol = PROTOCOL_TCP;
  if (!read_packet(skb, IPPROTO_TCP, 1, &p))
    return;
  read_addresses(skb, &p);
  begin_flow(c, skb, sk, &p, server_name, settings, generation);
  struct flow_counts *counts = is_tls ? counts_of(generation, c->flow) : 0;
  if (counts)
    note_protocol(counts, PROTOCOL_TLS);
  if (is_tls)
    c->waits = WAITS_FOR_HANDSHAKE;
}

/* A row of its own, beside the flow's turns: how it ended, the alert where one was readable, and the version. */
static __always_inline void tls_ended(struct connection *c, struct tls *tls, struct tls_side *t, u32 found, struct control *settings) {
  struct request row = { .flow = c->flow, .kind = tls->version, .protocol = PROTOCOL_TLS, .outcome = OUTCOME_ANSWERED };
  u64 latency_ns = 0;
  if (found == TLS_UP) {
    latency_ns = bpf_ktime_get_ns() - tls->began_ns;
    row.latency_bucket = latency_bucket(latency_ns);
  } else {
    row.outcome = t->is_server ? OUTCOME_UNANSWERED_SERVER : OUTCOME_UNANSWERED_CLIENT;
    row.code = t->header[0] == TLS_ALERT ? t->field[1] : 0;
  }
  count_request(generation_of(settings), &row, latency_ns);
}

#define TLS_PIECES 16                    /* of one handshake that are announced: the server's own certificate comes first */
#define TLS_PIECES_ALL 32                /* in a window of time */
#define TLS_SHOWN_AGAIN_NS 60000000000ULL

/* Whether one more piece may be looked at: of a flow's first handshake in some time. */
static __always_inline u32 tls_may_show(struct connection *c, struct tls *tls, u64 now_ns, struct control *settings) {
  u64 flow = c->flow, *last = certificates_seen.lookup(&flow);
  if (tls->shown >= TLS_PIECES || settings->shed || (!tls->shown && last && now_ns - *last < TLS_SHOWN_AGAIN_NS))
    return 0;
  if (!window_takes(SAMPLES_OF_TLS, now_ns >> SAMPLE_WINDOW_BITS, TLS_PIECES_ALL)) {
    lose(LOSS_certificates_over_rate);
    return 0;
  }
  if (!tls->shown)
    certificates_seen.update(&flow, &now_ns);
  return 1;
}

static __always_inline void tls_piece(struct __sk_buff *skb, struct connection *c, struct tls *tls, u32 at, u64 n, u64 now_ns) {
  struct server_hello_seen *seen = announcements.ringbuf_reserve(sizeof(*seen));
  if (!seen) {
    lose(LOSS_ring_full);
    return;
  }
  if (n > TLS_BYTES)
    n = TLS_BYTES;
  asm volatile("%0 += -1; %0 &= 2047; %0 += 1" : "+r"(n));
  seen->what = SEEN_SERVER_HELLO;
  seen->length = n;
  seen->connection = bpf_get_socket_cookie(skb);
  seen->flow = c->flow;
  seen->time_ns = now_ns;
  seen->sequence = skb->cb[CB_SEQUENCE] + at;
  seen->number = tls->shown;
  if (bpf_skb_load_bytes(skb, skb->cb[CB_OFFSET] + at, seen->piece, n))
    seen->length = 0;
  announcements.ringbuf_submit(seen, 0);
}

/* What a server says before the handshake is sealed has its certificate: the agent reads it. */
static __always_inline void tls_show(struct __sk_buff *skb, struct connection *c, struct tls *tls, struct control *settings) {
  u32 begin = skb->cb[CB_SEQUENCE], length = skb->cb[CB_LENGTH], at = 0;
  u64 now_ns = bpf_ktime_get_ns();
  if (tls->shown && AFTER(tls->shown_to, begin))
    at = tls->shown_to - begin;   /* said again, or this program has called itself for more */
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < TLS_PIECES && at < length; i++) {
    if (!tls_may_show(c, tls, now_ns, settings)) {
      tls->shown = TLS_PIECES;   /* nothing is read behind a gap */
      break;
    }
    tls_piece(skb, c, tls, at, length - at, now_ns);
    tls->shown++;
    at += TLS_BYTES;
    tls->shown_to = begin + (at < length ? at : length);
    barrier();
  }
}

/* A segment, at the client's end: of its hello, or of a handshake that goes on. */
static __always_inline void tls_segment(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct control *settings) {
  u32 is_server = !(skb->cb[CB_FLAGS] & CB_EGRESS);
  struct tls *tls = tls_connections.sk_storage_get(sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!tls) {
    lose(LOSS_hello_unread);
    if (c->waits == WAITS_FOR_NAME)
      tls_begin_flow(skb, sk, c, 0, 0, settings);
    c->waits = WAITS_FOR_NOTHING;
    return;
  }
  struct tls_side *t = tls_side(tls, is_server);
  u32 found = tls_read(skb, c, tls, t);
  if (is_server && tls->version < TLS_1_3 && found != TLS_UNREAD && found != TLS_NONE)
    tls_show(skb, c, tls, settings);
  if (found == TLS_ENDS)
    return;
  if (found == TLS_MORE) {
    parsers_by_protocol.call(skb, PARSER_TLS);
    found = TLS_UNREAD;   /* more pieces than program runs */
    lose(LOSS_hello_unread);
  }
  if (c->waits == WAITS_FOR_NAME) {
    u64 server_name = found == TLS_NAMED ? tls_name(c, t, settings) : 0;
    tls_begin_flow(skb, sk, c, server_name, found != TLS_NONE, settings);
    if (c->waits)
      parsers_by_protocol.call(skb, PARSER_TLS);   /* to what is left of the segment */
  } else if (found == TLS_UP || found == TLS_BROKEN || (found == TLS_NONE && is_server)) {   /* it answers in another tongue */
    tls_ended(c, tls, t, found, settings);
  } else {
    lose(LOSS_handshake_unread);
  }
  c->waits = WAITS_FOR_NOTHING;
  tls_connections.sk_storage_delete(sk);
}

int parse_tls(struct __sk_buff *skb) {
  struct bpf_sock *sk = skb->sk;
  struct control *s = settings();
  if (!sk || !s)
    return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk)
    return 1;
  struct connection *c = connections.sk_storage_get(sk, 0, 0);
  if (!c)
    return 1;
  if (c->waits)
    tls_segment(skb, sk, c, s);
  end_turn(c, skb->cb[CB_FLAGS]);
  return 1;
}
