"""Who sent a request: the address, behind proxies that were named, and the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.http import HttpRequest

_MAX_AGENT = 512
_SOCKET = "unix"


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies whose `X-Forwarded-For` is believed."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Their addresses."""
    socket: bool = False
    """Whether who comes through the server's Unix socket, and so without address, is one."""

    @classmethod
    def of(cls, names: Sequence[str]) -> Proxies:
        """Return those that `Config.audit_proxies` names.

        >>> Proxies.of(["10.0.0.0/8", "unix"]).socket
        True
        """
        networks = tuple(ip_network(name, strict=False) for name in names if name != _SOCKET)
        return cls(networks, _SOCKET in names)

    def believes(self, address: IPv4Address | IPv6Address | None) -> bool:
        """Tell whether what this peer says of the one before it is believed."""
        if address is None:
            return self.socket
        return any(address in network for network in self.networks)


def client(request: HttpRequest | None, proxies: Proxies) -> dict[str, str]:
    """Return `ip_address` and `user_agent` of who sent a request, as far as they are known.

    `X-Forwarded-For` is read from the right: what stands before the first address that is no
    named proxy, anybody can have written.

    >>> client(None, Proxies())
    {}
    """
    if request is None:
        return {}
    address = _address(request, proxies)
    agent = str(request.META.get("HTTP_USER_AGENT", ""))[:_MAX_AGENT]
    told = {"ip_address": "" if address is None else str(address), "user_agent": agent}
    return {name: text for name, text in told.items() if text}


def _address(request: HttpRequest, proxies: Proxies) -> IPv4Address | IPv6Address | None:
    found = _read(str(request.META.get("REMOTE_ADDR", "")))
    for hop in reversed(str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")):
        before = _read(hop)
        if before is None or not proxies.believes(found):
            break
        found = before
    return found


def _read(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address without port and brackets; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
