/* HTTP/1: method, folded route, Host, status and the time to the answer's first byte, for each request.
 *
 * A streaming parser, one direction at a time, all state in the socket's storage: a line that is cut by a
 * segment waits in the window. Bodies are skipped by their length. What leaves for the agent is a hash of
 * the folded route and, once, the path's text. agent/routes.py folds the text in the same way. */

#define WINDOW 256               /* bytes of a line that are looked at */
#define HTTP_IN_FLIGHT 16
#define HTTP_TRUSTED 8           /* answers in turn after which a client is believed not to pipeline */
#define HTTP_RESTARTS 3          /* of a connection older than the agent, whose answers are not in turn */
/* Lines that matter in one program run, of a packet and of what was kept; it calls itself for more. And the windows that a
 * packet's run passes over before each of them. Kernels that do not tell callbacks who calls (6.12 and older) get fewer: 6.1
 * checks loops whose rounds differ up to ten times as often as 6.18, and refuses the larger programs. */
#ifdef WHO_IN_CALLBACKS
#define HTTP_RUNS 3
#define HTTP_REPLAY_RUNS 3
#define HTTP_WINDOWS 2
#else
#define HTTP_RUNS 1
#define HTTP_REPLAY_RUNS 1
#define HTTP_WINDOWS 1
#endif
#ifndef HTTP_STEPS
#define HTTP_STEPS 48            /* words and lines of a window in one scan; 32 of them are words */
#endif
#ifndef FOLD_LIMIT
#define FOLD_LIMIT 112           /* characters of a path or host that count */
#endif
#define KNOWN_LINE 128           /* bytes of a line that is known again */
#define LONG_SEGMENT 16          /* a path segment this long with a digit in it is an identifier */
#define VERSION_DIGITS 2         /* behind a v that begins a segment: kept, since who still calls v1 is a question */
#define HASH_PRIME 0x100000001b3ULL
#define LOWER 0x2020202020202020ULL

enum http_phase { HTTP_START, HTTP_HEADERS, HTTP_CHUNK, HTTP_TRAILERS, HTTP_DONE, HTTP_AUTHORITY, HTTP_ROUTE, HTTP_HOST };
enum http_method { HTTP_GET = 1, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_PATCH, HTTP_OPTIONS, HTTP_CONNECT, HTTP_TRACE };

struct http_request {
  u64 route;
  u64 host;
  u64 start_ns : 56;
  u64 operation : 8;
};

struct http_direction {
  u64 message_ns;          /* when the message's first byte came */
  u64 hash;
  u64 route;
  u64 host;
  u64 known_line;          /* a hash of the request line as it was said last, if its route's name is settled */
  u64 known_host_line;
  u64 known_host;
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
  u16 path_from;           /* where the route begins behind an authority */
  u16 status;
  u16 loaded;              /* by the last refill */
  u8 is_request;
  u8 phase;
  u8 begun;                /* the message's first byte was seen */
  u8 long_line;            /* only its end is looked for */
  u8 tainted;
  u8 operation;
  u8 chunked;
  u8 has_length;
  u8 ended;                /* the digits of a chunk's size ended */
  u8 window[WINDOW + 32];  /* what a compare of a header's name reads beyond its line */
  u8 once;                 /* it did more than a repetition of it would */
  u8 patience;             /* how many segments are passed over when the next one differs */
  u16 last_head;           /* bytes of the last message's head; 0: it is not known to be such as may be repeated */
  u32 last_length;         /* of all of it */
  u32 last_end;            /* sequence number after it */
  u32 began;               /* where the segment began that was noted, with a message: which of its kind, and what names were then */
  u32 ordinal;
  u32 names_epoch;
  u8 to_the_line[20];
};

/* Two CPUs read the two directions, and both look at what is between them, in a line of the cache that has nothing of either:
 * the head is written by who reads requests alone, the tail by who reads answers, but where all is begun anew. A request that
 * is alone in flight lies there too, at one of two places in turn. In flight is also the room behind a window up to which the
 * verifier takes what is loaded there to reach. */
struct http {
  struct http_direction direction[2];   /* requests, responses; first: at another offset the compiler makes a tenth more code */
  u64 to_the_line[6];
  u8 restarts;             /* so far, because answers did not come in turn */
  u8 reserved[7];
  u32 head;
  u32 tail;
  u8 pipelined;
  u8 in_turn;              /* answers so far that no request overtook, up to HTTP_TRUSTED */
  u8 answered;             /* since requests were missed */
  u8 older;                /* than the agent, and not trusted: nobody knows what was in flight when it was met */
  u8 under_way[2];         /* an answer, a request: its head, or its chunks; written by who reads that direction */
  u16 among_others;        /* which of those in flight were not alone there when they came */
  struct http_request alone[2];
  struct http_request in_flight[HTTP_IN_FLIGHT];
};
BEGINS_A_LINE(struct http, head);
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
  return (struct http_direction *)((char *)http->direction + index * sizeof(struct http_direction));
}

static __always_inline struct http_request *http_slot(struct http *http, u32 number) {
  u64 index = number & HTTP_IN_FLIGHT - 1, others = http->among_others >> index;
  TRIM_INDEX(others, 1);
  index &= others * (HTTP_IN_FLIGHT - 1) | 1;
  TRIM_INDEX(index, 15);
  return (struct http_request *)((char *)http->alone + (2 * others + index) * sizeof(struct http_request));
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
  http->older = c->adopted;
  if (packet->egress)
    c->matters[0] = tcp->rcv_nxt;
  else if (c->adopted)
    c->matters[0] = packet->sequence;
  c->matters[1] = packet->egress ? packet->sequence : tcp->snd_nxt;
}

static __always_inline void http_empty(struct http_direction *d) {
  d->filled = d->line = d->scanned = 0;
}

static __always_inline void http_taint(struct http *http, struct http_direction *d) {
  if (!d->tainted)
    lose(http->older ? LOSS_http_older : LOSS_http_gap);
  http->answered &= d->tainted | !d->is_request;
  d->tainted = 1;
  d->body = 0;
  d->known_line = d->known_host_line = 0;   /* the present one may not be folded yet */
  d->phase = HTTP_START;
  d->begun = d->long_line = 0;
  d->next = d->source_end;
  http_empty(d);
}

static __always_inline void http_restart(struct http_direction *d, u32 next) {
  d->tainted = 0;
  d->known_line = d->known_host_line = 0;
  d->phase = HTTP_START;
  d->begun = d->long_line = 0;
  d->next = next;
  http_empty(d);
}

/* What this connection speaks is not HTTP after all, or no HTTP that can be followed further. */
static __always_inline void http_give_up(struct connection *c, struct http *http, struct http_direction *d) {
  if (c->confirmed || http->older) {
    http_taint(http, d);
    return;
  }
  c->protocol = PROTOCOL_TCP;
  d->phase = HTTP_DONE;
  http_count_parser(c, -1);
}
