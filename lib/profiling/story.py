"""One page that tells a table to somebody who has never seen it: what it is, how good, what stands out, what to try."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lib.profiling.profiles import Alert, Level
from lib.profiling.table_alerts import SAME
from lib.profiling.tables import ColumnProfile, Kind, TableProfile
from lib.profiling.words import amount, duration

MOST_BARS, MOST_LINES = 10, 6
_KINDS = {
    Kind.NUMBER: ("number", "numbers"),
    Kind.TEXT: ("text", "texts"),
    Kind.MOMENT: ("date", "dates"),
    Kind.BOOLEAN: ("yes or no", "yes or no"),
    Kind.OTHER: ("nested", "nested"),
}
# Alerts about the data as such; the others are about what it says.
_ABOUT_QUALITY = {
    *("empty", "rejected", "few_rows", "duplicates", "too_wide", "all_missing", "missing", "constant", "non_finite"),
    *("beyond_exact", "blank", "stored_as_text", "mixed", "gaps"),
}
# Shares of cells or rows that are not as they should be: up to the first a table is good, up to the second fair.
_GOOD, _FAIR = 0.02, 0.15


class Verdict(StrEnum):
    """How good a table is to learn from, as far as the table itself can say."""

    GOOD = "good"  # nothing of weight is missing, repeated or broken
    FAIR = "fair"  # some of it is; it can be worked with
    POOR = "poor"  # much of it is; repair it first


@dataclass(frozen=True)
class Picture:
    """Bars with their labels. unit: "rows", "share" (0 to 1) or "strength" (0 to 1); spread: equal stretches of a
    number in their order rather than things beside each other."""

    title: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    unit: str
    spread: bool = False


@dataclass(frozen=True)
class Story:
    """Sentences by chapter, and pictures."""

    verdict: Verdict
    what: tuple[str, ...]
    quality: tuple[str, ...]
    stands_out: tuple[str, ...]
    attempts: tuple[str, ...]
    pictures: tuple[Picture, ...]


def story(profile: TableProfile, target: str = "", advice: Sequence[str] = ()) -> Story:
    """target: the column that is to be told, else the likely one; advice: what to try, when somebody worked that out;
    otherwise what the alerts say."""
    wanted = target or (profile.target.column if profile.target else "")
    column = next((one for one in profile.columns if one.name == wanted), None)
    quality = [alert for alert in profile.alerts if alert.code in _ABOUT_QUALITY]
    others = [alert for alert in profile.alerts if alert.code not in _ABOUT_QUALITY]
    verdict, said = _quality(profile, quality)
    return Story(
        verdict,
        tuple(_what(profile, column, chosen=bool(target))),
        tuple(said),
        tuple(_stands_out(profile, column, others)),
        tuple(advice or _from_alerts([*quality, *others])),
        tuple(_pictures(profile, column)),
    )


def _what(profile: TableProfile, target: ColumnProfile | None, *, chosen: bool) -> list[str]:
    kinds = Counter(column.kind for column in profile.columns)
    held = ", ".join(f"{count:,} {_KINDS[kind][count != 1]}" for kind, count in kinds.most_common())
    columns = len(profile.columns) + profile.left_out
    said = [
        f"{profile.name} has {_many(profile.rows, 'row')} of {_many(columns, 'column')}"
        + (f" ({'those looked at: ' if profile.left_out else ''}{held})" if held else "")
        + f", {amount(float(profile.size_bytes), 'B')} on the disk."
    ]
    if profile.time is not None:
        time = profile.time
        each = f", a row each {duration(time.interval_s)}" if time.interval_s else ""
        said.append(f"By {time.column} it runs from {time.first} to {time.last}{each}.")
    if target is None:
        said.append("No column stands out as the one to predict; choose one under Columns.")
        return said
    why = f" ({'; '.join(profile.target.reasons)})" if profile.target and not chosen else ""
    said.append(
        f"{'To be predicted' if chosen else 'Most likely to be predicted'}: {target.name}{why}, {_spread(target)}."
    )
    return said


def _spread(column: ColumnProfile) -> str:
    """What a column holds, in half a sentence."""
    if column.top and column.count and (column.kind is not Kind.NUMBER or column.distinct <= MOST_BARS):
        shares = ", ".join(f"{value} {count / column.count:.0%}" for value, count in column.top[:4])
        more = f" and {column.distinct - 4:,} more" if column.distinct > 4 else ""
        return f"{_many(column.distinct, 'class', 'classes')}: {shares}{more}"
    if column.kind is Kind.NUMBER and column.quantiles and column.least is not None:
        ends = f"from {amount(float(column.least))} to {amount(float(column.most or column.least))}"
        return f"{ends}, half of it below {amount(column.quantiles.get('0.5'))}"
    return _many(column.distinct, "different value")


def _quality(profile: TableProfile, alerts: Sequence[Alert]) -> tuple[Verdict, list[str]]:
    if not profile.rows:
        return Verdict.POOR, [f"Poor: {profile.name} has no rows."]
    repeated = (profile.duplicates or 0) / profile.rows
    rejected = profile.rejected.count / (profile.rows + profile.rejected.count)
    still = [one.name for one in profile.columns if one.constant or not one.count]
    worst = max(profile.missing_share, repeated, rejected, len(still) / max(1, len(profile.columns)))
    grave = any(alert.level is Level.ERROR for alert in alerts) or profile.rows < 20
    verdict = Verdict.POOR if grave or worst > _FAIR else Verdict.FAIR if worst > _GOOD else Verdict.GOOD
    if verdict is Verdict.GOOD and any(alert.level is Level.WARNING for alert in alerts):
        verdict = Verdict.FAIR
    rows = "rows were not compared" if profile.duplicates is None else "no row repeated"
    if profile.duplicates:
        rows = f"{_many(profile.duplicates, 'row')} repeated"
    facts = [f"{profile.missing_share:.1%} of the cells missing", rows]
    if profile.rejected.count:
        facts.append(f"{_many(profile.rejected.count, 'line')} not readable")
    facts.append(f"{_many(len(still), 'column')} without any difference" if still else "no column is empty or constant")
    said = [f"{verdict.capitalize()}: {', '.join(facts)}."]
    said += [alert.sentence for alert in alerts if alert.code not in ("duplicates", "rejected")][:MOST_LINES]
    return verdict, said


def _stands_out(profile: TableProfile, target: ColumnProfile | None, alerts: Sequence[Alert]) -> list[str]:
    said = []
    told = _told(profile, target)
    if target is not None and told:
        names = ", ".join(f"{name} ({strength:.2f} of 1)" for name, strength in told[:3])
        said.append(f"Of {target.name} tell most: {names}.")
        copies = [name for name, strength in told if strength >= SAME]
        if copies:
            said.append(f"{copies[0]} tells it almost alone: make sure that it is known before the answer is.")
    pairs = [one for one in profile.relations if target is None or target.name not in (one.first, one.second)]
    if pairs and pairs[0].strength >= 0.5:
        one = pairs[0]
        said.append(f"{one.first} and {one.second} go together most ({one.strength:.2f} of 1).")
    said += [alert.sentence for alert in alerts if alert.code != "same"]
    return said[:MOST_LINES] or ["Nothing out of the ordinary."]


def _told(profile: TableProfile, target: ColumnProfile | None) -> list[tuple[str, float]]:
    if target is None:
        return []
    return [
        (one.second if one.first == target.name else one.first, one.strength)
        for one in profile.relations
        if target.name in (one.first, one.second)
    ]


def _from_alerts(alerts: Sequence[Alert]) -> list[str]:
    remedies = dict.fromkeys(f"{alert.sentence} {alert.remedy}" for alert in alerts)
    return [*remedies][:MOST_LINES] or ["Nothing needs repair: choose a target and train."]


def _pictures(profile: TableProfile, target: ColumnProfile | None) -> list[Picture]:
    made = []
    if target is not None and profile.rows:
        if target.kind is Kind.NUMBER and target.distinct > MOST_BARS and target.counts and target.edges:
            edges = tuple(f"{amount(edge)}" for edge in target.edges[:-1])
            values = tuple(float(n) for n in target.counts)
            made.append(Picture(f"How {target.name} spreads", edges[: len(values)], values, "rows", spread=True))
        elif target.top:
            top = target.top[:MOST_BARS]
            made.append(
                Picture(f"Classes of {target.name}", tuple(v for v, _ in top), tuple(float(n) for _, n in top), "rows")
            )
    told = _told(profile, target)[:MOST_BARS]
    if target is not None and told:
        made.append(
            Picture(f"What tells of {target.name}", tuple(n for n, _ in told), tuple(s for _, s in told), "strength")
        )
    gaps = sorted((one for one in profile.columns if one.missing), key=lambda one: -one.missing)[:MOST_BARS]
    if gaps and profile.rows:
        names, shares = tuple(one.name for one in gaps), tuple(one.missing_share for one in gaps)
        made.append(Picture("Missing most", names, shares, "share"))
    return made


def _many(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
