"""Which hosts a text means."""

from __future__ import annotations

import pytest

from lib.chat.masked import Masked
from lib.chat.naming import named_hosts

KNOWN = ["api-01", "db-01", "db-02", "web-01", "web-02", "web-03"]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("cpu of web 1 and db-01s", ["db-01", "web-01"]),
        ("load on the web servers except web-02", ["web-01", "web-03"]),
        ("cpu without web-01", ["api-01", "db-01", "db-02", "web-02", "web-03"]),
        ("memory of database servers", ["db-01", "db-02"]),
        ("load web-*", ["web-01", "web-02", "web-03"]),
        ("load on db 2 hours ago", []),
        ("since the deploy of web 4.1", []),
        ("without data", []),
    ],
)
def test_hosts_are_found_one_by_one_in_groups_and_by_exception(text: str, hosts: list[str]) -> None:
    assert list(named_hosts(Masked(text), KNOWN)) == hosts


def test_which_host_of_a_group_still_asks_for_a_host() -> None:
    masked = Masked("which web server is slowest")
    named_hosts(masked, KNOWN)
    assert "which server" in masked.text
