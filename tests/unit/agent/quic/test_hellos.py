"""Connections and their names: what waits for a name, what is given up, and what is bounded."""

from collections import Counter

import numpy as np
import pytest
from plumbline.v1.columns import FLOW_TYPES, Columns

from agent.quic import hellos
from agent.quic.hellos import NO_NAME, OVER_NS, PATIENCE_NS, Hellos
from agent.records import NO_ADDRESS, KernelFlow, QuicSeen
from tests.unit.agent.quic.said import crypto, datagrams, filled, sealed

SECOND_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND_NS
NAME = "api.pay.example"


def flow(flow_id: int, connection: int) -> KernelFlow:
    return KernelFlow(flow_id, 7, bytes(16), bytes(16), 443, 1, 17, "", 0, NO_ADDRESS, 0, server_name=connection)


def counted(**sent: int) -> Columns:
    """Bytes sent, by the number of their flow."""
    columns: Columns = {name: np.zeros(len(sent), kind) for name, kind in FLOW_TYPES.items() if name != "bucket"}
    columns["flow"] = np.array([int(one[1:]) for one in sent], np.uint64)
    columns["bytes_sent"] = np.array(list(sent.values()), np.uint64)
    return columns


def sums(columns: Columns) -> Counter[int]:
    found = Counter[int]()
    for one, sent in zip(columns["flow"].tolist(), columns["bytes_sent"].tolist(), strict=True):
        found[one] += sent
    return found


def seen(connection: int, datagram: bytes, cgroup_id: int = 7, at_ns: int = NOW_NS) -> QuicSeen:
    return QuicSeen(connection, cgroup_id, at_ns, datagram)


def test_one_datagram_is_enough_for_most() -> None:
    kept = Hellos()
    (settled,) = kept.heard(seen(50, datagrams(NAME)[0]))
    assert (settled.connection, kept.text(settled.name), settled.flows) == (50, NAME, [])
    assert kept.meant(flow(9, 50), NOW_NS) == flow(9, settled.name)
    assert kept.meant(flow(10, 0), NOW_NS) == flow(10, 0)


def test_case_makes_no_second_name_and_another_connection_has_the_same() -> None:
    kept = Hellos()
    names = [kept.heard(seen(50 + at, datagrams(name)[0]))[0].name for at, name in enumerate((NAME, NAME.upper()))]
    assert names[0] == names[1] != NO_NAME


def test_what_is_counted_while_a_piece_is_missing_waits_for_the_name() -> None:
    kept, said = Hellos(), datagrams(NAME, words=9)
    assert kept.heard(seen(50, said[1])) == []
    assert kept.meant(flow(9, 50), NOW_NS) is None
    assert sums(kept.without_waiting(counted(f9=100, f4=5))) == {4: 5}
    assert sums(kept.without_waiting(counted(f9=10))) == {}
    assert kept.overdue(NOW_NS + PATIENCE_NS - 1) == []
    (settled,) = kept.heard(seen(50, said[0]))
    assert kept.text(settled.name) == NAME and [one.flow.id for one in settled.flows] == [9]
    assert sums(kept.without_waiting(counted(f9=1))) == {9: 111}
    assert sums(kept.without_waiting(counted(f9=1))) == {9: 1}


@pytest.mark.parametrize("last", [False, True])
def test_what_never_comes_is_given_up_and_its_bytes_are_nobody_s_by_name(last: bool) -> None:
    kept = Hellos()
    kept.heard(seen(50, datagrams(NAME, words=9)[1]))
    kept.meant(flow(9, 50), NOW_NS)
    assert sums(kept.without_waiting(counted(f9=100))) == {}
    (settled,) = kept.overdue(NOW_NS if last else NOW_NS + PATIENCE_NS + 1, last)
    assert settled.name == NO_NAME and kept.meant(settled.flows[0].flow, NOW_NS) == flow(9, 0)
    assert sums(kept.without_waiting(counted())) == {9: 100}
    assert kept.take_told() == ({"quic_unfinished": 1}, {})
    assert kept.take_told() == ({}, {})


def test_what_cannot_be_read_has_a_reason_and_is_over_at_once() -> None:
    kept = Hellos()
    broken = bytearray(sealed(filled(crypto(0, b"\1"))))
    broken[-1] ^= 1
    for connection, said in ((1, bytes(broken)), (2, b"junk"), (3, sealed(filled(crypto(0, b"\2"))))):
        assert [one.name for one in kept.heard(seen(connection, said))] == [NO_NAME]
        assert kept.heard(seen(connection, datagrams(NAME)[0])) == []
    assert kept.take_told()[0] == {"quic_sealed": 1, "quic_malformed": 2}


def test_a_name_that_is_none_is_carried_as_text() -> None:
    """Whoever shows it has to look at it first."""
    kept = Hellos()
    (settled,) = kept.heard(seen(50, datagrams("a\nb")[0]))
    assert kept.text(settled.name) == "a\\x0ab"


def test_an_endpoint_has_a_share_of_names_which_comes_back() -> None:
    kept = Hellos(names_each_endpoint=2)
    said = [datagrams(f"n{at}.example")[0] for at in range(3)]
    names = [kept.heard(seen(at, one))[0].name for at, one in enumerate(said)]
    assert names[2] == NO_NAME and NO_NAME not in names[:2]
    assert kept.take_told()[1] == {"names_beyond_budget": 1}
    assert kept.heard(seen(20, said[1]))[0].name == names[1]
    assert kept.heard(seen(21, said[2], cgroup_id=8))[0].name != NO_NAME
    kept.over(NOW_NS + 700 * SECOND_NS)
    assert kept.heard(seen(22, said[2], at_ns=NOW_NS + 700 * SECOND_NS))[0].name != NO_NAME


def test_a_connection_s_own_flow_is_over_when_the_kernel_counts_there_no_longer() -> None:
    kept = Hellos()
    kept.heard(seen(50, datagrams(NAME)[0]))
    kept.meant(flow(9, 50), NOW_NS)
    assert kept.over(NOW_NS + OVER_NS) == []
    assert kept.over(NOW_NS + OVER_NS + 1) == [9]
    assert kept.over(NOW_NS + OVER_NS + 1) == []


def test_all_of_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hellos, "MOST_CONNECTIONS", 100)
    monkeypatch.setattr(hellos, "MOST_NAMES", 50)
    kept, unread = Hellos(), datagrams(NAME, words=9)[1]
    gone = [one.connection for at in range(250) for one in kept.heard(seen(at, unread))]
    assert gone == list(range(150)) and len(kept._connections) == 100
    for at in range(80):
        kept.heard(seen(1000 + at, datagrams(f"n{at}.example")[0]))
    assert len(kept._texts) == 50
