"""The visitor's address: the connection's other end, unless a setting says how many proxies stand between."""

from __future__ import annotations


def client_address(peer: str | None, forwarded_for: str | None, trusted_proxies: int) -> str:
    """peer: of the connection. forwarded_for: the X-Forwarded-For header, which anyone can send.

    Each trusted proxy has appended the address it saw, so with n proxies the n-th entry from the right is
    the visitor; whatever stands left of it the visitor may have made up.
    """
    if trusted_proxies < 1 or not forwarded_for:
        return peer or ""
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    return hops[-min(trusted_proxies, len(hops))][:64] if hops else peer or ""
