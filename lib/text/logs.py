"""Ten thousand log lines as a few dozen templates with counts: which came first, which are rare, which began late.

Templates are found as Drain does (He et al., 2017): what is clearly a value is masked, then lines of the same length
that agree in most words share a template, and where they differ stands a star.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

STAR = "<*>"
# Two lines are of one kind when this share of their words is the same.
_ALIKE = 0.5
# Words of a line that count; what follows makes no difference.
_MOST_WORDS = 60
_MOST_KINDS = 2000
_LEVELS = {
    "fatal": "critical", "panic": "critical", "emerg": "critical", "emergency": "critical", "crit": "critical",
    "critical": "critical", "alert": "critical", "error": "error", "err": "error", "severe": "error",
    "warn": "warning", "warning": "warning", "notice": "info", "info": "info", "information": "info",
    "debug": "debug", "trace": "debug",
}  # fmt: skip
SERIOUS = ("critical", "error")
_LEVEL = re.compile(r"\b(" + "|".join(_LEVELS) + r")\b", re.IGNORECASE)
_ISO = re.compile(r"\b(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?")
_SYSLOG = re.compile(r"^(?:<\d+>)?([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d)\b")
_CLF = re.compile(r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]")
_MASKS = (
    (_ISO, STAR),
    (re.compile(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:[\d: +-]+\]"), STAR),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), STAR),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), STAR),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), STAR),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{12,}\b"), STAR),
    (re.compile(r"(?<![\w<])[-+]?\d+(?:[.,:]\d+)*(?:ns|us|µs|ms|s|m|h|d|[kKMGT]i?B?|B|%)?(?![\w>])"), STAR),
)


@dataclass
class Kind:
    """Lines that read alike. first_line, last_line: positions from 1. first, last: None when lines carry no time."""

    words: list[str]
    level: str
    count: int = 0
    first_line: int = 0
    last_line: int = 0
    first: datetime | None = None
    last: datetime | None = None
    example: str = ""

    @property
    def template(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class LogSummary:
    """kinds: the most frequent first. story: what a person should know of it, in sentences."""

    lines: int
    empty: int
    first: datetime | None
    last: datetime | None
    levels: dict[str, int]
    kinds: tuple[Kind, ...]
    story: tuple[str, ...] = field(default=())


def looks_like_log(text: str) -> bool:
    """Whether most lines begin with a time or a level."""
    lines = [line for line in text.splitlines()[:200] if line.strip()]
    if len(lines) < 3:
        return False
    marked = sum(bool(_moment(line) or _LEVEL.search(line[:60])) for line in lines)
    return marked >= 0.5 * len(lines)


def summarise(lines: Iterable[str]) -> LogSummary:
    """Templates, counts, levels and the story of a log."""
    kinds = _Kinds()
    levels: Counter[str] = Counter()
    first = last = None
    number = empty = 0
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line:
            empty += 1
            continue
        moment = _moment(line)
        level = _level(line)
        levels[level] += 1
        if moment is not None:
            first = moment if first is None else min(first, moment)
            last = moment if last is None else max(last, moment)
        kinds.add(line, number, moment, level)
    ordered = tuple(sorted(kinds.all, key=lambda kind: (-kind.count, kind.first_line)))
    told = LogSummary(number, empty, first, last, dict(levels.most_common()), ordered)
    return LogSummary(number, empty, first, last, told.levels, ordered, tuple(_story(told)))


class _Kinds:
    def __init__(self) -> None:
        self.all: list[Kind] = []
        self._groups: dict[tuple[int, str], list[Kind]] = {}

    def add(self, line: str, number: int, moment: datetime | None, level: str) -> None:
        words = masked(line).split()[:_MOST_WORDS]
        start = next((word for word in words if STAR not in word), STAR)
        group = self._groups.setdefault((len(words), start), [])
        kind = max(group, key=lambda one: _same(one.words, words), default=None)
        if kind is None or _same(kind.words, words) < _ALIKE:
            if len(self.all) >= _MOST_KINDS:
                words, group = ["(other lines)"], self._groups.setdefault((0, ""), [])
                kind = group[0] if group else None
            else:
                kind = None
            if kind is None:
                kind = Kind(words, level, first_line=number, first=moment, example=line[:500])
                group.append(kind)
                self.all.append(kind)
        else:
            kind.words = [old if old == new else STAR for old, new in zip(kind.words, words, strict=True)]
        kind.count += 1
        kind.last_line = number
        if moment is not None:
            kind.first = moment if kind.first is None else min(kind.first, moment)
            kind.last = moment if kind.last is None else max(kind.last, moment)


def masked(line: str) -> str:
    """A line with its values (times, addresses, numbers, identifiers) as stars."""
    for pattern, by in _MASKS:
        line = pattern.sub(by, line)
    return _SYSLOG_HEAD.sub(f"{STAR} ", line)


_SYSLOG_HEAD = re.compile(r"^(?:<\S+>)?[A-Z][a-z]{2} +\S+ (?:<\*>|\d\d:\d\d:\d\d)\s*")


def _same(kind: list[str], words: list[str]) -> float:
    """The share of words two lines have in common; a star agrees with a star only."""
    return sum(one == other for one, other in zip(kind, words, strict=True)) / max(1, len(words))


def _level(line: str) -> str:
    found = _LEVEL.search(line[:160])
    return _LEVELS[found.group(1).lower()] if found else "none"


def _moment(line: str) -> datetime | None:
    """When a line was written; without a zone it is read as UTC, without a year as of this epoch's leap year."""
    head = line[:120]
    try:
        if found := _ISO.search(head):
            day, clock, fraction, zone = found.groups()
            text = f"{day}T{clock}.{(fraction or '0')[:6].ljust(6, '0')}{(zone or 'Z')}"
            return datetime.fromisoformat(text).astimezone(UTC)
        if found := _CLF.search(head):
            return datetime.strptime(found.group(1), "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
        if found := _SYSLOG.search(head):
            month, day, clock = found.groups()
            # The year is not written; 1904 has a 29th of February.
            return datetime.strptime(f"1904 {month} {day} {clock}", "%Y %b %d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return None


def clock(moment: datetime | None) -> str:
    """As the log tells it: without a date where it has no year; empty for no moment."""
    if moment is None:
        return ""
    return f"{moment:%H:%M:%S}" if moment.year == 1904 else f"{moment:%Y-%m-%d %H:%M:%S}"


def _story(log: LogSummary) -> list[str]:
    filled = log.lines - log.empty
    if not filled:
        return ["There is no line in it."]
    span = f" from {clock(log.first)} to {clock(log.last)}" if log.first and log.last else ""
    told = [f"{filled:,} lines{span}, of {len(log.kinds):,} kinds."]
    serious = sum(log.levels.get(level, 0) for level in SERIOUS)
    bad = [kind for kind in log.kinds if kind.level in SERIOUS]
    if serious:
        begun = min(bad, key=lambda kind: kind.first_line)
        when = f" at {clock(begun.first)}" if begun.first else f" in line {begun.first_line:,}"
        told.append(f"{serious:,} of them ({serious / filled:.1%}) are errors; the first came{when}: {begun.template}")
        most = bad[0]
        if most is not begun:
            told.append(f"The most frequent error came {most.count:,} times: {most.template}")
    elif set(log.levels) != {"none"}:
        told.append("None of them is an error.")
    late = [kind for kind in log.kinds if kind.first_line > 0.5 * log.lines and kind.count >= max(3, 0.005 * filled)]
    if late and log.lines >= 50:
        newest = max(late, key=lambda kind: (kind.level in SERIOUS, kind.count))
        when = f" at {clock(newest.first)}" if newest.first else f" in line {newest.first_line:,}"
        told.append(
            f"New since the second half, {newest.count:,} times from{when.replace(' at', '')} on: {newest.template}"
        )
    gone = [kind for kind in log.kinds if kind.last_line < 0.5 * log.lines and kind.count >= max(20, 0.02 * filled)]
    if gone and log.lines >= 50:
        told.append(f"Stopped in the first half, after {gone[0].count:,} times: {gone[0].template}")
    return told
