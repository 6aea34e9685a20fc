"""The visitor's address: the connection's other end, unless a setting says how many proxies stand between."""

from __future__ import annotations

import ipaddress


def client_address(peer: str | None, forwarded_for: str | None, trusted_proxies: int) -> str:
    """peer: of the connection. forwarded_for: the X-Forwarded-For header, which anyone can send.

    Each trusted proxy has appended the address it saw, so with n proxies the n-th entry from the right is
    the visitor; whatever stands left of it the visitor may have made up.
    """
    hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
    if trusted_proxies < 1 or not hops:
        return _plain(peer or "")
    return _plain(hops[-min(trusted_proxies, len(hops))])


def network_of(address: str) -> str:
    """What a lockout counts by: of IPv6 the /64, which one visitor has to themselves and could wander through."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{parsed}/64", strict=False)) if parsed.version == 6 else address


def _plain(address: str) -> str:
    """IPv4 as IPv4, where a server that listens on both sees it as IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)[:64]
