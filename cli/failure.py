"""How a command ends when it cannot do what was asked."""

from enum import IntEnum


class Status(IntEnum):
    """The exit statuses that scripts depend on."""

    DONE = 0
    CHECK_FAILED = 1
    WRONG_USE = 2
    NOT_ENOUGH_SEEN = 3
    NOT_REACHED = 4


class Failure(Exception):
    """One sentence with the remedy, for stderr, and the exit status."""

    def __init__(self, status: Status, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
