"""Which network namespace a socket is in: from the kernel's cookie of it, once a process has shown where that is.

A process can be gone before it is looked up, and a thread can open sockets in a namespace that its process is not in.
"""

import socket
from collections.abc import Mapping

# Beyond it all but our own are learned anew; a machine has hundreds.
MOST_NAMESPACES = 4096
_SO_NETNS_COOKIE = 71


class Namespaces:
    """Cookies to inodes. Pure. Our own pair is certain; cookie 0: this kernel does not tell."""

    def __init__(self, own_cookie: int, own_namespace: int) -> None:
        self._own = {own_cookie: own_namespace} if own_cookie else {}
        self._known = dict(self._own)

    def of(self, cookie: int, shown: int) -> int:
        """The inode for a socket's cookie. `shown`: where its process is; 0 when it is gone. 0: not known yet."""
        if not cookie:
            return shown
        if shown and cookie not in self._own and shown not in self._own.values():
            if len(self._known) >= MOST_NAMESPACES:
                self._known = dict(self._own)
            self._known[cookie] = shown
        return self._known.get(cookie, 0) or (0 if self._own else shown)

    def known(self) -> dict[int, int]:
        return dict(self._known)

    def inherit(self, known: Mapping[int, int]) -> None:
        """What an agent before us knew; our own pair we know better."""
        self._known = {**known, **self._known}


def own_netns_cookie() -> int:
    """Of the namespace that we are in; 0 where the kernel does not tell (before Linux 5.14)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            return int.from_bytes(any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
        except OSError:
            return 0
