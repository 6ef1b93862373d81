/* The lines of a message: request and status line, the headers that are read, sizes of chunks. */

/* The length of a target's scheme, where it has one and so an authority, as a proxy is asked; else 0. */
static __always_inline u32 http_scheme_length(struct http_direction *d) {
  u64 at = d->fold_from;
  TRIM_INDEX(at, 255);
  u64 start = *(u64 *)(d->window + at) | LOWER;
  return start == (WORD8('h', 't', 't', 'p', 's', ':', '/', '/') | LOWER)             ? 8
         : start << 8 == (WORD8('h', 't', 't', 'p', ':', '/', '/', 0) | LOWER) << 8 ? 7
                                                                                    : 0;
}

/* A hash of the present line as it was said, with the epoch of names; 0 for a long one. Clients repeat themselves: a
 * line that is the connection's last one once more need not be folded nor looked up. */
static __always_inline u64 http_raw_line(struct http_direction *d, struct control *settings) {
  u64 at = d->line, left = d->line_end - d->line, hash = settings->seed ^ ((u64)settings->names_epoch << 32 | left);
  if (d->long_line || left > KNOWN_LINE)
    return 0;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < KNOWN_LINE / 8; i++) {
    TRIM_INDEX(at, 255);
    u64 word = *(u64 *)(d->window + at);
    if (left <= 8) {
      hash = mix(hash, word << (64 - 8 * left & 63));
      break;
    }
    hash = mix(hash, word);
    at += 8;
    left -= 8;
    barrier();
  }
  return hash;
}

static __always_inline void http_request_line(struct connection *c, struct http *http, struct http_direction *d, u8 *line, u32 length,
                                              struct control *settings) {
  u32 method = http_method_of(*(u32 *)line), skip = http_method_length(method);
  u64 space_at = skip, tail_at = d->line + length - 8;
  TRIM_INDEX(space_at, 7);
  TRIM_INDEX(tail_at, 255);
  u64 version = *(u64 *)(d->window + tail_at) & 0x00ffffffffffffffULL;
  if (!method || line[space_at] != ' ' ||
      (!d->long_line && (length < skip + 11 || version != WORD8('H', 'T', 'T', 'P', '/', '1', '.', 0)))) {
    http_give_up(c, http, d);
    return;
  }
  if (!c->confirmed)
    c->confirmed = 1;
  d->operation = method;
  d->chunked = d->has_length = 0;
  d->length = d->host = 0;
  u64 raw = http_raw_line(d, settings);
  if (raw && raw == d->known_line) {
    d->phase = HTTP_HEADERS;
    return;
  }
  d->known_line = raw;
  d->hash = settings->seed ^ NAME_KIND_ROUTE;
  d->fold_from = d->line + skip + 1;
  d->phase = HTTP_ROUTE;
  u32 scheme = http_scheme_length(d);
  if (RARE(scheme || method == HTTP_CONNECT)) {
    d->path_from = d->line + skip;
    d->fold_from += scheme;
    d->phase = HTTP_AUTHORITY;
  }
}

static __always_inline void http_status_line(struct connection *c, struct http *http, struct http_direction *d, u8 *line, int generation) {
  u64 start = *(u64 *)line & 0x00ffffffffffffffULL;
  u32 hundreds = line[9] - '0', tens = line[10] - '0', ones = line[11] - '0';
  if (start != WORD8('H', 'T', 'T', 'P', '/', '1', '.', 0) || hundreds > 9 || tens > 9 || ones > 9) {
    http_give_up(c, http, d);
    return;
  }
  d->status = hundreds * 100 + tens * 10 + ones;
  d->chunked = d->has_length = 0;
  d->length = 0;
  d->phase = HTTP_HEADERS;
  if (d->status >= 200 || d->status == 101)
    http_answered(c, http, d, generation);
}

static __always_inline void http_content_length(struct http_direction *d, u8 *line, u32 length) {
  d->length = 0;
  d->has_length = 1;
  barrier();
  u64 value = d->length;   /* read back: a number that the verifier does not know is one state, not many */
  #pragma clang loop unroll(disable)
  for (u32 i = 15; i < 31; i++) {
    u32 digit = line[i] - '0';
    if (i >= length)
      break;
    if (digit < 10)
      value = value * 10 + digit;
    barrier();
  }
  d->length = value;
}

