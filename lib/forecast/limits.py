"""A limit as a person writes it: `90 %`, `1.5 TiB`, `200k`."""

from __future__ import annotations

import re

from lib.errors import Invalid

_WRITTEN = re.compile(r"([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?)\s*([kmgtpe]i?)?\s*(b|bytes?|%)?(?:/s)?", re.I)
_POWERS = "kmgtpe"


def parse(text: str, unit: str) -> float | None:
    """The limit in the series' own unit; None for nothing written. Bytes are counted by 1024, as they are shown.

    unit: as `lib.profiling.units.unit_of` names it; a share may be written as 0.9 or 90 %. Raises Invalid.
    """
    written = text.strip()
    if not written:
        return None
    found = _WRITTEN.fullmatch(written)
    if found is None or len(written) > 40:
        raise Invalid(f"{written[:40]!r} is no limit; write a number, such as 250, 1.5 TiB or 90 %.")
    value = float(found[1].replace(",", "."))
    prefix, mark = (found[2] or "").lower(), (found[3] or "").lower()
    if prefix:
        base = 1024.0 if prefix.endswith("i") or mark.startswith("b") or unit.startswith("B") else 1000.0
        value *= base ** (_POWERS.index(prefix[0]) + 1)
    if mark == "%" and unit == "ratio":
        value /= 100
    return value
