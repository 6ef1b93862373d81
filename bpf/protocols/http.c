/* HTTP/1: method, folded route, Host, status and the time to the answer's first byte, for each request.
 *
 * A streaming parser, one direction at a time, all state in the socket's storage: a line that is cut by a
 * segment waits in the window. Bodies are skipped by their length. What leaves for the agent is a hash of
 * the folded route and, once, the path's text. agent/routes.py folds the text in the same way. */

#define WINDOW 128               /* bytes of a line that are looked at */
#define HTTP_IN_FLIGHT 16
#ifndef HTTP_RUNS
#define HTTP_RUNS 4              /* lines that matter in one program run; it calls itself for more */
#endif
#define HTTP_LINES 12            /* lines or windows passed over before each of them */
#define FOLD_LIMIT 112           /* characters of a path or host that count */
#define LONG_SEGMENT 16          /* a path segment this long with a digit in it is an identifier */
#define VERSION_DIGITS 2         /* behind a v that begins a segment: kept, since who still calls v1 is a question */
#define HASH_PRIME 0x100000001b3ULL
#define LOWER 0x2020202020202020ULL

enum http_phase { HTTP_START, HTTP_HEADERS, HTTP_CHUNK, HTTP_TRAILERS, HTTP_ROUTE, HTTP_HOST, HTTP_DONE };
enum http_method { HTTP_GET = 1, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_PATCH, HTTP_OPTIONS, HTTP_CONNECT, HTTP_TRACE };

struct http_request {
  u64 route;
  u64 host;
  u64 start_ns : 56;
  u64 operation : 8;
};

struct http_direction {
  u64 now_ns;              /* of this program run */
  u64 message_ns;          /* when the message's first byte came */
  u64 hash;
  u64 segment_hash;        /* before the present path segment */
  u64 route;
  u64 host;
  u64 length;              /* as a header or a chunk's line states it */
  u64 body;                /* bytes of it that are still to be skipped */
  u32 next;                /* sequence of the byte after the window */
  u32 source_start;        /* the present segment: its first sequence number, its end, where it lies */
  u32 source_end;
  u32 source_offset;
  u16 filled;              /* valid bytes of the window */
  u16 line;                /* where the present line begins in it */
  u16 scanned;             /* how far its end has been looked for */
  u16 line_end;
  u16 fold_from;
  u16 fold_at;
  u16 segment_length;
  u16 status;
  u8 phase;
  u8 begun;                /* the message's first byte was seen */
  u8 long_line;            /* only its end is looked for */
  u8 tainted;
  u8 operation;
  u8 chunked;
  u8 has_length;
  u8 in_digits;
  u8 is_version;           /* of this segment nothing but a v and digits was seen */
  u8 has_digit;
  u8 ended;                /* the digits of a chunk's size ended */
  u8 window[2 * WINDOW + 32];
};

struct http {
  struct http_direction direction[2];   /* requests, responses */
  struct http_request in_flight[HTTP_IN_FLIGHT];
  u32 head;
  u32 tail;
  u8 pipelined;
  u8 sent_since_taint;
  u8 reserved[6];
};
SOCKET_STORAGE(http_connections, struct http, 0);

#define WORD4(a, b, c, d) ((u32)(a) | (u32)(b) << 8 | (u32)(c) << 16 | (u32)(d) << 24)
#define WORD8(a, b, c, d, e, f, g, h) ((u64)WORD4(a, b, c, d) | (u64)WORD4(e, f, g, h) << 32)

static __always_inline u32 http_method_of(u32 word) {
  return word == WORD4('G', 'E', 'T', ' ')   ? HTTP_GET
         : word == WORD4('P', 'O', 'S', 'T') ? HTTP_POST
         : word == WORD4('P', 'U', 'T', ' ') ? HTTP_PUT
         : word == WORD4('H', 'E', 'A', 'D') ? HTTP_HEAD
         : word == WORD4('D', 'E', 'L', 'E') ? HTTP_DELETE
         : word == WORD4('P', 'A', 'T', 'C') ? HTTP_PATCH
         : word == WORD4('O', 'P', 'T', 'I') ? HTTP_OPTIONS
         : word == WORD4('C', 'O', 'N', 'N') ? HTTP_CONNECT
         : word == WORD4('T', 'R', 'A', 'C') ? HTTP_TRACE
                                             : 0;
}

