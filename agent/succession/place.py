"""Where an agent and its successor meet: a socket of the file system, in a directory of their user's (root) alone.

A container has a network namespace of its own, so an abstract name would not be seen; a directory can be shared.
"""

import hashlib
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

_LONGEST_PATH = 100  # the kernel takes 107 characters


class NoPlace(Exception):
    """No successor could find us; the reason is for a person."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel says. A process of another container has the id 0."""

    process_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class Place:
    """One for each way of looking: agents of other hosts, cgroups or aggregators are no successors of ours."""

    directory: Path
    name: str

    @property
    def path(self) -> Path:
        return self.directory / self.name


def place_for(directory: Path, host: str, cluster: str, aggregator: str, cgroup_root: Path) -> Place:
    """Raises OSError where there is no such cgroup."""
    cgroup_id = cgroup_root.stat().st_ino
    who = "\0".join((host, cluster, aggregator, str(cgroup_id)))
    return Place(directory, f"agent-{hashlib.sha256(who.encode()).hexdigest()[:16]}.sock")


def peer_of(channel: socket.socket) -> Peer:
    process_id, user_id, _ = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(process_id, user_id)


class Door:
    """A listener that nobody finds before `publish` puts it in the place of whoever listened there before."""

    def __init__(self, place: Place) -> None:
        """Raises NoPlace."""
        _check(place)
        self._place = place
        self._hidden = place.path.with_suffix(f".{os.getpid()}")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            self._hidden.unlink(missing_ok=True)
            self.listener.bind(str(self._hidden))
            self.listener.listen(8)
            self._hidden.chmod(0o600)
            self._ours = self._hidden.stat().st_ino
        except OSError as error:
            self.listener.close()
            raise NoPlace(f"{place.path}: {error.strerror}") from error

    def publish(self) -> None:
        """Raises NoPlace."""
        try:
            self._hidden.rename(self._place.path)
        except OSError as error:
            raise NoPlace(f"{self._place.path}: {error.strerror}") from error

    def close(self) -> None:
        self.listener.close()
        self._hidden.unlink(missing_ok=True)
        try:
            # A successor may listen there by now.
            if self._place.path.stat().st_ino == self._ours:
                self._place.path.unlink()
        except FileNotFoundError:
            pass  # somebody has emptied the directory


def _check(place: Place) -> None:
    if len(os.fsencode(place.path)) > _LONGEST_PATH:
        raise NoPlace(f"{place.directory} is too long a path for a socket")
    try:
        place.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.directory.stat()
    except OSError as error:
        raise NoPlace(f"{place.directory}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise NoPlace(f"{place.directory} is not ours alone: others may write there")
