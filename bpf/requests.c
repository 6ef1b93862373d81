/* Rows of requests and turns: one for each that differs in anything but when. */

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

/* Whether the endpoint may have one more row in this interval. Flows without an endpoint share one. */
static __always_inline u32 take_row(u64 flow, struct control *settings) {
  struct flow *known = flows.lookup(&flow);
  u64 *taken = share_of(known ? known->cgroup_id : 0, SHARE_OF_ROWS);
  if (!taken)
    return 0;
  u64 begun = (u64)settings->generation << 32;
  if (*taken >> 32 != settings->generation)
    *taken = begun;   /* two CPUs may both begin it: then one row is not counted */
  if (*taken - begun >= settings->rows_each_endpoint)
    return 0;
  lock_xadd(taken, 1);
  return 1;
}

/* One an octave: the nearest. Without a branch, since the verifier would follow each bucket by itself from there on. */
static __always_inline u16 coarse(u16 latency_bucket) {
  return (latency_bucket + 4) & ~7;
}

/* Where a row is, unless another has that place. The ids in it are hashes already. Those that differ in their latency alone lie
 * beside each other: so the processor need not look up many pages. */
static __always_inline u64 sum_of_row(struct request *request) {
  u64 *words = (u64 *)request, kind = (words[3] >> 16 ^ words[4] << 48) * SPREAD;
  return words[0] + words[1] + words[2] + (kind >> 32 | kind << 32) + request->latency_bucket * 0x100000001ULL;
}

static __always_inline u32 is_row(struct placed_row *placed, struct request *request, u32 tag) {
  u64 *had = (u64 *)&placed->key, *wanted = (u64 *)request, differs = placed->tag ^ tag;
  #pragma unroll
  for (int i = 0; i < sizeof(*request) / 8; i++)
    differs |= had[i] ^ wanted[i];
  return !differs;
}

/* Adding without fetching is all that old kernels have: of two who ask at once maybe none gets it. */
static __always_inline struct request_counts *take_row_place(struct placed_row *placed, struct request *request, u32 tag) {
  if (placed->claims)
    return 0;
  lock_xadd(&placed->claims, 1);
  if (*(volatile u32 *)&placed->claims != 1)
    return 0;
  placed->key = *request;
  placed->tag = tag;
  return &placed->counts;
}

static __always_inline struct request_counts *new_row(void *half, struct placed_row *placed, struct request *request, u32 tag,
                                                      struct control *settings) {
  struct request_counts *counts, zero = {};
  if (take_row(request->flow, settings)) {
    counts = take_row_place(placed, request, tag);
    if (counts)
      return counts;
    map_insert(half, request, &zero, BPF_NOEXIST);
    counts = bpf_map_lookup_elem(half, request);
    if (counts)
      return counts;
  }
  lose(LOSS_rows_as_other);
  if (request->name)
    request->name = NAME_OTHER;
  if (request->host)
    request->host = NAME_OTHER;
  request->latency_bucket = coarse(request->latency_bucket);
  map_insert(half, request, &zero, BPF_NOEXIST);
  counts = bpf_map_lookup_elem(half, request);
  if (!counts)
    lose(LOSS_request_rows_full);
  return counts;
}

static __always_inline struct request_counts *row_of(int generation, struct request *request, struct control *settings) {
  u64 sum = sum_of_row(request);
  u32 tag = sum >> 32, place = generation * ROW_PLACES + (sum & ROW_PLACES - 1);
  struct placed_row *placed = placed_rows.lookup(&place);
  if (!placed)
    return 0;
  if (!RARE(!is_row(placed, request, tag)))
    return &placed->counts;
  void *half = request_rows.lookup(&generation);
  if (!half)
    return 0;
  struct request_counts *counts = bpf_map_lookup_elem(half, request);
  return counts ? counts : new_row(half, placed, request, tag, settings);
}

/* One more of these requests. Beyond the endpoint's share, or without room, a row gives up its names and the fineness
 * of its latency first; then the loss is counted. */
static __always_inline void count_request(int generation, struct request *request, u64 latency_ns) {
  struct control *settings_now = settings();
  if (RARE(!settings_now))
    return;
  if (RARE(settings_now->shed & SHED_LATENCY))
    request->latency_bucket = coarse(request->latency_bucket);
  struct request_counts *counts = row_of(generation, request, settings_now);
  if (!counts)
    return;
  lock_xadd(&counts->count, 1);
  if (latency_ns)   /* of a constant 0 the compiler makes an atomic OR, which kernels before 5.12 refuse */
    lock_xadd(&counts->sum_ns, latency_ns);
}
