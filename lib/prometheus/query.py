"""What is asked of a source, and within which bounds: values only, so that whoever plans needs no HTTP library."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from lib.frames import Window

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Endpoint:
    """Where a source is and how to sign in there. auth: none, basic or bearer; secret: password or token."""

    url: str
    auth: str = "none"
    username: str = ""
    secret: str = field(default="", repr=False)
    tenant_header: str = "X-Scope-OrgID"
    tenant: str = ""
    ca_file: str = ""
    verify_tls: bool = True


@dataclass(frozen=True)
class Limits:
    """timeout_s: one request in all, retries included. attempts: how often it is tried within that."""

    timeout_s: float = 30.0
    max_bytes: int = 256 << 20
    max_series: int = 2000
    attempts: int = 3
    backoff_s: float = 0.3


@dataclass(frozen=True)
class Wanted:
    """One target: a metric by name, or a PromQL expression collected under a name. max_series 0: the limits' cap."""

    name: str
    expression: str = ""
    max_series: int = 0


def days(window: Window) -> list[Window]:
    """The window cut at UTC midnights, oldest first."""
    pieces, start = [], window.start
    while start < window.end:
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
        pieces.append(Window(start, min(midnight, window.end)))
        start = midnight
    return pieces


def selector(name: str) -> str:
    """Selects one metric by its exact name, whatever characters it has."""
    return f'{{__name__="{quoted(name)}"}}'


def quoted(text: str) -> str:
    """Text between the double quotes of a PromQL string."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
