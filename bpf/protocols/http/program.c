/* The programs: one source's bytes, as far as a run goes, and where reading begins again after a gap. */

/* Whether the window or the source has bytes behind the present line, or some are to be skipped: most often all has been
 * read with the line that ends a head, and one more round would only find that out. */
static __always_inline int http_has_more(struct http_direction *d) {
  return d->phase >= HTTP_AUTHORITY || d->body || d->scanned < d->filled || AFTER(d->source_end, d->next);
}

/* Passes over what is dull, then deals with one line that matters. Gives whether the segment has more: 2, in the next
 * program run only. */
static __always_inline int http_run(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct http *http,
                                    struct http_direction *d, const u32 source, u32 may_refill, struct control *settings,
                                    int generation) {
  u32 found = HTTP_MORE;
  if (RARE(d->phase >= HTTP_AUTHORITY)) {   /* here, where all ways meet again: the kernel checks each once */
    http_fold(c, d, settings);
    return 1;
  }
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < (IS_KEPT(source) ? 1 : HTTP_WINDOWS); i++) {
    if (d->phase == HTTP_DONE || d->tainted)
      return 0;
    found = http_advance(skb, sk, c, http, d, source, may_refill);
    if (found != HTTP_MORE)
      break;
    barrier();
  }
  if (found != HTTP_LINE)
    return found == HTTP_WINDOW_ENDS ? 2 : found == HTTP_MORE;
  http_line(c, http, d, d->is_request, settings, generation);
  if (d->phase < HTTP_AUTHORITY && d->filled && d->line <= d->line_end)
    http_next_line(d);   /* unless a body that was skipped has moved the window */
  return http_has_more(d);
}

/* Whether a segment begins with an interim answer: what the client sends next is the body then, not a request. */
static __always_inline u32 http_is_interim(struct __sk_buff *skb, struct http_direction *answers) {
  if (bpf_skb_load_bytes(skb, skb->cb[CB_OFFSET] + 2, &answers->hash, 8))   /* on the stack it would be one more state to check */
    return 0;
  return (answers->hash | 0xffULL << 40) == WORD8('T', 'P', '/', '1', '.', 0xff, ' ', '1');   /* of any minor version */
}

/* Where the boundary is certain after bytes were missed: a client that never pipelines, which a few requests must have
 * shown, sends its next request after the whole answer. That this segment is one, and no more of a request that was
 * missed, is certain when there was an answer since then. */
static __always_inline void http_resynchronise(struct __sk_buff *skb, struct connection *c, struct http *http, struct bpf_sock *sk,
                                               u32 egress) {
  struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
  struct http_direction *requests = &http->direction[0], *answers = &http->direction[1];
  if (!tcp || http->pipelined || http->in_turn < HTTP_TRUSTED || http->head - http->tail > 1)
    return;
  u32 rcv_nxt = tcp->rcv_nxt, snd_nxt = tcp->snd_nxt;
  asm volatile("" : "+r"(rcv_nxt), "+r"(snd_nxt));   /* read here: the verifier allows no arithmetic on the pointer */
  u32 passed = (egress ? snd_nxt : rcv_nxt) - skb->cb[CB_SEQUENCE];
  if (passed >= skb->cb[CB_LENGTH])
    return;   /* old, or early */
  if ((c->role & ROLE_CLIENT) != egress) {
    if (!http_is_interim(skb, answers))
      http->answered = 1;
    return;
  }
  if (requests->tainted ? !http->answered : requests->phase != HTTP_START || requests->begun)
    return;
  c->matters[0] = rcv_nxt;
  c->matters[1] = snd_nxt;
  http_restart(requests, 0);
  http_restart(answers, 0);
  http->under_way[0] = 0;
  lose_n(LOSS_http_requests, http->head - http->tail);
  http->tail = http->head;
}

