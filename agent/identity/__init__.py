"""Who on this host a cgroup, a socket or an address belongs to, and from when to when.

Reads /proc and the cgroup file system, and survives that everything there may vanish at any time. Not here: the
kernel's maps, contract ids, and anything about other hosts.
"""
