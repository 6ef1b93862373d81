"""The only door to the Kubernetes client: what it answers becomes plain data, what fails becomes one of ours."""

import asyncio
import json
import os
import re
import ssl
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import aiohttp
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from aggregator.resolve.api import Expired, Failed, NoSuchKind, NotAllowed, Page
from aggregator.resolve.raw import Json
from aggregator.resolve.resources import Resource

_PAGE: Final = 500
_CONNECT_SECONDS: Final = 10.0
_GOODBYE_SECONDS: Final = 0.25
_LIST_SECONDS: Final = 60.0
# A server that lives sends a bookmark once a minute.
_SILENT_SECONDS: Final = 150.0
_METADATA: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
_API_VERSION: Final = re.compile(r"(?:[a-z0-9.-]{1,253}/)?v[a-z0-9]{1,32}")
_PLURAL: Final = re.compile(r"[a-z0-9-]{1,63}")
_MOST_WAIT_SECONDS: Final = 60.0
_REFUSALS: Final[Mapping[int, type[Failed]]] = {401: NotAllowed, 403: NotAllowed, 404: NoSuchKind, 410: Expired}


class NoCluster(Exception):
    """Nobody says which cluster is meant: one sentence with the remedy."""


class Kubernetes:
    """One cluster's API. Used from the event loop's thread."""

    def __init__(self, configuration: Configuration, user_agent: str) -> None:
        self._client = ApiClient(configuration)
        self._client.user_agent = user_agent

    @classmethod
    async def connect(cls, user_agent: str) -> "Kubernetes":
        """By $KUBECONFIG, else by the service account of the pod that this runs in. Raises NoCluster."""
        configuration, given = Configuration(), os.environ.get("KUBECONFIG", "")
        try:
            if given:
                await load_kube_config(config_file=given, client_configuration=configuration)
            else:
                load_incluster_config(client_configuration=configuration)
            return cls(configuration, user_agent)
        except (ConfigException, OSError, ValueError, ssl.SSLError) as error:
            place = f"$KUBECONFIG {given}" if given else "a pod's service account"
            remedy = "" if given else " It is no pod of a cluster, and $KUBECONFIG is not set."
            raise NoCluster(f"--kubernetes: {place} cannot be used: {error}.{remedy}") from error

    async def close(self) -> None:
        await self._client.close()
        # Of connections with TLS the other side is told first, and nobody waits for that.
        await asyncio.sleep(_GOODBYE_SECONDS)

    async def page(self, resource: Resource, more: str) -> Page:
        query = {"limit": str(_PAGE), **_selector(resource), **({"continue": more} if more else {})}
        found = await self._get(resource.path, query, _accept(resource, "List"))
        # An empty list of metadata has none.
        items, meta = found.get("items") or [], found.get("metadata")
        if not isinstance(items, list) or not isinstance(meta, Mapping):
            raise Failed(f"The list of {resource.name} is none.")
        rest = meta.get("continue")
        return Page(items, str(meta.get("resourceVersion", "")), rest if isinstance(rest, str) else "")

    async def watch(self, resource: Resource, version: str, seconds: int) -> AsyncGenerator[Json, None]:
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
            **_selector(resource),
        }
        timeout = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS)
        try:
            async with await self._ask(resource.path, query, _accept(resource, ""), timeout) as response:
                yield {}
                async for line in response.content:
                    yield _parsed(line)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Failed(_sentence(error)) from error

    async def plural_of(self, api_version: str, kind: str) -> str:
        if not _API_VERSION.fullmatch(api_version):
            raise NotAllowed(f"{api_version!r} is no version of an API.")
        group = "apis" if "/" in api_version else "api"
        found = await self._get(f"/{group}/{api_version}", {}, "application/json")
        for one in found.get("resources") or ():
            plural = one.get("name", "")
            if one.get("kind") == kind and _PLURAL.fullmatch(plural) and "watch" in (one.get("verbs") or ()):
                return str(plural)
        raise NoSuchKind(f"{api_version} has no {kind} that can be watched.")

    async def _get(self, path: str, query: Mapping[str, str], accept: str) -> Json:
        timeout = aiohttp.ClientTimeout(total=_LIST_SECONDS, sock_connect=_CONNECT_SECONDS)
        try:
            async with await self._ask(path, query, accept, timeout) as response:
                body = await response.read()
            return await asyncio.to_thread(_parsed, body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Failed(_sentence(error)) from error

    async def _ask(self, path: str, query: Mapping[str, str], accept: str, timeout: aiohttp.ClientTimeout) -> Any:
        """A response with its body unread. Raises what aiohttp does, and Failed for what is no answer."""
        response = await self._client.call_api(
            path,
            "GET",
            query_params=list(query.items()),
            header_params={"Accept": accept},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )
        if response.status == 200:
            return response
        async with response:
            raise _refusal(response.status, await response.content.read(4096), response.headers.get("Retry-After", ""))


def _selector(resource: Resource) -> Mapping[str, str]:
    return {"fieldSelector": resource.selector} if resource.selector else {}


def _accept(resource: Resource, suffix: str) -> str:
    return "application/json" if resource.whole else f"{_METADATA.format(suffix)},application/json"


def _parsed(text: bytes) -> Json:
    """Raises ValueError for what is no JSON object, or half of one."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("The API server's answer is no object.")
    return found


def _refusal(status: int, body: bytes, retry_after: str) -> Failed:
    try:
        message = str(_parsed(body).get("message", ""))
    except ValueError:
        message = ""
    sentence = f"The API server says {status}{': ' if message else ''}{message[:200]}."
    failed = _REFUSALS.get(status, Failed)(sentence)
    failed.wait_seconds = min(float(retry_after), _MOST_WAIT_SECONDS) if retry_after.isdecimal() else 0.0
    return failed


def _sentence(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "The API server broke the connection off."
    return f"The API server cannot be read: {str(error) or type(error).__name__}."
