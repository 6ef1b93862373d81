"""What the documents point at is there: files, commands, flags, places in the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.__main__ import plumb

TREE = Path(__file__).parents[2]
PAGES = sorted([*TREE.glob("*.md"), *TREE.glob("docs/**/*.md")])
ROOMS = ("agent", "aggregator", "bpf", "cli", "docs", "examples", "protos", "scripts", "telemetry", "tests")


def ids(page: Path) -> str:
    return page.relative_to(TREE).as_posix()


def commands() -> Iterator[tuple[str, set[str]]]:
    context = click.Context(plumb)
    for name in plumb.list_commands(context):
        command = plumb.get_command(context, name)
        assert command
        yield name, {flag for parameter in command.params for flag in parameter.opts} | {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{ids(page)} points at {target}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_named_files_exist(page: Path) -> None:
    pattern = rf"`((?:{'|'.join(ROOMS)})/[\w./-]+)`"
    for name in re.findall(pattern, page.read_text(encoding="utf-8")):
        # In capitals: the reader's own choice.
        assert re.search("[A-Z]{4}", name) or (TREE / name).exists() or (TREE / "protos" / name).exists(), (
            f"{ids(page)} names {name}"
        )


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_and_their_flags_exist(page: Path) -> None:
    known = dict(commands())
    for line in re.findall(r"`(?:\.venv/bin/)?plumb ([^`]*)`|^(?:# )?(?:\.venv/bin/)?plumb (.*)$",
                           page.read_text(encoding="utf-8"), re.MULTILINE):  # fmt: skip
        words = "".join(line).split("#")[0].split()
        if not words or not words[0].islower():
            continue
        assert words[0] in known, f"{ids(page)} has plumb {words[0]}"
        flags = {word.split("=")[0] for word in words if word.startswith("-")} - {"-o"}
        assert flags <= known[words[0]], f"{ids(page)} has plumb {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (TREE / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= targets
