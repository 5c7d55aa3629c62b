"""Who may deliver: whoever shows a token, through the proxy that is named, if one is."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from etl_telemetry.catalogue import ERROR_TYPE, SCOPE
from etl_telemetry.config import Config
from etl_telemetry.config.several import BEARER_TOKEN, UNIX_SOCKET

UNCONFIGURED = (
    "no token is configured: set ETL_TELEMETRY_ALERT_TOKENS_FILE to a file that can be read, with "
    "one token a line, or ETL_TELEMETRY_ALERT_TOKENS"
)
UNKNOWN_SENDER = "the header Authorization must be 'Bearer' and a valid token"
WRONG_PROXY = "the request did not come through a proxy of ALERT_PROXIES"
WRONG_CERTIFICATE = "the proxy did not confirm the client certificate"

_log = logging.getLogger(SCOPE)


class TokenFile:
    """Tokens in a file, read again when it changes.

    Where it cannot be read none of its tokens is valid: a token that was taken away must not go
    on opening the door.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = ()
        self._digests: tuple[bytes, ...] = ()

    def digests(self) -> tuple[bytes, ...]:
        """Return the digests of its tokens now."""
        with self._lock:
            try:
                found = os.stat(self._path)  # noqa: PTH116 - Path.stat is the same and slower
                seen = (found.st_mtime_ns, found.st_size, found.st_ino)
                if seen != self._seen:
                    self._digests = tuple(map(_digest, read_tokens(self._path)[0]))
                    self._seen = seen
            except (OSError, ValueError) as error:
                if self._seen is not None:  # Said once for each time that it went wrong.
                    extra = {ERROR_TYPE: type(error).__name__}
                    _log.warning("alert_tokens_unreadable", extra=extra)
                self._seen, self._digests = None, ()
            return self._digests


def read_tokens(path: Path) -> tuple[list[str], list[int]]:
    """Return the tokens of a file, and the numbers of the lines that hold none.

    Empty lines and those that begin with `#` are passed over.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not text.
    """
    tokens, wrong = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        word = line.strip()
        if BEARER_TOKEN.fullmatch(word):
            tokens.append(word)
        elif word and not word.startswith("#"):
            wrong.append(number)
    return tokens, wrong


class Access:
    """The rules of this process, made once."""

    def __init__(self, config: Config) -> None:
        self._digests = tuple(map(_digest, config.alert_tokens))
        self._file = TokenFile(config.alert_tokens_file) if config.alert_tokens_file else None
        self._headers = {
            f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in config.alert_client_headers.items()
        }
        self._proxies = Proxies(config.alert_proxies)

    def refusal(self, meta: Mapping[str, object]) -> str | None:
        """Return why a request is refused, by its `META`; None where it is welcome."""
        digests = self._digests + (self._file.digests() if self._file else ())
        if not digests:
            return UNCONFIGURED
        scheme, _, token = str(meta.get("HTTP_AUTHORIZATION", "")).partition(" ")
        given = _digest(token.strip())
        # All are compared, so that the time tells nothing; of digests, so that no length does.
        right = [compare_digest(given, digest) for digest in digests]
        if scheme.lower() != "bearer" or not any(right):
            return UNKNOWN_SENDER
        if not self._headers:
            return None
        if str(meta.get("REMOTE_ADDR", "")) not in self._proxies:
            return WRONG_PROXY
        told = [
            compare_digest(_digest(str(meta.get(name, ""))), _digest(value))
            for name, value in self._headers.items()
        ]
        return None if all(told) else WRONG_CERTIFICATE


class Proxies:
    """Addresses that are known.

    >>> "10.1.2.3" in Proxies(["10.0.0.0/8"]), "" in Proxies(["unix"]), "?" in Proxies(["::/0"])
    (True, True, False)
    """

    __slots__ = ("_networks", "_unix")

    def __init__(self, networks: tuple[str, ...] | list[str]) -> None:
        self._unix = UNIX_SOCKET in networks
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(item) for item in networks if item != UNIX_SOCKET
        ]

    def __contains__(self, address: str) -> bool:
        if not address:  # How servers name the peer on a Unix socket.
            return self._unix
        try:
            peer = ip_address(address)
        except ValueError:
            return False
        # A socket for both versions names a peer of version 4 as ::ffff:10.1.2.3.
        mapped = getattr(peer, "ipv4_mapped", None) or peer
        return any(mapped in network for network in self._networks)


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()
