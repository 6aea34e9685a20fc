"""Passwords: what may be one, its bcrypt hash, and the check at sign-in."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from lib.errors import Invalid

MINIMUM_CHARACTERS = 10
# bcrypt reads 72 bytes; more would be cut silently, so more is refused.
MAXIMUM_BYTES = 72
# The hash of a forgotten random password, at the cost the Hasher uses: checked where there is no such user, so that
# the answer takes as long as for a wrong password.
NOBODY = "$2b$12$THpk4.K4VIQOx.30D.mHvuMbSpnzB0r/sUzfJhBtpVFjpk7C0anlm"


def validate(password: str, username: str) -> None:
    """Raises Invalid with the rule that was broken. Length beats symbol rules: NIST SP 800-63B, 5.1.1."""
    if len(password) < MINIMUM_CHARACTERS:
        raise Invalid(
            f"A password takes at least {MINIMUM_CHARACTERS} characters; this one has {len(password)}. "
            "A few words will do."
        )
    if len(password.encode("utf-8", "replace")) > MAXIMUM_BYTES:
        raise Invalid(f"A password may be {MAXIMUM_BYTES} bytes long at most; shorten it.")
    if password != password.strip():
        raise Invalid("A password may not begin or end with a space; remove it.")
    if password.lower() == username.lower():
        raise Invalid("The password may not be the user name; choose another.")
    if len(set(password)) < 4:
        raise Invalid("The password repeats too few characters; choose one that is harder to guess.")


def hashed(password: str) -> str:
    return str(_hasher().hash(password))


def check(password: str, password_hash: str | None) -> bool:
    """Whether `password` is the one that was hashed, spaces around it aside.

    Takes the same time when there is no such user (`password_hash` None).
    """
    possible = bool(password_hash) and 0 < len(password.encode("utf-8", "replace")) <= MAXIMUM_BYTES
    try:
        matches = _hasher().check_pw(password.strip() if possible else "-", password_hash if possible else NOBODY)
    except ValueError:  # what is stored is no hash
        return False
    return bool(matches) and possible


@cache
def _hasher() -> Any:
    """streamlit-authenticator's Hasher by itself: the rest of the package brings captchas, images, cookies and web
    requests, 21 MB that nothing here uses."""
    package = importlib.util.find_spec("streamlit_authenticator")
    assert package is not None and package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "utilities" / "hasher.py"
    spec = importlib.util.spec_from_file_location("streamlit_authenticator_hasher", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Hasher
