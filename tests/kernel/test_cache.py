"""Compiled programs that were kept: the kernel takes them as it takes new ones. That they count is what all other tests
here show: most of these run on kept ones."""

from pathlib import Path

import pytest

from agent.kernel import kept
from agent.kernel.source import open_kernel
from tests.kernel.wire import own_cgroup

pytestmark = pytest.mark.kernel


def test_what_was_kept_is_what_is_compiled(tmp_path: Path) -> None:
    told, attached, layouts = [], [], []
    with own_cgroup() as cgroup:
        for cache in (None, tmp_path, tmp_path):
            kernel = open_kernel(cgroup, cache=cache)
            try:
                told.append(kernel.cache)
                attached.append((kernel.attached, kernel.missing))
                layouts.append(kernel.offer().layout)
            finally:
                kernel.close()
    assert told == ["", kept.WRITTEN, kept.USED]
    assert attached[0] == attached[1] == attached[2] and attached[0][1] == []
    assert len(set(layouts)) == 1
