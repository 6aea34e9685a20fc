"""Audit entries for people with spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

from lib.db.tables import AuditEntry

COLUMNS = ("number", "time (UTC)", "actor", "action", "target", "outcome", "address", "details", "digest")
# A spreadsheet runs a cell that begins so (OWASP, CSV injection); a quote in front makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def inert(cell: str) -> str:
    """`cell`, never a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell


def as_csv(entries: Iterable[AuditEntry]) -> bytes:
    """UTF-8 with a mark at the start, which Excel needs to see that it is UTF-8."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for entry in entries:
        details = json.dumps(entry.details, ensure_ascii=False, sort_keys=True) if entry.details else ""
        cells = (entry.actor, entry.action, entry.target, entry.outcome, entry.address, details, entry.digest)
        writer.writerow([entry.id, entry.at.strftime("%Y-%m-%d %H:%M:%S"), *(inert(cell) for cell in cells)])
    return out.getvalue().encode("utf-8-sig")
