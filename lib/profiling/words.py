"""Numbers with their units, and spans of time, in the words a reader expects."""

from __future__ import annotations

import math
from datetime import timedelta

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_LARGE = ("", "k", "M", "G", "T", "P", "E")


def duration(seconds: float | None) -> str:
    """Time in tables: `45 s`, `3 min`, `2 h 5 min`, `4 d 3 h`: the two largest parts that say something."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10 and seconds != round(seconds):
        return f"{seconds:.1f} s"
    left, parts = round(seconds), []
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def amount(value: float | None, unit: str = "") -> str:
    """A value with its unit, three significant digits: `1.21 GiB/s`, `37 %`, `12.3k`.

    unit: as `lib.profiling.units.unit_of` names it; bytes are scaled by 1024, ratios shown in percent.
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    base, slash, per = unit.partition("/")
    tail = f"/{per}" if slash else ""
    if base == "B":
        size, name = _scaled(value, 1024, _BYTES)
        return f"{_digits(size)} {name}{tail}"
    if base == "ratio":
        return f"{_digits(value * 100)} %"
    if base == "s" and not tail:
        return duration(value) if abs(value) >= 60 else _seconds(value)
    size, name = _scaled(value, 1000, _LARGE)
    return f"{_digits(size)} {name}{base}{tail}" if base else f"{_digits(size)}{name}{tail}"


def binary(most: float) -> tuple[float, str]:
    """In which steps of 1024 to count bytes that reach so far: a GiB in bytes, and `GiB`."""
    index = 0
    while most >= 1024 and index < len(_BYTES) - 1:
        most, index = most / 1024, index + 1
    return 1024.0**index, _BYTES[index]


def factor(name: str) -> float:
    """Bytes in one `GiB` and its like."""
    return 1024.0 ** _BYTES.index(name)


def between(low: float, high: float, unit: str) -> str:
    """`20 % to 45 %`, or one figure where both ends read the same."""
    a, b = amount(low, unit), amount(high, unit)
    return a if a == b else f"{a} to {b}"


def spelt(span: timedelta) -> str:
    """A span of time inside a sentence: `25 minutes`, `1 hour 50 minutes`, `2 days 3 hours`."""
    seconds = max(int(span.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} seconds"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, "day"), (hours, "hour"), (0 if days else minutes, "minute")]
    return " ".join(f"{n} {word}{'s' if n != 1 else ''}" for n, word in parts if n)


def _scaled(value: float, step: int, names: tuple[str, ...]) -> tuple[float, str]:
    index = 0
    while abs(value) >= step and index < len(names) - 1:
        value, index = value / step, index + 1
    return value, names[index]


def _digits(value: float) -> str:
    if value == 0:
        return "0"
    if 0 < abs(value) < 0.001:
        return f"{value:.2e}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _seconds(value: float) -> str:
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value == 0 or abs(value) * factor >= 1:
            return f"{_digits(value * factor)} {name}"
    return f"{_digits(value * 1e9)} ns"
