"""YAML text as plain trees with line numbers, made from parser events alone.

Nothing is constructed from tags, nothing is merged and aliases are shared, never copied: no text can run
code or grow beyond its own size. Depth is bounded, so no text can exhaust the stack.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

MAX_DEPTH = 100

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# YAML 1.2, as portals read it: there `no`, `on` and a date are text.
_NULL = re.compile(r"~|null|Null|NULL|")
_NUMBER_OR_TRUTH = re.compile(
    r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|true|True|TRUE|false|False|FALSE"
)


class BrokenYaml(ValueError):
    """Text that is not YAML, or too deep: one sentence, and the line (from 1) where it stopped."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line


@dataclass(slots=True)
class Scalar:
    """`is_text`: YAML reads it as a string, not as a number, a truth value or nothing."""

    line: int
    value: str
    is_text: bool
    is_null: bool = False


@dataclass(slots=True)
class Sequence:
    line: int
    items: list["Tree"] = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    """Of a key that stands twice the first value counts; `repeated` has the others' keys."""

    line: int
    items: dict[str, "Tree"] = field(default_factory=dict)
    repeated: list[Scalar] = field(default_factory=list)


Tree: TypeAlias = Scalar | Sequence | Mapping


def documents(text: str) -> Iterator[Tree]:
    """The documents of one YAML text, in order. Raises BrokenYaml, after those that came before."""
    composer = _Composer()
    try:
        for event in yaml.parse(text, Loader=_Loader):
            document = composer.take(event)
            if document is not None:
                yield document
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        # libyaml looks ahead, and may meet its own bound before we meet ours.
        if error.problem and "nesting depth" in error.problem:
            raise _too_deep(line) from error
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise BrokenYaml(line, f"This is not YAML: {what}.") from error
    except yaml.YAMLError as error:
        raise BrokenYaml(0, f"This is not YAML: {str(error).splitlines()[0]}.") from error


class _Composer:
    def __init__(self) -> None:
        self._anchors: dict[str, Tree] = {}
        # Collections that are not complete yet, each with the key that waits for its value.
        self._open: list[tuple[Sequence | Mapping, Scalar | None]] = []

    def take(self, event: Any) -> Tree | None:
        """The document that this event completes, if it does."""
        line = event.start_mark.line + 1 if event.start_mark else 0
        match event:
            case yaml.DocumentStartEvent():
                self._anchors = {}
            case yaml.SequenceStartEvent():
                self._begin(event, Sequence(line))
            case yaml.MappingStartEvent():
                self._begin(event, Mapping(line))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                return self._put(self._open.pop()[0])
            case yaml.ScalarEvent():
                return self._put(self._named(event, _scalar(event, line)))
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    raise BrokenYaml(line, f"The alias *{event.anchor} has no anchor before it.")
                return self._put(self._anchors[event.anchor])
        return None

    def _begin(self, event: Any, tree: Sequence | Mapping) -> None:
        self._open.append((tree, None))
        self._named(event, tree)
        if len(self._open) > MAX_DEPTH:
            raise _too_deep(tree.line)

    def _named(self, event: Any, tree: Tree) -> Tree:
        if event.anchor:
            self._anchors[event.anchor] = tree
        return tree

    def _put(self, done: Tree) -> Tree | None:
        if not self._open:
            return done
        parent, key = self._open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(done)
        elif key is None:
            # A key that is itself a list or a mapping means nothing in any format read here.
            self._open[-1] = (parent, done if isinstance(done, Scalar) else Scalar(done.line, "", is_text=False))
        else:
            self._open[-1] = (parent, None)
            if key.value in parent.items:
                parent.repeated.append(key)
            else:
                parent.items[key.value] = done
        return None


def _scalar(event: Any, line: int) -> Scalar:
    plain = event.implicit[0] and not event.tag
    is_null = bool(plain and _NULL.fullmatch(event.value))
    is_text = not is_null and (not plain or not _NUMBER_OR_TRUTH.fullmatch(event.value))
    return Scalar(line, event.value, is_text, is_null)


def _too_deep(line: int) -> BrokenYaml:
    return BrokenYaml(line, f"This is nested more than {MAX_DEPTH} levels deep.")