static __always_inline u32 http_method_length(u32 method) {
  return method == HTTP_GET || method == HTTP_PUT                            ? 3
         : method == HTTP_HEAD || method == HTTP_POST                        ? 4
         : method == HTTP_PATCH || method == HTTP_TRACE                      ? 5
         : method == HTTP_DELETE                                             ? 6
                                                                             : 7;
}

/* Whether the first bytes of a client may be a request: fewer than four bytes may still become one. */
static __always_inline u32 http_begins(u64 first, u32 length) {
  u32 word = first;
  if (length >= 4)
    return http_method_of(word) != 0;
  u8 letter = first;
  return letter == 'G' || letter == 'P' || letter == 'H' || letter == 'D' || letter == 'O' || letter == 'C' || letter == 'T';
}

static __always_inline struct http_direction *http_direction(struct http *http, u64 index) {
  TRIM_INDEX(index, 1);
  return (struct http_direction *)((char *)http + index * sizeof(struct http_direction));
}

static __always_inline struct http_request *http_slot(struct http *http, u64 index) {
  TRIM_INDEX(index, 15);
  return (struct http_request *)((char *)http->in_flight + index * sizeof(struct http_request));
}

static __always_inline void http_count_parser(struct connection *c, s64 change) {
  if (c->adopted)
    return;   /* its close is not seen */
  int zero = 0;
  u64 *used = parsers.lookup(&zero);
  if (used)
    lock_xadd(used, change);
}

/* A connection that seems to speak HTTP gets a parser, if the budget has one. */
static __always_inline void http_start(struct connection *c, struct bpf_sock *sk, struct packet *packet, struct control *settings) {
  int zero = 0;
  u64 *used = parsers.lookup(&zero);
  struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
  if (!used || !tcp)
    return;
  if (*used >= settings->parser_budget) {
    lose(LOSS_parser_budget);
    return;
  }
  struct http *http = http_connections.sk_storage_get(sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!http) {
    lose(LOSS_parser_state);
    return;
  }
  http_count_parser(c, 1);
  c->protocol = PROTOCOL_HTTP;
  c->matters[0] = tcp->rcv_nxt;
  c->matters[1] = tcp->snd_nxt;
  if (packet->egress)
    c->matters[1] = packet->sequence;
}

static __always_inline void http_empty(struct http_direction *d) {
  d->filled = d->line = d->scanned = 0;
}

static __always_inline void http_taint(struct http *http, struct http_direction *d) {
  if (!d->tainted)
    lose(LOSS_http_gap);
  d->tainted = 1;
  http->sent_since_taint = 0;
  d->body = 0;
  d->phase = HTTP_START;
  d->begun = d->long_line = 0;
  d->next = d->source_end;
  http_empty(d);
}

static __always_inline void http_restart(struct http_direction *d, u32 next) {
  d->tainted = 0;
  d->phase = HTTP_START;
  d->begun = d->long_line = 0;
  d->next = next;
  http_empty(d);
}

/* What this connection speaks is not HTTP after all, or no HTTP that can be followed further. */
static __always_inline void http_give_up(struct connection *c, struct http *http, struct http_direction *d) {
  if (c->confirmed) {
    http_taint(http, d);
    return;
  }
  c->protocol = PROTOCOL_TCP;
  d->phase = HTTP_DONE;
  http_count_parser(c, -1);
}

static __always_inline void http_count_answer(struct connection *c, struct http_request *of, u32 status, u32 outcome,
                                              u64 latency_ns, void *request_rows) {
  struct request row = { .flow = c->flow, .name = of->route, .host = of->host, .code = status, .protocol = PROTOCOL_HTTP,
                         .operation = of->operation, .outcome = outcome };
  if (outcome == OUTCOME_ANSWERED)
    row.latency_bucket = latency_bucket(latency_ns);
  count_request(request_rows, &row, latency_ns);
}

