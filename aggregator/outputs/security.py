"""Who may come in: certificates and tokens in files, read again when they change. Raises nothing after the start."""

import hmac
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aggregator.settings import ListenerSecurity

_SCHEME: Final = "Bearer "
NO_TOKEN: Final = "This listener wants a token; show it as `authorization: Bearer TOKEN` (--token-file)."  # noqa: S105


class Unusable(Exception):
    """A file that a listener needs cannot be read, or is not what it should be; one sentence."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM bytes; `authority` None: clients need no certificate."""

    certificate: bytes
    key: bytes
    authority: bytes | None


class Followed:
    """Files that are read as one value. A change that cannot be used is told, and the last good value holds."""

    def __init__(
        self, paths: tuple[Path, ...], check: Callable[[tuple[bytes, ...]], None], on_trouble: Callable[[str], None]
    ) -> None:
        """`check` raises Unusable for what cannot be used; so does this."""
        self._paths = paths
        self._check = check
        self._on_trouble = on_trouble
        self._signature = self._look()
        self.value = self._read()

    def changed(self) -> bool:
        """Looks at the files; True when `value` is another one than before."""
        try:
            signature = self._look()
            if signature == self._signature:
                return False
            value = self._read()
        except Unusable as trouble:
            self._on_trouble(str(trouble))
            return False
        self._signature = signature
        is_new, self.value = value != self.value, value
        return is_new

    def _read(self) -> tuple[bytes, ...]:
        value = tuple(_read(path) for path in self._paths)
        self._check(value)
        return value

    def _look(self) -> tuple[object, ...]:
        try:
            found = [path.stat() for path in self._paths]
        except OSError as error:
            raise Unusable(f"{error.filename} cannot be read ({error.strerror}).") from error
        return tuple((one.st_mtime_ns, one.st_ino, one.st_size) for one in found)


class Guard:
    """What one listener asks of those who come."""

    def __init__(self, security: ListenerSecurity, on_trouble: Callable[[str], None]) -> None:
        """Raises Unusable."""
        self._token = _token_file(security.token_file, on_trouble) if security.token_file else None
        self._files = _tls_files(security, on_trouble)
        self._has_authority = security.client_authority is not None

    def allows(self, authorization: str | None) -> bool:
        """Whether this value of an authorization header holds the token."""
        if self._token is None:
            return True
        self._token.changed()
        shown = (authorization or "").encode("utf-8", "replace")
        expected = _SCHEME.encode() + self._token.value[0].strip()
        return hmac.compare_digest(shown, expected)

    @property
    def tls(self) -> Tls | None:
        """As it was last read."""
        if self._files is None:
            return None
        certificate, key, *authority = self._files.value
        return Tls(certificate, key, authority[0] if self._has_authority else None)

    def tls_changed(self) -> bool:
        return self._files is not None and self._files.changed()


def server_context(security: ListenerSecurity) -> ssl.SSLContext:
    """Raises Unusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_into(context, security)
    return context


def load_into(context: ssl.SSLContext, security: ListenerSecurity) -> None:
    """Takes what the files hold now. Raises Unusable; `context` may be spoiled then: see `renew`."""
    assert security.certificate
    try:
        context.load_cert_chain(security.certificate, security.key)
        if security.client_authority:
            context.load_verify_locations(security.client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        sentence = (
            f"{security.certificate} and {security.key} make no TLS listener ({reason}); give PEM files that match."
        )
        raise Unusable(sentence) from error


def renew(context: ssl.SSLContext, security: ListenerSecurity) -> None:
    """As `load_into`, but a context that serves is left as it was when the files cannot be used."""
    server_context(security)
    load_into(context, security)


def _token_file(path: Path, on_trouble: Callable[[str], None]) -> Followed:
    def check(value: tuple[bytes, ...]) -> None:
        if not value[0].strip():
            raise Unusable(f"{path} is empty; write a token into it.")

    return Followed((path,), check, on_trouble)


def _tls_files(security: ListenerSecurity, on_trouble: Callable[[str], None]) -> Followed | None:
    if not (security.certificate and security.key):
        return None

    def check(_: tuple[bytes, ...]) -> None:
        # gRPC's own complaint about a bad certificate comes late and says nothing.
        server_context(security)

    authority = (security.client_authority,) if security.client_authority else ()
    return Followed((security.certificate, security.key, *authority), check, on_trouble)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unusable(f"{path} cannot be read ({error.strerror}).") from error
