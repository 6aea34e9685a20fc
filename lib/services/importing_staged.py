"""What is known of a file on its way into the store, and what its name says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter

from lib.db.tables import Task
from lib.errors import Invalid
from lib.services.importing_jobs import Look, Report
from lib.services.table_profiles import last_part

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".prom", ".om", ".openmetrics", ".gz")


@dataclass(frozen=True)
class About:
    """A file that was brought. file: its name in the folder it was picked from; None for an upload."""

    id: str
    name: str
    by: str
    at: datetime
    size_bytes: int
    file: str | None = None


@dataclass(frozen=True)
class Staged:
    """How far an import is. look: once it was looked at; report: once it was checked as it is mapped now. running:
    what is at work on it; failed: why the last step did not succeed. done: what came of storing it."""

    about: About
    look: Look | None
    report: Report | None
    running: Task | None
    failed: str
    done: dict[str, Any] | None


@dataclass(frozen=True)
class PreviewRow:
    """One sample of the first rows as it would be stored, or why it would not."""

    row: int
    series: str
    ts: datetime | None
    value: float | None
    error: str = ""


ABOUTS = TypeAdapter(About)
DONES = TypeAdapter(dict[str, Any])


def known(name: str) -> bool:
    """Whether it ends like a file that can be imported."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def shown(name: str) -> str:
    """Raises Invalid for a name that promises something else than samples."""
    last = last_part(name)
    if not known(last):
        raise Invalid(f"{last[:80] or 'The file'} is no {', '.join(SUFFIXES)} file; save it as one of these.")
    return " ".join("".join(c for c in last if c.isprintable()).split())[-100:]


def stem(name: str) -> str:
    """What a source made of the file is called, unless somebody says otherwise."""
    words = name
    while known(words):
        words = words[: -len(PurePosixPath(words).suffix)]
    return " ".join(words.split())[:64] or "Imported"


def title(metric: str, labels: Mapping[str, str]) -> str:
    """`metric{a="b"}`."""
    inside = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{metric}{{{inside}}}" if inside else metric


def write(path: Path, content: bytes) -> None:
    """There whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)