/* The status line of a final answer. */
static __always_inline void http_answered(struct connection *c, struct http *http, struct http_direction *d, void *request_rows) {
  if (http->tail == http->head) {
    lose(LOSS_http_unpaired);
    d->operation = 0;
    return;
  }
  struct http_request *of = http_slot(http, http->tail);
  http->tail++;
  d->operation = of->operation;
  u64 latency_ns = d->message_ns > of->start_ns ? d->message_ns - of->start_ns : 0;
  http_count_answer(c, of, d->status, OUTCOME_ANSWERED, latency_ns, request_rows);
}

/* The head of a request is complete: it waits for its answer. */
static __always_inline void http_asked(struct http *http, struct http_direction *d) {
  if (http->head - http->tail >= HTTP_IN_FLIGHT) {
    lose(LOSS_http_pipeline);
    http_taint(http, d);
    return;
  }
  struct http_request *slot = http_slot(http, http->head);
  slot->route = d->route;
  slot->host = d->host;
  slot->start_ns = d->message_ns;
  slot->operation = d->operation;
  http->head++;
  if (http->head - http->tail > 1)
    http->pipelined = 1;
}

/* n bytes after the present line do not matter. */
static __always_inline void http_skip(struct http_direction *d, u64 n) {
  u32 loaded = d->filled - d->line_end - 1;
  if (!d->long_line && n <= loaded) {
    d->line = d->scanned = d->line_end + 1 + n;
    return;
  }
  d->body = d->long_line ? n : n - loaded;
  http_empty(d);
}

static __always_inline void http_head_done(struct connection *c, struct http *http, struct http_direction *d, u32 is_request) {
  u32 chunked = d->chunked, has_length = d->has_length, status = d->status;
  u64 length = d->length;
  d->phase = HTTP_START;
  d->begun = 0;
  if (is_request) {
    http_asked(http, d);
    if (d->tainted)
      return;
  } else {
    if (status == 101 || (d->operation == HTTP_CONNECT && status / 100 == 2)) {
      http->direction[0].phase = http->direction[1].phase = HTTP_DONE;
      return;
    }
    if (status < 200 || status == 204 || status == 304 || d->operation == HTTP_HEAD)
      return;
  }
  if (chunked)
    d->phase = HTTP_CHUNK;
  else if (has_length)
    http_skip(d, length);
  else if (!is_request)
    d->phase = HTTP_DONE;   /* a body until the connection's end */
}

static __always_inline void http_request_line(struct connection *c, struct http *http, struct http_direction *d, u8 *line, u32 length,
                                              struct control *settings) {
  u32 method = http_method_of(*(u32 *)line), skip = http_method_length(method);
  u64 space_at = skip, tail_at = d->line + length - 8;
  TRIM_INDEX(space_at, 7);
  TRIM_INDEX(tail_at, 127);
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
  d->hash = d->segment_hash = settings->seed ^ NAME_KIND_ROUTE;
  d->fold_from = d->fold_at = d->line + skip + 1;
  d->segment_length = d->in_digits = d->has_digit = 0;
  d->phase = HTTP_ROUTE;
}

static __always_inline void http_status_line(struct connection *c, struct http *http, struct http_direction *d, u8 *line, void *request_rows) {
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
    http_answered(c, http, d, request_rows);
}

static __always_inline void http_content_length(struct http_direction *d, u8 *line, u32 length) {
  d->length = 0;
  d->has_length = 1;
  #pragma clang loop unroll(disable)
  for (u32 i = 15; i < 31; i++) {
    u32 digit = line[i] - '0';
    if (i < length && digit < 10)
      d->length = d->length * 10 + digit;
    barrier();   /* keeps the value out of registers, where it would multiply the verifier's states */
  }
}

