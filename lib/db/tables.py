"""App data: everything that is not a sample. SQLite by default, PostgreSQL by DATABASE_URL; Alembic migrates both."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel

from lib.db.columns import json, now, text, utc


class User(SQLModel, table=True):
    __tablename__ = "users"
    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(unique=True, index=True, max_length=64)
    password_hash: str = Field(max_length=128)
    role: str = Field(max_length=16)
    disabled: bool = False
    created_at: datetime = utc(default_factory=now)
    last_sign_in_at: datetime | None = utc(default=None, nullable=True)


class UserSession(SQLModel, table=True):
    """One sign-in: SHA-256 of the token its tab holds, and of the one in the cookie once that was set. Deleting the row
    signs out at once, whichever was shown."""

    __tablename__ = "sessions"
    id: int | None = Field(default=None, primary_key=True)
    token_hash: str = Field(unique=True, index=True, max_length=64)
    cookie_hash: str | None = Field(default=None, unique=True, index=True, max_length=64)
    user_id: int = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    created_at: datetime = utc(default_factory=now)
    expires_at: datetime = utc()
    address: str = Field(default="", max_length=64)


class SignInTicket(SQLModel, table=True):
    """Exchanged once, within a minute, for the cookie of `session_id`; or a one-time link (purpose 'link') that opens
    a session of its own."""

    __tablename__ = "sign_in_tickets"
    id: int | None = Field(default=None, primary_key=True)
    ticket_hash: str = Field(unique=True, index=True, max_length=64)
    user_id: int = Field(foreign_key="users.id", ondelete="CASCADE")
    session_id: int | None = Field(default=None, foreign_key="sessions.id", ondelete="CASCADE")
    purpose: str = Field(default="cookie", max_length=16)
    expires_at: datetime = utc()
    used_at: datetime | None = utc(default=None, nullable=True)


class SignInFailure(SQLModel, table=True):
    """`username` is a digest where there is no such user: people type passwords there by mistake."""

    __tablename__ = "sign_in_failures"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = utc(default_factory=now, index=True)
    username: str = Field(max_length=64, index=True)
    address: str = Field(default="", max_length=64, index=True)


class ApiKey(SQLModel, table=True):
    """Shown once; stored as SHA-256 with the first characters to tell keys apart."""

    __tablename__ = "api_keys"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=64)
    prefix: str = Field(max_length=12)
    key_hash: str = Field(unique=True, index=True, max_length=64)
    user_id: int = Field(foreign_key="users.id", ondelete="CASCADE")
    role: str = Field(max_length=16)
    created_at: datetime = utc(default_factory=now)
    expires_at: datetime | None = utc(default=None, nullable=True)
    revoked_at: datetime | None = utc(default=None, nullable=True)
    last_used_at: datetime | None = utc(default=None, nullable=True)


class AuditEntry(SQLModel, table=True):
    """Append-only; `digest` is SHA-256 over the previous digest and this row, so that a change shows."""

    __tablename__ = "audit"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = utc(default_factory=now, index=True)
    actor: str = Field(max_length=64, index=True)
    action: str = Field(max_length=64, index=True)
    target: str = Field(default="", max_length=256)
    outcome: str = Field(default="ok", max_length=16)
    address: str = Field(default="", max_length=64)
    details: dict[str, Any] = json()
    digest: str = Field(max_length=64)


class SourceKind(StrEnum):
    PROMETHEUS = "prometheus"  # any Prometheus-compatible server
    DEMO = "demo"  # the bundled history, simulated and recorded
    MACHINE = "machine"  # this machine, by psutil
    SCRAPE = "scrape"  # one exporter's /metrics page, without a server
    IMPORT = "import"  # files people brought; nothing is collected, so it is never switched on


class Source(SQLModel, table=True):
    __tablename__ = "sources"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, index=True, max_length=64)
    kind: str = Field(max_length=16)
    url: str = Field(default="", max_length=2048)
    auth: str = Field(default="none", max_length=16)  # none, basic, bearer
    username: str = Field(default="", max_length=256)
    secret: str = text()  # encrypted with the key in data/secret.key; never shown again
    tenant_header: str = Field(default="X-Scope-OrgID", max_length=64)
    tenant: str = Field(default="", max_length=256)
    ca_file: str = Field(default="", max_length=1024)
    verify_tls: bool = True
    interval_s: float = 15.0
    enabled: bool = True
    created_at: datetime = utc(default_factory=now)


class Target(SQLModel, table=True):
    """One thing collected from a source: a metric, or a PromQL expression under a name of its own."""

    __tablename__ = "targets"
    __table_args__ = (UniqueConstraint("source_id", "name"),)
    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(foreign_key="sources.id", index=True, ondelete="CASCADE")
    name: str = Field(max_length=256)  # the metric's name in the store
    expression: str = text()  # empty: the metric `name` itself
    max_series: int = 0  # 0: the setting's cap
    enabled: bool = True
    last_attempt_at: datetime | None = utc(default=None, nullable=True)
    last_success_at: datetime | None = utc(default=None, nullable=True)
    last_error: str = text()
    series_count: int = 0


class Setting(SQLModel, table=True):
    """What an administrator changed in the app; wins over the environment for the keys it may hold."""

    __tablename__ = "settings"
    key: str = Field(primary_key=True, max_length=64)
    value: Any = Field(default=None, sa_column=Column(JSON))
    changed_at: datetime = utc(default_factory=now)
    changed_by: str = Field(default="", max_length=64)


class TaskStatus(StrEnum):
    PENDING = "pending"  # waiting for a free place
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # raised, ran out of memory, or passed its deadline; `error` says which
    CANCELLED = "cancelled"  # a person ended it
    INTERRUPTED = "interrupted"  # the app stopped while it ran


class Task(SQLModel, table=True):
    __tablename__ = "tasks"
    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(max_length=64, index=True)
    title: str = Field(default="", max_length=256)
    params: dict[str, Any] = json()
    # Same key while pending or running: the same task. NULL once it has ended, so that UNIQUE holds the rule.
    active_key: str | None = Field(default=None, unique=True, max_length=128)
    status: str = Field(default=TaskStatus.PENDING, max_length=16, index=True)
    progress: float = 0.0
    message: str = Field(default="", max_length=512)
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = utc(default_factory=now, index=True)
    started_at: datetime | None = utc(default=None, nullable=True)
    finished_at: datetime | None = utc(default=None, nullable=True)
    error: str = text()
    result: dict[str, Any] = json()
    # Higher ones are taken from the queue first.
    priority: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    # How often it was started.
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class Detector(SQLModel, table=True):
    """A trained detector: one per group (source and host) and version; the files live in the registry."""

    __tablename__ = "detectors"
    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(index=True)
    host: str = Field(max_length=256, index=True)  # the group: every series of this host, or the series listed
    series_ids: list[int] = json(list)
    name: str = Field(default="", max_length=256)
    version: int = 1
    active: bool = True  # scored after each collection
    artefact: str = Field(default="", max_length=256)  # folder name in the registry
    params: dict[str, Any] = json()
    metrics: dict[str, Any] = json()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = utc(default_factory=now)
    trained_from: datetime | None = utc(default=None, nullable=True)
    trained_until: datetime | None = utc(default=None, nullable=True)


class Conversation(SQLModel, table=True):
    __tablename__ = "conversations"
    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    title: str = Field(default="", max_length=256)
    created_at: datetime = utc(default_factory=now)
    updated_at: datetime = utc(default_factory=now)


class Message(SQLModel, table=True):
    """`evidence`: the tool results an answer's numbers came from, as JSON."""

    __tablename__ = "messages"
    id: int | None = Field(default=None, primary_key=True)
    conversation_id: int = Field(foreign_key="conversations.id", index=True, ondelete="CASCADE")
    role: str = Field(max_length=16)  # user, assistant
    text: str = text()
    evidence: list[dict[str, Any]] = json(list)
    provider: str = Field(default="", max_length=32)
    rating: int = 0  # of an answer by its reader: 1, -1, 0 for none
    created_at: datetime = utc(default_factory=now)


