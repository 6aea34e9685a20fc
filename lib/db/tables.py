"""App data: everything that is not a sample. SQLite by default, PostgreSQL by DATABASE_URL; Alembic migrates both."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, DateTime, Text, TypeDecorator, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlmodel import Field, SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """Refuses naive datetimes on the way in, hands out UTC on the way out (SQLite forgets the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use UTC.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _now() -> datetime:
    return datetime.now(UTC)


def _utc(**kwargs: Any) -> Any:
    return Field(sa_type=UtcDateTime, **kwargs)


def _json(default: type = dict) -> Any:
    return Field(default_factory=default, sa_column=Column(JSON, nullable=False))


def _text(**kwargs: Any) -> Any:
    return Field(default="", sa_column=Column(Text, nullable=False), **kwargs)


class User(SQLModel, table=True):
    __tablename__ = "users"
    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(unique=True, index=True, max_length=64)
    password_hash: str = Field(max_length=128)
    role: str = Field(max_length=16)
    disabled: bool = False
    created_at: datetime = _utc(default_factory=_now)
    last_sign_in_at: datetime | None = _utc(default=None, nullable=True)


class UserSession(SQLModel, table=True):
    """One sign-in: SHA-256 of the token its tab holds, and of the one in the cookie once that was set. Deleting the row
    signs out at once, whichever was shown."""

    __tablename__ = "sessions"
    id: int | None = Field(default=None, primary_key=True)
    token_hash: str = Field(unique=True, index=True, max_length=64)
    cookie_hash: str | None = Field(default=None, unique=True, index=True, max_length=64)
    user_id: int = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    created_at: datetime = _utc(default_factory=_now)
    expires_at: datetime = _utc()
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
    expires_at: datetime = _utc()
    used_at: datetime | None = _utc(default=None, nullable=True)


class SignInFailure(SQLModel, table=True):
    """`username` is a digest where there is no such user: people type passwords there by mistake."""

    __tablename__ = "sign_in_failures"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = _utc(default_factory=_now, index=True)
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
    created_at: datetime = _utc(default_factory=_now)
    expires_at: datetime | None = _utc(default=None, nullable=True)
    revoked_at: datetime | None = _utc(default=None, nullable=True)
    last_used_at: datetime | None = _utc(default=None, nullable=True)


class AuditEntry(SQLModel, table=True):
    """Append-only; `digest` is SHA-256 over the previous digest and this row, so that a change shows."""

    __tablename__ = "audit"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = _utc(default_factory=_now, index=True)
    actor: str = Field(max_length=64, index=True)
    action: str = Field(max_length=64, index=True)
    target: str = Field(default="", max_length=256)
    outcome: str = Field(default="ok", max_length=16)
    address: str = Field(default="", max_length=64)
    details: dict[str, Any] = _json()
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
    secret: str = _text()  # encrypted with the key in data/secret.key; never shown again
    tenant_header: str = Field(default="X-Scope-OrgID", max_length=64)
    tenant: str = Field(default="", max_length=256)
    ca_file: str = Field(default="", max_length=1024)
    verify_tls: bool = True
    interval_s: float = 15.0
    enabled: bool = True
    created_at: datetime = _utc(default_factory=_now)


class Target(SQLModel, table=True):
    """One thing collected from a source: a metric, or a PromQL expression under a name of its own."""

    __tablename__ = "targets"
    __table_args__ = (UniqueConstraint("source_id", "name"),)
    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(foreign_key="sources.id", index=True, ondelete="CASCADE")
    name: str = Field(max_length=256)  # the metric's name in the store
    expression: str = _text()  # empty: the metric `name` itself
    max_series: int = 0  # 0: the setting's cap
    enabled: bool = True
    last_attempt_at: datetime | None = _utc(default=None, nullable=True)
    last_success_at: datetime | None = _utc(default=None, nullable=True)
    last_error: str = _text()
    series_count: int = 0


class Setting(SQLModel, table=True):
    """What an administrator changed in the app; wins over the environment for the keys it may hold."""

    __tablename__ = "settings"
    key: str = Field(primary_key=True, max_length=64)
    value: Any = Field(default=None, sa_column=Column(JSON))
    changed_at: datetime = _utc(default_factory=_now)
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
    params: dict[str, Any] = _json()
    # Same key while pending or running: the same task. NULL once it has ended, so that UNIQUE holds the rule.
    active_key: str | None = Field(default=None, unique=True, max_length=128)
    status: str = Field(default=TaskStatus.PENDING, max_length=16, index=True)
    progress: float = 0.0
    message: str = Field(default="", max_length=512)
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now, index=True)
    started_at: datetime | None = _utc(default=None, nullable=True)
    finished_at: datetime | None = _utc(default=None, nullable=True)
    error: str = _text()
    result: dict[str, Any] = _json()
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
    series_ids: list[int] = _json(list)
    name: str = Field(default="", max_length=256)
    version: int = 1
    active: bool = True  # scored after each collection
    artefact: str = Field(default="", max_length=256)  # folder name in the registry
    params: dict[str, Any] = _json()
    metrics: dict[str, Any] = _json()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now)
    trained_from: datetime | None = _utc(default=None, nullable=True)
    trained_until: datetime | None = _utc(default=None, nullable=True)


