"""Secrets at rest: unreadable without the key, the key readable by its owner only."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lib.auth.vault import Vault
from lib.errors import Invalid, Unavailable


def test_what_was_sealed_opens_again_after_a_restart(tmp_path: Path) -> None:
    sealed = Vault(tmp_path).seal("geheim äöü")
    assert "geheim" not in sealed
    assert Vault(tmp_path).open(sealed) == "geheim äöü"
    assert Vault(tmp_path).seal("geheim äöü") != sealed


def test_no_secret_needs_no_key(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    assert vault.open(vault.seal("")) == ""
    assert not vault.path.exists()


def test_the_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    vault.seal("x")
    assert vault.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_setting_takes_the_place_of_the_file(tmp_path: Path) -> None:
    vault = Vault(tmp_path, "a long random passphrase")
    assert Vault(tmp_path, "a long random passphrase").open(vault.seal("geheim")) == "geheim"
    assert not vault.path.exists()
    with pytest.raises(Unavailable, match="AUTOOPS_SECRET_KEY"):
        Vault(tmp_path, "another long passphrase").open(vault.seal("geheim"))


def test_a_short_key_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="has 5 characters") as caught:
        Vault(tmp_path, "kurz!")
    assert "kurz!" not in caught.value.message


def test_a_changed_secret_or_key_is_said(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    sealed = vault.seal("geheim")
    with pytest.raises(Unavailable, match="secret.key"):
        vault.open(sealed[:-4] + "AAA=")
    vault.path.write_text("broken")
    with pytest.raises(Unavailable, match="does not hold a key"):
        vault.open(sealed)


def test_threads_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    gate = threading.Barrier(6)
    sealed: list[str] = []

    def seal() -> None:
        gate.wait()
        sealed.append(Vault(tmp_path).seal("geheim"))

    threads = [threading.Thread(target=seal) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [Vault(tmp_path).open(one) for one in sealed] == ["geheim"] * 6
