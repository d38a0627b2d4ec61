"""From where somebody asks: the address of the other side, or what a proxy that we trust says of it."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from fastapi import Request

from masterflow.status.settings import StatusSettings

Address = IPv4Address | IPv6Address

# Who has one IPv6 address has as many as a network of this length holds.
_IPV6_PREFIX: Final = 64

_UNKNOWN: Final = "unknown"


def client_address(request: Request, settings: StatusSettings) -> str:
    """Return who asks, as far as limits tell people apart: an IPv4 address, or a network of IPv6."""
    address = _peer(request)
    if address is None:
        return request.client.host[:100] if request.client else _UNKNOWN
    if _is_trusted(address, settings.trusted_proxies):
        # The last one was written by the proxy next to us, and whoever asks may have written the first.
        names = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        for name in reversed(names):
            forwarded = _parsed(name.strip())
            if forwarded is None:
                break
            address = forwarded
            if not _is_trusted(address, settings.trusted_proxies):
                break
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)


def is_on_tls(request: Request, settings: StatusSettings) -> bool:
    """Return whether the browser's connection is encrypted, also if it ends at a proxy that we trust."""
    address = _peer(request)
    if address is not None and _is_trusted(address, settings.trusted_proxies):
        told = request.headers.get("x-forwarded-proto", request.url.scheme)
        return told.rpartition(",")[2].strip() == "https"
    return request.url.scheme == "https"


def _peer(request: Request) -> Address | None:
    return _parsed(request.client.host) if request.client else None


def _parsed(text: str) -> Address | None:
    # Proxies write a port behind some addresses.
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


@lru_cache(maxsize=1_000)
def _is_trusted(address: Address, proxies: str) -> bool:
    networks = filter(None, (proxy.strip() for proxy in proxies.split(",")))
    return any(address in ip_network(network, strict=False) for network in networks)