/* The first program run for a source: where its bytes lie, and whether any that mattered are missing before them. */
static __always_inline void http_begin_source(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct http *http,
                                              struct http_direction *d, const u32 source) {
  u32 flags = skb->cb[CB_FLAGS];
  if (!IS_KEPT(source) && (http->direction[0].tainted || http->direction[1].tainted))
    http_resynchronise(skb, c, http, sk, IS_SENT(source));
  d->next = c->matters[IS_SENT(source)];
  d->source_start = IS_KEPT(source) ? d->next : skb->cb[CB_SEQUENCE];
  d->source_end = IS_KEPT(source) ? skb->cb[CB_END] : skb->cb[CB_SEQUENCE] + skb->cb[CB_LENGTH];
  d->source_offset = skb->cb[CB_OFFSET];
  if (!d->tainted && (AFTER(d->source_start, d->next) || flags & CB_MISSED))
    http_taint(http, d);
}

static __always_inline u8 http_reading(struct http_direction *d) {
  return d->phase == HTTP_DONE ? READING_OVER : d->tainted ? READING_TAINTED : READING;
}

/* For who decides what to do with the next segment. Whether it begins again by arithmetic: here end many ways, which the
 * kernel checks one by one. */
static __always_inline void http_note_reading(struct connection *c, struct http *http) {
  u64 disturbed = http->older & (http->pipelined | http->direction[0].tainted | http->direction[1].tainted);
  c->begins_again = disturbed & IS_BELOW(http->restarts, HTTP_RESTARTS + 1);
  u32 is_client = c->role == ROLE_CLIENT;
  u8 requests = http_reading(&http->direction[0]), answers = http_reading(&http->direction[1]);
  c->reading[0] = is_client ? answers : requests;
  c->reading[1] = is_client ? requests : answers;
  if (c->reading[0] != READING)
    c->early = 0;
}

/* The answers of a connection older than the agent did not come in turn, or not whole. It begins again with a request that is
 * sent after an answer (recognition.c): it may have been met in the middle of a body. Or it pipelines: with tries enough any
 * such client would seem to wait for each answer once. */
static __always_inline void http_begin_again(struct bpf_sock *sk, struct connection *c) {
  struct http *http = http_connections.sk_storage_get(sk, 0, 0);
  c->begins_again = 0;
  if (!http)
    return;
  lose_n(LOSS_http_older, http->head - http->tail);
  http->tail = http->head;
  if (http->restarts++ >= HTTP_RESTARTS) {
    http->pipelined = http->direction[1].tainted = 1;
  } else {
    http->pipelined = http->in_turn = 0;
    http_restart(&http->direction[0], 0);
    http_restart(&http->direction[1], 0);
    http->direction[0].body = http->direction[1].body = 0;
    http->under_way[0] = 0;
    c->protocol = PROTOCOL_UNKNOWN;
    c->early = 0;
  }
  http_note_reading(c, http);
}

/* Where a run has come in its direction: for the next segment, and for who reads the other direction. */
static __always_inline void http_note_run(struct connection *c, struct http *http, struct http_direction *d, const u32 source) {
  u64 which = d->is_request;
  TRIM_INDEX(which, 1);
  u32 under_way = d->phase | d->begun;
  c->matters[IS_SENT(source)] = d->next;
  http_note_reading(c, http);
  *((u8 *)http->under_way + which) = under_way;
}

static __always_inline struct http_direction *http_direction_of(struct connection *c, struct http *http, const u32 source) {
  u64 is_answer = (c->role & ROLE_CLIENT) ^ IS_SENT(source);   /* by arithmetic: a branch would give two numbers that are known */
  return http_direction(http, is_answer);
}

/* More lines in one source than tail calls. What was kept is read on at the next segment: from its present line, or, where
 * that one is still to be folded, from behind it. A packet is gone by then. */
static __always_inline void http_cut(struct connection *c, struct http *http, const u32 source) {
  struct http_direction *d = http_direction_of(c, http, source);
  if (!IS_KEPT(source)) {
    lose(LOSS_http_lines);
    http_taint(http, d);
  } else if (d->phase >= HTTP_AUTHORITY) {
    u32 behind = d->long_line ? d->line_end : d->line_end + 1;
    d->next -= d->filled - behind;
    d->filled = behind;
  } else if (d->line) {
    d->next -= d->filled - d->line;
    http_empty(d);
  }
  http_note_run(c, http, d, source);
}

