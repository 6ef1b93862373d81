"""A checkpoint's content: values in pieces, each pickled by itself, so that no other thread waits for all of them."""

import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

# To be raised with every change of what is pickled.
_FORMAT: Final = b"estate 10\n"
# Columns are written as they are, without a copy of all.
_PROTOCOL: Final = 5


class Writable(Protocol):
    """Where bytes go."""

    def write(self, data: Any, /) -> object: ...


Write = Callable[[Writable], object]


@dataclass(frozen=True, slots=True)
class Kept:
    """What nobody changes any more: any thread may write it."""

    pieces: Sequence[Any]

    def write(self, file: Writable) -> None:
        file.write(_FORMAT)
        for piece in (len(self.pieces), *self.pieces):
            pickle.dump(piece, file, _PROTOCOL)

    def content(self) -> bytes:
        """What is written, for `of`."""
        whole = io.BytesIO()
        self.write(whole)
        return whole.getvalue()

    @classmethod
    def of(cls, content: bytes) -> "Kept":
        """Raises ValueError for content of another format. It must be our own: it is unpickled."""
        if not content.startswith(_FORMAT):
            raise ValueError(f"This checkpoint is of another format than {_FORMAT.decode().strip()!r}.")
        file = io.BytesIO(content)
        file.seek(len(_FORMAT))
        count = pickle.load(file)  # noqa: S301 - our own file, behind a checksum
        return cls([pickle.load(file) for _ in range(count)])  # noqa: S301 - the same
