/* DNS: queries and answers by name and type, with response code and latency. A query waits in dns_queries
 * for its answer; one that waits too long is counted as timed out by the agent. Answers to clients are
 * announced whole, for the addresses that they name. */

#define DNS_HEADER 12
#define DNS_NAME 120             /* bytes of a name that count */

struct dns_header {
  u16 id;
  u16 flags;
  u16 questions;
  u16 answers;
  u16 authorities;
  u16 additional;
};

/* What the entry program hands over; see call_dns. */
struct dns_message {
  u64 flow;
  u64 cgroup_id;
  u32 offset;
  u32 length;
  u32 peer;                /* its port and something of its address */
  u8 from_client;
  u8 role;
};

struct dns_question {
  u8 text[128 + 8];
  u32 length;
  u16 kind;
  u16 reserved;
};

/* The question's name, lower case, as a hash; its type follows it. */
static __always_inline u64 dns_read_question(struct __sk_buff *skb, struct dns_message *m, struct dns_question *q, u64 seed) {
  u64 hash = seed ^ NAME_KIND_DNS, n = m->length - DNS_HEADER;
  u32 left = 0, length = 0;
  if (m->length <= DNS_HEADER + 4)
    return 0;
  if (n > 127)
    n = 127;
  asm volatile("%0 += -1; %0 &= 127; %0 += 1" : "+r"(n));
  if (bpf_skb_load_bytes(skb, m->offset + DNS_HEADER, q->text, n))
    return 0;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < DNS_NAME; i++) {
    u64 at = i;
    TRIM_INDEX(at, 127);
    u32 letter = q->text[at];
    if (!left) {
      if (!letter || letter > 63)
        break;
      left = letter + 1;
    } else if (letter - 'A' < 26)
      letter += 32;
    left--;
    hash = (hash ^ letter) * HASH_PRIME;
    length = i + 1;
  }
  q->length = length;
  u8 kind[2] = {};
  bpf_skb_load_bytes(skb, m->offset + DNS_HEADER + length + 1, kind, 2);
  q->kind = (u16)kind[0] << 8 | kind[1];
  return mix(hash, NAME_KIND_DNS);
}

static __always_inline void dns_asked(struct dns_query_key *key, u64 name, u64 now_ns) {
  struct dns_query *waiting = dns_queries.lookup(key);
  if (waiting) {
    waiting->last_ns = now_ns;
    lock_xadd(&waiting->count, 1);
    return;
  }
  struct dns_query query = { now_ns, now_ns, 1, name };
  if (dns_queries.update(key, &query))
    lose(LOSS_dns_in_flight_full);
}

static __always_inline void dns_answered(struct dns_query_key *key, u32 rcode, int generation, u64 now_ns) {
  struct dns_query *waiting = dns_queries.lookup(key);
  if (!waiting) {
    lose(LOSS_dns_unpaired);
    return;
  }
  struct request row = { .flow = key->flow, .name = waiting->name, .code = rcode, .kind = key->kind, .protocol = PROTOCOL_DNS,
                         .outcome = OUTCOME_ANSWERED };
  u64 latency_ns = now_ns - waiting->first_ns;
  row.latency_bucket = latency_bucket(latency_ns);
  if (waiting->count > 1) {
    waiting->first_ns = waiting->last_ns;
    lock_xadd(&waiting->count, -1);
  } else {
    dns_queries.delete(key);
  }
  count_request(generation, &row, latency_ns);
}

static __always_inline void dns_announce(struct __sk_buff *skb, struct dns_message *m, u64 question, u64 now_ns) {
  u64 *last = dns_announced.lookup(&question), n = m->length;
  if (last && now_ns - *last < 1000000000ULL)
    return;
  dns_announced.update(&question, &now_ns);
  struct dns_seen *seen = announcements.ringbuf_reserve(sizeof(*seen));
  if (!seen) {
    lose(LOSS_ring_full);
    return;
  }
  if (n > DNS_BYTES)
    n = DNS_BYTES;
  asm volatile("%0 += -1; %0 &= 511; %0 += 1" : "+r"(n));
  seen->what = SEEN_DNS;
  seen->length = n;
  seen->flow = m->flow;
  seen->time_ns = now_ns;
  if (bpf_skb_load_bytes(skb, m->offset, seen->message, n))
    seen->length = 0;
  announcements.ringbuf_submit(seen, 0);
}

