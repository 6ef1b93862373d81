"""How many requests a server has answered, by its own count: asked over a Unix socket that nothing else uses."""

import re
import socket
from pathlib import Path


class _Asked:
    """A question that is answered again and again on one connection, and counted by the server as a request itself."""

    def __init__(self, path: Path, question: bytes, answer: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.settimeout(5)
        self._question, self._answer, self._asked = question, re.compile(answer, re.ASCII), 0

    def __call__(self) -> int:
        """Without those for this number."""
        self._socket.sendall(self._question)
        self._asked += 1
        text, found = "", None
        while found is None:
            part = self._socket.recv(65536)
            if not part:
                raise ConnectionError(f"the server gave no count: {text}")
            text += part.decode()
            found = self._answer.search(text)
        return int(found[1]) - self._asked


class Nginx(_Asked):
    """What its stub_status says."""

    def __init__(self, path: Path) -> None:
        question = b"GET / HTTP/1.1\r\nHost: status\r\n\r\n"
        super().__init__(path, question, r"requests\s+\d+ \d+ (\d+)\s[^\0]*Waiting: \d+ \r?\n")


class Redis(_Asked):
    """What its INFO says, which counts a command when it has been done."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, b"INFO stats\r\n", r"total_commands_processed:(\d+)\r\n(?:[^\0]*)\r\n\Z")
        self._asked = -1
