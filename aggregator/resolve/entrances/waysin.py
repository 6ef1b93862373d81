"""Ways in that lead by names and paths: Ingresses, and routes of Gateways. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from aggregator.resolve.raw import Json, int_of, map_of, maps_of, strings_of, text_of

_PLAIN_PORT, _TLS_PORT = 80, 443
_WITH_TLS: Final = frozenset({"HTTPS", "TLS"})


class Led(NamedTuple):
    """A Service that a way in leads to."""

    namespace: str
    service: str


class Entry(NamedTuple):
    """How it is seen from outside."""

    host: str
    port: int
    encrypted: bool


class Ingress(NamedTuple):
    """`led`: each Service with how it is reached; `addresses`: of whoever serves it."""

    uid: str
    namespace: str
    name: str
    led: tuple[tuple[Led, Entry], ...]
    addresses: tuple[str, ...]


class Listener(NamedTuple):
    name: str
    port: int
    encrypted: bool
    host: str


class Gateway(NamedTuple):
    uid: str
    namespace: str
    name: str
    listeners: tuple[Listener, ...]
    addresses: tuple[str, ...]


class Parent(NamedTuple):
    """The Gateway of a route; `section`: the only listener of it, "" for all."""

    namespace: str
    name: str
    section: str


class Route(NamedTuple):
    uid: str
    namespace: str
    name: str
    hosts: tuple[str, ...]
    parents: tuple[Parent, ...]
    led: tuple[Led, ...]


WayIn: TypeAlias = Ingress | Gateway | Route


def read_ingress(raw: Json, kind: str = "Ingress") -> Ingress:
    meta, spec = map_of(raw, "metadata"), map_of(raw, "spec")
    namespace = text_of(meta, "namespace")
    served = maps_of(map_of(map_of(raw, "status"), "loadBalancer"), "ingress")
    return Ingress(
        text_of(meta, "uid"),
        namespace,
        text_of(meta, "name"),
        tuple(dict.fromkeys(_led(spec, namespace))),
        tuple(text for one in served if (text := text_of(one, "hostname") or text_of(one, "ip"))),
    )


def _led(spec: Json, namespace: str) -> Iterator[tuple[Led, Entry]]:
    tls = maps_of(spec, "tls")
    secured = {host for one in tls for host in strings_of(one, "hosts")}
    every = any(not strings_of(one, "hosts") for one in tls)
    backends = [("", map_of(spec, "defaultBackend"))]
    backends += [
        (text_of(rule, "host"), map_of(path, "backend"))
        for rule in maps_of(spec, "rules")
        for path in maps_of(map_of(rule, "http"), "paths")
    ]
    for host, backend in backends:
        if service := text_of(map_of(backend, "service"), "name"):
            encrypted = every or host in secured
            yield Led(namespace, service), Entry(host, _TLS_PORT if encrypted else _PLAIN_PORT, encrypted)


def read_gateway(raw: Json, kind: str = "Gateway") -> Gateway:
    meta, spec = map_of(raw, "metadata"), map_of(raw, "spec")
    listeners = (
        Listener(
            text_of(one, "name"), int_of(one, "port"), text_of(one, "protocol") in _WITH_TLS, text_of(one, "hostname")
        )
        for one in maps_of(spec, "listeners")
    )
    given = maps_of(map_of(raw, "status"), "addresses")
    addresses = tuple(text for one in given if (text := text_of(one, "value")))
    return Gateway(text_of(meta, "uid"), text_of(meta, "namespace"), text_of(meta, "name"), tuple(listeners), addresses)


def read_route(raw: Json, kind: str = "HTTPRoute") -> Route:
    meta, spec = map_of(raw, "metadata"), map_of(raw, "spec")
    own = text_of(meta, "namespace")
    parents = (
        Parent(text_of(one, "namespace") or own, text_of(one, "name"), text_of(one, "sectionName"))
        for one in maps_of(spec, "parentRefs")
        if text_of(one, "kind") in ("", "Gateway")
    )
    backends = (one for rule in maps_of(spec, "rules") for one in maps_of(rule, "backendRefs"))
    led = (
        Led(text_of(one, "namespace") or own, text_of(one, "name"))
        for one in backends
        if text_of(one, "kind") in ("", "Service")
    )
    return Route(
        text_of(meta, "uid"),
        own,
        text_of(meta, "name"),
        tuple(strings_of(spec, "hostnames")),
        tuple(parents),
        tuple(dict.fromkeys(led)),
    )
