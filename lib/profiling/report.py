"""A profile to take along: JSON for programs, one HTML file for people. No script, nothing fetched, all escaped."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import numpy as np

from lib.profiling.hosts import HostProfile
from lib.profiling.profiles import Alert, LabelProfile, MetricProfile, SeriesProfile
from lib.profiling.relations import Relation
from lib.profiling.shape import Distribution
from lib.profiling.story import Picture, Story, story
from lib.profiling.tables import ColumnProfile, Kind, TableProfile
from lib.profiling.units import unit_of
from lib.profiling.words import amount, duration

Profile = SeriesProfile | MetricProfile | HostProfile | TableProfile
Facts = Sequence[tuple[str, str]]
# Symbols as well as colour.
_SIGNS = {"error": "✕", "warning": "▲", "info": "•"}
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }
td { overflow-wrap: anywhere; min-width: 5.5rem; } ul { padding: 0; list-style: none; }
.error { color: #e03131; } .warning { color: #b96a00; } .quiet { opacity: .7; }
svg { width: 160px; height: 36px; display: block; } rect { fill: #2f7ed8; }
.pictures { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 1rem 0 0; flex: 1 1 300px; }
figcaption { font-weight: 600; } figure svg { width: 100%; height: 90px; } meter { width: 100%; min-width: 6rem; }
"""


def to_json(profile: Profile, as_of: datetime, told: Story | None = None) -> bytes:
    """Everything a profile holds: numbers as they are, what is no number as null, times in ISO 8601; of a table also
    its story (told, when somebody knows more of it than the profile)."""
    kind = type(profile).__name__.removesuffix("Profile").lower()
    body = {"profile_of": kind, "exported_at": as_of.isoformat(timespec="seconds"), **_plain(profile)}
    if isinstance(profile, TableProfile):
        body["story"] = _plain(told or story(profile))
    return json.dumps(body, ensure_ascii=False, allow_nan=False, indent=1).encode("utf-8", "backslashreplace")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def to_html(profile: Profile, as_of: datetime, told: Story | None = None) -> bytes:
    """A page that shows the same wherever it is opened; data can neither run nor load anything in it."""
    opening = ""
    if isinstance(profile, TableProfile):
        title, parts = profile.name, _table_parts(profile)
        opening = _story(told or story(profile))
    elif isinstance(profile, HostProfile):
        title, parts = profile.host, _host_parts(profile)
    elif isinstance(profile, MetricProfile):
        title, parts = profile.metric, _metric_parts(profile)
    else:
        title, parts = profile.series.title, _series_parts(profile)
    body = "".join([f"<h1>{_safe(title)}</h1>", opening, _alerts(profile.alerts), *parts])
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width">'
        f"<title>Profile of {_safe(title)}</title><style>{_STYLE}</style></head><body>{body}"
        f'<p class="quiet">AutoOps, as of {as_of:%Y-%m-%d %H:%M:%S} UTC.</p></body></html>'
    )
    return page.encode("utf-8", "replace")


# --- the four kinds -----------------------------------------------------------------------------------


def _table_parts(profile: TableProfile) -> list[str]:
    facts = [
        ("Rows", f"{profile.rows:,}"),
        ("Columns", f"{len(profile.columns) + profile.left_out:,}"),
        ("Size", amount(float(profile.size_bytes), "B")),
        ("Missing cells", f"{profile.missing_share:.2%}"),
        ("Repeated rows", "not compared" if profile.duplicates is None else f"{profile.duplicates:,}"),
        ("Quantiles and relations from", f"{profile.sampled:,} rows"),
    ]
    if profile.target:
        facts.append(("Likely target", f"{profile.target.column}: {'; '.join(profile.target.reasons)}"))
    if profile.time:
        time = profile.time
        facts.append(("Time column", f"{time.column}, {time.first} to {time.last}, {time.gap_count:,} gaps"))
    header = ("Column", "Type", "Missing", "Different", "Range", "Mean", "Median", "Most frequent", "Distribution")
    rows = [
        [
            _safe(column.name),
            _safe(column.type),
            f"{column.missing_share:.1%}",
            f"{column.distinct:,}",
            _safe(span(column)),
            _safe(amount(column.mean)) if column.kind is Kind.NUMBER else "",
            _safe(amount(column.quantiles.get("0.5"))) if column.kind is Kind.NUMBER else "",
            _safe(frequent(column)),
            _bars(column.counts),
        ]
        for column in profile.columns
    ]
    return [_facts(facts), _section("Columns", header, rows), _related(profile.relations)]


