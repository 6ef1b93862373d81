"""Who owns an address and a port, and from when to when: pure, so that times can be anything."""

import pytest
from plumbline.v1.flow_pb2 import REALM_CLUSTER, REALM_HOST, REALM_NAMESPACE

from agent.identity.addresses import Claim, HostNetworks, listening_addresses
from agent.identity.claims import Claims, Listening, Socket
from agent.identity.networks import host_only_networks
from agent.identity.sockets import (
    ANY_V4,
    ANY_V6,
    V4_MAPPED,
    local_addresses,
    tcp_listeners,
    tcp_sockets,
    udp_listeners,
)


def v4(text: str) -> bytes:
    return V4_MAPPED + bytes(map(int, text.split(".")))


LOOPBACK, POD_ADDRESS, OTHER = v4("127.0.0.1"), v4("10.1.0.5"), v4("10.1.0.6")
NAMESPACE, SECOND_NAMESPACE = 100, 200


def claims() -> Claims:
    return Claims(HostNetworks([(v4("172.17.0.0"), 112)]))


def told(claims: Claims) -> list[tuple[int, bytes, int, int, int | None]]:
    return [(c.endpoint, c.place.address, c.place.port, c.from_ns, c.to_ns) for c in claims.take_changes()]


def test_a_pod_owns_its_addresses_on_every_port_and_not_loopback() -> None:
    book = claims()
    book.owns(NAMESPACE, 1, 5, 9)
    book.has_addresses(NAMESPACE, [LOOPBACK, POD_ADDRESS], 5, 9)
    assert told(book) == [(1, POD_ADDRESS, 0, 5, None)]
    # A second container of the pod changes nothing.
    book.owns(NAMESPACE, 2, 20, 21)
    book.has_addresses(NAMESPACE, [LOOPBACK, POD_ADDRESS], 20, 21)
    assert told(book) == []


def test_an_address_that_moves_closes_the_range_before() -> None:
    book = claims()
    book.has_addresses(NAMESPACE, [POD_ADDRESS], 5, 9)
    book.owns(NAMESPACE, 1, 5, 9)
    book.take_changes()
    book.has_addresses(SECOND_NAMESPACE, [POD_ADDRESS], 50, 60)
    book.owns(SECOND_NAMESPACE, 2, 50, 60)
    assert told(book) == [(1, POD_ADDRESS, 0, 5, 60), (2, POD_ADDRESS, 0, 60, None)]
    book.gone({1}, 70)
    assert told(book) == []
    book.gone({2}, 80)
    assert told(book) == [(2, POD_ADDRESS, 0, 60, 80)]


def test_a_container_that_is_started_again_begins_where_the_one_before_it_ended() -> None:
    book = claims()
    book.has_addresses(NAMESPACE, [POD_ADDRESS], 5, 9)
    book.owns(NAMESPACE, 1, 5, 9)
    book.take_changes()
    book.gone({1}, 100)
    book.has_addresses(NAMESPACE, [POD_ADDRESS], 90, 100)
    book.owns(NAMESPACE, 2, 90, 100)
    assert told(book) == [(1, POD_ADDRESS, 0, 5, 100), (2, POD_ADDRESS, 0, 100, None)]


def test_a_wildcard_is_every_address_of_its_namespace_also_later_ones() -> None:
    book = claims()
    book.has_addresses(NAMESPACE, [LOOPBACK, POD_ADDRESS], 1, 1)
    socket = Socket(NAMESPACE, ANY_V6, 80, 6)
    book.listens(socket, Listening(3, 0, 0, "nginx"), 10)
    assert told(book) == [(3, LOOPBACK, 80, 10, None), (3, POD_ADDRESS, 80, 10, None)]
    book.has_addresses(NAMESPACE, [LOOPBACK, POD_ADDRESS, OTHER], 20, 30)
    assert told(book) == [(3, OTHER, 80, 20, None)]
    book.has_addresses(NAMESPACE, [LOOPBACK, OTHER], 30, 40)
    assert told(book) == [(3, POD_ADDRESS, 80, 10, 40)]
    book.stops(socket, 50)
    assert sorted(told(book)) == [(3, OTHER, 80, 20, 50), (3, LOOPBACK, 80, 10, 50)]
    assert book.open() == []


def test_nobody_owns_anything_in_a_namespace_that_is_gone() -> None:
    book = claims()
    for namespace, endpoint in ((NAMESPACE, 1), (SECOND_NAMESPACE, 2)):
        book.has_addresses(namespace, [LOOPBACK, v4(f"10.1.0.{endpoint}")], 5, 5)
        book.owns(namespace, endpoint, 5, 5)
        book.listens(Socket(namespace, LOOPBACK, 80, 6), Listening(endpoint, 0, 0, "a"), 5)
    book.take_changes()
    book.namespaces_gone({NAMESPACE}, 50)
    assert sorted(told(book)) == [(1, v4("10.1.0.1"), 0, 5, 50), (1, LOOPBACK, 80, 5, 50)]
    assert book.namespaces() == [SECOND_NAMESPACE] and len(book.listeners) == 1
    assert book.owner_of_namespace(NAMESPACE) == 0