class Verdict(StrEnum):
    """What a person says of an anomaly."""

    REAL = "real"  # something was wrong
    FALSE = "false"  # nothing was: a false alarm
    EXPECTED = "expected"  # unusual, and all right: planned work, a batch run


class AnomalyLabel(SQLModel, table=True):
    """A verdict on a span of a group. Anomalies are found again by where and when they were, so that a label outlives
    scoring anew and every version of the detector."""

    __tablename__ = "anomaly_labels"
    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(index=True)
    host: str = Field(max_length=256, index=True)
    start_at: datetime = utc(index=True)
    end_at: datetime = utc()
    verdict: str = Field(max_length=16)
    note: str = text()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = utc(default_factory=now)


class AnnotationKind(StrEnum):
    """What was going on, and whether it explains or excuses what was seen."""

    DEPLOY = "deploy"  # a change went out; named beside anomalies that follow it
    NOTE = "note"  # anything worth remembering
    MAINTENANCE = "maintenance"  # planned work: muted, and not learnt from
    EXPECTED = "expected"  # unusual and all right: muted, and not learnt from


MUTING = (AnnotationKind.MAINTENANCE, AnnotationKind.EXPECTED)


class Repeat(StrEnum):
    NEVER = "never"
    DAILY = "daily"
    WEEKLY = "weekly"


