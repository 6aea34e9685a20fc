"""Marks one answer against one expectation: number, unit, window, host, moment, source; nothing is invented."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from lib.chat.events import Done, Error, Event, Evidence, Text
from lib.chat.grounding import unsupported
from tests.evals.truth import Truth, moment
from tests.evals.world import World

DAY = ["2026-03-13T12:00", "2026-03-14T12:00"]  # what is looked at when no time is given
_SCALE = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
# Seconds are the base unit that goes without a name.
_PARTS = {"ms": 1e-3, "µs": 1e-6}
# A mark stands for its [n]; a number may be parted from it by the noun it counts, never by another number.
_MARK = "\u00a7"
_QUANTITY = re.compile(
    r"(?<![\w.#-])(?P<n>-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?) ?"
    r"(?P<scale>[KMGT]i(?=B)|[kMGT](?=/s|\b))?(?P<unit>B/s|B|%|/s|[mµ]s(?!\w))?(?P<cited>[^\d\n.;:§]{0,30}§)?"
)
# What is no quantity: names, moments, dates, which percentile, places in a list, spans of time.
_NO_QUANTITY = re.compile(
    r"`[^`]*`|\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?|\b\d\d:\d\d(?::\d\d)?\b|\b[\d.]+th percentile|^\d+\. |"
    r"\b\d+ (?:d|h|min|s)(?: \d+ (?:d|h|min|s))?(?: ago| §)",
    re.MULTILINE,
)


_SPAN = re.compile(r"\b\d+ (?:d|h|min|s) \d+ (?:d|h|min|s)\b")


@dataclass(frozen=True)
class Answer:
    """What came of a question."""

    text: str
    evidence: tuple[Evidence, ...]
    error: str
    done: Done | None


@dataclass(frozen=True)
class Quantity:
    value: float
    unit: str
    cited: bool


def collect(events: list[Event]) -> Answer:
    return Answer(
        "".join(e.text for e in events if isinstance(e, Text)),
        tuple(e for e in events if isinstance(e, Evidence)),
        next((e.message for e in events if isinstance(e, Error)), ""),
        next((e for e in events if isinstance(e, Done)), None),
    )


def quantities(text: str) -> list[Quantity]:
    """Numbers an answer states as fact, in base units."""
    bare = _NO_QUANTITY.sub(lambda m: " " * len(m[0]), re.sub(r"\[\d{1,2}\]", _MARK, text))
    found = []
    for match in _QUANTITY.finditer(bare):
        unit = match["unit"] or ""
        value = float(match["n"].replace(",", "")) * _SCALE[match["scale"] or ""] * _PARTS.get(unit, 1.0)
        found.append(Quantity(value, "" if unit in _PARTS else unit, bool(match["cited"])))
    return found


def close(a: float, b: float) -> bool:
    """Answers give three figures: half of the last may be off."""
    return abs(a - b) <= max(0.0051 * abs(b), 1e-9)


def problems(answer: Answer, expect: dict[str, Any], world: World, truth: Truth) -> list[str]:
    """What is wrong with an answer; empty when it is right."""
    told = answer.error and "error" in expect and expect["error"] in answer.error
    found = [f"no answer: {answer.error}"] if answer.error and not told else []
    found += [f"{phrase!r} is missing" for phrase in expect.get("mentions", ()) if phrase not in answer.text]
    found += [f"{phrase!r} should not be there" for phrase in expect.get("without", ()) if phrase in answer.text]
    found += [f"{q} has no evidence" for q in quantities(answer.text) if not q.cited]
    if expect.get("refuse") or "back" in expect:
        found += [f"option {o!r} is missing" for o in expect.get("back", ()) if o not in answer.text]
        found += [f"answered: {card.query}" for card in answer.evidence if card.rows]
        return found + [f"stated {q}" for q in quantities(answer.text)]
    if "approval" in expect:
        return found + _approval(answer, expect)
    if "sql" in expect:
        found += _asked(answer, expect, truth)
    if "number" in expect:
        found += _count(answer, expect)
    if "anomaly" in expect:
        found += _anomaly(answer, expect, world)
    if "thing" in expect:
        found += _statistic(answer, expect, truth)
    if "increase" in expect:
        start, end = expect["window"]
        wanted = truth.increase(expect["increase"], start, end, expect["host"], **expect["where"])
        found += _headline(answer, wanted, expect["unit"]) + _window(answer, expect["window"])
    return found


def _headline(answer: Answer, wanted: float, unit: str) -> list[str]:
    bold = re.search(r"\*\*[^*#]+\*\* \[\d+\]", answer.text)
    if not bold:
        return ["no number in bold"]
    first = quantities(bold[0])[0]
    found = [] if close(first.value, wanted) else [f"says {first.value:g}, right is {wanted:g}"]
    return found if first.unit == unit else [*found, f"unit is {first.unit!r}, right is {unit!r}"]


def _window(answer: Answer, wanted: list[str]) -> list[str]:
    start, end = (moment(text) for text in wanted)
    card = answer.evidence[0] if answer.evidence else None
    if card is None or card.window_start is None:
        return ["no window in the evidence"]
    seen = (pd.Timestamp(card.window_start), pd.Timestamp(card.window_end))
    return [] if seen == (start, end) else [f"window is {seen}, right is {(start, end)}"]


def _approval(answer: Answer, expect: dict[str, Any]) -> list[str]:
    """A command waits, with exactly these arguments; nothing else of it is judged."""
    card = next((card for card in answer.evidence if card.links.get("proposal")), None)
    if card is None:
        return ["nothing waits for approval"]
    action, wanted = expect["approval"], expect.get("arguments", {})
    found = [] if card.query.startswith(f"{action}(") else [f"{card.query} is not {action}"]
    row = card.table[0]
    return found + [f"{k} is {row.get(k)!r}, right is {v!r}" for k, v in wanted.items() if str(row.get(k)) != str(v)]


def _asked(answer: Answer, expect: dict[str, Any], truth: Truth) -> list[str]:
    """Against rows of independent SQL. The first number is what was asked for and stands in bold; all other cells of
    the rows are said somewhere."""
    rows = truth.query(expect["sql"])
    assert rows, f"the expectation gives no rows: {expect['sql']}"
    cells = [cell for row in rows for cell in row]
    stated = quantities(answer.text)
    found: list[str] = []
    head = next((cell for cell in cells if isinstance(cell, int | float)), None)
    if head is not None:
        bold = [one for span in re.findall(r"\*\*[^*]+\*\* \[\d+\]", answer.text) for one in quantities(span)]
        fits = [one for one in bold if close(one.value, float(head))]
        found += [] if fits else [f"the number {head:g} is not the answer, but {[one.value for one in bold]}"]
        unit = expect.get("unit", "")
        found += [] if not fits or any(one.unit == unit for one in fits) else [f"unit {fits[0].unit!r} is not {unit!r}"]
    for cell in cells:
        if isinstance(cell, int | float):
            found += [] if any(close(q.value, float(cell)) for q in stated) else [f"{cell:g} is missing"]
        elif isinstance(cell, datetime):
            found += [] if f"{cell:%Y-%m-%d %H:%M}" in answer.text else [f"the moment {cell} is missing"]
        elif cell not in answer.text:
            found.append(f"{cell!r} is missing")
    cards = answer.evidence
    if "window" in expect:
        wanted = tuple(moment(text) for text in expect["window"])
        seen = [(pd.Timestamp(c.window_start), pd.Timestamp(c.window_end)) for c in cards if c.window_start]
        found += [] if wanted in seen else [f"window is {seen}, right is {wanted}"]
    if "source" in expect and not any(expect["source"] in f"{c.query} {c.source} {c.formula}" for c in cards):
        found.append(f"no evidence names {expect['source']}")
    return found if cards else [*found, "no evidence"]


def invented(answer: Answer, question: str) -> list[str]:
    """Numbers that nothing the tools gave holds, or that carry no mark of evidence."""
    given = [
        {"table": list(card.table), "values": dict(card.values), "rows": card.rows, "total": card.total}
        for card in answer.evidence
    ]
    bare = [f"{q.value:g}" for q in quantities(answer.text) if not q.cited]
    # The offline engine quotes what it does not understand, and shows questions one may ask.
    told = re.sub(r"`[^`]*`", " ", _SPAN.sub(_in_seconds, answer.text))
    return bare + list(unsupported(told, [*given, question], question))


def _in_seconds(match: re.Match[str]) -> str:
    """ "1 h 5 min" as the seconds the evidence holds."""
    sizes = {"d": 86400, "h": 3600, "min": 60, "s": 1}
    parts = re.findall(r"(\d+) (d|h|min|s)", match[0])
    return f"{sum(int(count) * sizes[unit] for count, unit in parts)} "


def _count(answer: Answer, expect: dict[str, Any]) -> list[str]:
    found = _headline(answer, expect["number"], "")
    if "window" in expect:
        found += _window(answer, expect["window"])
    return found if answer.evidence else [*found, "no evidence"]


def _anomaly(answer: Answer, expect: dict[str, Any], world: World) -> list[str]:
    right = world.anomalies[expect["anomaly"]]
    found = [] if f"**#{right.id}**" in answer.text else [f"anomaly {right.id} is missing"]
    found += [] if right.host in answer.text else [f"host {right.host} is missing"]
    stated = quantities(answer.text)
    for wanted in (right.actual, right.low, right.high):
        assert wanted is not None
        found += [] if any(close(q.value, wanted) for q in stated) else [f"{wanted:g} is missing"]
    found += [] if f"{right.start_ts:%Y-%m-%d %H:%M}" in answer.text else ["its start is missing"]
    if "window" in expect:
        found += _window(answer, expect["window"])
    first = re.search(r"\*\*#(\d+)\*\*", answer.text)
    return found if first and int(first[1]) == right.id else [*found, "another anomaly comes first"]


def _statistic(answer: Answer, expect: dict[str, Any], truth: Truth) -> list[str]:
    window = expect.get("window", DAY)
    unit = expect.get("unit", "")
    frame = truth.thing(expect["thing"], *window, **expect.get("where", {}))
    hosts = expect.get("hosts") or ([expect["host"]] if "host" in expect else None)
    if hosts:
        frame = frame[frame["host"].isin(hosts)]
    statistic = expect["statistic"]
    by_host = {host: truth.value(group, statistic) for host, group in frame.groupby("host")}
    if "top" in expect:
        right = (min if "lowest" in answer.text.split(":")[0] else max)(by_host, key=lambda host: by_host[host])
        found = _headline(answer, by_host[expect["top"]], unit)
        found += [] if right == expect["top"] else [f"the set is wrong: {right}"]
        found += [] if answer.text.startswith(f"`{right}`") else [f"{right} is not named first"]
    else:
        found = _headline(answer, truth.value(frame, statistic), unit)
    found += _window(answer, window)
    for other in expect.get("also", ()):
        wanted = truth.value(frame, other)
        found += (
            [] if any(close(q.value, wanted) for q in quantities(answer.text)) else [f"{other} {wanted:g} is missing"]
        )
    if expect.get("at"):
        at = truth.when(frame, statistic).to_pydatetime()
        found += [] if f"{at:%Y-%m-%d %H:%M}" in answer.text else [f"the moment {at} is missing"]
    if expect.get("lines"):
        said = {
            m[1]: quantities(m[2] + " [1]")[0].value for m in re.finditer(r"- `([^`]+)`: ([^\[]+) \[1\]", answer.text)
        }
        found += [
            f"{h}: {said.get(h)} is not {v:g}" for h, v in by_host.items() if h not in said or not close(said[h], v)
        ]
    card = answer.evidence[0] if answer.evidence else None
    if card is None or expect["thing"] not in card.query or card.rows < len(frame):
        found.append("the evidence does not name the source")
    return found
