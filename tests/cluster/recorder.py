"""What agents say to their aggregator, as it stands on the wire: a relay between them that keeps every byte."""

import contextlib
import socket
import threading
from types import TracebackType


class Recorder:
    """A context manager; who connects to `address` talks to the port behind it, which may come later."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._said: list[bytes] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def said(self) -> bytes:
        """By agents, all of it; in the order in which it came of each."""
        return b"".join(self._said)

    def __enter__(self) -> "Recorder":
        self._begin(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()

    def _begin(self, work: object, *words: object) -> None:
        thread = threading.Thread(target=work, args=words, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                agent, _ = self._listener.accept()
                aggregator = socket.create_connection(("127.0.0.1", self._port))
                self._open += [agent, aggregator]
                self._begin(self._pass_on, agent, aggregator, True)
                self._begin(self._pass_on, aggregator, agent, False)

    def _pass_on(self, source: socket.socket, target: socket.socket, keeps: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if keeps:
                    self._said.append(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