/* One direction's bytes, as far as one program run goes. Gives whether there are more. A run fills the window once from
 * what was kept: the kernel is slow to check that way of loading. */
static __always_inline int http_read(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct http *http,
                                     const u32 source, struct control *settings, int generation) {
  struct http_direction *d = http_direction_of(c, http, source);
  if (!(skb->cb[CB_FLAGS] & CB_GOES_ON)) {
    d->is_request = (c->role & ROLE_CLIENT) == IS_SENT(source);
    http_begin_source(skb, sk, c, http, d, source);
  }
  barrier();
  int more = 1;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < (IS_KEPT(source) ? HTTP_REPLAY_RUNS : HTTP_RUNS) && more == 1; i++)
    more = http_run(skb, sk, c, http, d, source, !IS_KEPT(source) || !i, settings, generation);
  http_note_run(c, http, d, source);
  return more;
}

static __always_inline void http_call_again(struct __sk_buff *skb, const u32 source) {
  skb->cb[CB_FLAGS] = (skb->cb[CB_FLAGS] | CB_GOES_ON) + CB_RUN;
  parsers_by_protocol.call(skb, IS_KEPT(source) ? REPLAY_HTTP : IS_SENT(source) ? PARSER_HTTP_SENT : PARSER_HTTP_RECEIVED);
}

static __always_inline int http_program(struct __sk_buff *skb, const u32 source) {
  struct bpf_sock *sk = skb->sk;
  struct control *s = settings();
  if (!sk)
    return 1;
  sk = bpf_sk_fullsock(sk);
  if (!sk)
    return 1;
  struct connection *c = connections.sk_storage_get(sk, 0, 0);
  struct http *http = http_connections.sk_storage_get(sk, 0, 0);
  if (!c)
    return 1;
  if (s && http && c->protocol == PROTOCOL_HTTP && !c->begins_again) {
    if (http_read(skb, sk, c, http, source, s, generation_of(s))) {
      if (KEPT_HAS_RUNS(skb->cb[CB_FLAGS]))
        http_call_again(skb, source);
      http_cut(c, http, source);
      if (IS_KEPT(source) && skb->cb[CB_FLAGS] & CB_FIRST)
        parsers_by_protocol.call(skb, REPLAY_EARLY);   /* to the packet */
    } else if (IS_KEPT(source) || (!IS_SENT(source) && c->early)) {
      parsers_by_protocol.call(skb, REPLAY_EARLY);
    }
  }
  end_turn(c, skb->cb[CB_FLAGS]);
  return 1;
}

int parse_http_received(struct __sk_buff *skb) {
  return http_program(skb, HTTP_RECEIVED);
}

int parse_http_sent(struct __sk_buff *skb) {
  return http_program(skb, HTTP_SENT);
}

int replay_http(struct __sk_buff *skb) {
  return http_program(skb, HTTP_KEPT);
}

/* The connection is over: what still waits got no answer, or one that was missed. */
static __always_inline void http_closed(struct bpf_sock *sk, struct connection *c, u32 answers_missed, int generation) {
  struct http *http = http_connections.sk_storage_get(sk, 0, 0);
  http_count_parser(c, -1);
  if (!http)
    return;
  if (answers_missed || http->direction[1].tainted) {
    lose_n(LOSS_http_requests, http->head - http->tail);
    return;
  }
  u32 outcome = c->ended_by == ROLE_CLIENT ? OUTCOME_UNANSWERED_CLIENT : OUTCOME_UNANSWERED_SERVER;
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < HTTP_IN_FLIGHT; i++) {
    if (http->tail == http->head)
      break;
    http_count_answer(c, http_slot(http, http->tail), 0, outcome, 0, generation);
    http->tail++;
  }
}
