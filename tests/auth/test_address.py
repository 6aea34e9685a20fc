"""Whose address it is: nobody's say-so, unless proxies are configured."""

from __future__ import annotations

import pytest

from lib.auth.address import client_address


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
    ],
)
def test_the_visitors_address(peer: str | None, forwarded: str | None, proxies: int, expected: str) -> None:
    assert client_address(peer, forwarded, proxies) == expected
