"""What the Kubernetes API may answer, as its watchers see it. Pure."""

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from aggregator.resolve.raw import Json
from aggregator.resolve.resources import Resource


class Page(NamedTuple):
    """Some of the objects of a list; `more` asks for the next ones, "" after the last."""

    items: list[Json]
    version: str
    more: str


class Failed(Exception):
    """No answer that can be used, for now. One sentence. `wait_seconds`: the server asked for so long."""

    wait_seconds: float = 0.0


class Expired(Failed):
    """What happened since that version is not known any more: list again."""


class NotAllowed(Failed):
    """This service account may not, or there is no such resource."""


class NoSuchKind(NotAllowed):
    """This cluster has no such resource."""


class Api(Protocol):
    """Of one cluster. Raises Failed."""

    async def page(self, resource: Resource, more: str) -> Page: ...

    def watch(self, resource: Resource, version: str, seconds: int) -> AsyncGenerator[Json, None]:
        """Events, as the server sends them, until it ends the watch; first of all an empty one, when it has begun."""

    async def plural_of(self, api_version: str, kind: str) -> str:
        """What a kind's objects are called in a path. Raises NoSuchKind where there is none."""
