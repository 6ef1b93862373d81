"""What the kernel's side and the contract both know by number or name must be the same."""

import re
from pathlib import Path

import pytest
from plumbline.v1 import columns, flow_pb2

from agent import budgets, records
from agent.kernel import announcements, counted, flowcounts, rowcounts, shares, source, sources

TYPES = (sources.SOURCES / "types.h").read_text()
HTTP = (sources.SOURCES / "protocols" / "http" / "state.c").read_text()


def enumeration(name: str, text: str) -> dict[str, int]:
    """The members of a C enum, with the values that they have by order or by assignment."""
    body = re.search(rf"enum {name} \{{([^}}]*)\}}", text)
    assert body, f"there is no enum {name}"
    members: dict[str, int] = {}
    following = 0
    for word, value in re.findall(r"(\w+)(?:\s*=\s*(\d+))?", body[1]):
        following = int(value) if value else following
        members[word] = following
        following += 1
    return members


@pytest.mark.parametrize("name", ["role", "protocol", "outcome", "name_kind"])
def test_enumerations_are_the_contracts(name: str) -> None:
    kind = getattr(flow_pb2, "".join(word.capitalize() for word in name.split("_")))
    ours = {word: value for word, value in enumeration(name, TYPES).items() if value}
    assert ours == {word: value for word, value in kind.items() if word in ours}
    assert set(ours.values()) == {value for value in kind.values() if value}


def test_what_has_a_twin_in_python_has_its_number() -> None:
    maps = (sources.SOURCES / "maps.c").read_text()
    assert enumeration("shed", TYPES) == {"SHED_LATENCY": source.SHED_LATENCY, "SHED_NAMES": source.SHED_NAMES}
    assert f"SHARE_OF_FLOWS = {shares.SHARE_OF_FLOWS}, SHARE_OF_ROWS = {shares.SHARE_OF_ROWS}" in TYPES
    assert f"#define FLOW_OTHER {records.FLOW_OTHER}" in maps
    for name in ("MAX_FLOW_COUNTS", "MAX_REQUEST_ROWS"):
        assert f"#define {name} {getattr(budgets, name)}" in maps
    assert f"#define FLOW_PLACES {flowcounts.FLOW_PLACES} " in maps
    assert f"#define ROW_PLACES {rowcounts.ROW_PLACES} " in maps


def test_methods_are_the_contracts() -> None:
    ours = enumeration("http_method", HTTP)
    assert {word.removeprefix("HTTP_"): value for word, value in ours.items()} == {
        method: place for place, method in enumerate(columns.HTTP_METHODS) if method and method != "(other)"
    }


def test_announcements_have_their_numbers() -> None:
    ours = enumeration("announcement", TYPES)
    assert ours == {name: getattr(announcements, name) for name in ours}


def test_counters_are_the_contracts_columns_but_for_bytes_by_direction_and_whether_parsed() -> None:
    body = TYPES.split("struct flow_counts {", 1)[1].split("}", 1)[0]
    found = set(re.findall(r"u(?:64|32) (\w+);", body))
    bytes_of_each = {f"{how}_{way}" for how in ("parsed", "unparsed") for way in ("sent", "received")}
    assert bytes_of_each <= found
    assert found - bytes_of_each == set(counted.COUNTS) - {"parsed_bytes", "bytes_sent", "bytes_received"}


def test_what_is_sent_and_what_is_received_are_in_lines_of_the_cache_of_their_own() -> None:
    """Behind 48 bytes of the kernel's, or as many of ours, and a key of eight; a row with all of it is three lines."""
    body = TYPES.split("struct flow_counts {", 1)[1].split("}", 1)[0]
    place, lines = 56, {}
    for bits, name, count in re.findall(r"u(\d+) (\w+)(?:\[(\d)\])?;", body):
        lines[name] = place // 64
        place += int(bits) // 8 * int(count or 1)
    assert place == 192
    assert re.search(
        r"struct placed_counts \{\s+u64 flow;[^\n]*\s+u64 reserved\[6\];[^\n]*\s+struct flow_counts counts;", TYPES
    )
    assert {lines[name] for name in lines if name.endswith("_sent")} == {1}
    assert {lines[name] for name in lines if name.endswith("_received")} == {2} and lines["protocols"] == 0


def test_every_loss_has_a_place_and_a_meaning() -> None:
    found = sources.reasons()
    assert len(found["losses"]) > 10 and len(found["drops"]) > 3
    for macro in ("LOSSES", "DROPS"):
        body = TYPES.split(f"#define {macro}(X)", 1)[1].split("\n\n", 1)[0]
        assert len(re.findall(r"X\(\w+\) +/\* [^*]+\*/", body)) == len(found[macro.lower()])


def test_every_part_of_the_source_is_compiled() -> None:
    parts = {str(path.relative_to(sources.SOURCES)) for path in Path(sources.SOURCES).rglob("*.[ch]")}
    assert {part for part in parts if not part.startswith("include/")} == set(sources.PARTS)
