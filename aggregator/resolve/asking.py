"""By which names a client asked for its server: Services whose addresses it used, or whose names DNS told it. Pure."""

from typing import Final, NamedTuple

from aggregator.records import Flow, Way
from aggregator.resolve.names import DnsMemory
from aggregator.resolve.objects import Service
from aggregator.resolve.services import Services
from aggregator.resolve.serving import Serving

_MARK: Final = "svc"
_SHORT: Final = 2  # labels: what a client in another namespace may write
_LONGEST_CHAIN: Final = 8


class ServiceName(NamedTuple):
    namespace: str
    name: str


def service_named(text: str) -> ServiceName | None:
    """By the form of a DNS name in lower case: a Service's own one, or that of a pod behind it, in any domain."""
    labels = text.split(".")
    at = next((at for at in range(len(labels) - 1, 1, -1) if labels[at] == _MARK), 0)
    return ServiceName(labels[at - 1], labels[at - 2]) if at else None


def outside_name(services: Services, text: str) -> str:
    """What a Service's name stands for that is but another name for something; every other name is itself."""
    for _ in range(_LONGEST_CHAIN):
        labels = text.split(".")
        key = ServiceName(labels[1], labels[0]) if len(labels) == _SHORT else service_named(text)
        service = services.named(*key) if key is not None else None
        if service is None or not service.external_name:
            break
        text = service.external_name.lower().rstrip(".")
    return text


class Asking:
    """Of one cluster's Services, and clients in it."""

    def __init__(self, services: Services, serving: Serving, dns: DnsMemory) -> None:
        self._services = services
        self._serving = serving
        self._dns = dns

    def ways(self, value: Flow, translated: str, node: int) -> tuple[Way, ...]:
        """`translated`: what it asked for as its addresses show it, "" where nothing was translated; `node`: who
        answers, -1 where that is nobody of ours."""
        address = value.asked_address if any(value.asked_address) else value.peer_address
        named, others = set(), 0
        for text in self._dns.names_of(value.endpoint, address):
            key = service_named(text)
            service = self._services.named(*key) if key is not None else None
            if service is not None and (service.external_name or self._is_direct(service, value, node)):
                named.add(f"{service.name}.{service.namespace}")
            elif service is None:
                others += 1
        if translated:
            named.discard(translated)
            return (Way(translated, False), *(Way(name, True) for name in sorted(named)))
        return tuple(Way(name, len(named) + others > 1) for name in sorted(named))

    def _is_direct(self, service: Service, value: Flow, node: int) -> bool:
        """Whether its name leads to the very addresses of those behind it, and the one asked for was among them."""
        if service.addresses:
            return False
        keys = self._services.in_front_of_backend(value.peer_address, service)
        return any(node < 0 or self._serving.has_led_to(key, value.transport, node) for key in keys)

    def addresses_of(self, renamed: set[tuple[str, str]]) -> set[bytes]:
        """That anybody was told for names of these Services."""
        texts = [text for text in self._dns.names() if service_named(text) in renamed] if renamed else []
        return {address for text in texts for address in self._dns.addresses_of(text)}