/* text/event-stream: the answer lasts for as long as somebody listens, and that says nothing of anybody's health. */
static __always_inline void http_content_type(struct connection *c, struct http *http, struct http_direction *d, u8 *line,
                                              int generation) {
  u64 kind = *(u64 *)(line + 16) | LOWER, form = *(u64 *)(line + 23) | LOWER;
  d->once = 1;
  if (d->operation && !http->older && kind == WORD8('x', 't', '/', 'e', 'v', 'e', 'n', 't') && form == WORD8('t', '-', 's', 't', 'r', 'e', 'a', 'm'))
    http_count_answer(c, http_slot(http, http->tail - 1), d->status, OUTCOME_STREAMED, 0, generation);
}

static __always_inline void http_header(struct connection *c, struct http *http, struct http_direction *d, u8 *line, u32 length,
                                        u32 is_request, struct control *settings, int generation) {
  u64 name = *(u64 *)line | LOWER, more = *(u64 *)(line + 8) | LOWER;
  if (name == WORD8('c', 'o', 'n', 't', 'e', 'n', 't', '-')) {
    if ((more << 8) == (WORD8('l', 'e', 'n', 'g', 't', 'h', ':', 0) << 8))
      http_content_length(d, line, length);
    else if (!is_request && (u32)more == WORD4('t', 'y', 'p', 'e'))
      http_content_type(c, http, d, line, generation);
  } else if (name == WORD8('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')) {
    u64 last_at = d->line + length - 8;
    TRIM_INDEX(last_at, 255);
    u64 last = (*(u64 *)(d->window + last_at) | LOWER) >> 8;
    if (more == (WORD8('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n') | LOWER) && last == WORD8('c', 'h', 'u', 'n', 'k', 'e', 'd', 0))
      d->chunked = 1;
  } else if (is_request && c->role == ROLE_CLIENT &&
             (((name ^ WORD8('h', 'o', 's', 't', ':', 0, 0, 0)) & 0xffffffffffULL) | d->host) == 0) {   /* a target's stands above it */
    u64 raw = http_raw_line(d, settings);
    if (raw && raw == d->known_host_line) {
      d->host = d->known_host;
      return;
    }
    d->known_host_line = raw;
    d->hash = settings->seed ^ NAME_KIND_HOST;
    d->fold_from = d->line + 5 + (line[5] == ' ');
    d->phase = HTTP_HOST;
  }
}

static __always_inline void http_chunk_line(struct connection *c, struct http *http, struct http_direction *d, u8 *line, u32 length) {
  d->length = 0;
  d->ended = 0;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < 8; i++) {
    u32 letter = line[i] | 32, digit = letter - '0' < 10 ? letter - '0' : letter - 'a' < 6 ? letter - 'a' + 10 : 16;
    if (digit > 15 || i >= length)
      d->ended = 1;
    if (!d->ended)
      d->length = d->length << 4 | digit;
    if (!i && d->ended)
      d->tainted = 2;
    barrier();
  }
  if (d->tainted == 2) {
    d->tainted = 0;
    http_give_up(c, http, d);
    return;
  }
  u64 n = d->length;
  if (d->long_line)
    http_taint(http, d);   /* an extension longer than any seen in the field */
  else if (n)
    http_skip(d, n + 2);
  else
    d->phase = HTTP_TRAILERS;
}

/* The line [d->line, d->line_end) is complete, or as much of it as is ever looked at. */
static __always_inline void http_line(struct connection *c, struct http *http, struct http_direction *d, u32 is_request,
                                      struct control *settings, int generation) {
  u64 at = d->line, last_at = d->line_end - 1;
  TRIM_INDEX(at, 255);
  TRIM_INDEX(last_at, 255);
  u8 *line = d->window + at;
  u32 length = d->line_end - d->line, phase = d->phase;
  if (length && !d->long_line && d->window[last_at] == '\r')
    length--;
  if (phase == HTTP_START) {
    if (length && is_request)
      http_request_line(c, http, d, line, length, settings);
    else if (length)
      http_status_line(c, http, d, line, generation);
    else
      d->begun = 0;
  } else if (phase == HTTP_HEADERS) {
    if (length)
      http_header(c, http, d, line, length, is_request, settings, generation);
    else
      http_head_done(c, http, d, is_request);
  } else if (phase == HTTP_CHUNK) {
    http_chunk_line(c, http, d, line, length);
  } else if (!length) {
    d->phase = HTTP_START;
    d->begun = 0;
  }
}

static __always_inline void http_next_line(struct http_direction *d) {
  if (d->long_line)
    http_empty(d);
  else
    d->line = d->scanned = d->line_end + 1;
}