class Conversation(SQLModel, table=True):
    __tablename__ = "conversations"
    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    title: str = Field(default="", max_length=256)
    created_at: datetime = _utc(default_factory=_now)
    updated_at: datetime = _utc(default_factory=_now)


class Message(SQLModel, table=True):
    """`evidence`: the tool results an answer's numbers came from, as JSON."""

    __tablename__ = "messages"
    id: int | None = Field(default=None, primary_key=True)
    conversation_id: int = Field(foreign_key="conversations.id", index=True, ondelete="CASCADE")
    role: str = Field(max_length=16)  # user, assistant
    text: str = _text()
    evidence: list[dict[str, Any]] = _json(list)
    provider: str = Field(default="", max_length=32)
    rating: int = 0  # of an answer by its reader: 1, -1, 0 for none
    created_at: datetime = _utc(default_factory=_now)


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
    start_at: datetime = _utc(index=True)
    end_at: datetime = _utc()
    verdict: str = Field(max_length=16)
    note: str = _text()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now)


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
    start_at: datetime = _utc(index=True)
    end_at: datetime | None = _utc(default=None, nullable=True)
    repeat: str = Field(default=Repeat.NEVER, max_length=8)
    text: str = _text()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now)


class Query(SQLModel, table=True):
    """What a user ran on the SQL page, once a text: running it again renews the row. Pinned ones are kept."""

    __tablename__ = "queries"
    __table_args__ = (UniqueConstraint("user_id", "digest"),)
    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    sql: str = _text()
    digest: str = Field(max_length=64)  # SHA-256 of the text
    pinned: bool = False
    outcome: str = Field(default="", max_length=16)  # ok, or the code of its error
    rows: int = 0
    seconds: float = 0.0
    ran_at: datetime = _utc(default_factory=_now, index=True)


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
    arguments: dict[str, Any] = _json()
    digest: str = Field(max_length=64)  # SHA-256 of action, arguments and user: what was shown is what is done
    summary: str = _text()
    status: str = Field(default=ProposalStatus.WAITING, max_length=16)
    outcome: str = _text()
    created_at: datetime = _utc(default_factory=_now)
    expires_at: datetime = _utc()
    decided_at: datetime | None = _utc(default=None, nullable=True)


class View(SQLModel, table=True):
    """What somebody chose to look at on Explore, by name: every choice of the page. Shared ones everybody may open."""

    __tablename__ = "views"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)
    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="users.id", index=True, ondelete="CASCADE")
    name: str = Field(max_length=80)
    description: str = _text()
    shared: bool = False
    choices: dict[str, Any] = _json()
    created_at: datetime = _utc(default_factory=_now)
    changed_at: datetime = _utc(default_factory=_now)


class Dataset(SQLModel, table=True):
    """A table to learn from, under a name; head: the hash of the version that is meant when none is named."""

    __tablename__ = "datasets"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, index=True, max_length=120)
    head: str = Field(default="", max_length=64)
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now)


class DatasetRevision(SQLModel, table=True):
    """A version of a dataset, never changed. content: digest of the data as it was brought, which edited versions
    share. lineage: where it came from. rejected: rows that could not be read, {count, rows: [[line, reason]]}."""

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("dataset_id", "hash"),)
    id: int | None = Field(default=None, primary_key=True)
    dataset_id: int = Field(foreign_key="datasets.id", index=True, ondelete="CASCADE")
    number: int = 1
    hash: str = Field(max_length=64)
    content: str = Field(max_length=64)
    rows: int = Field(default=0, sa_type=BigInteger)
    size_bytes: int = Field(default=0, sa_type=BigInteger)
    columns: list[dict[str, Any]] = _json(list)
    lineage: dict[str, Any] = _json()
    rejected: dict[str, Any] = _json()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now)


class ModelVersion(SQLModel, table=True):
    """One version of a served model: what it is and where it came from. Its files lie in the registry, under their
    checksum. Rows are only added; `archived_at` is the one thing that changes."""

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("name", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=64, index=True)
    version: int
    format: str = Field(max_length=16)
    origin: str = Field(max_length=16)  # trained, uploaded
    sha256: str = Field(max_length=64)
    size_bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    model_schema: dict[str, Any] = _json()
    metrics: dict[str, Any] = _json()
    params: dict[str, Any] = _json()
    facts: dict[str, Any] = _json()  # what the file says of itself
    data_hash: str = Field(default="", max_length=128)
    code_version: str = Field(default="", max_length=64)
    environment: dict[str, Any] = _json()
    reference: dict[str, Any] = _json()  # histograms of what it learnt from (lib.drift)
    card: str = _text()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now)
    archived_at: datetime | None = _utc(default=None, nullable=True)


