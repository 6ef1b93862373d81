"""Two agents of one host meet: who is no successor, or no predecessor, changes nothing."""

import asyncio
import io
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.kernel import passing
from agent.records import KernelRefused, Offer
from agent.succession import predecessor as before
from agent.succession import successors as after
from agent.succession import talk
from agent.succession.place import Door, NoPlace, Peer, Place, place_for
from telemetry.log import Form, Log


def test_one_way_of_looking_has_one_place(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    usual = place_for(tmp_path, "alpha", "", "127.0.0.1:7170", tmp_path)
    others = [
        place_for(tmp_path, "beta", "", "127.0.0.1:7170", tmp_path),
        place_for(tmp_path, "alpha", "east", "127.0.0.1:7170", tmp_path),
        place_for(tmp_path, "alpha", "", "127.0.0.1:7171", tmp_path),
        place_for(tmp_path, "alpha", "", "127.0.0.1:7170", tmp_path / "a"),
    ]
    assert place_for(tmp_path, "alpha", "", "127.0.0.1:7170", tmp_path / "a" / "..") == usual
    assert len({usual, *others}) == 5


def test_a_door_replaces_the_one_before_and_closes_only_itself(tmp_path: Path) -> None:
    place = Place(tmp_path / "run", "agent.sock")
    first = Door(place)
    first.publish()
    second = Door(place)
    second.publish()
    first.close()
    assert place.path.exists()
    second.close()
    assert list(place.directory.iterdir()) == []


def test_a_directory_that_others_may_write_to_is_no_place(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(NoPlace, match="ours alone"):
        Door(Place(tmp_path, "agent.sock"))
    with pytest.raises(NoPlace, match="too long"):
        Door(Place(tmp_path / ("x" * 100), "agent.sock"))
    (tmp_path / "file").touch()
    with pytest.raises(NoPlace):
        Door(Place(tmp_path / "file", "agent.sock"))


# --- who comes to an agent ---


class Host:
    """An agent's end, without its counting."""

    def __init__(self, place: Place) -> None:
        self.text = io.StringIO()
        self.door = Door(place)
        self.door.publish()
        log = Log("alpha", self.text, Form.JSON)
        self.successors = after.Successors(log, lambda: Offer("layout", {}, {}), 7)

    def told(self, event: str) -> list[str]:
        lines = [json.loads(line) for line in self.text.getvalue().splitlines()]
        return [line.get("reason", "") for line in lines if line["event"] == event]


def beside_a_host(tmp_path: Path, callers: Callable[[Host, Path], None]) -> Host:
    """Runs callers in a thread while the agent serves."""

    async def both() -> Host:
        host = Host(Place(tmp_path / "run", "agent.sock"))
        serving = asyncio.create_task(host.successors.run(host.door.listener))
        try:
            await asyncio.wait_for(asyncio.to_thread(callers, host, tmp_path / "run" / "agent.sock"), 30)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            host.door.close()
        return host

    return asyncio.run(both())


def call(path: Path) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.settimeout(10)
    channel.connect(str(path))
    return channel


HELLO = {"say": "hello", "protocol": 1, "version": "9"}
GARBAGE: dict[str, bytes] = {
    "no JSON": b"\xff\xfe\x00garbage",
    "a list": b"[1, 2]",
    "deep": b"[" * 50_000,
    "a number": b"7",
    "another word": b'{"say": "yours"}',
    "a later protocol": b'{"say": "hello", "protocol": 2, "version": "9"}',
    "no version": b'{"say": "hello", "protocol": 1}',
    "a long one": b'{"say": "hello", "protocol": 1, "version": "' + b"x" * 100_000 + b'"}',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_gets_nothing_and_the_next_one_is_served(tmp_path: Path, garbage: bytes) -> None:
    def callers(_: Host, path: Path) -> None:
        with call(path) as channel:
            channel.sendall(garbage)
            assert passing.receive(channel) is None
        with call(path) as channel:
            passing.send(channel, HELLO)
            message, _descriptors = passing.receive(channel) or ({}, [])
            assert (message["say"], message["epoch"]) == ("offer", 7)

    host = beside_a_host(tmp_path, callers)
    assert len(host.told("handover_refused")) == 1


def test_slow_callers_and_many_callers_keep_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after, "_HELLO_SECONDS", 0.3)

    def callers(_: Host, path: Path) -> None:
        crowd = [call(path) for _ in range(8)]
        assert all(passing.receive(one) is None for one in crowd)
        for one in crowd:
            one.close()
        with call(path) as channel:
            passing.send(channel, HELLO)
            assert (passing.receive(channel) or ({}, []))[0]["say"] == "offer"

    host = beside_a_host(tmp_path, callers)
    assert host.told("handover_refused") == ["it has said nothing for 0.3 s"]


def test_two_successors_at_once_are_one_after_the_other(tmp_path: Path) -> None:
    def callers(_: Host, path: Path) -> None:
        with call(path) as first:
            passing.send(first, HELLO)
            assert (passing.receive(first) or ({}, []))[0]["say"] == "offer"
            with call(path) as second:
                passing.send(second, HELLO)
                assert (passing.receive(second) or ({}, []))[0] == {"say": "no", "reason": "another successor is at it"}
        found = before.find(Place(path.parent, path.name))
        assert found is not None and found.epoch == 7
        found.close()

    host = beside_a_host(tmp_path, callers)
    assert host.told("handover_broken_off") == ["it has gone", "it has gone"]


def test_descriptors_that_come_with_a_message_are_not_taken(tmp_path: Path) -> None:
    def callers(_: Host, path: Path) -> None:
        held = len([*Path("/proc/self/fd").iterdir()])
        for _count in range(20):
            with call(path) as channel, Path(os.devnull).open() as file:
                passing.send(channel, {"say": "no"}, [file.fileno()] * 50)
                assert passing.receive(channel) is None
        assert len([*Path("/proc/self/fd").iterdir()]) <= held + 2

    beside_a_host(tmp_path, callers)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_sent_away(tmp_path: Path) -> None:
    def callers(_: Host, path: Path) -> None:
        path.chmod(0o777)
        path.parent.chmod(0o755)
        done = os.fork()
        if not done:
            status = 1
            try:
                status = int(not is_sent_away(path))
            finally:
                os._exit(status)  # whatever happened: this is no second run of the tests
        assert os.waitstatus_to_exitcode(os.waitpid(done, 0)[1]) == 0

    host = beside_a_host(tmp_path, callers)
    assert host.told("handover_refused") == ["user 65534 may not take over"]


def is_sent_away(path: Path) -> bool:
    """Becomes another user, who could not go through the directories above: so it stands beside the socket before."""
    os.chdir(path.parent)
    os.setuid(65534)
    with call(Path(path.name)) as channel:
        message, descriptors = passing.receive(channel) or ({}, [])
    return bool(message["say"] == "no" and not descriptors)


# --- whom a successor meets ---


def meets(tmp_path: Path, answers: Callable[[socket.socket], None]) -> Any:
    """What a successor finds where somebody else listens in an agent's place."""
    place = Place(tmp_path / "run", "agent.sock")
    door = Door(place)
    door.publish()

    def serve() -> None:
        door.listener.setblocking(True)
        channel, _ = door.listener.accept()
        channel.settimeout(20)
        with channel:
            answers(channel)

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        return before.find(place)
    finally:
        serving.join()
        door.close()


def answers_with(raw: bytes) -> Callable[[socket.socket], None]:
    def answer(channel: socket.socket) -> None:
        channel.recv(1000)
        channel.sendall(raw)

    return answer


def offer(**changed: object) -> bytes:
    whole = {"say": "offer", "version": "1", "epoch": 1, "clock_began_ns": 5, "layout": "x", "maps": [], "links": []}
    return json.dumps({**whole, **changed}).encode()


OFFERS: dict[str, bytes] = {
    "garbage": b"\xff\xff",
    "another word": offer(say="yours"),
    "an offer without descriptors": offer(maps=["a"]),
    "an offer without a layout": offer(layout=None),
    "a map twice": offer(maps=["a", "a"]),
    "an epoch of words": offer(epoch="one"),
}


@pytest.mark.parametrize("raw", OFFERS.values(), ids=OFFERS)
def test_a_false_predecessor_is_named_and_nothing_is_begun(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(KernelRefused, match=rf"process {os.getpid()} .* does not hand over"):
        meets(tmp_path, answers_with(raw))


def test_one_that_does_not_answer_is_waited_for_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "_ANSWER_SECONDS", 0.3)
    with pytest.raises(KernelRefused, match=r"has not answered for 0\.3 s"):
        meets(tmp_path, lambda channel: threading.Event().wait(1.0) and None)  # type: ignore[func-returns-value]


def test_a_socket_that_nobody_listens_at_is_no_predecessor(tmp_path: Path) -> None:
    place = Place(tmp_path, "agent.sock")
    assert before.find(place) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left:
        left.bind(str(place.path))
    assert place.path.exists() and before.find(place) is None


def test_one_of_another_user_is_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "peer_of", lambda _: Peer(1, 4711))
    with pytest.raises(before.Stranger):
        meets(tmp_path, lambda _: None)


def whole_offer(channel: socket.socket) -> None:
    channel.recv(1000)
    talk.say(channel, "offer", [], version="1", epoch=7, clock_began_ns=5, layout="x", maps=[], links=[])


def test_one_that_dies_before_it_has_told_leaves_its_maps(tmp_path: Path) -> None:
    found = meets(tmp_path, whole_offer)
    assert found.take() is None
    found.close()


def test_one_that_breaks_off_and_lives_keeps_its_maps(tmp_path: Path) -> None:
    found = meets(tmp_path, whole_offer)
    door = Door(Place(tmp_path / "run", "agent.sock"))
    door.publish()
    with pytest.raises(KernelRefused, match="broke the hand-over off"):
        found.take()
    door.close()
    found.close()


def test_a_legacy_that_cannot_be_read_is_not_taken(tmp_path: Path) -> None:
    said: list[object] = []

    def answers(channel: socket.socket) -> None:
        whole_offer(channel)

        def later() -> None:
            with kept:
                said.append(passing.receive(kept))
                talk.say_bytes(kept, "legacy", b"garbage")
                said.append(passing.receive(kept))

        kept = channel.dup()
        threads.append(threading.Thread(target=later))
        threads[0].start()

    threads: list[threading.Thread] = []
    found = meets(tmp_path, answers)
    with pytest.raises(KernelRefused, match="cannot be read"):
        found.take()
    found.close()
    threads[0].join()
    assert said == [({"say": "take"}, []), None]
