"""Passwords: what may be one, its bcrypt hash, and the check at sign-in."""

from __future__ import annotations

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
    from streamlit_authenticator import Hasher

    return str(Hasher.hash(password))


def check(username: str, password: str, password_hash: str | None) -> bool:
    """Whether `password` is the user's. Takes the same time when there is no such user (`password_hash` None)."""
    from streamlit_authenticator.controllers.authentication_controller import AuthenticationController

    possible = bool(password_hash) and 0 < len(password.encode("utf-8", "replace")) <= MAXIMUM_BYTES
    credentials = {"usernames": {username: {"password": password_hash if possible else NOBODY, "name": username}}}
    matches = AuthenticationController(credentials, auto_hash=False).login(username, password if possible else "-")
    return bool(matches) and possible
