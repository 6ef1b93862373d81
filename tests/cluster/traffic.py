"""What the estate's clients do: jobs for apps/load.py, as data. Numbers here are the whole load; they can be scaled."""

from typing import Any, TypeAlias

from tests.cluster import network

Job: TypeAlias = dict[str, Any]
A, AAAA = 1, 28
# A router says so to one address about once a second, after a burst of five.
UNREACHABLE_TOLD_AT_ONCE = 4
HOST_PORT_WITHOUT_LISTENER = 4444
UNOWNED_INSIDE = "10.10.2.250"
WHATEVER_A_SERVER_DOES = [
    ["GET", "/"],
    ["GET", "/cart/17"],
    ["POST", "/cart/18/lines"],
    ["PUT", "/cart/19"],
    ["DELETE", "/cart/20"],
    ["HEAD", "/cart/21"],
    ["GET", "/chunked/3"],
    ["HEAD", "/chunked/3"],
    ["GET", "/size/5000"],
    ["GET", "/empty"],
    ["GET", "/same"],
    ["GET", "/continue"],
    ["GET", "/early"],
    ["GET", "/bare"],
    ["GET", "/status/201"],
    ["GET", "/status/302"],
    ["GET", "/status/404?id=4711"],
    ["GET", "/status/429"],
    ["GET", "/status/500"],
    ["GET", "/status/503"],
    ["GET", "/status/600"],
    ["GET", "/delay/1"],
]
LOOKS_LIKE_A_REQUEST = "GET /wrong/body HTTP/1.1\r\nHost: wrong.example\r\n\r\n"


def requests(address: str, port: int, host: str, count: int, paths: list[list[str]], **more: Any) -> Job:
    fixed = {"kind": "requests", "address": address, "port": port, "host": host, "requests": count, "paths": paths}
    return {"connections": 8, **fixed, **more}


def unanswered(address: str, port: int, times: int) -> list[Job]:
    """Requests that get no answer, by who ends the connection."""
    base = {"kind": "unanswered", "address": address, "port": port, "host": "never", "times": times}
    return [
        {**base, "by": "client", "path": "/never"},
        {**base, "by": "server", "path": "/drop"},
        {**base, "by": "server", "path": "/reset"},
    ]


def failures(refused: tuple[str, int], refused_ipv6: tuple[str, int], host: str) -> list[Job]:
    """Connections that fail: reset is missing, since a SYN that is answered by a reset is a refused one."""

    def failed(address: str, port: int, times: int, **more: Any) -> Job:
        return {"kind": "failed", "address": address, "port": port, "times": times, **more}

    return [
        failed(*refused, 40),
        failed(*refused, 5, mapped=True),
        failed(*refused_ipv6, 20),
        failed(host, HOST_PORT_WITHOUT_LISTENER, 10),
        failed(network.SILENT_IPV4, 443, 12),
        failed(network.SILENT_IPV6, 443, 6),
        failed(network.SILENT_IPV4, 444, 7, patience=1.5),
        failed(network.SILENT_IPV4, 445, 9, patience=0.3),
        failed(network.UNREACHABLE_IPV4, 443, UNREACHABLE_TOLD_AT_ONCE),
        failed(UNOWNED_INSIDE, 8080, 3, patience=1.5),
    ]


def questions(names: list[list[Any]]) -> list[Job]:
    """DNS over UDP and TCP, answered in all ways and not at all."""
    base = {"kind": "dns", "address": network.RESOLVER_IPV4, "port": 53, "names": names}
    return [
        {**base, "times": 400},
        {**base, "times": 40, "transport": "tcp"},
        {**base, "times": 3, "names": [["silent.example", A]], "patience": 1},
    ]


def scaled(jobs: list[Job], share: float) -> list[Job]:
    """The same with a share of the requests; what is no mass stays whole."""
    return [{**job, "requests": max(1, int(job["requests"] * share))} if "requests" in job else job for job in jobs]
