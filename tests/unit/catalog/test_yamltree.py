"""YAML as plain trees: lines, YAML 1.2 scalars, and no text that runs, grows or exhausts."""

import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aggregator.catalog import yamltree
from aggregator.catalog.yamltree import MAX_DEPTH, BrokenYaml, Mapping, Scalar, Sequence, Tree


def one(text: str) -> Tree:
    (document,) = yamltree.documents(text)
    return document


def plain(tree: Tree) -> Any:
    match tree:
        case Mapping():
            return {key: plain(value) for key, value in tree.items.items()}
        case Sequence():
            return [plain(item) for item in tree.items]
        case Scalar():
            return tree.value


def broken(text: str) -> BrokenYaml:
    with pytest.raises(BrokenYaml) as caught:
        list(yamltree.documents(text))
    return caught.value


def test_documents_come_in_order_with_their_lines() -> None:
    text = "a: 1\n---\n# remark\nb:\n  - x\n  - y: [z]\n---\n"
    first, second, third = yamltree.documents(text)
    assert (plain(first), plain(second), plain(third)) == ({"a": "1"}, {"b": ["x", {"y": ["z"]}]}, "")
    assert isinstance(second, Mapping)
    items = second.items["b"]
    assert isinstance(items, Sequence)
    assert [second.line, items.line, *(item.line for item in items.items)] == [4, 5, 5, 6]


def test_no_text_at_all_is_no_document() -> None:
    assert list(yamltree.documents("")) == list(yamltree.documents("# only a remark\n")) == []


@pytest.mark.parametrize(
    "text", ["no", "on", "yes", "2024-01-01", "1_000", "12:30:45", "v1", '"1"', "'true'", "!!str 1"]
)
def test_what_yaml_1_2_reads_as_text(text: str) -> None:
    tree = one(text)
    assert isinstance(tree, Scalar)
    assert tree.is_text


@pytest.mark.parametrize("text", ["1", "-1", "0o17", "0x1F", "1e3", "1.5", ".5", ".inf", ".nan", "true", "False"])
def test_what_yaml_1_2_reads_as_something_else(text: str) -> None:
    tree = one(text)
    assert isinstance(tree, Scalar)
    assert not tree.is_text
    assert not tree.is_null


@pytest.mark.parametrize("text", ["~", "null", "a:\n", "[,]"])
def test_nothing_is_nothing(text: str) -> None:
    tree = one(text) if text != "[,]" else one("- \n")
    while not isinstance(tree, Scalar):
        (tree,) = tree.items.values() if isinstance(tree, Mapping) else tree.items
    assert tree.is_null


def test_of_a_key_that_stands_twice_the_first_counts_and_the_other_is_told() -> None:
    tree = one("a: 1\nb: 2\na: 3\n")
    assert isinstance(tree, Mapping)
    assert plain(tree) == {"a": "1", "b": "2"}
    assert [(key.value, key.line) for key in tree.repeated] == [("a", 3)]


def test_an_alias_is_what_its_anchor_was() -> None:
    assert plain(one("a: &x [1]\nb: *x\n")) == {"a": ["1"], "b": ["1"]}


def test_aliases_of_aliases_do_not_grow() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    begin = time.monotonic()
    tree = one("\n".join(lines))
    assert isinstance(tree, Mapping)
    assert len(tree.items) == 60
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [touch /tmp/x]", "!mine {a: b}", "!!binary aGk="])
def test_a_tag_makes_nothing(text: str) -> None:
    assert isinstance(one(text), Scalar | Sequence | Mapping)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3),
        ("a: b: c\n", 1),
        ("a: 1\n\tb: 2\n", 2),
        ("a: *nope\n", 1),
        ("a: 'x\n", 2),
        ("ok: 1\n---\n%BAD\n", 3),
    ],
    ids=["open bracket", "two colons", "tab", "alias", "open quote", "directive"],
)
def test_broken_text_is_named_with_its_line(text: str, line: int) -> None:
    error = broken(text)
    assert error.line == line
    assert str(error).endswith(".")


def test_a_control_character_is_broken_text() -> None:
    assert "not YAML" in str(broken("a: \x00\n"))


def test_what_came_before_the_break_was_read() -> None:
    read = []
    with pytest.raises(BrokenYaml):
        for tree in yamltree.documents("a: 1\n---\nb: [\n"):
            read.append(plain(tree))  # noqa: PERF401
    assert read == [{"a": "1"}]


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 5_000 + "x", "{a: " * 5_000])
def test_depth_is_bounded(text: str) -> None:
    assert str(broken(text)) == f"This is nested more than {MAX_DEPTH} levels deep."


@given(st.text())
def test_no_text_does_anything_but_parse_or_break(text: str) -> None:
    try:
        for tree in yamltree.documents(text):
            plain(tree)
    except BrokenYaml as error:
        assert error.line >= 0


VALUES = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text("abcdef", min_size=1), children, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_what_was_written_is_read(value: Any) -> None:
    text = yaml.safe_dump(value, default_style='"')
    assert plain(one(text)) == value
