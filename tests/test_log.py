"""Credentials are taken out of whatever is logged or sent; ordinary words are not."""

from __future__ import annotations

import pytest

from lib.log import redact, redacted

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("login with password=hunter2hunter2 failed", "hunter2"),
        ("the password is hunter2 and works", "hunter2"),
        ('{"password": "correct horse"}', "correct"),
        ("passwd: s3cret!", "s3cret"),
        ("Authorization: Bearer abcdefghij", "abcdefghij"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("api_key=0123abcd", "0123abcd"),
        ("X-API-Key: 0123abcd", "0123abcd"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalr"),
        ("client_secret='abcdef'", "abcdef"),
        ("token: Bearer abcdefghij", "abcdefghij"),
        ("GET /v1beta/models?key=abcdefgh&alt=sse", "abcdefgh"),
        ("postgres://app:pa55@db/x", "pa55"),
        ("redis://:pa55word@cache:6379", "pa55word"),
        ("key sk-abcdefghijkl", "abcdefghijkl"),
        ("id AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7"),
        ("push with ghp_abcdefghijklmnopqrstuvwxyz0123", "abcdefghijkl"),
        (f"cookie {JWT}", "eyJhbGci"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----\nrest", "MIIEow"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEow", "MIIEow"),
    ],
)
def test_credentials_are_taken_out(text: str, secret: str) -> None:
    assert secret in text and secret not in redact(text) and "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "give me basic statistics of load on web-03",
        "Basic Authentication is off",
        "what is the token rate on web-03?",
        "kube_secret_info and vault_token_count_total",
        "password policy changed at noon",
        "bearer of bad news",
        "the passwords page, the token bucket",
        "https://example.org/a?b=c",
        "risk-assessment of task-runners",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert redact(text) == text


def test_what_stands_under_a_telling_name_is_taken_out_of_any_nesting() -> None:
    given = {"rows": [{"db_password": "horse", "token": "abc", "tokens": 5, "host": "web-01"}], "note": "pwd=abcdef"}
    assert redacted(given) == {
        "rows": [{"db_password": "***", "token": "***", "tokens": 5, "host": "web-01"}],
        "note": "pwd=***",
    }
