"""The door to libbpf: maps as numpy arrays, links, the ring buffer, and what BTF says.

Layouts come from the compiler by way of the loader; no C struct is written here.
"""

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Callable
from functools import cache
from mmap import mmap
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.kernel.libbpf import KernelCallFailed, declare, failure

Rows: TypeAlias = npt.NDArray[np.void]

# Of each counting map: one is written while the other is drained.
HALVES = 2
_BATCH_ROWS = 4096
_ANY, _NOEXIST = 0, 1
_BTF_KIND_STRUCT = 4
_MEMBARRIER_SYSCALL = {"x86_64": 324, "aarch64": 283}
_MEMBARRIER_CMD_GLOBAL = 1
_PR_SET_PDEATHSIG = 1


_libc = ctypes.CDLL(None, use_errno=True)
_RingCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


_int, _pointer, _u32 = ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32
_lookup = declare("bpf_map_lookup_elem", _int, _int, _pointer, _pointer)
_update = declare("bpf_map_update_elem", _int, _int, _pointer, _pointer, ctypes.c_uint64)
_delete = declare("bpf_map_delete_elem", _int, _int, _pointer)
_batch_arguments = (_int, _pointer, _pointer, _pointer, _pointer, _pointer, _pointer)
_next_key = declare("bpf_map_get_next_key", _int, _int, _pointer, _pointer)
_take_batch = declare("bpf_map_lookup_and_delete_batch", _int, *_batch_arguments)
_read_batch = declare("bpf_map_lookup_batch", _int, *_batch_arguments)
_link_create = declare("bpf_link_create", _int, _int, _int, _int, _pointer)
_link_update = declare("bpf_link_update", _int, _int, _int, _pointer)
_open_tracepoint = declare("bpf_raw_tracepoint_open", _int, ctypes.c_char_p, _int)
_ring_new = declare("ring_buffer__new", _pointer, _int, _RingCallback, _pointer, _pointer)
_ring_poll = declare("ring_buffer__poll", _int, _pointer, _int)
_ring_free = declare("ring_buffer__free", None, _pointer)
_load_vmlinux_btf = declare("btf__load_vmlinux_btf", _pointer)
_btf_find = declare("btf__find_by_name_kind", _int, _pointer, ctypes.c_char_p, _u32)
_btf_type = declare("btf__type_by_id", _pointer, _pointer, _u32)
_btf_name = declare("btf__name_by_offset", _pointer, _pointer, _u32)


class Map:
    """One map by its descriptor, with the types of its keys and values as numpy sees them."""

    def __init__(self, descriptor: int, key: np.dtype[Any], value: np.dtype[Any]) -> None:
        self.descriptor = descriptor
        self.key = key
        self.value = value

    def get(self, key: Any) -> Rows | None:
        """The value under a key as an array of one row, or None."""
        value = np.zeros(1, self.value)
        wanted = np.array([key], self.key)
        if _lookup(self.descriptor, wanted.ctypes.data, value.ctypes.data) == 0:
            return value
        if ctypes.get_errno() != errno.ENOENT:
            raise failure("lookup in a map")
        return None

    def put(self, key: Any, value: Any) -> None:
        """Raises KernelCallFailed, with E2BIG when the map is full."""
        wanted, new = np.array([key], self.key), np.array([value], self.value)
        if _update(self.descriptor, wanted.ctypes.data, new.ctypes.data, _ANY):
            raise failure("update of a map")

    def remove(self, key: Any) -> bool:
        wanted = np.array([key], self.key)
        return bool(_delete(self.descriptor, wanted.ctypes.data) == 0)

    def each_key(self) -> Rows:
        """One by one, where a kernel reads no batches of such a map (5.10 none of an LPM trie). For maps that nobody
        else writes."""
        found: list[Rows] = []
        at = None
        while True:
            key = np.zeros(1, self.key)
            if _next_key(self.descriptor, at, key.ctypes.data):
                break
            found.append(key)
            at = key.ctypes.data
        if ctypes.get_errno() != errno.ENOENT:
            raise failure("reading the keys of a map")
        return np.concatenate([np.zeros(0, self.key), *found])

    def take_all(self) -> tuple[Rows, Rows]:
        """All keys and values, which leave the map. Only for maps that nobody writes meanwhile."""
        return self._batches(_take_batch)

    def read_all(self) -> tuple[Rows, Rows]:
        return self._batches(_read_batch)

    def _batches(self, call: Callable[..., int]) -> tuple[Rows, Rows]:
        keys: list[Rows] = []
        values: list[Rows] = []
        position = np.zeros(max(8, self.key.itemsize), np.uint8)
        start, rows, ended = None, _BATCH_ROWS, False
        while not ended:
            batch_keys, batch_values = np.empty(rows, self.key), np.empty(rows, self.value)
            count = ctypes.c_uint32(rows)
            failed = call(
                self.descriptor,
                start,
                position.ctypes.data,
                batch_keys.ctypes.data,
                batch_values.ctypes.data,
                ctypes.byref(count),
                None,
            )
            reason = ctypes.get_errno() if failed else 0
            if reason == errno.ENOSPC:  # one hash bucket holds more than fits
                rows *= 2
                continue
            if reason not in (0, errno.ENOENT):
                raise failure("batch read of a map")
            ended = reason == errno.ENOENT
            keys.append(batch_keys[: count.value])
            values.append(batch_values[: count.value])
            start = position.ctypes.data
        return np.concatenate(keys), np.concatenate(values)

    def shared(self, rows: int) -> Rows:
        """An array's rows where they are: to be read and written without a call. Only of an array made for that."""
        return np.frombuffer(mmap(self.descriptor, rows * self.value.itemsize), self.value)

    def memory_bytes(self) -> int:
        """What the kernel charges for the map, from its descriptor's page in /proc."""
        for line in Path(f"/proc/self/fdinfo/{self.descriptor}").read_text().splitlines():
            if line.startswith("memlock:"):
                return int(line.split()[1])
        return 0


