"""Starts the loader, receives what it attached, and says in one sentence what went wrong where it could not.

The descriptors that arrive are all that keeps the programs in the kernel: they go when this process goes.
"""

import errno
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from agent import rights
from agent.kernel import passing
from agent.kernel.layout import dtype_of
from agent.kernel.maps import Map
from agent.records import KernelRefused, MissingPart, Offer

_LOADER_SECONDS = 180  # seconds of CPU on an idle machine are minutes on one that is overloaded
_KEPT_LINES, _LONGEST_LINE = 200, 500
_NOT_ALLOWED = "look whether lockdown, a seccomp profile or a user namespace forbids bpf(); `plumb doctor` tells more"
_NO_RIGHTS = "run it as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (docs/operate.md has the list)"


@dataclass(frozen=True, slots=True)
class Attached:
    """What the loader handed over. `links` are descriptors by the names of their entry programs, kept open for as long
    as the agent wants to see. `layout` is the word for what the maps hold; `taken_over`: an old agent made them."""

    programs: list[str]
    missing: list[MissingPart]
    maps: dict[str, Map]
    records: dict[str, np.dtype[Any]]
    losses: list[str]
    drops: list[str]
    links: dict[str, int]
    layout: str
    settings: dict[str, int]
    taken_over: bool
    # What became of the directory of compiled programs: agent/kernel/kept.py.
    cache: str


class _Noise:
    """The end of what the loader says on stderr: read all along, for the verifier's log is longer than a pipe holds."""

    def __init__(self, loader: "subprocess.Popen[bytes]") -> None:
        self._loader = loader
        self._lines: deque[bytes] = deque(maxlen=_KEPT_LINES)
        self._thread = Thread(target=self._read, name="noise", daemon=True)
        self._thread.start()

    def to_its_end(self) -> str:
        """Returns when the loader has ended."""
        self._thread.join()
        self._loader.wait()
        return b"".join(self._lines).decode(errors="replace")

    def _read(self) -> None:
        assert self._loader.stderr is not None
        with self._loader.stderr as stream:
            self._lines.extend(iter(lambda: stream.readline(_LONGEST_LINE), b""))


def receive(
    cgroup_root: Path,
    offer: Offer | None = None,
    let_go: Callable[[], None] = lambda: None,
    cache: Path | None = None,
) -> Attached:
    """`cache`: where compiled programs are kept. With an offer whose layout is ours, the new programs go on in the
    place of the old ones, on their maps. With another one, `let_go` is called when everything is ready: it returns when
    the old agent has ended.

    Raises KernelRefused with the reason and the remedy, and what `let_go` raises.
    """
    check_cgroup(cgroup_root)
    ours, theirs = passing.pair()
    with ours, theirs:
        words = [str(theirs.fileno()), str(cgroup_root), str(os.getpid()), str(cache or "")]
        loader = subprocess.Popen(
            [sys.executable, "-m", "agent.kernel.loader", *words],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        noise = _Noise(loader)
        ours.settimeout(_LOADER_SECONDS)
        try:
            answer, descriptors = _answer(ours, offer, let_go)
        except TimeoutError:
            loader.kill()
            raise KernelRefused(
                f"the programs were not compiled within {_LOADER_SECONDS} s", "give the agent more CPU"
            ) from None
        finally:
            ours.close()
            said = noise.to_its_end()
    if answer is None:
        raise _died(loader.returncode, said)
    if "refused" in answer:
        raise _refusal(answer, said)
    return _attached(answer, descriptors)


def check_cgroup(root: Path) -> None:
    """Raises KernelRefused when the directory is no part of a cgroup v2 hierarchy."""
    if not root.is_dir():
        raise KernelRefused(f"there is no directory {root}", "name an existing cgroup with --cgroup-root")
    if not (root / "cgroup.controllers").exists():
        raise KernelRefused(
            f"{root} is not in a cgroup v2 hierarchy",
            "mount one (mount -t cgroup2 none /sys/fs/cgroup/unified) or name it with --cgroup-root",
        )


def _answer(
    channel: socket.socket, offer: Offer | None, let_go: Callable[[], None]
) -> tuple[passing.Message | None, list[int]]:
    try:
        if offer is None:
            passing.send(channel, {})
        else:
            order = {"layout": offer.layout, "maps": [*offer.maps], "links": [*offer.links]}
            passing.send(channel, order, offer.descriptors)
        answer, descriptors = passing.receive(channel) or (None, [])
        if answer and "differs" in answer:
            let_go()
            passing.send(channel, {"attach": True})
            answer, descriptors = passing.receive(channel) or (None, [])
    except (BrokenPipeError, ConnectionResetError):
        return None, []  # it has died, and says why on stderr
    return answer, descriptors


def _attached(answer: passing.Message, descriptors: Sequence[int]) -> Attached:
    names = list(answer["maps"])
    maps = {
        name: Map(descriptor, dtype_of(answer["maps"][name][0]), dtype_of(answer["maps"][name][1]))
        for name, descriptor in zip(names, descriptors, strict=False)
    }
    return Attached(
        programs=answer["attached"],
        missing=[MissingPart(*row) for row in answer["missing"]],
        maps=maps,
        records={name: dtype_of(shape) for name, shape in answer["structs"].items()},
        losses=answer["reasons"]["losses"],
        drops=answer["reasons"]["drops"],
        links=dict(zip(answer["links"], descriptors[len(names) :], strict=True)),
        layout=answer["layout"],
        settings=answer["settings"],
        taken_over=answer["taken_over"],
        cache=answer["cache"],
    )


def _refusal(answer: passing.Message, noise: str) -> KernelRefused:
    text, number = str(answer["refused"]), answer.get("errno")
    if answer.get("kind") in ("ModuleNotFoundError", "ImportError"):
        return KernelRefused(
            "the BCC library for Python is not there", "install python3-bpfcc; the `bcc` of PyPI is another thing"
        )
    # A program that needs a right is refused like one that is wrong, so what we have says more than the error.
    missing = rights.lacking(rights.WATCHING)
    if missing:
        return KernelRefused(f"{rights.are_missing(missing)}, so the kernel takes no programs ({text})", _NO_RIGHTS)
    if "remedy" in answer:
        return KernelRefused(text, answer["remedy"])
    if number in (errno.EPERM, errno.EACCES) or "Operation not permitted" in text or "Operation not permitted" in noise:
        return KernelRefused(f"the kernel does not permit BPF programs here ({text})", _NOT_ALLOWED)
    return KernelRefused(f"the programs could not be attached ({text})", "see `plumb doctor`")


def _died(status: int, noise: str) -> KernelRefused:
    lines = [line for line in noise.strip().splitlines() if line.strip()]
    if status == -9:
        return KernelRefused(
            "the compiler was killed, most likely for want of memory", "allow the agent's container 300 MB at its start"
        )
    last = lines[-1] if lines else "silently"
    return KernelRefused(f"the loader ended with status {status} ({last})", "see `plumb doctor`")


def detach(attached: Attached) -> None:
    """With the last copy of a link its program leaves the kernel."""
    passing.close_all(attached.links.values())
    attached.links.clear()


def close(attached: Attached) -> None:
    """Lets go of links and maps."""
    detach(attached)
    passing.close_all(table.descriptor for table in attached.maps.values())
