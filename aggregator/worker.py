"""One thread for calls of two kinds: those that are urgent, and those that wait while there is an urgent one."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")
# What waited for so long has its turn, and then as long again belongs to what is urgent.
_LONGEST_WAIT_SECONDS: Final = 1.0


class Worker:
    """Calls of one kind are made in the order in which they came."""

    def __init__(self, name: str) -> None:
        self._urgent: deque[Callable[[], None]] = deque()
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._urgent_until = 0.0
        self._closed = False
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], T], waits: bool = False) -> "Future[T]":
        future: Future[T] = Future()
        with self._came:
            if self._closed:
                raise RuntimeError("This thread has ended.")
            if waits:
                self._waiting.append((time.monotonic(), lambda: _settle(future, call)))
            else:
                self._urgent.append(lambda: _settle(future, call))
            self._came.notify()
        return future

    def close(self) -> None:
        """Returns when everything that came before is done."""
        with self._came:
            self._closed = True
            self._came.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._came:
                while not (self._urgent or self._waiting or self._closed):
                    self._came.wait()
                if not (self._urgent or self._waiting):
                    return
                begin = time.monotonic()
                is_urgent = not self._is_turn_of_waiting(begin)
                call = self._urgent.popleft() if is_urgent else self._waiting.popleft()[1]
            call()
            if not is_urgent:
                end = time.monotonic()
                self._urgent_until = end + (end - begin)

    def _is_turn_of_waiting(self, now: float) -> bool:
        if not self._urgent or not self._waiting:
            return bool(self._waiting)
        return now - self._waiting[0][0] > _LONGEST_WAIT_SECONDS and now >= self._urgent_until


def _settle(future: "Future[Any]", call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
        future.set_exception(error)
