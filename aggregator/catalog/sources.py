"""Where declarations lie: files, directories and URLs, looked at and read within bounds. The I/O of this room."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from stat import S_ISREG
from urllib.error import HTTPError
from urllib.request import Request, urlopen

MAX_FILE_BYTES = 8 * 2**20
MAX_FILES = 10_000
URL_TIMEOUT_SECONDS = 10
_SUFFIXES = (".yaml", ".yml")
_PASSED_OVER = ("node_modules",)


class Unreadable(Exception):
    """A source or a file that cannot be read now: one sentence, with the remedy."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """`signature` differs when the content may differ; `identity` is the same for two ways to one file."""

    path: str
    identity: str
    signature: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Fetched:
    text: str
    etag: str


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def find_files(source: str) -> list[FoundFile]:
    """The file itself, or the YAML files of a directory in a stable order. Raises Unreadable."""
    path = Path(source)
    if path.is_dir():
        found = [file for candidate in _walk(source) if (file := _look(candidate))]
        if len(found) > MAX_FILES:
            raise Unreadable(f"{source} holds more than {MAX_FILES} YAML files; name one with the catalog alone.")
        return found
    file = _look(source)
    if file is None:
        raise Unreadable(f"{source} is not there or cannot be looked at; correct --catalog.")
    return [file]


def read_file(path: str) -> str:
    """Raises Unreadable: gone, not permitted, larger than MAX_FILE_BYTES, or not UTF-8."""
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from error
    return _decoded(path, content)


def fetch(url: str, etag: str) -> Fetched | None:
    """The document at a URL; None when it is still the one with this `etag`. Raises Unreadable."""
    try:
        request = Request(url, headers={"If-None-Match": f'"{etag}"'} if etag else {})
        with urlopen(request, timeout=URL_TIMEOUT_SECONDS) as response:
            content = response.read(MAX_FILE_BYTES + 1)
            return Fetched(_decoded(url, content), str(response.headers.get("ETag", "")).removeprefix("W/").strip('"'))
    except HTTPError as error:
        if error.code == 304:
            return None
        raise Unreadable(f"{url} answered {error.code}; check the address given to --catalog.") from error
    except (HTTPException, OSError, ValueError) as error:
        raise Unreadable(f"{url} cannot be fetched: {getattr(error, 'reason', error)}.") from error


def _walk(directory: str) -> Iterator[str]:
    count = 0
    for parent, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if name[0] != "." and name not in _PASSED_OVER)
        for name in sorted(names):
            if name.endswith(_SUFFIXES) and name[0] != ".":
                count += 1
                yield str(Path(parent, name))
                if count > MAX_FILES:
                    return


def _look(path: str) -> FoundFile | None:
    """None: not a regular file (a device would be read for ever), or gone since it was listed."""
    try:
        status = Path(path).stat()
        if not S_ISREG(status.st_mode):
            return None
        identity = str(Path(path).resolve())
    except OSError:
        return None
    return FoundFile(path, identity, (status.st_mtime_ns, status.st_size, status.st_ino))


def _decoded(name: str, content: bytes) -> str:
    if len(content) > MAX_FILE_BYTES:
        raise Unreadable(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB; split it.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"{name} is not UTF-8 in line {line}; save it as UTF-8.") from error
