/* Whom the kernel ends for want of memory: told at once, for its cgroup may be gone a moment later. */

#define MOST_LEVELS 24

static __always_inline void *pointer_at(void *from, u32 offset) {
  void *found = 0;
  if (from)
    read_kernel(&found, sizeof(found), from + offset);
  return found;
}

static __always_inline u64 id_of_cgroup(void *cgroup, struct control *s) {
  u64 id = 0;
  void *node = pointer_at(cgroup, s->cgroup_kn_offset);
  if (node)
    read_kernel(&id, sizeof(id), node + s->kernfs_id_offset);
  return id;
}

/* Nothing binds a tracepoint to a cgroup: whether this one lies below ours, those above it tell. */
static __always_inline u32 is_below_root(void *cgroup, struct control *s) {
  for (u32 level = 0; level < MOST_LEVELS && cgroup; level++) {
    if (id_of_cgroup(cgroup, s) == s->root_cgroup_id)
      return 1;
    cgroup = pointer_at(pointer_at(cgroup, s->css_parent_offset), s->css_cgroup_offset);
  }
  return 0;
}

/* Linux 6.9 and later show the victim, older ones its number alone: there, what asked for memory tells the cgroup, which
 * is another one's only where the limit is that of a cgroup around both. */
int on_oom_victim(struct bpf_raw_tracepoint_args *told) {
  struct control *s = settings();
  if (!s || !s->kernfs_id_offset)
    return 0;
  void *task = s->oom_shows_task ? (void *)told->args[0] : (void *)bpf_get_current_task();
  void *cgroup = pointer_at(pointer_at(task, s->task_cgroups_offset), s->css_set_cgroup_offset);
  if (!is_below_root(cgroup, s))
    return 0;
  struct oom_kill *kill = announcements.ringbuf_reserve(sizeof(*kill));
  if (!kill) {
    lose(LOSS_oom_untold);
    return 0;
  }
  kill->what = SEEN_OOM_KILL;
  kill->process_id = told->args[0];
  kill->cgroup_id = id_of_cgroup(cgroup, s);
  kill->time_ns = bpf_ktime_get_ns();
  if (s->oom_shows_task)
    read_kernel(&kill->process_id, sizeof(kill->process_id), task + s->task_tgid_offset);
  announcements.ringbuf_submit(kill, 0);
  return 0;
}