def _host_parts(profile: HostProfile) -> list[str]:
    facts = [
        ("Series", f"{len(profile.rows):,}"),
        ("Metrics", f"{profile.metrics:,}"),
        ("Samples", f"{profile.samples:,}"),
        ("Missing", f"{profile.missing_share:.1%}"),
        ("Silent", f"{profile.count('silent'):,}"),
        ("Constant", f"{profile.count('constant'):,}"),
        ("From, to", f"{_moment(profile.first)} to {_moment(profile.last)}"),
    ]
    if profile.target:
        facts.append(("Most worth predicting", f"{profile.target.title}: {'; '.join(profile.target.reasons)}"))
    return [_facts(facts), _series_table(profile), _labels(profile.labels), _related(profile.relations)]


def _metric_parts(profile: MetricProfile) -> list[str]:
    spread, unit = profile.distribution, profile.unit
    facts = [
        ("Series", f"{profile.series:,}"),
        ("Hosts", f"{profile.hosts:,}"),
        ("Samples", f"{profile.samples:,}"),
        ("Kind", profile.kind),
        ("Unit", unit or "not told by the name"),
        ("From, to", f"{_moment(profile.first)} to {_moment(profile.last)}"),
        ("Silent", f"{len(profile.silent):,}"),
        ("Constant", f"{profile.constant:,}"),
        ("Missing", f"{profile.missing_share:.1%}"),
        ("Twice", f"{profile.duplicates:,}"),
        ("Resets", f"{profile.resets:,}"),
        ("Mean, deviation", f"{amount(spread.mean, unit)}, {amount(spread.std, unit)}"),
        ("The same everywhere", ", ".join(f"{name}={value}" for name, value in sorted(profile.shared.items()))),
    ]
    return [
        _facts(facts),
        _summed_part(profile),
        *_values(spread, unit),
        _labels(profile.labels),
        _series_table(profile),
        _related(profile.relations),
    ]


def _series_parts(profile: SeriesProfile) -> list[str]:
    spread, unit = profile.distribution, profile.unit
    facts = [
        ("Samples", f"{profile.count:,}"),
        ("From, to", f"{_moment(profile.first)} to {_moment(profile.last)}"),
        ("Interval", duration(profile.interval_s)),
        ("Missing", f"{profile.missing_share:.1%}, {len(profile.gaps):,} gaps"),
        ("No number", f"{profile.nan:,} NaN, {profile.infinite:,} infinite"),
        ("Twice", f"{profile.duplicates:,}"),
        ("Resets", f"{profile.resets:,}"),
        ("Mean, deviation", f"{amount(spread.mean, unit)}, {amount(spread.std, unit)}"),
        ("Daily rhythm", share(profile.rhythm.daily)),
        ("Weekly rhythm", share(profile.rhythm.weekly)),
        ("Trend", share(profile.trend.explained if profile.trend else None)),
    ]
    gaps = [[_moment(gap.start), _moment(gap.end), duration(gap.seconds)] for gap in profile.gaps[:200]]
    return [
        _facts(facts),
        _summed_part(profile),
        *_values(spread, unit),
        _section("Gaps", ("From", "To", "Lasted"), gaps),
    ]


def _series_table(profile: HostProfile | MetricProfile) -> str:
    header = ("Series", "Unit", "Samples", "Missing", "Interval", "State", "Daily", "Weekly", "Trend")
    rows = [
        [
            _safe(row.title),
            _safe(row.unit),
            f"{row.count:,}",
            f"{row.missing_share:.1%}",
            duration(row.interval_s),
            state(row.silent, row.constant, row.count),
            share(row.daily),
            share(row.weekly),
            share(row.trend),
        ]
        for row in profile.rows
    ]
    return _section("Series", header, rows)


def _values(spread: Distribution, unit: str) -> list[str]:
    quantiles = [[f"{one:.0%}", _safe(amount(value, unit))] for one, value in spread.quantiles.items()]
    return [
        f"<h2>Distribution</h2>{_bars(spread.counts.tolist())}" if spread.counts.size else "",
        _section("Quantiles", ("Share below", "Value"), quantiles),
    ]


def summed(profile: SeriesProfile | MetricProfile) -> list[tuple[str, str, str]]:
    """What is exact of a range whose older samples have expired: name, value, and what it means; empty for others."""
    sums = profile.sums
    if sums is None:
        return []
    count = ("Numbers", f"{sums.count:,}", "Finite values, of samples and in sums.")
    if sums.increase is not None:
        metric = profile.metric if isinstance(profile, MetricProfile) else profile.series.metric
        words = "From the last sample before the range on, resets minded" + (
            "; of all series." if isinstance(profile, MetricProfile) else "."
        )
        return [count, ("Growth", amount(sums.increase, unit_of(metric)), words)]
    unit = profile.unit
    return [
        count,
        ("Mean", amount(sums.mean, unit), "Of all these numbers."),
        ("Least", amount(sums.low, unit), "Of all these numbers."),
        ("Most", amount(sums.high, unit), "Of all these numbers."),
    ]


