"""Why something is not served, in words that every transport can translate."""

from enum import Enum


class Refusal(Enum):
    WRONG = "wrong"  # asked for in a way that can never be answered
    UNKNOWN = "unknown"  # about something that nobody saw
    NOTHING_YET = "nothing_yet"
    VERSION = "version"
    TAKEN = "taken"
    FULL = "full"
    AWAY = "away"  # it may work later


class CannotServe(Exception):
    """One sentence with the remedy, and which kind of refusal it is."""

    def __init__(self, refusal: Refusal, sentence: str) -> None:
        super().__init__(sentence)
        self.refusal = refusal


class NotBound(Exception):
    """A listener cannot have its address."""

    def __init__(self, address: str, flag: str, reason: str) -> None:
        super().__init__(f"{flag} {address} cannot be listened on: {reason}.")
        self.flag = flag
