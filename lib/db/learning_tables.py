"""App data of learning: datasets, pipelines and their runs, models and what became of them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, UniqueConstraint
from sqlmodel import Field, SQLModel

from lib.db.columns import json, now, text, utc


class Dataset(SQLModel, table=True):
    """A table to learn from, under a name; head: the hash of the version that is meant when none is named."""

    __tablename__ = "datasets"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, index=True, max_length=120)
    head: str = Field(default="", max_length=64)
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = utc(default_factory=now)


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
    columns: list[dict[str, Any]] = json(list)
    lineage: dict[str, Any] = json()
    rejected: dict[str, Any] = json()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = utc(default_factory=now)


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
    model_schema: dict[str, Any] = json()
    metrics: dict[str, Any] = json()
    params: dict[str, Any] = json()
    facts: dict[str, Any] = json()  # what the file says of itself
    data_hash: str = Field(default="", max_length=128)
    code_version: str = Field(default="", max_length=64)
    environment: dict[str, Any] = json()
    reference: dict[str, Any] = json()  # histograms of what it learnt from (lib.drift)
    card: str = text()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = utc(default_factory=now)
    archived_at: datetime | None = utc(default=None, nullable=True)


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
    note: str = text()
    by: str = Field(default="", max_length=64)
    at: datetime = utc(default_factory=now, index=True)


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
    created_at: datetime = utc(default_factory=now)
    ended_at: datetime | None = utc(default=None, nullable=True)
    verdict: dict[str, Any] = json()


class Predicted(SQLModel, table=True):
    """A prediction that was given, sampled and bounded; what came of it once somebody says so."""

    __tablename__ = "predictions"
    id: int | None = Field(default=None, primary_key=True)
    token: str = Field(unique=True, index=True, max_length=32)
    name: str = Field(max_length=64, index=True)
    version: int
    at: datetime = utc(default_factory=now, index=True)
    features: dict[str, Any] = json()  # empty where only the answer is kept
    value: float | None = None
    label: str | None = Field(default=None, max_length=256)
    latency_ms: float = 0.0
    experiment_id: int | None = Field(default=None, index=True)
    arm: str = Field(default="", max_length=1)
    key_hash: str = Field(default="", max_length=64, index=True)
    actual: str | None = Field(default=None, max_length=256)
    score: float | None = None  # of an experiment's metric, higher is better
    actual_at: datetime | None = utc(default=None, nullable=True)


class DriftCheck(SQLModel, table=True):
    """One comparison of what a version was asked, or of a file or dataset, with what it learnt from."""

    __tablename__ = "drift_checks"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=64, index=True)
    version: int
    kind: str = Field(max_length=16)  # asked, tried (asked, with other limits than usual), file, dataset
    title: str = Field(default="", max_length=256)
    at: datetime = utc(default_factory=now, index=True)
    from_at: datetime | None = utc(default=None, nullable=True)
    rows: int = 0
    state: str = Field(max_length=16)  # ok, watch, drift, few
    event: bool = False  # whether the state differs from the check before
    report: dict[str, Any] = json()
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
    created_at: datetime = utc(default_factory=now, index=True)
    target: str = Field(default="", max_length=32)  # spaces, cloud-run, ecs, other
    url: str = Field(default="", max_length=512)
    url_by: str = Field(default="", max_length=64)
    note: str = text()
    state: str = Field(default="", max_length=16)  # up, other, down; empty: never asked
    told: str = text()  # what the last look found, in words
    checked_at: datetime | None = utc(default=None, nullable=True)
    ended_at: datetime | None = utc(default=None, nullable=True)


class Pipeline(SQLModel, table=True):
    """A pipeline under a name; head: the hash of the version that is meant when none is named."""

    __tablename__ = "pipelines"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, index=True, max_length=120)
    head: str = Field(default="", max_length=64)
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = utc(default_factory=now)


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
    plan: dict[str, Any] = json()
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = utc(default_factory=now)


class PipelineRun(SQLModel, table=True):
    """A training that was started from a version of a pipeline; run_id: as `lib.services.training` names it."""

    __tablename__ = "pipeline_runs"
    id: int | None = Field(default=None, primary_key=True)
    pipeline_id: int = Field(foreign_key="pipelines.id", index=True, ondelete="CASCADE")
    hash: str = Field(max_length=64)
    run_id: str = Field(max_length=32)
    created_by: str = Field(default="", max_length=64)
    created_at: datetime = utc(default_factory=now)
