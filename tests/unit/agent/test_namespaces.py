"""Where a socket is, by the kernel's cookie of its namespace: also when its process is gone, or is elsewhere."""

import socket

from agent.identity.namespaces import MOST_NAMESPACES, Namespaces, own_netns_cookie

OWN_COOKIE, OWN, POD_COOKIE, POD = 1, 4026531840, 8193, 4026532500


def test_a_process_shows_it_and_is_not_needed_any_more() -> None:
    namespaces = Namespaces(OWN_COOKIE, OWN)
    assert namespaces.of(POD_COOKIE, 0) == 0
    assert namespaces.of(POD_COOKIE, POD) == POD
    assert namespaces.of(POD_COOKIE, 0) == POD


def test_our_own_is_certain_and_nobody_elses() -> None:
    namespaces = Namespaces(OWN_COOKIE, OWN)
    assert namespaces.of(OWN_COOKIE, 0) == OWN
    assert namespaces.of(OWN_COOKIE, POD) == OWN  # the socket was handed to a process that lives elsewhere
    assert namespaces.of(POD_COOKIE, OWN) == 0  # a thread of a host's process in a pod's namespace
    assert namespaces.of(POD_COOKIE, POD) == POD
    assert namespaces.of(POD_COOKIE, OWN) == POD


def test_a_kernel_that_does_not_tell() -> None:
    assert Namespaces(OWN_COOKIE, OWN).of(0, POD) == POD
    assert Namespaces(0, OWN).of(0, OWN) == OWN
    assert Namespaces(0, OWN).of(POD_COOKIE, OWN) == OWN  # it tells of sockets, and not of ours: nothing to doubt by


def test_bounded() -> None:
    namespaces = Namespaces(OWN_COOKIE, OWN)
    for number in range(MOST_NAMESPACES + 10):
        namespaces.of(POD_COOKIE + number, POD + number)
    assert len(namespaces._known) <= MOST_NAMESPACES
    assert namespaces.of(OWN_COOKIE, 0) == OWN
    last = MOST_NAMESPACES + 9
    assert namespaces.of(POD_COOKIE + last, 0) == POD + last


def test_the_kernel_tells_ours() -> None:
    with socket.socket() as another:
        assert own_netns_cookie() == int.from_bytes(another.getsockopt(socket.SOL_SOCKET, 71, 8), "little")
