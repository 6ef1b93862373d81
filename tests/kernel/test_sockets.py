"""What a socket's state costs nobody: met by two CPUs at once, or while it is closed. A real want of it is told."""

import multiprocessing as mp
import os
import socket
import subprocess
import sys
from collections import Counter
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import pytest

from tests.kernel.wire import Wire

pytestmark = pytest.mark.kernel
FIRST_PORT, PORTS, ROUNDS = 20000, 500, 1500
NAMESPACE = "plumbline-wants"
SEND = (
    "import socket\n"
    "with socket.socket(type=socket.SOCK_DGRAM) as receiver, socket.socket(type=socket.SOCK_DGRAM) as sender:\n"
    "    receiver.bind(('127.0.0.1', 18092))\n"
    "    sender.sendto(b'x', ('127.0.0.1', 18092))\n"
    "    receiver.recv(1)\n"
)
FORKED = mp.get_context("fork")


def receiver(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", port))
    return bound


def follow(cpu: int, place: int, begun: "Synchronized[int]", sent: Any) -> None:
    """One datagram to each receiver, as soon as it is there."""
    os.sched_setaffinity(0, {cpu})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for one in range(ROUNDS):
            while begun.value <= one:
                pass
            sender.sendto(b"x", ("127.0.0.1", FIRST_PORT + one % PORTS))
            sent[place] = one + 1


def shoot(port: int, over: "Synchronized[int]") -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while not over.value:
            sender.sendto(b"x", ("127.0.0.1", port))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_two_cpus_meet_a_socket_at_once(wire: Wire) -> None:
    wire.counted()
    begun, sent = FORKED.Value("i", 0, lock=False), FORKED.Array("i", 2, lock=False)
    cpus = sorted(os.sched_getaffinity(0))[:2]
    senders = [FORKED.Process(target=follow, args=(cpu, place, begun, sent)) for place, cpu in enumerate(cpus)]
    for sender in senders:
        sender.start()
    for one in range(ROUNDS):
        with receiver(FIRST_PORT + one % PORTS):
            begun.value = one + 1
            while min(sent) <= one:
                os.sched_yield()
    for sender in senders:
        sender.join()
    seen = wire.counted()
    assert "socket_state" not in seen.lost
    assert seen.totals["server"]["packets_received"] == 2 * ROUNDS


def test_a_packet_meets_a_socket_that_is_closed(wire: Wire) -> None:
    wire.counted()
    over = FORKED.Value("i", 0, lock=False)
    senders = [FORKED.Process(target=shoot, args=(FIRST_PORT - 1, over)) for _ in range(2)]
    for sender in senders:
        sender.start()
    for _ in range(30_000):
        receiver(FIRST_PORT - 1).close()
    over.value = 1
    for sender in senders:
        sender.join()
    assert "socket_state" not in wire.counted().lost


def test_a_socket_that_gets_no_storage_is_told(wire: Wire) -> None:
    wire.counted()
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        enter = ["ip", "netns", "exec", NAMESPACE]
        subprocess.run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)
        subprocess.run([*enter, "sysctl", "-qw", "net.core.optmem_max=64"], check=True)
        subprocess.run([*enter, sys.executable, "-c", SEND], check=True)
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)
    assert Counter(wire.counted().lost)["socket_state"] == 2