def _summed_part(profile: SeriesProfile | MetricProfile) -> str:
    sums = profile.sums
    if sums is None:
        return ""
    rows = [[_safe(name), _safe(value), _safe(words)] for name, value, words in summed(profile)]
    span = f"{_moment(sums.window.start)} to {_moment(sums.window.end)}"
    return _section(f"Whole range, {span}, exact from samples and sums", ("", "", ""), rows)


# --- words and parts ----------------------------------------------------------------------------------


def span(column: ColumnProfile) -> str:
    """`3 to 12`, or the lengths of texts."""
    if column.lengths:
        return f"{column.lengths[0]:,} to {column.lengths[2]:,} characters"
    if column.least is None:
        return ""
    if column.kind is Kind.NUMBER:
        return f"{amount(float(column.least))} to {amount(float(column.most or column.least))}"
    return f"{column.least} to {column.most}"


def frequent(column: ColumnProfile, most: int = 3) -> str:
    """The values found most often with their rows, `~` before counts that a sample gave."""
    about = "" if column.top_exact else "~"
    return ", ".join(f"{value} ({about}{count:,})" for value, count in column.top[:most])


def share(value: float | None) -> str:
    return "too short" if value is None else f"{value:.0%}"


def state(silent: bool, constant: bool, count: int) -> str:
    """A symbol and a word."""
    if not count:
        return "– no samples"
    return "✕ silent" if silent else "▬ constant" if constant else "✓ alive"


def _safe(text: object) -> str:
    return html.escape(str(text), quote=True)


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "–"


def _alerts(alerts: Iterable[Alert]) -> str:
    lines = "".join(
        f'<li class="{_safe(one.level)}">{_SIGNS[str(one.level)]} {_safe(one.sentence)} '
        f'<span class="quiet">{_safe(one.remedy)}</span></li>'
        for one in alerts
    )
    return f"<h2>What stands out</h2><ul>{lines}</ul>" if lines else "<p>✓ Nothing stands out.</p>"


def _story(told: Story) -> str:
    """The first page: chapters of sentences, then pictures beside each other."""
    chapters = (
        ("What it is", told.what),
        ("How good it is", told.quality),
        ("What it says", told.stands_out),
        ("What to try", told.attempts),
    )
    words = "".join(
        f"<h2>{title}</h2><ul>{''.join(f'<li>{_safe(line)}</li>' for line in lines)}</ul>" for title, lines in chapters
    )
    return f'{words}<div class="pictures">{"".join(_picture(one) for one in told.pictures)}</div>'


def _picture(picture: Picture) -> str:
    top = max(picture.values, default=0.0)
    if not top:
        return ""
    caption = f"<figcaption>{_safe(picture.title)}</figcaption>"
    if picture.spread:
        ends = f"{_safe(picture.labels[0])} to {_safe(picture.labels[-1])}"
        return f"<figure>{caption}{_bars(picture.values)}<small>{ends}</small></figure>"
    rows = "".join(
        f'<tr><td>{_safe(label)}</td><td><meter value="{value / top:.3f}"></meter></td>'
        f"<td>{_figure(value, picture.unit)}</td></tr>"
        for label, value in zip(picture.labels, picture.values, strict=True)
    )
    return f"<figure>{caption}<table>{rows}</table></figure>"


def _figure(value: float, unit: str) -> str:
    return f"{value:.1%}" if unit == "share" else f"{value:.2f}" if unit == "strength" else f"{value:,.0f}"


def _facts(facts: Facts) -> str:
    rows = "".join(f"<tr><th>{_safe(name)}</th><td>{_safe(value)}</td></tr>" for name, value in facts)
    return f"<table>{rows}</table>"


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table. Cells are HTML: whoever builds them has escaped what is foreign."""
    if not rows:
        return ""
    head = "".join(f"<th>{_safe(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<h2>{_safe(title)}</h2><div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _labels(labels: Sequence[LabelProfile]) -> str:
    rows = [
        [_safe(one.label), f"{one.distinct:,}", _safe(", ".join(f"{v} ({n:,})" for v, n in one.top.items()))]
        for one in labels
    ]
    return _section("Labels", ("Label", "Values", "Most frequent (series)"), rows)


def _related(relations: Sequence[Relation]) -> str:
    def figure(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    rows = [
        [_safe(one.first), _safe(one.second), figure(one.pearson), figure(one.spearman), figure(one.shared)]
        for one in relations
    ]
    return _section("What goes together", ("", "", "Pearson", "Spearman", "Shared information"), rows)


def _bars(counts: Sequence[float]) -> str:
    """A histogram as a small picture of rectangles."""
    top = max(counts, default=0)
    if not top:
        return ""
    bars = "".join(
        f'<rect x="{i}" y="{36 - 36 * n / top:.2f}" width="0.9" height="{36 * n / top:.2f}"/>'
        for i, n in enumerate(counts)
    )
    return f'<svg viewBox="0 0 {len(counts)} 36" preserveAspectRatio="none" role="img">{bars}</svg>'