class AliasChange(StrEnum):
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    REMOVE = "remove"


class ModelAlias(SQLModel, table=True):
    """What an alias meant from `at` on. Append-only: the newest row counts, the others say what was in production
    when."""

    __tablename__ = "model_aliases"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=64, index=True)
    alias: str = Field(max_length=16)  # champion, challenger
    version: int | None = Field(default=None)  # None: nothing any more
    change: str = Field(max_length=16)
    note: str = _text()
    by: str = Field(default="", max_length=64)
    at: datetime = _utc(default_factory=_now, index=True)


class Experiment(SQLModel, table=True):
    """An A/B test of two versions. Who is in which is a hash of `salt` and the caller's key."""

    __tablename__ = "experiments"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=64, index=True)
    version_a: int
    version_b: int
    share_b: float = 0.5
    metric: str = Field(max_length=16)  # accuracy, error, reward
    alpha: float = 0.05
    salt: str = Field(max_length=32)
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now)
    ended_at: datetime | None = _utc(default=None, nullable=True)
    verdict: dict[str, Any] = _json()


class Predicted(SQLModel, table=True):
    """A prediction that was given, sampled and bounded; what came of it once somebody says so."""

    __tablename__ = "predictions"
    id: int | None = Field(default=None, primary_key=True)
    token: str = Field(unique=True, index=True, max_length=32)
    name: str = Field(max_length=64, index=True)
    version: int
    at: datetime = _utc(default_factory=_now, index=True)
    features: dict[str, Any] = _json()  # empty where only the answer is kept
    value: float | None = None
    label: str | None = Field(default=None, max_length=256)
    latency_ms: float = 0.0
    experiment_id: int | None = Field(default=None, index=True)
    arm: str = Field(default="", max_length=1)
    key_hash: str = Field(default="", max_length=64, index=True)
    actual: str | None = Field(default=None, max_length=256)
    score: float | None = None  # of an experiment's metric, higher is better
    actual_at: datetime | None = _utc(default=None, nullable=True)


class DriftCheck(SQLModel, table=True):
    """One comparison of what a version was asked, or of a file, with what it learnt from."""

    __tablename__ = "drift_checks"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=64, index=True)
    version: int
    kind: str = Field(max_length=16)  # asked, file
    title: str = Field(default="", max_length=256)
    at: datetime = _utc(default_factory=_now, index=True)
    from_at: datetime | None = _utc(default=None, nullable=True)
    rows: int = 0
    state: str = Field(max_length=16)  # ok, watch, drift, few
    event: bool = False  # whether the state differs from the check before
    report: dict[str, Any] = _json()
    by: str = Field(default="", max_length=64)


class Deployment(SQLModel, table=True):
    """A version that was exported as a folder: who took what when, and where they say it runs. Rows stay, also when
    `ended_at` says it no longer runs."""

    __tablename__ = "deployments"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=64, index=True)
    version: int
    model_sha256: str = Field(max_length=64)
    sha256: str = Field(max_length=64)  # of the zip
    size_bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    code_version: str = Field(default="", max_length=64)
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now, index=True)
    target: str = Field(default="", max_length=32)  # spaces, cloud-run, ecs, other
    url: str = Field(default="", max_length=512)
    url_by: str = Field(default="", max_length=64)
    note: str = _text()
    state: str = Field(default="", max_length=16)  # up, other, down; empty: never asked
    told: str = _text()  # what the last look found, in words
    checked_at: datetime | None = _utc(default=None, nullable=True)
    ended_at: datetime | None = _utc(default=None, nullable=True)


class Pipeline(SQLModel, table=True):
    """A pipeline under a name; head: the hash of the version that is meant when none is named."""

    __tablename__ = "pipelines"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, index=True, max_length=120)
    head: str = Field(default="", max_length=64)
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now)


class PipelineRevision(SQLModel, table=True):
    """A version of a pipeline, never changed. dataset_id, dataset_hash: what it is for; the dataset may be gone by now.
    plan: `lib.training.plan.Plan` as JSON."""

    __tablename__ = "pipeline_versions"
    __table_args__ = (UniqueConstraint("pipeline_id", "hash"),)
    id: int | None = Field(default=None, primary_key=True)
    pipeline_id: int = Field(foreign_key="pipelines.id", index=True, ondelete="CASCADE")
    number: int = 1
    hash: str = Field(max_length=64)
    dataset_id: int = Field(index=True)
    dataset_hash: str = Field(max_length=64)
    dataset_name: str = Field(default="", max_length=120)
    plan: dict[str, Any] = _json()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now)


class PipelineRun(SQLModel, table=True):
    """A training that was started from a version of a pipeline; run_id: as `lib.services.training` names it."""

    __tablename__ = "pipeline_runs"
    id: int | None = Field(default=None, primary_key=True)
    pipeline_id: int = Field(foreign_key="pipelines.id", index=True, ondelete="CASCADE")
    hash: str = Field(max_length=64)
    run_id: str = Field(max_length=32)
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = _utc(default_factory=_now)
