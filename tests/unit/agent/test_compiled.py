"""Compiled programs as data, and on disk: whole or not at all, and only where nobody else could have written them."""

import os
import struct
from pathlib import Path

import pytest

from agent.kernel import kept
from agent.kernel.compiled import Compiled, MapSpec, bound, key_of, packed, unbound, unpacked

# r1 = map; r2 = 7, all of it as 64 bits; a call; the end.
CODE = [(0x18, 0x11, 0, 41), (0, 0, 0, 0), (0x18, 0x02, 0, 41), (0, 0, 0, 0), (0x85, 0, 0, 1), (0x95, 0, 0, 0)]


def assembled(*rows: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("<BBhi", *row) for row in rows)


def example(layout: str = "layout") -> Compiled:
    maps = {"control": MapSpec(2, 4, 184, 1, 0, 11, 12), "connections": MapSpec(24, 4, 160, 0, 1 << 8 | 1, 3, 4)}
    functions = {"on_egress": assembled(*CODE)}
    shapes = {"control": ["u4", [["seed", "u8", 1], ["command", "S", 16]]], "connections": ["u4", "u4"]}
    return Compiled(maps, functions, bytes(range(256)), shapes, {"flow_seen": [["what", "u4", 1]]}, layout)


def test_only_what_loads_a_map_is_given_another_number() -> None:
    code = unbound(assembled(*CODE), {41: 1})
    assert code == assembled((0x18, 0x11, 0, 1), *CODE[1:])
    assert bound(code, [7, 99]) == assembled((0x18, 0x11, 0, 99), *CODE[1:])


def test_a_map_that_is_none_of_ours_is_a_fault() -> None:
    with pytest.raises(KeyError):
        unbound(assembled(*CODE), {40: 0})


def test_what_is_read_is_what_was_written() -> None:
    assert unpacked(packed(example())) == example()


def test_damage_anywhere_is_seen() -> None:
    content = packed(example())
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        assert unpacked(bytes(damaged)) is None, place
    assert all(unpacked(content[:length]) is None for length in range(0, len(content), 7))


def test_another_key_for_each_circumstance() -> None:
    keys = {key_of("a"), key_of("a", "b"), key_of("a", "b", "c"), key_of("a", "bc"), key_of("ab")}
    assert len(keys) == 5


class Compiler:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> Compiled:
        self.runs += 1
        return example()


def test_the_second_start_does_not_compile(tmp_path: Path) -> None:
    directory, compiler = tmp_path / "cache", Compiler()
    assert kept.read_or_compile(directory, "key", compiler) == (example(), kept.WRITTEN)
    assert kept.read_or_compile(directory, "key", compiler) == (example(), kept.USED)
    assert compiler.runs == 1
    assert directory.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in directory.iterdir()] == ["key.compiled"]


def test_a_damaged_file_is_compiled_and_written_anew(tmp_path: Path) -> None:
    compiler = Compiler()
    kept.read_or_compile(tmp_path, "key", compiler)
    file = tmp_path / "key.compiled"
    file.write_bytes(file.read_bytes()[:-1])
    assert kept.read_or_compile(tmp_path, "key", compiler)[1] == kept.WRITTEN
    assert kept.read_or_compile(tmp_path, "key", compiler)[1] == kept.USED
    assert compiler.runs == 2


def test_one_that_was_killed_while_it_wrote_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "key.fresh").write_bytes(b"half of")
    assert kept.read_or_compile(tmp_path, "key", Compiler())[1] == kept.WRITTEN
    assert [one.name for one in tmp_path.iterdir()] == ["key.compiled"]


@pytest.mark.parametrize("writable", ["directory", "file"])
def test_what_others_could_have_written_is_not_read(tmp_path: Path, writable: str) -> None:
    compiler = Compiler()
    kept.read_or_compile(tmp_path, "key", compiler)
    (tmp_path if writable == "directory" else tmp_path / "key.compiled").chmod(0o777)
    found, why = kept.read_or_compile(tmp_path, "key", compiler)
    assert found == example() and compiler.runs == 2
    assert "can be written by others" in why


def test_without_a_place_it_compiles_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found, why = kept.read_or_compile(tmp_path / "file" / "cache", "key", Compiler())
    assert found == example() and "Not a directory" in why
    assert kept.read_or_compile(None, "key", Compiler()) == (example(), "")


def test_it_keeps_the_latest_few(tmp_path: Path) -> None:
    for number in range(2 * kept.MOST_FILES):
        kept.read_or_compile(tmp_path, f"key{number}", Compiler())
        os.utime(tmp_path / f"key{number}.compiled", (number, number))
    left = sorted(one.name for one in tmp_path.iterdir())
    assert left == [f"key{number}.compiled" for number in range(kept.MOST_FILES, 2 * kept.MOST_FILES)]
