"""The C library, for the two modules that call it: what a program is loaded with, and what it works with then."""

import ctypes
import os
from collections.abc import Callable
from typing import Any

_libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)


class KernelCallFailed(OSError):
    """A call of libbpf that the kernel refused; errno says why."""


def declare(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    function = getattr(_libbpf, name)
    function.restype = result
    function.argtypes = arguments
    return function  # type: ignore[no-any-return]


def failure(what: str) -> KernelCallFailed:
    """By the errno of the call just made."""
    number = ctypes.get_errno()
    return KernelCallFailed(number, f"{what}: {os.strerror(number)}")
