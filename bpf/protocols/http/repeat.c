/* A message whose head says word for word what the one before it said. Who asks or answers a thousand times a second repeats
 * itself: so the head is held against the last one, which the window still holds, and what that one did is done once more.
 * Nothing is read, and no program but the entry's runs.
 *
 * Only what begins with its segment and has its head in it, and whose names are settled. Where heads differ again and again,
 * fewer and fewer of them are held against the one before. */

#define PATIENCE 63   /* segments that are passed over at most */

/* Nothing of a message is under way, and nothing was missed. */
static __always_inline u32 http_at_boundary(struct http_direction *d) {
  return d->phase == HTTP_START && !(d->begun | d->tainted) && !d->body && d->line >= d->filled;
}

/* The segment that is about to be read: the next one is held against it, if it begins with a message and was one. */
static __always_inline u32 http_note_segment(struct http_direction *d, u32 sequence, u32 ordinal, struct control *settings) {
  u32 begins = http_at_boundary(d);
  d->last_head = 0;
  d->began = sequence;
  d->ordinal = ordinal;
  d->names_epoch = settings->names_epoch;
  d->once = !begins;
  return begins;
}

/* Compared are 64 bytes at a time: what the window has behind a head is made zero as far. */
static __always_inline void http_pad(struct http_direction *d, u64 at) {
  #pragma clang loop unroll(disable)
  for (u32 i = 0; i < 8; i++) {
    u32 last = (at & 56) == 56;
    if (!(at & 63))
      break;
    TRIM_INDEX(at, 255);
    *(u64 *)(d->window + at) = 0;
    at += 8;
    if (last)
      break;
    barrier();
  }
}

/* Of a message that has been read: bytes behind its head. What some answers say of a length is what there would be. */
static __always_inline u32 http_body_length(struct http_direction *d) {
  u32 none = !d->is_request && (d->status == 204 || d->status == 304 || d->operation == HTTP_HEAD);
  return d->has_length && !d->chunked && !none ? d->length : 0;
}

/* The segment that was noted has been read: whether it began one message, and the window holds all of its head. An interim answer
 * behind the final one leaves its own status. */
static __always_inline u32 http_note_message(struct http_direction *d, u32 next, u32 ordinal) {
  u32 head = d->line_end + 1, length = next - d->began;
  if (d->once || ordinal != d->ordinal + 1 || !http_at_boundary(d) || head > WINDOW || head + http_body_length(d) != length)
    return 0;
  if (!d->is_request && d->status < 200)
    return 0;
  d->last_head = head;
  d->last_length = length;
  d->last_end = next;
  http_pad(d, head);
  return 1;
}

#define DIFFER(i) (window[i] ^ said[i])
#define EIGHT_DIFFER(i) \
  (DIFFER(i) | DIFFER(i + 1) | DIFFER(i + 2) | DIFFER(i + 3) | DIFFER(i + 4) | DIFFER(i + 5) | DIFFER(i + 6) | DIFFER(i + 7))

static __always_inline u32 http_same_head(struct __sk_buff *skb, struct http_direction *d, struct packet *p) {
  u64 said[WINDOW / 8] = {}, *window = (u64 *)d->window, head = d->last_head;
  asm volatile("%0 += -1; %0 &= 255; %0 += 1" : "+r"(head));
  if (bpf_skb_load_bytes(skb, p->payload_offset, said, head))
    return 0;
  return !EIGHT_DIFFER(0) && (head <= 64 || !EIGHT_DIFFER(8)) && (head <= 128 || !EIGHT_DIFFER(16)) && (head <= 192 || !EIGHT_DIFFER(24));
}

static __always_inline u32 http_names_hold(struct http_direction *d, struct control *settings) {
  return d->names_epoch == settings->names_epoch && d->known_line && (!d->host || d->known_host_line);
}

/* Whether there is room to do once more what the last message did. */
static __always_inline u32 http_may_repeat(struct http *http, struct http_direction *d, u32 is_request, struct control *settings) {
  u32 in_flight = http->head - http->tail;
  if (is_request)
    return in_flight < HTTP_IN_FLIGHT && http_names_hold(d, settings);
  return in_flight && http_slot(http, http->tail)->operation == d->operation;
}

static __always_inline u32 http_is_repetition(struct __sk_buff *skb, struct http *http, struct http_direction *d, struct packet *p,
                                              u32 is_request, u32 ordinal, struct control *settings) {
  u32 is_known = d->last_head && d->last_end == p->sequence;   /* else more was read since, beginning with it */
  if (!is_known && !http_note_message(d, p->sequence, ordinal))
    return 0;
  return p->payload_length >= d->last_head && p->payload_length <= d->last_length &&
         http_may_repeat(http, d, is_request, settings) && http_same_head(skb, d, p);
}

static __always_inline void http_repeat(struct __sk_buff *skb, struct connection *c, struct http *http, struct http_direction *d,
                                        struct packet *p, u32 is_request, u32 ordinal, int generation) {
  u32 end = p->sequence + d->last_length;
  d->message_ns = time_of(skb, p->egress);
  if (!is_request) {
    http_answered(c, http, d, generation);
  } else {
    if (http_overtakes(c, http))
      http->pipelined = 1;
    http_wait(http, d);
  }
  d->began = d->source_start = p->sequence;
  d->ordinal = ordinal;
  d->next = d->last_end = end;
  d->patience = 0;
  if (p->egress)
    c->matters[1] = end;
  else
    c->matters[0] = end;
}

static __always_inline void http_pass_over(struct http_direction *d, u8 *unlike) {
  *unlike = d->patience;
  d->patience = (d->patience * 2 + 1) & PATIENCE;
}

static __always_inline u32 http_hold_against_last(struct __sk_buff *skb, struct connection *c, struct http *http, struct packet *p,
                                                  u8 *unlike, struct control *settings, int generation) {
  u32 is_request = (c->role & ROLE_CLIENT) == p->egress, ordinal = is_request ? http->head : http->tail;
  struct http_direction *d = is_request ? &http->direction[0] : &http->direction[1];
  u32 has_last = d->source_start == d->began && d->next == p->sequence;
  if (has_last && http_is_repetition(skb, http, d, p, is_request, ordinal, settings)) {
    http_repeat(skb, c, http, d, p, is_request, ordinal, generation);
    return 1;
  }
  if (!http_note_segment(d, p->sequence, ordinal, settings) || has_last)
    http_pass_over(d, unlike);
  return 0;
}

/* Whether the segment, which brings the next byte that matters, repeats the one before. Then it has been dealt with. */
static __always_inline u32 http_repeated(struct __sk_buff *skb, struct bpf_sock *sk, struct connection *c, struct packet *p,
                                         struct control *settings, int generation) {
  u8 *unlike = p->egress ? &c->unlike[1] : &c->unlike[0];
  if (p->sequence != (p->egress ? c->matters[1] : c->matters[0]) || c->reading[0] | c->reading[1] | c->early)
    return 0;
  if (*unlike) {
    *unlike -= 1;
    return 0;
  }
  struct http *http = http_connections.sk_storage_get(sk, 0, 0);
  if (!http || http->older)
    return 0;
  return http_hold_against_last(skb, c, http, p, unlike, settings, generation);
}
