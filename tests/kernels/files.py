"""What a guest has: this checkout, what its .venv runs with, and the distribution's files that both need.

All of it lies in the guest's memory. It reads nothing from its host while it runs: its clock goes by what it does, so
a host that takes its time with a file would make its timers fire early.
"""

import os
import platform
import re
import stat
import subprocess
import sysconfig
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from tests.kernels import foreign
from tests.kernels.archive import Archive
from tests.kernels.packages import Kernel

CHECKOUT = Path(__file__).resolve().parents[2]
_PACKAGES = """busybox-static coreutils dash iproute2 kmod libbpf1 libc-bin mount procps python3 python3-bpfcc
               util-linux""".split()
_SETTINGS = ("passwd", "group", "nsswitch.conf", "hosts")
_PARTS = "agent aggregator bpf cli protos telemetry tests/__init__.py tests/cluster tests/kernels".split()
_NOT_READ = re.compile(r"/usr/share/(doc|man|locale|info|lintian|bash-completion|common-licenses|icu)/")
# What networks are made of; everything else that the programs need is built in.
_MODULES = ("kernel/net", "kernel/lib", "kernel/drivers/net/veth.ko*", "modules.*")


def fill(archive: Archive, kernel: Kernel, machine: str) -> None:
    for name in _SETTINGS:
        archive.add(Path("/etc", name))
    archive.write("/etc/resolv.conf", 0o100644)
    if machine == platform.machine():
        _own(archive)
    else:
        _foreign(archive, machine)
    for file in _checkout():
        archive.add(file)
    for file in _modules(kernel):
        archive.add(file, f"/usr/lib/modules/{kernel.release}/{file.relative_to(kernel.modules)}")


def _own(archive: Archive) -> None:
    for name in ("bin", "sbin", "lib", "lib64"):
        archive.add(Path("/", name))
    archive.add(Path("/etc/ld.so.cache"))
    for file in (*_distribution(), *_venv()):
        archive.add(file)
        if file.suffix == ".py":
            for compiled in file.parent.glob(f"__pycache__/{file.stem}.*.pyc"):
                archive.add(compiled)


def _foreign(archive: Archive, machine: str) -> None:
    base = foreign.root(machine, _PACKAGES)
    for file in sorted(base.rglob("*")):
        if (file.is_symlink() or file.is_file()) and not _NOT_READ.match(f"/{file.relative_to(base)}"):
            archive.add(file, str(file.relative_to(base)))
    site = Path(sysconfig.get_path("purelib", vars={"base": str(CHECKOUT / ".venv")}))
    packages = foreign.site(machine, CHECKOUT / "requirements.lock")
    for file in packages.rglob("*"):
        if file.is_file():
            archive.add(file, str(site / file.relative_to(packages)))
    archive.write(str(site / "plumbline_dev.pth"), 0o100644, f"{CHECKOUT}\n{CHECKOUT / 'protos'}\n".encode())
    settings = "home = /usr/bin\ninclude-system-site-packages = true\n"
    archive.write(str(CHECKOUT / ".venv/pyvenv.cfg"), 0o100644, settings.encode())
    archive.write(str(CHECKOUT / ".venv/bin/python"), stat.S_IFLNK | 0o777, b"/usr/bin/python3")


def _distribution() -> Iterator[Path]:
    kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    ask = ["apt-cache", "depends", "--recurse", "--installed", *(f"--no-{kind}" for kind in kinds), *_PACKAGES]
    installed = _said(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"]).splitlines()
    packages = sorted({line for line in _said(ask).splitlines() if f"installed {line}" in installed})
    for line in sorted(set(_said(["dpkg-query", "--listfiles", *packages]).splitlines())):
        path = Path(line)
        if line.startswith("/") and not _NOT_READ.match(line) and (path.is_symlink() or path.is_file()):
            yield Path(os.path.realpath(path.parent)) / path.name


def _venv() -> Iterator[Path]:
    """Without the tests' own tools, which are larger than all the rest."""
    rows = (CHECKOUT / "requirements.lock").read_text().splitlines()
    wanted = {_plain(row.partition("==")[0]) for row in rows if row and not row.startswith("#")}
    site = sysconfig.get_path("purelib")
    yield CHECKOUT / ".venv/pyvenv.cfg"
    yield from (CHECKOUT / ".venv/bin").glob("python*")
    yield Path(site) / "plumbline_dev.pth"
    for found in distributions(path=[site]):
        if _plain(found.metadata["Name"]) in wanted:
            yield from (file for one in found.files or [] if (file := Path(str(found.locate_file(one)))).is_file())


def _checkout() -> Iterator[Path]:
    ask = ["git", "-C", str(CHECKOUT), "ls-files", "--cached", "--others", "--exclude-standard", "--", *_PARTS]
    return (file for name in _said(ask).splitlines() if (file := CHECKOUT / name).is_file())


def _modules(kernel: Kernel) -> Iterator[Path]:
    for pattern in _MODULES:
        for found in kernel.modules.glob(pattern):
            yield from (one for one in (found.rglob("*") if found.is_dir() else (found,)) if one.is_file())


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