static __always_inline void dns_message(struct __sk_buff *skb, struct dns_message *m, struct control *settings) {
  struct dns_header header;
  struct dns_question question = {};
  if (m->length < DNS_HEADER || bpf_skb_load_bytes(skb, m->offset, &header, sizeof(header)))
    return;
  u32 flags = bpf_ntohs(header.flags), is_answer = flags >> 15;
  if (is_answer == m->from_client || header.questions != bpf_htons(1))
    return;
  u64 name = dns_read_question(skb, m, &question, settings->seed), now_ns = bpf_ktime_get_ns();
  if (!name)
    return;
  struct dns_query_key key = { .flow = m->flow, .socket = bpf_get_socket_cookie(skb), .id = header.id, .kind = question.kind,
                               .peer = m->role == ROLE_SERVER ? m->peer : 0, .name = name };
  u32 named;
  if (!is_answer) {
    name = name_id(name, NAME_KIND_DNS, m->flow, m->cgroup_id, settings, question.text, question.length, &named);
    dns_asked(&key, name, now_ns);
    return;
  }
  dns_answered(&key, flags & 15, generation_of(settings), now_ns);
  if (m->role == ROLE_CLIENT && header.answers)
    dns_announce(skb, m, mix(mix(name, m->flow), question.kind), now_ns);
}

/* Over TCP each message has its length before it: together with it or, from some resolvers, in a segment of its
 * own. Gives whether the segment holds a message. */
static __always_inline u32 dns_unwrap(struct __sk_buff *skb, struct connection *c, struct dns_message *m) {
  u64 side = m->from_client;
  TRIM_INDEX(side, 1);
  u8 prefix[2];
  u32 alone = c->dns_prefix[side];
  c->dns_prefix[side] = 0;
  if (m->length < 2 || bpf_skb_load_bytes(skb, m->offset, prefix, 2)) {
    lose(LOSS_dns_split);
    return 0;
  }
  if (alone)
    return 1;
  if (m->length == 2) {
    c->dns_prefix[side] = 1;
    return 0;
  }
  u32 announced = (u32)prefix[0] << 8 | prefix[1];
  if (announced + 2 != m->length) {
    lose(LOSS_dns_split);
    return 0;
  }
  m->offset += 2;
  m->length = announced;
  return 1;
}

/* The message's flow, known to its socket. Gives whether there is a message. */
static __always_inline u32 dns_find(struct __sk_buff *skb, struct bpf_sock *sk, struct dns_message *m) {
  if (sk->protocol == IPPROTO_UDP) {
    struct datagrams *d = datagram_sockets.sk_storage_get(sk, 0, 0);
    m->flow = d ? d->flow : 0;
    return d != 0;
  }
  struct connection *c = connections.sk_storage_get(sk, 0, 0);
  m->flow = c ? c->flow : 0;
  return c && dns_unwrap(skb, c, m);
}

int parse_dns(struct __sk_buff *skb) {
  struct bpf_sock *sk = skb->sk;
  struct control *s = settings();
  if (!sk || !s)
    return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk)
    return 1;
  struct dns_message m = { .offset = skb->cb[1], .length = skb->cb[3], .peer = skb->cb[2], .from_client = skb->cb[0] & 1,
                           .role = skb->cb[0] >> 1 & 3 };
  m.cgroup_id = bpf_sk_cgroup_id(sk);
  if (dns_find(skb, sk, &m))
    dns_message(skb, &m, s);
  return 1;
}