static __always_inline void http_header(struct connection *c, struct http_direction *d, u8 *line, u32 length, u32 is_request,
                                        struct control *settings) {
  u64 name = *(u64 *)line | LOWER, more = *(u64 *)(line + 8) | LOWER;
  if (name == WORD8('c', 'o', 'n', 't', 'e', 'n', 't', '-')) {
    if ((more << 8) == (WORD8('l', 'e', 'n', 'g', 't', 'h', ':', 0) << 8))
      http_content_length(d, line, length);
  } else if (name == WORD8('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')) {
    u64 last_at = d->line + length - 8;
    TRIM_INDEX(last_at, 127);
    u64 last = (*(u64 *)(d->window + last_at) | LOWER) >> 8;
    if (more == (WORD8('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n') | LOWER) && last == WORD8('c', 'h', 'u', 'n', 'k', 'e', 'd', 0))
      d->chunked = 1;
  } else if (is_request && c->role == ROLE_CLIENT && (name & 0xffffffffffULL) == (WORD8('h', 'o', 's', 't', ':', 0, 0, 0) & 0xffffffffffULL)) {
    d->hash = settings->seed ^ NAME_KIND_HOST;
    d->fold_from = d->fold_at = d->line + 5 + (line[5] == ' ');
    d->in_digits = 0;
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
                                      struct control *settings, void *request_rows) {
  u64 at = d->line, last_at = d->line_end - 1;
  TRIM_INDEX(at, 127);
  TRIM_INDEX(last_at, 127);
  u8 *line = d->window + at;
  u32 length = d->line_end - d->line, phase = d->phase;
  if (length && !d->long_line && d->window[last_at] == '\r')
    length--;
  if (phase == HTTP_START) {
    if (length && is_request)
      http_request_line(c, http, d, line, length, settings);
    else if (length)
      http_status_line(c, http, d, line, request_rows);
    else
      d->begun = 0;
  } else if (phase == HTTP_HEADERS) {
    if (length)
      http_header(c, d, line, length, is_request, settings);
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

static __always_inline void http_fold_end(struct connection *c, struct http_direction *d, struct control *settings) {
  u64 from = d->fold_from, hash = d->hash;
  u32 kind = d->phase == HTTP_ROUTE ? NAME_KIND_ROUTE : NAME_KIND_HOST, length = d->fold_at - d->fold_from;
  TRIM_INDEX(from, 127);
  if (kind == NAME_KIND_ROUTE && d->has_digit && d->segment_length >= LONG_SEGMENT)
    hash = (d->segment_hash ^ '*') * HASH_PRIME;
  hash = mix(hash, kind);
  hash = name_id(hash, kind, c->flow, c->cgroup_id, settings, d->now_ns, d->window + from, length);
  if (kind == NAME_KIND_ROUTE)
    d->route = hash;
  else
    d->host = length ? hash : NAME_NONE;
  d->phase = HTTP_HEADERS;
  http_next_line(d);
}

/* The characters of a path or host into the hash. */
static __always_inline void http_fold(struct connection *c, struct http_direction *d, struct control *settings) {
  u32 is_route = d->phase == HTTP_ROUTE;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i <= FOLD_LIMIT; i++) {
    u64 at = d->fold_at;
    TRIM_INDEX(at, 255);
    u32 letter = d->window[at];
    if (letter <= ' ' || (is_route ? letter == '?' : letter == ':' && !d->in_digits) || at >= d->filled ||
        at - d->fold_from >= FOLD_LIMIT) {
      break;
    }
    d->fold_at++;
    if (!is_route) {
      if (letter - 'A' < 26)
        letter += 32;
      if (letter == '[' || letter == ']')
        d->in_digits = letter == '[';   /* the colons of an IPv6 literal belong to it */
      d->hash = (d->hash ^ letter) * HASH_PRIME;
    } else if (letter == '/') {
      if (d->has_digit && d->segment_length >= LONG_SEGMENT)
        d->hash = (d->segment_hash ^ '*') * HASH_PRIME;
      d->hash = (d->hash ^ '/') * HASH_PRIME;
      d->segment_hash = d->hash;
      d->segment_length = d->has_digit = d->in_digits = 0;
    } else {
      u32 is_digit = letter - '0' < 10;
      u32 folds = is_digit && !(d->is_version && d->segment_length <= VERSION_DIGITS);
      d->is_version = d->segment_length ? d->is_version & is_digit : letter == 'v';
      if (!folds || !d->in_digits)
        d->hash = (d->hash ^ (folds ? '*' : letter)) * HASH_PRIME;
      d->in_digits = folds;
      d->has_digit |= folds;
      d->segment_length++;
    }
    barrier();
  }
  http_fold_end(c, d, settings);
}

/* More bytes of the segment into the window. A line that began in this segment is loaded again at the
 * window's start, so that only a line that began earlier lies there already. */
static __always_inline int http_refill(struct __sk_buff *skb, struct http *http, struct http_direction *d) {
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
  u64 filled = d->filled, n = left < WINDOW - (s32)filled ? left : WINDOW - filled, offset = d->source_offset + (d->next - d->source_start);
  if (left <= 0)
    return 0;
  TRIM_INDEX(filled, 127);
  asm volatile("%0 += -1; %0 &= 127; %0 += 1" : "+r"(n));
  if (bpf_skb_load_bytes(skb, offset, d->window + filled, n)) {
    http_taint(http, d);
    return 0;
  }
  d->filled = filled + n;
  d->next += n;
  return d->scanned < d->filled;
}

/* Looks for the end of the present line, eight bytes at a time. */
static __always_inline u32 http_find_line_end(struct http_direction *d) {
  u32 filled = d->filled;
  d->line_end = d->scanned;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i <= WINDOW / 8; i++) {
    u64 at = d->line_end;
    if (at >= filled)
      break;
    TRIM_INDEX(at, 127);
    u64 word = *(u64 *)(d->window + at) ^ 0x0a0a0a0a0a0a0a0aULL;
    u64 hit = (word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL;
    if (hit) {
      hit &= -hit;
      u32 skip = 0;
      if (!(u32)hit) { skip = 4; hit >>= 32; }
      if (!(hit & 0xffff)) { skip += 2; hit >>= 16; }
      if (!(hit & 0xff)) skip += 1;
      d->line_end += skip;
      return d->line_end < filled;
    }
    d->line_end += 8;
    barrier();
  }
  return 0;
}

/* A header that nothing is read from: most are, so they are passed over in the loop. */
static __always_inline u32 http_is_dull(struct connection *c, struct http_direction *d) {
  u64 at = d->line;
  TRIM_INDEX(at, 127);
  u64 name = *(u64 *)(d->window + at) | LOWER;
  u32 more = *(u32 *)(d->window + at + 8) | (u32)LOWER, phase = d->phase;
  u32 host = c->role == ROLE_CLIENT && (u32)name == WORD4('h', 'o', 's', 't');
  u32 length = name == WORD8('c', 'o', 'n', 't', 'e', 'n', 't', '-') && more == WORD4('l', 'e', 'n', 'g');
  u32 matters = host || length || name == WORD8('t', 'r', 'a', 'n', 's', 'f', 'e', 'r');
  return d->line_end - d->line > 1 && (phase == HTTP_TRAILERS || (phase == HTTP_HEADERS && !matters));
}

enum http_found { HTTP_SEGMENT_ENDS, HTTP_LINE, HTTP_MORE };

/* One line or one window further: to a line that matters, or to the segment's end. */
static __always_inline u32 http_advance(struct __sk_buff *skb, struct connection *c, struct http *http, struct http_direction *d) {
  if (d->scanned >= d->filled) {
    if (d->filled >= WINDOW && !d->line) {   /* a line longer than the window: what there is of it must do */
      if (!d->long_line) {
        d->long_line = 1;
        d->line_end = d->filled;
        return HTTP_LINE;
      }
      http_empty(d);
    }
    return http_refill(skb, http, d) ? HTTP_MORE : HTTP_SEGMENT_ENDS;
  }
  if (d->phase == HTTP_START && !d->begun) {
    d->begun = 1;
    d->message_ns = d->now_ns;
  }
  if (!http_find_line_end(d)) {
    d->scanned = d->filled;
    return HTTP_MORE;
  }
  if (d->long_line) {
    d->long_line = 0;
  } else if (!http_is_dull(c, d)) {
    return HTTP_LINE;
  }
  d->line = d->scanned = d->line_end + 1;
  return HTTP_MORE;
}

/* Passes over what is dull, then deals with one line that matters. Gives whether the segment has more. */
static __always_inline int http_run(struct __sk_buff *skb, struct connection *c, struct http *http, struct http_direction *d,
                                    u32 is_request, struct control *settings, void *request_rows) {
  u32 found = HTTP_MORE;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < HTTP_LINES; i++) {
    if (d->phase == HTTP_DONE || d->tainted)
      return 0;
    found = http_advance(skb, c, http, d);
    if (found != HTTP_MORE)
      break;
    barrier();
  }
  if (found != HTTP_LINE)
    return found == HTTP_MORE;
  http_line(c, http, d, is_request, settings, request_rows);
  if (d->phase == HTTP_ROUTE || d->phase == HTTP_HOST)
    http_fold(c, d, settings);
  else if (d->filled && d->line <= d->line_end)   /* unless a body that was skipped has moved the window */
    http_next_line(d);
  return 1;
}

/* Where the boundary is certain after bytes were missed: a client that never pipelines sends its next
 * request after the whole answer; a server that has answered since then gets a new request. */
static __always_inline void http_resynchronise(struct connection *c, struct http *http, struct bpf_sock *sk, u32 egress) {
  struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
  if (!tcp || http->pipelined)
    return;
  u32 rcv_nxt = tcp->rcv_nxt, snd_nxt = tcp->snd_nxt;
  asm volatile("" : "+r"(rcv_nxt), "+r"(snd_nxt));   /* read here: the verifier allows no arithmetic on the pointer */
  if (c->role == ROLE_CLIENT && egress && http->direction[1].tainted) {
    http_restart(&http->direction[1], rcv_nxt);
    c->matters[0] = rcv_nxt;
  } else if (c->role == ROLE_SERVER && !egress && http->direction[0].tainted && http->sent_since_taint) {
    http_restart(&http->direction[0], rcv_nxt);
    http_restart(&http->direction[1], snd_nxt);
    c->matters[0] = rcv_nxt;
    c->matters[1] = snd_nxt;
  } else {
    if (c->role == ROLE_SERVER && egress)
      http->sent_since_taint = 1;
    return;
  }
  lose_n(LOSS_http_requests, http->head - http->tail);
  http->tail = http->head;
}

/* The segment's first program run: where its bytes lie, and whether any that mattered are missing before them. */
static __always_inline void http_begin_segment(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct http *http,
                                               struct http_direction *d, const u32 *matters) {
  if (http->direction[0].tainted || http->direction[1].tainted)
    http_resynchronise(c, http, sk, skb->cb[0] & 1);
  d->now_ns = bpf_ktime_get_ns();
  d->next = *matters;
  d->source_start = skb->cb[2];
  d->source_end = skb->cb[2] + skb->cb[3];
  d->source_offset = skb->cb[1];
  if (!d->tainted && (AFTER(d->source_start, d->next) || skb->cb[0] & 2))
    http_taint(http, d);
}

int parse_http(struct __sk_buff *skb) {
  struct bpf_sock *sk = skb->sk;
  struct control *s = settings();
  struct halves halves;
  if (!sk || !s || !halves_of(s, &halves))
    return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk)
    return 1;
  struct connection *c = connections.sk_storage_get(sk, 0, 0);
  struct http *http = http_connections.sk_storage_get(sk, 0, 0);
  if (!c || !http)
    return 1;
  u32 egress = skb->cb[0] & 1, is_request = (c->role == ROLE_CLIENT) == egress;
  struct http_direction *d = http_direction(http, !is_request);
  u64 side = egress;
  TRIM_INDEX(side, 1);
  u32 *matters = &c->matters[side];
  if (!skb->cb[4])
    http_begin_segment(skb, sk, c, http, d, matters);
  int more = 1;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < HTTP_RUNS && more; i++)
    more = http_run(skb, c, http, d, is_request, s, halves.request_rows);
  *matters = d->next;
  if (more) {
    skb->cb[4] = 1;
    parsers_by_protocol.call(skb, PARSER_HTTP);
    http_taint(http, d);   /* more lines in one segment than tail calls */
    *matters = d->next;
  }
  return 1;
}

/* The connection is over: what still waits gets no answer. */
static __always_inline void http_closed(struct bpf_sock *sk, struct connection *c, void *request_rows) {
  struct http *http = http_connections.sk_storage_get(sk, 0, 0);
  http_count_parser(c, -1);
  if (!http)
    return;
  u32 outcome = c->ended_by == ROLE_CLIENT ? OUTCOME_UNANSWERED_CLIENT : OUTCOME_UNANSWERED_SERVER;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < HTTP_IN_FLIGHT; i++) {
    if (http->tail == http->head)
      break;
    http_count_answer(c, http_slot(http, http->tail), 0, outcome, 0, request_rows);
    http->tail++;
  }
}
