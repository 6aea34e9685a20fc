"""Secrets that must be readable again, such as a source's password, encrypted where they rest."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from pathlib import Path

from lib.errors import Invalid, Unavailable

MINIMUM_KEY_CHARACTERS = 16


class Vault:
    """Seals with a key kept apart from the database: a file only its owner can read, or a setting."""

    def __init__(self, data_dir: Path, secret_key: str = "") -> None:
        self.path = data_dir / "secret.key"
        self._secret_key = secret_key
        if secret_key and len(secret_key) < MINIMUM_KEY_CHARACTERS:
            raise Invalid(
                f"AUTOOPS_SECRET_KEY has {len(secret_key)} characters; "
                f"give it at least {MINIMUM_KEY_CHARACTERS} random ones."
            )

    def seal(self, secret: str) -> str:
        """Printable text to store. Empty stays empty: no secret."""
        if not secret:
            return ""
        from cryptography.fernet import Fernet

        return Fernet(self._key()).encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """Raises Unavailable when the key is not the one it was sealed with."""
        if not sealed:
            return ""
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return Fernet(self._key()).decrypt(sealed.encode()).decode()
        except InvalidToken:
            place = "AUTOOPS_SECRET_KEY" if self._secret_key else self.path
            raise Unavailable(
                f"A stored secret does not open with the key in {place}; "
                "enter the secret again, or bring back the key it was stored with."
            ) from None

    def _key(self) -> bytes:
        if self._secret_key:
            return base64.urlsafe_b64encode(hashlib.sha256(self._secret_key.encode()).digest())
        try:
            return self._file_key()
        except OSError as error:
            raise Unavailable(
                f"The key for stored secrets, {self.path}, cannot be read or made ({error.strerror}); "
                "make the directory writable or set AUTOOPS_SECRET_KEY."
            ) from error

    def _file_key(self) -> bytes:
        if not self.path.exists():
            from cryptography.fernet import Fernet

            # Written aside and linked: whoever is second keeps the first one's key, and no one sees half a key.
            aside = self.path.with_suffix(f".{secrets.token_hex(8)}.new")
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(Fernet.generate_key())
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(aside, self.path)
            except FileExistsError:
                pass
            finally:
                aside.unlink()
        key = self.path.read_bytes().strip()
        if len(key) != 44:
            raise Unavailable(
                f"{self.path} does not hold a key; bring back the one that was there, "
                "or remove it and enter the secrets again."
            )
        return key
