"""Whose address it is: nobody's say-so, unless proxies are configured."""

from __future__ import annotations

import pytest

from lib.auth.address import client_address, network_of


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "expected"),
    [
        ("192.0.2.1", None, 0, "192.0.2.1"),
        ("192.0.2.1", "10.0.0.9", 0, "192.0.2.1"),
        ("192.0.2.1", "10.0.0.9", 1, "10.0.0.9"),
        ("192.0.2.1", "6.6.6.6, 10.0.0.9", 1, "10.0.0.9"),
        ("192.0.2.1", "6.6.6.6, 10.0.0.9, 172.16.0.1", 2, "10.0.0.9"),
        ("192.0.2.1", "10.0.0.9", 3, "10.0.0.9"),
        ("192.0.2.1", " , ", 1, "192.0.2.1"),
        (None, None, 0, ""),
        ("::ffff:192.0.2.1", None, 0, "192.0.2.1"),
        ("2001:DB8:0::1", None, 0, "2001:db8::1"),
        ("testclient", None, 0, "testclient"),
        ("192.0.2.1", "x" * 500, 1, "x" * 64),
    ],
)
def test_the_visitors_address(peer: str | None, forwarded: str | None, proxies: int, expected: str) -> None:
    assert client_address(peer, forwarded, proxies) == expected


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("", ""),
        ("x", "x"),
    ],
)
def test_a_lockout_counts_by_what_one_visitor_holds(address: str, network: str) -> None:
    assert network_of(address) == network
