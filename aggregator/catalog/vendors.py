"""Files of vendors: the product's own beside this module, and one of the user's. Read once, at the start."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from publicsuffixlist import PublicSuffixList

from aggregator.catalog import yamltree
from aggregator.catalog.sources import Unreadable, read_file
from aggregator.catalog.yamltree import BrokenYaml, Scalar, Tree
from aggregator.resolve.vendors import ANY, Vendor, Vendors

SHIPPED: Final = Path(__file__).with_name("vendors.yaml")
MAX_ROWS: Final = 50_000
_LONGEST_TEXT: Final = 100
_LONGEST_DOMAIN: Final = 253
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_EXAMPLE: Final = "stripe.com: [Stripe, payments]"


class WrongVendors(ValueError):
    """A file, or a list of names, that cannot be used: one sentence with its place and the remedy."""


def open_vendors(path: Path | None = None, allowed: Sequence[str] = ()) -> Vendors:
    """The product's rows and those of the file at `path`, which go before. Raises WrongVendors."""
    rows = dict(read_rows(SHIPPED))
    if path is not None:
        rows |= read_rows(path)
    _check_allowed(allowed, {vendor.name for vendor in rows.values()})
    return Vendors(rows, PublicSuffixList().privatesuffix, allowed)


def read_rows(path: Path) -> Mapping[str, Vendor]:
    """By domain. Raises WrongVendors."""
    try:
        return parse_rows(read_file(str(path)), str(path))
    except Unreadable as error:
        raise WrongVendors(f"{str(error).removesuffix('.')}; correct that, or --vendors.") from error


def parse_rows(text: str, file: str) -> Mapping[str, Vendor]:
    """The rows of one file's text, by domain. Raises WrongVendors."""
    try:
        trees = list(yamltree.documents(text))
    except BrokenYaml as error:
        raise _wrong(file, error.line, str(error).removesuffix(".") + f"; write rows like {_EXAMPLE}") from error
    return dict(_rows(trees, file))


def _rows(trees: Sequence[Tree], file: str) -> Iterator[tuple[str, Vendor]]:
    if not trees or (isinstance(trees[0], Scalar) and trees[0].is_null and len(trees) == 1):
        return
    table = trees[0]
    if len(trees) > 1 or not isinstance(table, yamltree.Mapping):
        raise _wrong(file, trees[-1].line, f"this is no table of vendors; write rows like {_EXAMPLE}")
    if table.repeated:
        raise _twice(file, table.repeated[0].line, table.repeated[0].value)
    if len(table.items) > MAX_ROWS:
        raise _wrong(file, table.line, f"there are more than {MAX_ROWS} rows; give those of what you call")
    seen: set[str] = set()
    for key, value in table.items.items():
        domain = _domain(key, file, value.line)
        if domain in seen:
            raise _twice(file, value.line, key)
        seen.add(domain)
        yield domain, _vendor(key, value, file)


def _domain(key: str, file: str, line: int) -> str:
    domain = key.lower().rstrip(".")
    shown = repr(key[:_LONGEST_TEXT])
    labels = domain.split(".")
    if labels[0] == ANY:
        raise _wrong(file, line, f"{shown} begins with {ANY}; leave that out, a row holds for all names below it")
    if labels.count(ANY) > 1 or labels[-1] == ANY:
        raise _wrong(file, line, f"{shown} has {ANY} more than once or at its end; write it like s3.*.example.com")
    if len(domain) > _LONGEST_DOMAIN or not all(label == ANY or _LABEL.fullmatch(label) for label in labels):
        raise _wrong(file, line, f"{shown} is no domain; write it like example.com, in ASCII (xn--...)")
    return domain


def _vendor(key: str, value: Tree, file: str) -> Vendor:
    items = value.items if isinstance(value, yamltree.Sequence) else []
    texts = [item.value.strip() for item in items if isinstance(item, Scalar) and item.is_text]
    if len(items) != 2 or len(texts) != 2:
        raise _wrong(
            file, value.line, f"{key[:_LONGEST_TEXT]!r} needs a vendor and a category; write it like {_EXAMPLE}"
        )
    for text in texts:
        if not 0 < len(text) <= _LONGEST_TEXT or not text.isprintable():
            raise _wrong(file, value.line, f"a text of {key[:_LONGEST_TEXT]!r} is empty, longer than {_LONGEST_TEXT} "
                         "signs or not printable; shorten it")  # fmt: skip
    return Vendor(*texts)


def _check_allowed(allowed: Sequence[str], known: set[str]) -> None:
    """A name that no row has would allow nobody, and be found by chance alone."""
    by_name = {name.casefold(): name for name in known}
    for name in allowed:
        if name.casefold() not in by_name:
            close = get_close_matches(name.casefold(), by_name, n=1)
            hint = f"write {by_name[close[0]]!r}, or add a row for it" if close else "add a row for it"
            raise WrongVendors(
                f"--allowed-vendors {name[:_LONGEST_TEXT]!r} is no vendor of any row; {hint} with --vendors."
            )


def _twice(file: str, line: int, key: str) -> WrongVendors:
    return _wrong(file, line, f"{key[:_LONGEST_TEXT]!r} has a row already; leave one of them out")


def _wrong(file: str, line: int, what: str) -> WrongVendors:
    return WrongVendors(f"{file}:{line}: {what}.")
