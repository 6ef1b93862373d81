/* TLS: the name by which a client's hello calls its server.
 *
 * Only what a client sends is read, which is in order. A field may be cut anywhere, by segments and by records: what is there
 * of it waits. All that does not matter is passed over by its length. The state is let go as soon as the name is known. */

#define TLS_FIELD 256
#define TLS_STEPS 32             /* of one program run; it calls itself for more */
#define TLS_LONGEST_RECORD 18432
#define TLS_CLIENT_HELLO 1
#define TLS_FIXED 34             /* bytes of a hello before its first length: its version, and what is random */

enum tls_step {
  TLS_MESSAGE, TLS_SESSION, TLS_SUITES, TLS_COMPRESSIONS, TLS_EXTENSIONS, TLS_EXTENSION, TLS_NAMES, TLS_NAME,
};

struct tls_hello {
  u32 next;                /* sequence of the next byte that is looked at */
  u32 record_left;         /* bytes of the present record */
  u32 left;                /* bytes of the hello behind the present field */
  u32 skip;                /* bytes before the present field */
  u16 wanted;              /* size of the present field */
  u16 filled;
  u8 step;
  u8 header_filled;
  u8 begun;
  u8 reserved;
  u8 header[16];           /* of the present record */
  u8 field[TLS_FIELD];
};
SOCKET_STORAGE(tls_hellos, struct tls_hello, 0);

enum tls_found { TLS_MORE, TLS_ENDS, TLS_NAMED, TLS_NAMELESS, TLS_NONE };   /* ENDS: the segment does; NONE: this is no TLS */

static __always_inline u32 tls_number(const u8 *at) {
  return (u32)at[0] << 8 | at[1];
}

/* `skip` bytes, then a field of that size. A hello that has no room for it ends without a name. */
static __always_inline u32 tls_want(struct tls_hello *h, u32 step, u32 skip, u32 wanted) {
  h->filled = 0;
  h->step = step;
  h->skip = skip;
  h->wanted = wanted;
  if (skip + wanted > h->left)
    return TLS_NAMELESS;
  h->left -= skip + wanted;
  return TLS_MORE;
}

/* A field is whole. */
static __always_inline u32 tls_field(struct tls_hello *h) {
  u8 *field = h->field;
  u32 step = h->step, number = tls_number(field);
  if (step == TLS_MESSAGE) {
    if (field[0] != TLS_CLIENT_HELLO)
      return TLS_NONE;
    h->left = (u32)field[1] << 16 | tls_number(field + 2);
    return tls_want(h, TLS_SESSION, TLS_FIXED, 1);
  }
  if (step == TLS_SESSION)
    return tls_want(h, TLS_SUITES, field[0], 2);
  if (step == TLS_SUITES)
    return tls_want(h, TLS_COMPRESSIONS, number, 1);
  if (step == TLS_COMPRESSIONS)
    return tls_want(h, TLS_EXTENSIONS, field[0], 2);
  if (step == TLS_EXTENSIONS)
    return tls_want(h, TLS_EXTENSION, 0, 4);
  if (step == TLS_EXTENSION && number)
    return tls_want(h, TLS_EXTENSION, tls_number(field + 2), 4);
  if (step == TLS_EXTENSION)
    return tls_want(h, TLS_NAMES, 0, 5);
  if (step == TLS_NAMES) {
    u32 length = tls_number(field + 3);
    return field[2] || !length || length > FOLD_LIMIT ? TLS_NAMELESS : tls_want(h, TLS_NAME, 0, length);
  }
  return TLS_NAMED;
}

static __always_inline u32 tls_load(struct __sk_buff *skb, struct tls_hello *h, u8 *into, u64 at, u64 n) {
  u32 offset = skb->cb[CB_OFFSET] + (h->next - skb->cb[CB_SEQUENCE]);
  TRIM_INDEX(at, 127);
  asm volatile("%0 += -1; %0 &= 127; %0 += 1" : "+r"(n));
  return bpf_skb_load_bytes(skb, offset, into + at, n);
}

