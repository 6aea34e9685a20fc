"""Passwords: the rules for a new one, and a check that tells a stranger nothing."""

from __future__ import annotations

import bcrypt
import pytest

from lib.auth import passwords
from lib.errors import Invalid

GOOD = "correct horse battery"


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("short", "at least 10"),
        ("x" * 73, "72 bytes"),
        ("ä" * 40, "72 bytes"),
        (" leading space", "space"),
        ("trailing space ", "space"),
        ("Annabel.lee", "user name"),
        ("aaaaaaaaaaaa", "too few"),
    ],
)
def test_a_weak_password_is_refused_with_the_rule_it_broke(password: str, word: str) -> None:
    with pytest.raises(Invalid, match=word) as caught:
        passwords.validate(password, "annabel.lee")
    assert password.strip() not in caught.value.message or password.lower() == "annabel.lee"


@pytest.mark.parametrize("password", [GOOD, "x1y2z3" * 12, "пароль-длинный", "emoji 🐎🔋 stapled"])
def test_a_password_matches_its_hash_and_nothing_else_does(password: str) -> None:
    passwords.validate(password, "ann")
    stored = passwords.hashed(password)
    assert passwords.check(password, stored)
    assert not passwords.check(password[:-1], stored)
    assert not passwords.check(password + "x", stored)


@pytest.mark.parametrize(
    ("password", "stored"),
    [(GOOD, "real"), ("wrong password", "real"), (GOOD, None), (GOOD, ""), ("x" * 100, "real"), ("", "real")],
)
def test_each_check_costs_one_hash_of_equal_strength_whoever_is_asked_for(
    password: str, stored: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = passwords.hashed(GOOD)
    asked: list[bytes] = []
    original = bcrypt.checkpw

    def counting(given: bytes, against: bytes) -> bool:
        asked.append(against)
        return original(given, against)

    monkeypatch.setattr(bcrypt, "checkpw", counting)
    matches = passwords.check(password, real if stored == "real" else stored)
    assert matches is (password == GOOD and stored == "real")
    assert [against[:7] for against in asked] == [real.encode()[:7]]  # the algorithm and its cost


def test_nobodys_password_opens_nothing() -> None:
    # What the dummy stands for is known to whoever reads this file; it must not be a way in.
    assert not passwords.check("x", None)
    assert bcrypt.checkpw(b"x", passwords.NOBODY.encode())
