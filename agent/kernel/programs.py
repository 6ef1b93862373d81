"""The door to libbpf for what is made once: maps, programs, and the BTF that some maps need."""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from agent.kernel.compiled import MapSpec
from agent.kernel.libbpf import KernelCallFailed, declare, failure

_LOG_BYTES = 1 << 20
_LICENSE = b"GPL"
# Of libbpf's own structs: the size of each is its first member, and what lies behind it is zero.
_MAP_OPTIONS, _PROGRAM_OPTIONS, _LOG_OPTIONS = (
    struct.Struct("=QIIIIII"),
    struct.Struct("=Qii"),
    struct.Struct("=Qii72xIIQ"),
)
_MAP_INFO, _BTF_INFO = struct.Struct("=24x16x24xIII12x"), struct.Struct("=QII16x")


class ProgramRefused(Exception):
    """The kernel's verifier does not take a program; the reason is its last word."""


_int, _u32, _text, _pointer = ctypes.c_int, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_void_p
_map_create = declare("bpf_map_create", _int, _int, _text, _u32, _u32, _u32, _pointer)
_prog_load = declare("bpf_prog_load", _int, _int, _text, _text, _text, ctypes.c_size_t, _pointer)
_btf_load = declare("bpf_btf_load", _int, _text, ctypes.c_size_t, _pointer)
_info = declare("bpf_obj_get_info_by_fd", _int, _int, _pointer, _pointer)


def may_call(program_type: int, helper: int) -> bool:
    """Whether programs of a type may call a helper: the kernel is asked to load one that does.

    A helper that is merely known says nothing: each type of program has its own list, and it grows. One that is on it
    is at most refused for what it gets, which is the context (EACCES); one that is not, as invalid (EINVAL).
    """
    call, one, leave = (0x85, 0, 0, helper), (0xB7, 0, 0, 1), (0x95, 0, 0, 0)
    code = b"".join(struct.pack("<BBhi", *instruction) for instruction in (call, one, leave))
    program = int(_prog_load(program_type, b"may_call", _LICENSE, code, len(code) // 8, None))
    if program < 0:
        return ctypes.get_errno() == errno.EACCES
    os.close(program)
    return True


def load_btf(types: bytes) -> int:
    """Raises KernelCallFailed."""
    descriptor = int(_btf_load(types, len(types), None))
    if descriptor < 0:
        raise failure("loading the types of the maps")
    return descriptor


def make_map(name: str, spec: MapSpec, btf: int, inner: int = 0) -> int:
    """`inner`: a map like those that it will hold. Raises KernelCallFailed."""
    of_types = (btf, spec.btf_key, spec.btf_value) if spec.btf_value else (0, 0, 0)
    options = _MAP_OPTIONS.pack(_MAP_OPTIONS.size, *of_types, 0, inner, spec.flags)
    sizes = (spec.key_bytes, spec.value_bytes, spec.most_entries)
    descriptor = int(_map_create(spec.kind, name.encode(), *sizes, options))
    if descriptor < 0:
        raise failure(f"making the map {name}")
    return descriptor


def load_program(kind: int, name: str, code: bytes, attach_type: int = 0) -> int:
    """Raises ProgramRefused, and KernelCallFailed where it is not permitted at all."""
    options = _PROGRAM_OPTIONS.pack(_PROGRAM_OPTIONS.size, 0, attach_type)
    descriptor = int(_prog_load(kind, name.encode(), _LICENSE, code, len(code) // 8, options))
    if descriptor >= 0:
        return descriptor
    if ctypes.get_errno() == errno.EPERM:
        raise failure(f"loading the program {name}")
    reason = os.strerror(ctypes.get_errno())
    raise ProgramRefused(f"{name}: {reason}: {_last_word(kind, name, code, attach_type)}")


def _last_word(kind: int, name: str, code: bytes, attach_type: int) -> str:
    """Of the verifier, which is asked once more."""
    log = ctypes.create_string_buffer(_LOG_BYTES)
    options = _LOG_OPTIONS.pack(_LOG_OPTIONS.size, 0, attach_type, 1, _LOG_BYTES, ctypes.addressof(log))
    descriptor = int(_prog_load(kind, name.encode(), _LICENSE, code, len(code) // 8, options))
    if descriptor >= 0:
        os.close(descriptor)
    said = [line for line in log.value.decode(errors="replace").splitlines() if not line.startswith("processed ")]
    return said[-1] if said else "the kernel says no more"


def btf_of(descriptor: int) -> tuple[int, int, int]:
    """Of a map: the number of its BTF, and its types in it."""
    return _MAP_INFO.unpack(_told(descriptor, bytes(_MAP_INFO.size)))


def read_btf(number: int) -> bytes:
    """Of types that this process has loaded itself: to open them by their number would need CAP_SYS_ADMIN. Raises
    KernelCallFailed."""
    for descriptor in _own_btfs():
        _, size, found = _BTF_INFO.unpack(_told(descriptor, bytes(_BTF_INFO.size)))
        if found == number:
            types = ctypes.create_string_buffer(size)
            _told(descriptor, _BTF_INFO.pack(ctypes.addressof(types), size, 0))
            return types.raw
    raise KernelCallFailed(errno.ENOENT, "the types of the maps are not open in this process")


def _own_btfs() -> Iterator[int]:
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            if str(one.readlink()) == "anon_inode:btf":
                yield int(one.name)


def _told(descriptor: int, asked: bytes) -> bytes:
    """What the kernel says of a map or of types. Raises KernelCallFailed."""
    info, size = ctypes.create_string_buffer(asked, len(asked)), ctypes.c_uint32(len(asked))
    if _info(descriptor, info, ctypes.byref(size)):
        raise failure("asking the kernel about what it has")
    return info.raw
