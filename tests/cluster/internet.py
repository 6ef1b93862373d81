"""The internet as services meet it: sites of any names at a few addresses, and some that are each bad in its own way.

    internet = Internet(cluster, {"api.pay.example": "203.0.113.101"})
    shop.run("curl", ["curl", "--cacert", internet.certificate, "https://api.pay.example/"])
    internet.met()      # {"api.pay.example": 1}

Sites are one nginx, on ports 80 and 443 of their addresses; DNS says where they are. FAULTS are always there.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.certificates import EXPIRED, Authority
from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.network import SILENT_IPV4, is_ipv6
from tests.cluster.processes import PYTHON, Program

PROXY_PORT = 3128
# What is slow takes as long.
SLOW_SECONDS = 0.4
NOBODY_LISTENS, SLOW_AT, FAULTS_AT = "203.0.113.110", "203.0.113.111", "203.0.113.112"
# Each bad in a way of its own, and where to call it.
REFUSED, BLACK_HOLE = "refused.example", "black-hole.example"
SLOW_HANDSHAKE, SLOW_ANSWER, SLOW_BODY = "slow-handshake.example", "slow-answer.example", "slow-body.example"
EXPIRED_SINCE, WRONG_NAME, UNTRUSTED = "expired.example", "wrong-name.example", "untrusted.example"
BUSY, NXDOMAIN, SERVFAIL = "busy.example", "nxdomain.example", "servfail.example"
FAULTS = {
    REFUSED: f"https://{REFUSED}/",
    BLACK_HOLE: f"https://{BLACK_HOLE}/",
    SLOW_HANDSHAKE: f"https://{SLOW_HANDSHAKE}/",
    SLOW_ANSWER: f"http://{SLOW_ANSWER}/slow",
    SLOW_BODY: f"http://{SLOW_BODY}/drip",
    EXPIRED_SINCE: f"https://{EXPIRED_SINCE}/",
    WRONG_NAME: f"https://{WRONG_NAME}/",
    UNTRUSTED: f"https://{UNTRUSTED}/",
    BUSY: f"http://{BUSY}/busy",
    NXDOMAIN: f"https://{NXDOMAIN}/",
    SERVFAIL: f"https://{SERVFAIL}/",
}
_AT = {REFUSED: NOBODY_LISTENS, BLACK_HOLE: SILENT_IPV4}
_AT |= dict.fromkeys((SLOW_HANDSHAKE, SLOW_ANSWER, SLOW_BODY), SLOW_AT)
_AT |= dict.fromkeys((EXPIRED_SINCE, WRONG_NAME, UNTRUSTED, BUSY, NXDOMAIN, SERVFAIL), FAULTS_AT)
_NO_SUCH_NAME, _SERVER_FAILURE = 3, 2


class Internet:
    """A context is the cluster's. `sites`: the address of each name; aliases are published by who wants them."""

    def __init__(self, cluster: Cluster, sites: Mapping[str, str]) -> None:
        self.cluster, self._directory = cluster, cluster.directory
        self.sites = dict(sites)
        self._sign()
        self._serve()
        places = {**sites, **_AT}
        cluster.publish({name: {_kind(address): [address]} for name, address in places.items()})

    def lose_names(self) -> None:
        """From now on there is no NXDOMAIN, and nobody tells where SERVFAIL is. Both were well before."""
        self.cluster.publish({NXDOMAIN: {"rcode": _NO_SUCH_NAME}, SERVFAIL: {"rcode": _SERVER_FAILURE}})

    @property
    def certificate(self) -> Path:
        """Of whom clients trust."""
        return self._authority.certificate

    def met(self) -> Counter[str]:
        """Names in hellos that ended in a request. Not by what it took for HTTP without one."""
        return Counter(line.lower() for line in self._log("tls.log") if line != "-")

    def asked(self) -> Counter[str]:
        """Hosts that were asked for in clear text."""
        return Counter(line.split()[0].lower() for line in self._log("plain.log"))

    def _log(self, name: str) -> list[str]:
        return (self._directory / name).read_text().splitlines()

    def _sign(self) -> None:
        self._authority = Authority(self._directory)
        self._authority.sign("good", [*self.sites, SLOW_HANDSHAKE, NXDOMAIN, SERVFAIL])
        self._authority.sign("expired", [EXPIRED_SINCE], days=EXPIRED)
        self._authority.sign("other", ["other.example"])
        Authority(self._directory, "stranger").sign("untrusted", [UNTRUSTED])

    def _serve(self) -> None:
        addresses = sorted({*self.sites.values(), FAULTS_AT})
        places = [f"[{one}]" if is_ipv6(one) else one for one in addresses]
        listens = {
            "TLS": " ".join(f"listen {one}:443 ssl;" for one in places),
            "PLAIN": " ".join(f"listen {one}:80;" for one in places),
        }
        everybody = self.cluster.outsider("sites", addresses)
        command = ["nginx", "-e", "stderr", "-c", filled("internet.conf", self._directory, **listens)]
        everybody.start("nginx", command, listens=[f"{one}:443" for one in places])
        slow = self.cluster.outsider("slow", [SLOW_AT, NOBODY_LISTENS])
        pair = [self._directory / "good.pem", self._directory / "good.key"]
        moody = [PYTHON, APPS / "moody.py", *pair, SLOW_SECONDS, SLOW_AT]
        slow.start("moody", moody, listens=[f"{SLOW_AT}:443", f"{SLOW_AT}:80"])


def filled(name: str, directory: Path, **more: str) -> Path:
    """A configuration of apps/ with its words filled in."""
    text = (APPS / name).read_text()
    for word, value in {"DIRECTORY": str(directory), **more}.items():
        text = text.replace(f"@{word}@", value)
    made = directory / name
    made.write_text(text)
    return made


def start_proxy(workload: Workload, directory: Path, refused: str = "^nobody$") -> Program:
    """A forward proxy, which tunnels to 443 alone and refuses names of that pattern. At `proxy_url`."""
    (directory / "refused").write_text(f"{refused}\n")
    written = filled("tinyproxy.conf", directory, LISTEN=workload.ipv4)
    return workload.start("proxy", ["tinyproxy", "-d", "-c", written], listens=[f"0.0.0.0:{PROXY_PORT}"])


def by_proxy(workload: Workload) -> dict[str, str]:
    """The environment of those who ask the proxy in that workload."""
    address = f"http://{workload.ipv4}:{PROXY_PORT}"
    return {"HTTPS_PROXY": address, "http_proxy": address, "NO_PROXY": "", "no_proxy": ""}


def _kind(address: str) -> str:
    return "AAAA" if is_ipv6(address) else "A"