/* Five bytes: what kind of record, which version, how long. */
static __always_inline u32 tls_record(struct __sk_buff *skb, struct tls_hello *h, u32 there) {
  u64 n = 5 - h->header_filled, at = h->header_filled;
  u32 offset = skb->cb[CB_OFFSET] + (h->next - skb->cb[CB_SEQUENCE]);
  if (n > there)
    n = there;
  TRIM_INDEX(at, 7);
  asm volatile("%0 += -1; %0 &= 7; %0 += 1" : "+r"(n));
  if (bpf_skb_load_bytes(skb, offset, h->header + at, n))
    return TLS_NAMELESS;
  h->header_filled += n;
  h->next += n;
  if (h->header_filled < 5)
    return TLS_MORE;
  h->header_filled = 0;
  h->record_left = tls_number(h->header + 3);
  if (h->header[0] != TLS_HANDSHAKE || h->header[1] != 3)
    return TLS_NONE;
  return h->record_left && h->record_left <= TLS_LONGEST_RECORD ? TLS_MORE : TLS_NONE;
}

/* One piece: of a record's header, of what is passed over, or of a field. */
static __always_inline u32 tls_step(struct __sk_buff *skb, struct tls_hello *h) {
  s32 there = skb->cb[CB_SEQUENCE] + skb->cb[CB_LENGTH] - h->next;
  if (there <= 0)
    return TLS_ENDS;
  if (!h->record_left)
    return tls_record(skb, h, there);
  u32 n = there;
  if (n > h->record_left)
    n = h->record_left;
  if (h->skip) {
    if (n > h->skip)
      n = h->skip;
    h->skip -= n;
  } else {
    u32 missing = h->wanted - h->filled;
    if (n > missing)
      n = missing;
    if (tls_load(skb, h, h->field, h->filled, n))
      return TLS_NAMELESS;
    h->filled += n;
  }
  h->record_left -= n;
  h->next += n;
  return h->skip || h->filled < h->wanted ? TLS_MORE : tls_field(h);
}

static __always_inline u32 tls_read(struct __sk_buff *skb, struct connection *c, struct tls_hello *h) {
  u32 found = TLS_MORE;
  if (!h->begun) {
    h->begun = 1;
    h->next = c->matters[1];
    h->wanted = 4;
  }
  if (AFTER(skb->cb[CB_SEQUENCE], h->next))
    return TLS_NAMELESS;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < TLS_STEPS; i++) {
    found = tls_step(skb, h);
    if (found != TLS_MORE)
      break;
    barrier();
  }
  return found;
}

/* The name's id, as if it stood in a Host header. */
static __always_inline u64 tls_name(struct connection *c, struct tls_hello *h, struct control *settings) {
  u64 hash = settings->seed ^ NAME_KIND_HOST, length = h->wanted;
  u32 named;
  #pragma clang loop unroll(disable)
  for (u64 i = 0; i < FOLD_LIMIT; i++) {
    if (i >= length)
      break;
    u64 letter = h->field[i];
    hash = hash_letter(hash, letter + (IS_WITHIN(letter, 'A', 26) << 5));
    barrier();
  }
  hash = name_id(mix(hash, NAME_KIND_HOST), NAME_KIND_HOST, 0, c->cgroup_id, settings, h->field, length, &named);
  return hash == NAME_OTHER ? 0 : hash;
}

/* Nobody waits for more of it. */
static __always_inline void tls_end(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, u64 server_name, u32 is_tls,
                                    struct control *settings) {
  struct packet p;
  int generation = generation_of(settings);
  tls_hellos.sk_storage_delete(sk);
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
}

int parse_tls_hello(struct __sk_buff *skb) {
  struct bpf_sock *sk = skb->sk;
  struct control *s = settings();
  if (!sk || !s)
    return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk)
    return 1;
  struct connection *c = connections.sk_storage_get(sk, 0, 0);
  if (!c || !c->waits)
    return 1;
  struct tls_hello *h = tls_hellos.sk_storage_get(sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  u32 found = h ? tls_read(skb, c, h) : TLS_NAMELESS;
  if (found == TLS_ENDS)
    return 1;
  if (found == TLS_MORE) {
    parsers_by_protocol.call(skb, PARSER_TLS_HELLO);
    found = TLS_NAMELESS;   /* more pieces than program runs */
    lose(LOSS_hello_unread);
  } else if (!h) {
    lose(LOSS_hello_unread);
  }
  u64 server_name = h && found == TLS_NAMED ? tls_name(c, h, s) : 0;
  tls_end(skb, sk, c, server_name, found != TLS_NONE, s);
  return 1;
}
