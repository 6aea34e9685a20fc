"""Sources and targets as rows: what a person may enter, how secrets are kept, and what a source opens as."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from lib.auth.vault import Vault
from lib.db.database import Database
from lib.db.tables import Detector, Source, SourceKind, Target, Task
from lib.errors import Conflict, Invalid, NotFound
from lib.prometheus.guard import Guard
from lib.settings import Settings

# Kinds that are asked over the network: they have a URL, perhaps a secret, and are nobody's demo.
REMOTE = (SourceKind.PROMETHEUS, SourceKind.SCRAPE)
METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LONGEST_INTERVAL_S = 3600.0


class Auth(StrEnum):
    """How a source is signed in to."""

    NONE = "none"
    BASIC = "basic"  # user and password
    BEARER = "bearer"  # a token


@dataclass(frozen=True)
class SourceDraft:
    """What a person fills in. secret None: keep the stored one (only while the server stays the same)."""

    name: str
    url: str = ""
    kind: SourceKind = SourceKind.PROMETHEUS
    auth: Auth = Auth.NONE
    username: str = ""
    secret: str | None = field(default=None, repr=False)
    tenant_header: str = "X-Scope-OrgID"
    tenant: str = ""
    ca_file: str = ""
    verify_tls: bool = True
    interval_s: float = 15.0


class Sources:
    """Rows in, rows out. Rights and the audit log are the service's business."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self.vault = Vault(settings.data_dir, settings.secret_key.get_secret_value())
        schemes = {s.strip().lower() for s in settings.source_schemes.split(",") if s.strip()}
        self.guard = Guard(frozenset(schemes), settings.allow_link_local)

    # --- reading ------------------------------------------------------------------------------

    def all(self) -> list[Source]:
        with self.database.session() as session:
            return list(session.exec(select(Source).order_by(col(Source.id))).all())

    def get(self, source_id: int) -> Source:
        with self.database.session() as session:
            return _source(session, source_id)

    def exists(self, source_id: int, since: datetime | None = None) -> bool:
        """since: when it was made, to tell it from a later source that was given its number."""
        with self.database.session() as session:
            source = session.get(Source, source_id)
        return source is not None and (since is None or source.created_at == since)

    def targets(self, source_id: int | None = None) -> list[Target]:
        query = select(Target).order_by(col(Target.source_id), col(Target.name))
        if source_id is not None:
            query = query.where(Target.source_id == source_id)
        with self.database.session() as session:
            return list(session.exec(query).all())

    def tasks(self, source_id: int, kind: str) -> list[Task]:
        """The newest tasks of a kind that are about this source, newest first."""
        query = select(Task).where(Task.kind == kind).order_by(col(Task.id).desc()).limit(200)
        with self.database.session() as session:
            return [t for t in session.exec(query).all() if t.params.get("source_id") == source_id]

    def draft_of(self, source: Source) -> SourceDraft:
        """The form as it would be filled in; without the secret, which is never shown again."""
        return SourceDraft(
            name=source.name,
            url=source.url,
            kind=SourceKind(source.kind),
            auth=Auth(source.auth),
            username=source.username,
            tenant_header=source.tenant_header,
            tenant=source.tenant,
            ca_file=source.ca_file,
            verify_tls=source.verify_tls,
            interval_s=source.interval_s,
        )

    def secret_for(self, draft: SourceDraft, stored: Source | None) -> str:
        """The secret a draft means, in the clear. Raises Invalid when it would travel to another server than the one
        it was entered for: whoever may edit a source could have it sent to themselves."""
        if draft.auth is Auth.NONE:
            return ""
        if draft.secret is not None:
            return draft.secret
        if stored is None or not stored.secret:
            return ""
        same_server = _origin(stored.url) == _origin(draft.url) and stored.verify_tls == draft.verify_tls
        if not same_server or stored.ca_file != draft.ca_file or stored.auth != draft.auth:
            raise Invalid(
                "The server, its TLS options or the authentication changed: enter the password or token again."
            )
        return self.vault.open(stored.secret)

    # --- writing ------------------------------------------------------------------------------

    def add(self, draft: SourceDraft) -> Source:
        draft = self.checked(draft)
        source = Source(name=draft.name, kind=draft.kind)
        self._fill(source, draft, self.vault.seal(self.secret_for(draft, None)))
        with _named_once(draft.name), self.database.session() as session:
            session.add(source)
            session.flush()
        return source

    def update(self, source_id: int, draft: SourceDraft) -> Source:
        draft = self.checked(draft)
        with _named_once(draft.name), self.database.session() as session:
            source = _source(session, source_id)
            if source.kind != draft.kind:
                raise Invalid(f"{source.name} is a {source.kind} source and stays one; add another source instead.")
            self._fill(source, draft, self.vault.seal(self.secret_for(draft, source)))
            session.add(source)
        return source

    def enable(self, source_id: int, enabled: bool) -> Source:
        with self.database.session() as session:
            source = _source(session, source_id)
            source.enabled = enabled
            session.add(source)
        return source

    def remove(self, source_id: int) -> Source:
        """The row, its targets and its detectors: SQLite gives a freed number to the next source, which must not
        inherit them."""
        with self.database.session() as session:
            source = _source(session, source_id)
            session.exec(delete(Target).where(col(Target.source_id) == source_id))
            session.exec(delete(Detector).where(col(Detector.source_id) == source_id))
            session.delete(source)
        return source

    def add_targets(self, source_id: int, targets: list[Target]) -> list[Target]:
        """Those that are there already are left as they are."""
        with self.database.session() as session:
            _source(session, source_id)
            known = set(session.exec(select(Target.name).where(Target.source_id == source_id)).all())
            new = [t for t in targets if t.name not in known]
            session.add_all(new)
            session.flush()
        return new

    def remove_target(self, target_id: int) -> Target:
        with self.database.session() as session:
            target = _target(session, target_id)
            session.delete(target)
        return target

    def enable_target(self, target_id: int, enabled: bool) -> Target:
        with self.database.session() as session:
            target = _target(session, target_id)
            target.enabled = enabled
            session.add(target)
        return target

    def checked(self, draft: SourceDraft) -> SourceDraft:
        """The draft with blanks trimmed and the URL as it will be used. Raises Invalid or UrlRefused."""
        name = " ".join(draft.name.split())
        if not name or len(name) > 64 or not name.isprintable():
            raise Invalid("Give the source a name of 1 to 64 characters.")
        if not 1 <= draft.interval_s <= _LONGEST_INTERVAL_S:
            raise Invalid(f"The interval is {draft.interval_s:g} s; choose 1 to {_LONGEST_INTERVAL_S:g} s.")
        if draft.kind not in REMOTE:
            return SourceDraft(name=name, url=draft.url, kind=draft.kind, interval_s=draft.interval_s)
        url = self.guard.check(draft.url.strip())
        for word in (draft.username, draft.secret or "", draft.tenant):
            if any(ord(c) < 32 or ord(c) == 127 for c in word):
                raise Invalid("User, secret and tenant may not hold line breaks or control characters.")
        if draft.auth is Auth.BASIC and (not draft.username or ":" in draft.username):
            raise Invalid("Basic authentication takes a user name, without a colon in it.")
        if draft.auth is Auth.BEARER and draft.secret and not draft.secret.isascii():
            raise Invalid("A bearer token has ASCII characters only; copy it again.")
        if draft.tenant and (not _HEADER_NAME.fullmatch(draft.tenant_header) or not draft.tenant.isascii()):
            raise Invalid("The tenant header needs a valid header name, such as X-Scope-OrgID, and an ASCII value.")
        if draft.tenant and draft.tenant_header.lower() in ("authorization", "host", "content-length", "cookie"):
            raise Invalid(f"{draft.tenant_header} cannot be a tenant header; X-Scope-OrgID is the usual one.")
        return SourceDraft(
            name=name,
            url=url,
            kind=draft.kind,
            auth=draft.auth,
            username=draft.username if draft.auth is Auth.BASIC else "",
            secret=draft.secret,
            tenant_header=draft.tenant_header.strip() or "X-Scope-OrgID",
            tenant=draft.tenant.strip(),
            ca_file=draft.ca_file.strip(),
            verify_tls=draft.verify_tls,
            interval_s=draft.interval_s,
        )

    @staticmethod
    def _fill(source: Source, draft: SourceDraft, sealed: str) -> None:
        source.name, source.url, source.auth, source.username = draft.name, draft.url, draft.auth, draft.username
        source.secret, source.tenant_header, source.tenant = sealed, draft.tenant_header, draft.tenant
        source.ca_file, source.verify_tls, source.interval_s = draft.ca_file, draft.verify_tls, draft.interval_s


class _named_once:  # noqa: N801 - reads as a statement
    """Turns the database's refusal of a second source of one name into words."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, IntegrityError):
            raise Conflict(f"There is a source called “{self.name}” already; choose another name.") from None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _source(session: Session, source_id: int) -> Source:
    source = session.get(Source, source_id)
    if source is None:
        raise NotFound(f"There is no source number {source_id}; it may have been removed.")
    return source


def _target(session: Session, target_id: int) -> Target:
    target = session.get(Target, target_id)
    if target is None:
        raise NotFound(f"There is no target number {target_id}; it may have been removed.")
    return target
