"""How much the kernel checks of each program before it takes it: of a million instructions we use less than half."""

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest

from agent.kernel.loader import PARSERS
from agent.kernel.maps import Map
from tests.kernel.bpf import loaded
from tests.kernel.wire import wired

pytestmark = pytest.mark.kernel
MOST = 500_000


def checked_instructions(program_id: int) -> int:
    libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    descriptor = libbpf.bpf_prog_get_fd_by_id(program_id)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    try:
        rows = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    finally:
        os.close(descriptor)
    return int(dict(row.split(":", 1) for row in rows)["verified_insns"])


def test_each_program_is_checked_below_half_of_the_limit() -> None:
    with wired() as wire:
        table = wire.kernel._maps["parsers_by_protocol"]
        called = Map(table.descriptor, np.dtype("u4"), np.dtype("u4"))
        parsers = {name: called.get(place) for name, place in PARSERS.items()}
        programs = {name: int(row[0]) for name, row in parsers.items() if row is not None}
        assert programs.keys() == PARSERS.keys()
        hooks = {f"hook {each}": each for each in loaded(wire.cgroup, os.getpid()).programs}
        checked = {name: checked_instructions(each) for name, each in {**programs, **hooks}.items()}
    assert max(checked.values()) < MOST, checked
    assert len(checked) >= 5 + len(PARSERS)
