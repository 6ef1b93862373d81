/* Requests and their answers: who waits for whom, and what comes after a head. */

static __always_inline void http_count_answer(struct connection *c, struct http_request *of, u32 status, u32 outcome,
                                              u64 latency_ns, int generation) {
  struct request row = { .flow = c->flow, .name = of->route, .host = of->host, .code = status, .protocol = PROTOCOL_HTTP,
                         .operation = of->operation, .outcome = outcome };
  if (outcome == OUTCOME_ANSWERED)
    row.latency_bucket = latency_bucket(latency_ns);
  count_request(generation, &row, latency_ns);
}

/* The status line of a final answer. */
static __always_inline void http_answered(struct connection *c, struct http *http, struct http_direction *d, int generation) {
  if (http->tail == http->head) {   /* its request is still to be read: no later pair would be sure */
    if (!http->older)
      lose(LOSS_http_unpaired);
    d->operation = 0;
    http_taint(http, &http->direction[0]);
    http_taint(http, d);
    return;
  }
  struct http_request *of = http_slot(http, http->tail);
  http->tail++;
  if (http->in_turn < HTTP_TRUSTED)
    http->in_turn++;
  d->operation = of->operation;
  if (RARE(http->older)) {
    lose(LOSS_http_older);
    return;
  }
  u64 latency_ns = d->message_ns > of->start_ns ? d->message_ns - of->start_ns : 0;
  http_count_answer(c, of, d->status, OUTCOME_ANSWERED, latency_ns, generation);
}

/* Whether a request comes while the answer to the one before is on its way. */
static __always_inline u32 http_overtakes(struct connection *c, struct http *http) {
  if (http->head != http->tail || http->under_way[0])
    return 1;
  return c->role == ROLE_CLIENT ? AFTER(c->matters[0], c->next_in) : AFTER(c->matters[1], c->next_out);
}

static __always_inline void http_wait(struct http *http, struct http_direction *d) {
  u32 place = http->head & HTTP_IN_FLIGHT - 1, others = http->among_others & ~(1 << place);
  http->among_others = others | (IS_ZERO(http->head - http->tail) ^ 1) << place;
  struct http_request *slot = http_slot(http, http->head);
  slot->route = d->route;
  slot->host = d->host;
  slot->start_ns = d->message_ns;
  slot->operation = d->operation;
  http->head++;
}

/* The head of a request is complete: it waits for its answer. */
static __always_inline void http_asked(struct connection *c, struct http *http, struct http_direction *d) {
  if (!http->direction[1].tainted && http_overtakes(c, http))
    http->pipelined = 1;
  if (http->direction[1].tainted && http->pipelined) {
    lose(http->older ? LOSS_http_older : LOSS_http_requests);   /* no boundary will be certain */
    return;
  }
  if (http->head - http->tail >= HTTP_IN_FLIGHT) {
    lose(LOSS_http_pipeline);
    http_taint(http, d);
    return;
  }
  if (http->in_turn >= HTTP_TRUSTED && !http->pipelined)
    http->older = 0;   /* from this request on: nothing else is in flight */
  http_wait(http, d);
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
    http_asked(c, http, d);
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