def test_listeners_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.identity.claims.MOST_CLAIMS", 2)
    book = claims()
    for port in range(5):
        book.listens(Socket(NAMESPACE, LOOPBACK, port, 6), Listening(1, 0, 0, "a"), 10)
    assert (len(book.listeners), book.refused) == (2, 3)


def test_another_listener_on_the_same_place_takes_it_over() -> None:
    book = claims()
    book.listens(Socket(NAMESPACE, LOOPBACK, 80, 6), Listening(1, 0, 0, "a"), 10)
    book.serves(Socket(NAMESPACE, LOOPBACK, 80, 6), Listening(1, 0, 0, "a"), 15)
    book.serves(Socket(NAMESPACE, LOOPBACK, 80, 6), Listening(2, 0, 0, "b"), 20)
    assert told(book) == [(1, LOOPBACK, 80, 10, None), (1, LOOPBACK, 80, 10, 20), (2, LOOPBACK, 80, 20, None)]


@pytest.mark.parametrize(
    ("address", "realm", "namespace"),
    [
        (LOOPBACK, REALM_NAMESPACE, NAMESPACE),
        (v4("127.9.9.9"), REALM_NAMESPACE, NAMESPACE),
        (bytes(15) + b"\x01", REALM_NAMESPACE, NAMESPACE),
        (v4("169.254.1.1"), REALM_HOST, 0),
        (bytes.fromhex("fe80" + "00" * 13 + "01"), REALM_HOST, 0),
        (v4("172.17.3.4"), REALM_HOST, 0),
        (v4("172.18.0.1"), REALM_CLUSTER, 0),
        (POD_ADDRESS, REALM_CLUSTER, 0),
    ],
)
def test_realms(address: bytes, realm: int, namespace: int) -> None:
    book = claims()
    book.listens(Socket(NAMESPACE, address, 80, 6), Listening(1, 0, 0, "a"), 1)
    (claim,) = book.take_changes()
    assert isinstance(claim, Claim)
    assert (claim.place.realm, claim.place.network_namespace) == (realm, namespace)
    assert claim.network_namespace == NAMESPACE


def test_wildcards() -> None:
    both = [LOOPBACK, bytes(15) + b"\x01"]
    assert listening_addresses(ANY_V4, both) == [LOOPBACK]
    assert listening_addresses(ANY_V6, both) == both
    assert listening_addresses(POD_ADDRESS, both) == [POD_ADDRESS]


def test_private_bridges_and_no_other() -> None:
    route = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        "br-0123456789ab\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        "cni0\t0001F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "broken\n"
    )
    ipv6 = "fd00dead000000000000000000000000 40 " + "0" * 32 + " 00 " + "0" * 32 + " 00000100 1 0 00000001 docker0\n"
    assert host_only_networks(route, ipv6) == [
        (v4("172.17.0.0"), 112),
        (v4("172.18.0.0"), 112),
        (bytes.fromhex("fd00dead") + bytes(12), 64),
    ]


def test_socket_tables() -> None:
    tcp = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0\n"
        "   1: 0500010A:C350 0600010A:0050 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20\n"
        "   2: 0500010A:C351 0600010A:0050 06 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20\n"
        "   3: cut off"
    )
    listeners, connections = tcp_sockets(tcp)
    lines = iter(tcp.splitlines())
    assert list(tcp_listeners(lines)) == listeners
    assert next(lines).startswith("   2:"), "no more is read than who listens, and who does not"
    assert [(one.address, one.port, one.inode) for one in listeners] == [(LOOPBACK, 8080, 4711)]
    assert [(one.local_address, one.local_port, one.peer_address, one.peer_port, one.inode) for one in connections] == [
        (POD_ADDRESS, 50000, OTHER, 80, 4712)
    ]
    udp6 = (
        "  sl  local_address                         remote_address                        st tx_queue\n"
        "  0: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 "
        "00:00000000 00000000     0        0 99 2 0 0\n"
    )
    assert [(one.address, one.port, one.transport) for one in udp_listeners(udp6)] == [(bytes(16), 53, 17)]


def test_addresses_of_a_namespace() -> None:
    fib_trie = (
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.0.0\n        /24 link UNICAST\n"
        "     |-- 10.1.0.5\n        /32 host LOCAL\n     |-- 10.1.0.255\n        /32 link BROADCAST\n"
        "Local:\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.1.0.5\n        /32 host LOCAL\n"
    )
    if_inet6 = "fd000000000000000000000000000005 02 40 00 80     eth0\n"
    assert local_addresses(fib_trie, if_inet6) == [POD_ADDRESS, LOOPBACK, bytes.fromhex("fd" + "00" * 14 + "05")]