class Annotation(SQLModel, table=True):
    """A moment (end_at None) or a span somebody marked. source_id None: of all sources; host empty: of all hosts."""

    __tablename__ = "annotations"
    id: int | None = Field(default=None, primary_key=True)
    source_id: int | None = Field(default=None, index=True)
    host: str = Field(default="", max_length=256, index=True)
    kind: str = Field(max_length=16)
    start_at: datetime = utc(index=True)
    end_at: datetime | None = utc(default=None, nullable=True)
    repeat: str = Field(default=Repeat.NEVER, max_length=8)
    text: str = text()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = utc(default_factory=now)


class Query(SQLModel, table=True):
    """What a user ran on the SQL page, once a text: running it again renews the row. Pinned ones are kept."""

    __tablename__ = "queries"
    __table_args__ = (UniqueConstraint("user_id", "digest"),)
    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    sql: str = text()
    digest: str = Field(max_length=64)  # SHA-256 of the text
    pinned: bool = False
    outcome: str = Field(default="", max_length=16)  # ok, or the code of its error
    rows: int = 0
    seconds: float = 0.0
    ran_at: datetime = utc(default_factory=now, index=True)


class ProposalStatus(StrEnum):
    """What became of a command somebody asked for in chat."""

    WAITING = "waiting"  # nobody decided yet
    RUNNING = "running"  # approved, and being carried out; never carried out twice
    DONE = "done"
    FAILED = "failed"  # approved, and refused or failed; the outcome says why
    REJECTED = "rejected"
    EXPIRED = "expired"


class Proposal(SQLModel, table=True):
    """A command that waits for the person who asked for it: exactly these arguments, once, until it expires."""

    __tablename__ = "proposals"
    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    action: str = Field(max_length=32)
    arguments: dict[str, Any] = json()
    digest: str = Field(max_length=64)  # SHA-256 of action, arguments and user: what was shown is what is done
    summary: str = text()
    status: str = Field(default=ProposalStatus.WAITING, max_length=16)
    outcome: str = text()
    created_at: datetime = utc(default_factory=now)
    expires_at: datetime = utc()
    decided_at: datetime | None = utc(default=None, nullable=True)


class View(SQLModel, table=True):
    """What somebody chose to look at on Explore, by name: every choice of the page. Shared ones everybody may open."""

    __tablename__ = "views"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)
    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    name: str = Field(max_length=80)
    description: str = text()
    shared: bool = False
    choices: dict[str, Any] = json()
    created_at: datetime = utc(default_factory=now)
    changed_at: datetime = utc(default_factory=now)
