"""Where the product cannot run it says so in one sentence with the remedy, at once, and leaves nothing."""

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.leftovers import cgroup_mount
from tests.cluster.product import PLUMB, Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel]
WRONG_USE, NOT_REACHED = 2, 4


def refused(command: Sequence[object], status: int, *words: str) -> str:
    """Its output; asserts that it ended in good time with that status and those words."""
    began = time.monotonic()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=30)
    output = done.stdout + done.stderr
    assert done.returncode == status, output
    assert "Traceback" not in output
    assert time.monotonic() - began < 10
    for word in words:
        assert word in output
    return output


def agent(root: Path, *before: object) -> list[object]:
    return [*before, *PLUMB, "agent", "--host", "alpha", "--cgroup-root", root, "--aggregator", "127.0.0.1:9"]


def aggregator(directory: Path, **ports: int) -> list[object]:
    flags = [word for name in ("agents", "grpc", "http") for word in (f"--{name}", f"127.0.0.1:{ports.get(name, 0)}")]
    return [*PLUMB, "aggregator", *flags, "--data", directory]


def test_a_cgroup_root_that_is_none(tmp_path: Path) -> None:
    refused(agent(cgroup_mount() / "none-such"), NOT_REACHED, "none-such", "--cgroup-root")
    refused(agent(tmp_path), NOT_REACHED, str(tmp_path), "--cgroup-root")


def test_no_rights() -> None:
    with Cluster() as cluster:
        without = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
        output = refused(agent(cluster.cgroup_root("alpha"), *without), NOT_REACHED, "CAP_BPF")
    assert json.loads(output.splitlines()[-1])["remedy"]


def test_no_cgroup_v2() -> None:
    hidden = ("unshare", "--mount", "sh", "-c", f'umount {cgroup_mount()} && exec "$@"', "sh")
    refused(agent(cgroup_mount(), *hidden), NOT_REACHED, "cgroup v2", "mount")


def test_no_btf(tmp_path: Path) -> None:
    """Before the compiler is started."""
    hidden = ("unshare", "--mount", "sh", "-c", f'mount --bind {tmp_path} /sys/kernel/btf && exec "$@"', "sh")
    refused(agent(cgroup_mount(), *hidden), NOT_REACHED, "BTF", "CONFIG_DEBUG_INFO_BTF")


OTHERS = [pytest.param(listener, marks=pytest.mark.long) for listener in ("grpc", "http")]


@pytest.mark.parametrize("listener", ["agents", *OTHERS])
def test_a_port_in_use(tmp_path: Path, listener: str) -> None:
    with Cluster() as cluster, Product(cluster) as product:
        ports = {"agents": product.agents_port, "grpc": product.readers_port, "http": product.http_port}
        taken = ports[listener]
        refused(aggregator(tmp_path, **{listener: taken}), NOT_REACHED, str(taken), f"--{listener}")


def test_a_data_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(aggregator(tmp_path / "file" / "data"), NOT_REACHED, "--data")


def test_wrong_flags() -> None:
    refused([*PLUMB, "agent", "--interval", "0"], WRONG_USE, "--interval")
    refused([*PLUMB, "agent", "--aggregator", "10.0.0.1:7170"], WRONG_USE, "--insecure")
    refused([*PLUMB, "graph", "--aggregator", "127.0.0.1:9"], NOT_REACHED, "127.0.0.1:9")
