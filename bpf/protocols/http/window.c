/* Bytes into the window, and through it to the next line that matters. */

/* Where bytes come from. Each has a program of its own: in one, the kernel would check every load, and all that follows,
 * once for each of them. */
enum http_source { HTTP_RECEIVED, HTTP_SENT, HTTP_KEPT };
#define IS_SENT(source) ((source) == HTTP_SENT)
#define IS_KEPT(source) ((source) == HTTP_KEPT)

/* Bytes of the source behind those of the window: how many, into `loaded`. */
static __always_inline void http_load(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct http *http,
                                      struct http_direction *d, u64 n, const u32 stored) {
  u64 filled = d->filled;
  TRIM_INDEX(filled, 255);
  d->loaded = 0;
  if (stored) {
    struct early_bytes *e = early_streams.sk_storage_get(sk, 0, 0);
    d->loaded = e ? read_early(e, d->next, d->window + filled, n) : 0;
    if (!d->loaded) {
      lose(LOSS_early_evicted);
      c->early = 0;
      d->source_end = d->next;
    }
  } else {
    asm volatile("%0 += -1; %0 &= 255; %0 += 1" : "+r"(n));
    if (bpf_skb_load_bytes(skb, d->source_offset + (d->next - d->source_start), d->window + filled, n))
      http_taint(http, d);
    else
      d->loaded = n;
  }
}

/* More bytes of the source into the window. A line that began in this source is loaded again at the
 * window's start, so that only a line that began earlier lies there already. */
static __always_inline int http_refill(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct http *http,
                                       struct http_direction *d, const u32 stored) {
  u32 partial = 0;
  if (d->body) {
    u64 n = d->body < (1 << 30) ? d->body : 1 << 30;
    d->body -= n;
    d->next += n;
    return AFTER(d->source_end, d->next);
  }
  if (d->line) {
    partial = d->filled - d->line;
    d->next -= partial;
    d->scanned = partial;
    d->filled = d->line = 0;
  }
  s32 left = d->source_end - d->next;
  u32 filled = d->filled;
  if (left <= 0)
    return 0;
  http_load(skb, sk, c, http, d, left < WINDOW - (s32)filled ? left : WINDOW - filled, stored);
  barrier();
  if (!d->loaded)
    return 0;
  d->filled += d->loaded;
  d->next += d->loaded;
  return d->scanned < d->filled || (stored && AFTER(d->source_end, d->next));   /* or the page has ended */
}

enum http_found { HTTP_SEGMENT_ENDS, HTTP_LINE, HTTP_MORE, HTTP_WINDOW_ENDS };

/* A header that is read: most are not. */
static __always_inline u32 http_matters(const u8 *line, u32 is_client) {
  u64 name = *(u64 *)line | LOWER;
  if (name == WORD8('c', 'o', 'n', 't', 'e', 'n', 't', '-')) {
    u64 more = *(u64 *)(line + 8) | LOWER;
    if (more == WORD8('t', 'y', 'p', 'e', ':', ' ', 't', 'e'))   /* of these, event streams alone */
      return (*(u32 *)(line + 16) | (u32)LOWER) == WORD4('x', 't', '/', 'e');
    return (u32)more == WORD4('l', 'e', 'n', 'g');
  }
  return name == WORD8('t', 'r', 'a', 'n', 's', 'f', 'e', 'r') || (is_client && (u32)name == WORD4('h', 'o', 's', 't'));
}

#define EACH_BYTE 0x0101010101010101ULL

/* Line by line through the window, eight bytes at a time, to the end of a line that matters or to the window's end.
 * The positions live in registers, trimmed in each round to one range, so that the verifier meets a state again. */
static __always_inline u32 http_scan(struct connection *c, struct http_direction *d) {
  barrier();   /* what is known of these from before is forgotten */
  u64 line = d->line, at = d->scanned, filled = d->filled;
  u32 phase = d->phase, is_client = c->role == ROLE_CLIENT, found = HTTP_MORE;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < HTTP_STEPS; i++) {
    TRIM_INDEX(line, 511);
    TRIM_INDEX(at, 511);
    if (at >= filled)
      break;
    u64 from = at, begin = line;
    TRIM_INDEX(from, 255);
    TRIM_INDEX(begin, 255);
    u64 word = *(u64 *)(d->window + from) ^ EACH_BYTE * '\n';
    u64 hit = (word - EACH_BYTE) & ~word & EACH_BYTE << 7;
    if (!hit) {
      at += 8;
      continue;
    }
    at += ((hit & -hit) - 1 & EACH_BYTE) * EACH_BYTE >> 56;   /* its bytes up to the first hit, counted */
    if (at > filled)
      break;
    if (d->long_line) {
      d->long_line = 0;
    } else if (at - line <= 2 || (phase != HTTP_TRAILERS && (phase != HTTP_HEADERS || http_matters(d->window + begin, is_client)))) {
      found = HTTP_LINE;
      break;
    }
    line = at;
    barrier();
  }
  if (at > filled)
    at = filled;
  TRIM_INDEX(line, 511);
  TRIM_INDEX(at, 511);
  d->line = line;
  d->line_end = at - 1;
  d->scanned = at;
  barrier();
  return found;
}

/* When bytes that were kept came: known of a connection's first segment, which the application may have answered since. */
static __always_inline u64 http_kept_ns(struct __sk_buff *skb, struct connection *c) {
  return skb->cb[CB_FLAGS] & CB_FIRST && c->turn_start_ns > 1 ? c->turn_start_ns : bpf_ktime_get_ns();
}

/* One window further: to a line that matters, or to the segment's end. */
static __always_inline u32 http_advance(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct http *http,
                                        struct http_direction *d, const u32 source, u32 may_refill) {
  if (d->scanned >= d->filled) {
    if (!may_refill)
      return HTTP_WINDOW_ENDS;
    if (d->filled >= WINDOW && !d->line) {   /* a line longer than the window: what there is of it must do */
      if (!d->long_line) {
        d->long_line = 1;
        d->line_end = d->filled;
        return HTTP_LINE;
      }
      http_empty(d);
    }
    if (!http_refill(skb, sk, c, http, d, IS_KEPT(source)))
      return HTTP_SEGMENT_ENDS;
    if (d->scanned >= d->filled)
      return HTTP_MORE;
  }
  if (d->phase == HTTP_START && !d->begun) {
    d->begun = 1;
    d->message_ns = IS_KEPT(source) ? http_kept_ns(skb, c) : time_of(skb, IS_SENT(source));
  }
  return http_scan(c, d);
}
