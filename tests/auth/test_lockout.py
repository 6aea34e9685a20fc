"""Guessing is slow: by account, by address, for a while."""

from __future__ import annotations

import threading

import pytest

from lib.auth.lockout import Lockout
from lib.db.database import Database
from lib.errors import TooMany
from tests.conftest import FakeClock


@pytest.fixture
def lockout(database: Database, clock: FakeClock) -> Lockout:
    return Lockout(database, clock, failures=5, minutes=5)


def _fail(lockout: Lockout, times: int, username: str = "ann", address: str = "10.0.0.1") -> None:
    for _ in range(times):
        lockout.attempt(username, address)


def test_the_sixth_attempt_waits_and_is_told_how_long(lockout: Lockout, clock: FakeClock) -> None:
    _fail(lockout, 5)
    clock.advance(seconds=48)
    with pytest.raises(TooMany, match="in 4 min 12 s, at 12:05:00 UTC") as caught:
        lockout.attempt("ann", "10.0.0.1")
    assert caught.value.values["retry_after_s"] == 252


def test_an_account_is_locked_from_every_address(lockout: Lockout) -> None:
    for host in range(5):
        lockout.attempt("ann", f"10.0.0.{host}")
    with pytest.raises(TooMany):
        lockout.attempt("ann", "192.0.2.7")
    lockout.attempt("ben", "192.0.2.7")


def test_an_address_is_locked_for_every_account(lockout: Lockout) -> None:
    for name in range(5):
        lockout.attempt(f"user{name}", "10.0.0.1")
    with pytest.raises(TooMany):
        lockout.attempt("somebody else", "10.0.0.1")
    lockout.attempt("somebody else", "10.0.0.2")


def test_a_lockout_expires_and_attempts_while_locked_do_not_prolong_it(lockout: Lockout, clock: FakeClock) -> None:
    _fail(lockout, 5)
    for _ in range(4):
        clock.advance(minutes=1)
        with pytest.raises(TooMany):
            lockout.attempt("ann", "10.0.0.1")
    clock.advance(minutes=1)
    _fail(lockout, 5)
    with pytest.raises(TooMany):
        lockout.attempt("ann", "10.0.0.1")


def test_slow_failures_do_not_add_up(lockout: Lockout, clock: FakeClock) -> None:
    for _ in range(12):
        lockout.attempt("ann", "10.0.0.1")
        clock.advance(minutes=2)


def test_a_success_forgets_what_one_mistyped(lockout: Lockout) -> None:
    _fail(lockout, 4)
    lockout.succeeded(lockout.attempt("ann", "10.0.0.1"), "ann", "10.0.0.1")
    _fail(lockout, 5)
    with pytest.raises(TooMany):
        lockout.attempt("ann", "10.0.0.1")


def test_ones_own_success_does_not_unlock_guessing_at_others(lockout: Lockout) -> None:
    _fail(lockout, 4, username="victim", address="10.6.6.6")
    lockout.succeeded(lockout.attempt("mallory", "10.6.6.6"), "mallory", "10.6.6.6")
    _fail(lockout, 1, username="victim", address="10.6.6.6")
    with pytest.raises(TooMany):
        lockout.attempt("victim", "10.6.6.6")


def test_many_at_once_get_no_more_guesses_than_one_by_one(lockout: Lockout) -> None:
    gate = threading.Barrier(12)
    outcomes: list[str] = []

    def guess() -> None:
        gate.wait()
        try:
            lockout.attempt("ann", "10.0.0.1")
            outcomes.append("checked")
        except TooMany:
            outcomes.append("locked")

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["checked"] * 5 + ["locked"] * 7


def test_release_lifts_it(lockout: Lockout) -> None:
    for host in range(5):
        lockout.attempt("ann", f"10.0.0.{host}")
    assert lockout.release("ann") == 5
    lockout.attempt("ann", "10.0.0.9")


def test_without_an_address_only_the_account_counts(lockout: Lockout) -> None:
    for name in range(9):
        lockout.attempt(f"user{name}", "")