class Ring:
    """Reads a ring buffer. `receive` gets each record as bytes, in order, during poll."""

    def __init__(self, descriptor: int, receive: Callable[[bytes], None]) -> None:
        def on_record(_context: int, data: int, size: int) -> int:
            receive(ctypes.string_at(data, size))
            return 0

        self._callback = _RingCallback(on_record)  # kept: libbpf holds a bare pointer to it
        self._ring = _ring_new(descriptor, self._callback, None, None)
        if not self._ring:
            raise failure("opening the ring buffer")

    def poll(self, timeout_ms: int) -> int:
        """Waits for records at most so long; gives their number."""
        count = int(_ring_poll(self._ring, timeout_ms))
        if count < 0 and -count != errno.EINTR:
            raise KernelCallFailed(-count, f"polling the ring buffer: {os.strerror(-count)}")
        return max(count, 0)

    def close(self) -> None:
        _ring_free(self._ring)


def attach(program: int, cgroup: int, attach_type: int) -> int:
    """A link's descriptor. The program stays attached while any copy of the descriptor is open."""
    link = int(_link_create(program, cgroup, attach_type, None))
    if link < 0:
        raise failure("attaching a program to the cgroup")
    return link


def replace(link: int, program: int) -> None:
    """The link goes on with another program, in one step for whatever runs meanwhile."""
    if _link_update(link, program, None):
        raise failure("putting a program into the place of another")


def attach_tracepoint(name: str, program: int) -> int:
    """A link's descriptor, as for `attach`."""
    link = int(_open_tracepoint(name.encode(), program))
    if link < 0:
        raise failure(f"attaching a program to the tracepoint {name}")
    return link


def wait_for_running_programs() -> bool:
    """Returns when every program run that began before this call has ended.

    False where the kernel has no such call (full-nohz): the caller must wait in another way.
    """
    number = _MEMBARRIER_SYSCALL.get(os.uname().machine)
    return number is not None and _libc.syscall(number, _MEMBARRIER_CMD_GLOBAL, 0, 0) == 0


def die_with_parent() -> None:
    """Whoever started this process must not be outlived by what it holds."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@cache
def _kernel_btf() -> int | None:
    """Read once: it is large. Only the loader asks, which ends soon."""
    btf: int | None = _load_vmlinux_btf()
    return btf


def member_offset(type_name: str, member: str) -> int | None:
    """Bytes from the start of a kernel struct to one of its members, from the running kernel's BTF."""
    btf = _kernel_btf()
    if not btf:
        return None
    found = _btf_find(btf, type_name.encode(), _BTF_KIND_STRUCT)
    return _member_of(btf, _btf_type(btf, found), member) if found > 0 else None


def _member_of(btf: int, described: int, member: str) -> int | None:
    """A type is three words, then three for each member: name, type, offset in bits."""
    _, info, _ = struct.unpack("<III", ctypes.string_at(described, 12))
    with_bit_fields = bool(info >> 31)
    for index in range(info & 0xFFFF):
        name, _, bits = struct.unpack("<III", ctypes.string_at(described + 12 + 12 * index, 12))
        if ctypes.string_at(_btf_name(btf, name)).decode() == member:
            return int(bits & 0xFFFFFF if with_bit_fields else bits) // 8
    return None
