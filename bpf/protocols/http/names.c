/* Routes and hosts: text into a hash, folded. */

#define IS_WITHIN(letter, first, count) (IS_BELOW((u64)(letter) - (first), count) & (IS_NEGATIVE((u64)(letter) - (first)) ^ 1))
#define OPAQUE(value) asm volatile("" : "+r"(value))

static __always_inline void http_fold_end(struct connection *c, struct http_direction *d, struct control *settings) {
  u64 from = d->fold_from, hash = d->hash, kind = d->phase - HTTP_AUTHORITY;
  u32 length = d->fold_at - d->fold_from, named;
  kind |= IS_ZERO(kind) << 2;
  OPAQUE(kind);
  TRIM_INDEX(from, 255);
  hash = mix(hash, kind);
  hash = name_id(hash, kind, c->flow, c->cgroup_id, settings, d->window + from, length, &named);
  u64 settled = -(u64)named, somebody = hash & (IS_ZERO((u64)length) - 1);
  OPAQUE(settled);
  OPAQUE(somebody);
  if (kind == NAME_KIND_ROUTE) {
    d->route = hash;
    d->known_line &= settled;
  } else if (kind == NAME_KIND_HOST) {
    d->host = d->known_host = somebody;
    d->known_host_line &= settled;
  } else {
    d->host = somebody;
    d->known_line = 0;   /* it says more than a route */
    d->hash = settings->seed ^ NAME_KIND_ROUTE;
    d->fold_from = d->path_from;
    d->phase = HTTP_ROUTE;
    return;
  }
  d->phase = HTTP_HEADERS;
  http_next_line(d);
}

static __always_inline u64 hash_letter(u64 hash, u64 letter) {
  return (hash ^ letter) * HASH_PRIME;
}

/* The hash of a path segment that ends; whole is the hash before it. */
static __always_inline u64 http_segment_end(u64 hash, u64 before, u64 has_digit, u64 length) {
  u64 identifier = has_digit & (IS_BELOW(length, LONG_SEGMENT) ^ 1);
  OPAQUE(identifier);
  return hash ^ ((hash ^ hash_letter(before, '*')) & -identifier);
}

/* The characters of a path into the hash. Digits fold, but for two behind a v that begins a segment. */
static __always_inline void http_fold_route(struct http_direction *d) {
  u64 at = d->fold_from, start = at, hash = d->hash, before = hash, end = at + FOLD_LIMIT, filled = d->filled;
  u64 version = 0, in_digits = 0, has_digit = 0;
  if (end > filled)
    end = filled;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i <= FOLD_LIMIT; i++) {
    TRIM_INDEX(at, 255);
    u64 letter = d->window[at];
    if (letter <= ' ' || letter == '?' || at >= end)
      break;
    if (letter == '/') {
      before = hash = hash_letter(http_segment_end(hash, before, has_digit, at - start), '/');
      version = IS_ZERO(d->window[at + 1] ^ 'v');
      in_digits = has_digit = 0;
      start = at + 1;
    } else {
      u64 digit = IS_WITHIN(letter, '0', 10), length = at - start;
      version &= digit | IS_ZERO(length);
      u64 folds = digit & ~(version & IS_BELOW(length, VERSION_DIGITS + 1)), again = folds & in_digits;
      OPAQUE(folds);
      OPAQUE(again);
      u64 next = hash_letter(hash, letter ^ ((letter ^ '*') & -folds));
      hash ^= (hash ^ next) & (again - 1);
      in_digits = folds;
      has_digit |= folds;
    }
    at++;
    barrier();
  }
  d->hash = http_segment_end(hash, before, has_digit, at - start);
  d->fold_at = at;
}

/* The characters of a host, without its port and without a user before it. The colons of an IPv6 literal belong to it.
 * Of an authority the route begins behind it; that of a CONNECT is the authority. One that does not end within the limit
 * names nobody: what there is of it may be a user's secret. Nor does one that a server was asked for: anybody can ask. */
static __always_inline void http_fold_host(struct connection *c, struct http_direction *d) {
  u64 at = d->fold_from, hash = d->hash, first = hash, from = at, to = at, end = at + FOLD_LIMIT + 1, filled = d->filled;
  u64 literal = 0, ended = 0;
  if (end > filled)
    end = filled;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i <= FOLD_LIMIT; i++) {
    TRIM_INDEX(at, 255);
    u64 letter = d->window[at];
    if (letter <= ' ' || at >= end || (IS_ZERO(letter ^ '/') | IS_ZERO(letter ^ '?')))
      break;
    u64 user = IS_ZERO(letter ^ '@');
    literal = (literal | IS_ZERO(letter ^ '[')) & (IS_ZERO(letter ^ ']') ^ 1);
    ended = (ended | (IS_ZERO(letter ^ ':') & ~literal)) & (user ^ 1);
    OPAQUE(user);
    OPAQUE(ended);
    u64 next = hash_letter(hash, letter + (IS_WITHIN(letter, 'A', 26) << 5));
    hash ^= (hash ^ next) & (ended - 1);
    hash ^= (hash ^ first) & -user;
    at++;
    to ^= (to ^ at) & (ended - 1);
    from ^= (from ^ at) & -user;
    barrier();
  }
  u64 cut = IS_BELOW(at, end) ^ 1, path = d->path_from;
  u64 nobody = cut | (IS_ZERO(d->phase ^ HTTP_AUTHORITY) & IS_ZERO(c->role ^ ROLE_SERVER));
  u64 behind = at ^ ((at ^ from) & -IS_ZERO(d->operation ^ HTTP_CONNECT));
  OPAQUE(cut);
  OPAQUE(nobody);
  d->hash = hash ^ ((hash ^ first) & -nobody);
  d->fold_from = from;
  d->fold_at = to ^ ((to ^ from) & -nobody);
  d->path_from = path ^ ((path ^ behind) & (cut - 1));
}

static __always_inline void http_fold(struct connection *c, struct http_direction *d, struct control *settings) {
  if (d->phase == HTTP_ROUTE)
    http_fold_route(d);
  else
    http_fold_host(c, d);
  http_fold_end(c, d, settings);
}
