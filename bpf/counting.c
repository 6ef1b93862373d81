/* Adding to the counting maps, and saying what could not be added. Knows no protocol. */

#define barrier() asm volatile("" ::: "memory")
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

static __always_inline u64 mix(u64 hash, u64 word) {
  hash = (hash ^ word) * 0x9fb21c651e98df25ULL;
  return hash ^ (hash >> 29);
}

/* The half of the counting maps that this run writes. */
struct halves {
  void *flow_counts;
  void *request_rows;
};

static __always_inline int halves_of(struct control *settings, struct halves *halves) {
  int generation = settings->generation & 1;
  halves->flow_counts = flow_counts.lookup(&generation);
  halves->request_rows = request_rows.lookup(&generation);
  return halves->flow_counts && halves->request_rows;
}

static __always_inline struct flow_counts *counts_of(void *half, u64 flow) {
  struct flow_counts *counts = bpf_map_lookup_elem(half, &flow);
  if (counts)
    return counts;
  struct flow_counts zero = {};
  map_insert(half, &flow, &zero, BPF_NOEXIST);
  counts = bpf_map_lookup_elem(half, &flow);
  if (!counts)
    lose(LOSS_flow_counts_full);
  return counts;
}

/* A flow's id; the flow is announced when it is new. */
static __always_inline u64 flow_id(struct flow *flow, struct control *settings, u32 process_id, u64 now_ns) {
  u64 *words = (u64 *)flow, id = settings->seed;
  #pragma unroll
  for (int i = 0; i < sizeof(*flow) / 8; i++)
    id = mix(id, words[i]);
  if (id <= FLOW_OTHER)
    id = FLOW_OTHER + 1;
  if (flows.lookup(&id))
    return id;
  if (flows.insert(&id, flow) == -7 /* E2BIG */) {
    lose(LOSS_flow_table_full);
    return FLOW_OTHER;
  }
  struct flow_seen *seen = announcements.ringbuf_reserve(sizeof(*seen));
  if (!seen) {
    lose(LOSS_ring_full);
    return id;
  }
  seen->what = SEEN_FLOW;
  seen->process_id = process_id;
  seen->id = id;
  seen->time_ns = now_ns;
  __builtin_memcpy(&seen->flow, flow, sizeof(*flow));
  announcements.ringbuf_submit(seen, 0);
  return id;
}

/* Base-2 exponential with 8 buckets an octave: bucket b holds 2^(b/8) up to 2^((b+1)/8) ns. */
static __always_inline u16 latency_bucket(u64 ns) {
  u64 value = ns | 1;
  u32 octave = 0, steps;
  if (value >> 32) { octave += 32; value >>= 32; }
  if (value >> 16) { octave += 16; value >>= 16; }
  if (value >> 8) { octave += 8; value >>= 8; }
  if (value >> 4) { octave += 4; value >>= 4; }
  if (value >> 2) { octave += 2; value >>= 2; }
  if (value >> 1) octave += 1;
  u64 mantissa = octave > 16 ? (ns | 1) >> (octave - 16) : (ns | 1) << (16 - octave);
  /* 65536 * 2^(k/8), rounded up */
  steps = (mantissa >= 71468) + (mantissa >= 77936) + (mantissa >= 84990) + (mantissa >= 92682) +
          (mantissa >= 101071) + (mantissa >= 110218) + (mantissa >= 120194);
  return octave * 8 + steps;
}

/* One more of these requests. A table without room gives up the names first, then counts the loss. */
static __always_inline void count_request(void *half, struct request *request, u64 latency_ns) {
  struct request_counts *counts = bpf_map_lookup_elem(half, request), zero = {};
  if (!counts) {
    map_insert(half, request, &zero, BPF_NOEXIST);
    counts = bpf_map_lookup_elem(half, request);
  }
  if (!counts) {
    lose(LOSS_rows_as_other);
    request->name = request->host = NAME_OTHER;
    map_insert(half, request, &zero, BPF_NOEXIST);
    counts = bpf_map_lookup_elem(half, request);
  }
  if (!counts) {
    lose(LOSS_request_rows_full);
    return;
  }
  lock_xadd(&counts->count, 1);
  lock_xadd(&counts->sum_ns, latency_ns);
}

/* Whether the endpoint may announce one more new name of this kind. */
static __always_inline u32 take_from_budget(u64 cgroup_id, u32 kind, struct control *settings) {
  struct name_budget_key key = { cgroup_id, kind };
  u64 *used = name_budgets.lookup(&key);
  if (!used) {
    u64 none = 0;
    name_budgets.insert(&key, &none);   /* or another CPU has done so meanwhile */
    used = name_budgets.lookup(&key);
  }
  if (!used) {
    lose(LOSS_name_budgets_full);
    return 0;
  }
  if (*used >= settings->names_each_endpoint) {
    lose(LOSS_names_beyond_budget);
    return 0;
  }
  lock_xadd(used, 1);
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
 * Gives the id to count with: the name's own, or NAME_OTHER beyond the budget. */
static __always_inline u64 name_id(u64 id, u32 kind, u64 flow, u64 cgroup_id, struct control *settings, u64 now_ns,
                                   const void *text, u32 length) {
  if (id <= NAME_OTHER)
    id = NAME_OTHER + 1;
  u64 *announced = names.lookup(&id);
  if (announced) {
    if (*announced == NAMED || now_ns - *announced < 1000000000ULL)
      return id;
    *announced = now_ns;
  } else {
    if (!take_from_budget(cgroup_id, kind, settings))
      return NAME_OTHER;
    if (names.insert(&id, &now_ns) == -7 /* E2BIG */) {
      lose(LOSS_names_beyond_budget);
      return NAME_OTHER;
    }
  }
  announce_name(id, kind, flow, text, length);
  return id;
}
