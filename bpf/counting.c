/* Adding to the counting maps, and saying what could not be added. Knows no protocol. */

#define barrier() asm volatile("" ::: "memory")
/* What is rare is compiled out of the way: the code of a usual packet stays in few lines of the cache. */
#define RARE(condition) __builtin_expect(!!(condition), 0)
/* 0 or 1, by arithmetic: a branch would cost more, and give the verifier a state for each way. */
#define IS_NEGATIVE(a) ((u64)(a) >> 63)
#define IS_BELOW(a, b) IS_NEGATIVE((u64)(a) - (u64)(b))
#define IS_ZERO(a) IS_NEGATIVE((u64)(a) - 1)
#define AFTER(a, b) ((s32)((u32)(a) - (u32)(b)) > 0)
#define TRIM_INDEX(variable, mask) asm volatile("%0 &= " #mask : "+r"(variable))

static long (*map_insert)(void *map, const void *key, const void *value, u64 flags) = (void *)BPF_FUNC_map_update_elem;
/* BCC's own name for it becomes the old bpf_probe_read where the kernel's symbols may not be read (no CAP_SYSLOG),
   which these programs may not call. */
static long (*read_kernel)(void *into, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_kernel;

static __always_inline void lose_n(u32 reason, u64 n) {
  u64 *counter = losses.lookup(&reason);
  if (counter)
    lock_xadd(counter, n);
}

static __always_inline void lose(u32 reason) {
  lose_n(reason, 1);
}

static __always_inline struct control *settings(void) {
  int zero = 0;
  return control.lookup(&zero);
}

#define SPREAD 0x9fb21c651e98df25ULL   /* an odd number whose bits are half ones, in no order */

static __always_inline u64 mix(u64 hash, u64 word) {
  hash = (hash ^ word) * SPREAD;
  return hash ^ (hash >> 29);
}

/* Which half of the counting maps this run writes: read once a run, and looked up where something is counted. */
static __always_inline int generation_of(struct control *settings) {
  return settings->generation & 1;
}

static __always_inline u32 place_of(int generation, u64 flow) {
  return generation * FLOW_PLACES + (flow & FLOW_PLACES - 1);
}

/* A flow that is new takes its place for both generations, unless another has it. */
static __always_inline void take_place(u64 flow) {
  u32 place = place_of(0, flow);
  if (places.insert(&place, &flow))
    return;
  #pragma unroll
  for (int generation = 0; generation < 2; generation++) {
    u32 at = place_of(generation, flow);
    struct placed_counts *placed = placed_counts.lookup(&at);
    if (placed)
      placed->flow = flow;
  }
}

static __always_inline struct flow_counts *counts_of(int generation, u64 flow) {
  u32 place = place_of(generation, flow);
  struct placed_counts *placed = placed_counts.lookup(&place);
  if (placed && placed->flow == flow)
    return &placed->counts;
  void *half = flow_counts.lookup(&generation);
  struct flow_counts *counts = half ? bpf_map_lookup_elem(half, &flow) : 0;
  if (!RARE(!counts) || !half)
    return counts;
  struct flow_counts zero = {};
  map_insert(half, &flow, &zero, BPF_NOEXIST);
  counts = bpf_map_lookup_elem(half, &flow);
  if (counts)
    return counts;
  lose(LOSS_flow_counts_as_other);
  flow = FLOW_OTHER;   /* the agent keeps a row for it in both halves */
  return bpf_map_lookup_elem(half, &flow);
}

/* How much an endpoint has taken of one of its shares, or where there is no room to keep that, all such endpoints. */
static __always_inline u64 *share_of(u64 cgroup_id, u32 kind) {
  struct share key = { cgroup_id, kind };
  u64 *taken = shares.lookup(&key);
  if (taken)
    return taken;
  u64 none = 0;
  shares.insert(&key, &none);   /* or another CPU has done so meanwhile */
  taken = shares.lookup(&key);
  if (taken)
    return taken;
  lose(LOSS_budgets_full);
  key.cgroup_id = 0;
  return shares.lookup(&key);
}

static __always_inline u64 id_of_flow(struct flow *flow, u64 seed) {
  u64 *words = (u64 *)flow, id = seed;
  #pragma unroll
  for (int i = 0; i < sizeof(*flow) / 8; i++)
    id = mix(id, words[i]);
  return id <= FLOW_OTHER ? FLOW_OTHER + 1 : id;
}

/* What an endpoint's flow counts under that found no room: the same endpoint and role, whatever the peer. */
static __always_inline void forget_peer(struct flow *flow) {
  flow->local_address[0] = flow->local_address[1] = 0;
  flow->peer_address[0] = flow->peer_address[1] = 0;
  flow->asked_address[0] = flow->asked_address[1] = 0;
  flow->port = flow->asked_port = 0;
  flow->server_name = 0;
}

static __always_inline void announce_flow(u64 id, struct flow *flow, u32 process_id) {
  struct flow_seen *seen = announcements.ringbuf_reserve(sizeof(*seen));
  if (!seen) {
    lose(LOSS_ring_full);
    return;
  }
  seen->what = SEEN_FLOW;
  seen->process_id = process_id;
  seen->id = id;
  seen->time_ns = bpf_ktime_get_ns();
  __builtin_memcpy(&seen->flow, flow, sizeof(*flow));
  announcements.ringbuf_submit(seen, 0);
}

/* A flow's id; the flow is announced when it is new. */
static __always_inline u64 flow_id(struct flow *flow, struct control *settings, u32 process_id) {
  u64 id = id_of_flow(flow, settings->seed);
  if (flows.lookup(&id))
    return id;
  u64 *taken = share_of(flow->cgroup_id, SHARE_OF_FLOWS);
  if (!taken || *taken >= settings->flows_each_endpoint) {
    lose(LOSS_flows_as_other);
    forget_peer(flow);
    id = id_of_flow(flow, settings->seed);
    if (flows.lookup(&id))
      return id;
    if (!taken || *taken >= settings->flows_each_endpoint + OTHERS_EACH_ENDPOINT) {
      lose(LOSS_flow_table_full);
      return FLOW_OTHER;
    }
  }
  if (flows.insert(&id, flow) == -7 /* E2BIG */) {
    lose(LOSS_flow_table_full);
    return FLOW_OTHER;
  }
  lock_xadd(taken, 1);
  take_place(id);
  announce_flow(id, flow, process_id);
  return id;
}

#define SAMPLE_WINDOW_BITS 27     /* 0.13 s */

/* Whether one more may be taken of what is looked at in a window of time. */
static __always_inline u32 window_takes(u64 who, u64 window, u64 most) {
  struct sample_rate *rate = sample_rates.lookup(&who);
  if (!rate) {
    struct sample_rate first = { window, 1 };
    sample_rates.update(&who, &first);
    return 1;
  }
  if (rate->window != window) {
    rate->window = window;   /* two CPUs may both begin it: then some more are taken */
    rate->taken = 0;
  }
  if (rate->taken >= most)
    return 0;
  lock_xadd(&rate->taken, 1);
  return 1;
}

/* Whether the endpoint may have one more name of this kind. */
static __always_inline u32 take_name(u64 cgroup_id, u32 kind, struct control *settings) {
  u64 *taken = share_of(cgroup_id, kind);
  if (!taken)
    return 0;
  if (*taken >= settings->names_each_endpoint) {
    lose(LOSS_names_beyond_budget);
    return 0;
  }
  lock_xadd(taken, 1);
  return 1;
}

static __always_inline void announce_name(u64 id, u32 kind, u64 flow, const void *text, u32 length) {
  struct name_seen *seen = announcements.ringbuf_reserve(sizeof(*seen));
  if (!seen) {
    lose(LOSS_ring_full);
    return;
  }
  seen->what = SEEN_NAME;
  seen->kind = kind;
  seen->length = length;
  seen->id = id;
  seen->flow = flow;
  read_kernel(seen->text, NAME_BYTES, text);
  announcements.ringbuf_submit(seen, 0);
}

/* Announces a name the first time, and again while the agent has not said that it has the text.
 * Gives the id to count with: the name's own, or NAME_OTHER beyond the budget; and whether the agent has said so. */
static __always_inline u64 name_id(u64 id, u32 kind, u64 flow, u64 cgroup_id, struct control *settings,
                                   const void *text, u32 length, u32 *named) {
  if (id <= NAME_OTHER)
    id = NAME_OTHER + 1;
  *named = 0;
  if (RARE(settings->shed & SHED_NAMES)) {
    lose(LOSS_names_shed);
    return NAME_OTHER;
  }
  struct name_state *known = names.lookup(&id);
  *named = known && known->announced_ns == NAMED;
  if (!RARE(!*named))
    return id;
  u64 now_ns = bpf_ktime_get_ns();
  if (known) {
    if (now_ns - known->announced_ns < 1000000000ULL)
      return id;
    known->announced_ns = now_ns;
  } else {
    if (!take_name(cgroup_id, kind, settings))
      return NAME_OTHER;
    struct name_state new = { now_ns, cgroup_id, kind };
    if (names.insert(&id, &new) == -7 /* E2BIG */) {
      lose(LOSS_names_beyond_budget);
      return NAME_OTHER;
    }
  }
  announce_name(id, kind, flow, text, length);
  return id;
}
