"""Words on a page: foreign text made inert, times and amounts as people read them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

# Invisible and unbreakable: keeps two characters apart for the transforms that run after markdown's own escapes.
_JOINER = "\u2060"
# Controls, and the marks that turn the direction of what follows (they make one name look like another).
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_PUNCTUATION = re.compile(r"([!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~])")
# Emoji, icons and links are found in the text after escapes were undone, so a backslash does not stop them.
_LATE = re.compile(r"(:|@|(?<![^\W_])www(?=\.))", re.IGNORECASE)
_ARROWS = re.compile(r"(?<!\S)(?=(?:<->|->|<-|--|>=|<=|~=)(?!\S))")


def plain(text: object, limit: int = 400) -> str:
    """Foreign text (labels, names, errors) for places that render markdown: shown as it is, does nothing.

    No emphasis, links, images, HTML, maths, colours, icons or emoji come of it; line breaks become spaces; beyond
    `limit` characters it ends in an ellipsis.
    """
    words = " ".join(_UNSEEN.sub("", str(text)).split())
    if len(words) > limit:
        words = words[: limit - 1] + "…"
    words = _LATE.sub(rf"\1{_JOINER}", _ARROWS.sub(_JOINER, words))
    return _PUNCTUATION.sub(r"\\\1", words)


def stamp(moment: datetime | None, *, seconds: bool = False) -> str:
    """`2026-03-14 12:00 UTC`; a dash for never."""
    if moment is None:
        return "–"
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC")


def duration(seconds: float | None) -> str:
    """`45 s`, `3 min`, `2 h 5 min`, `4 d 3 h`: the two largest parts that say something."""
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


def ago(moment: datetime | None, now: datetime) -> str:
    """`3 min ago`; `never` for None; `in 2 h` for what is still to come."""
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return f"in {duration(-seconds)}"
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_LARGE = ("", "k", "M", "G", "T", "P", "E")


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
