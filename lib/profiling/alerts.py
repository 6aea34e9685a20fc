"""What a profile means for a reader: one sentence an alert, and what to do about it."""

from __future__ import annotations

from lib.profiling.profiles import Alert, Level, MetricProfile, SeriesProfile
from lib.profiling.words import amount, duration

# From here on a label makes charts and detectors slow without telling more.
MANY_SERIES = 500
# Shares of missing samples: below the first nobody notices, above the second statistics lean on too little.
SOME_MISSING, MUCH_MISSING = 0.01, 0.2
# Shares of variance explained by the clock that are worth telling.
STRONG_RHYTHM = 0.4
# A sentence and its remedy, of many series.
ONE_SAMPLE = ("No series has more than one sample yet, which says little.", "Wait for the next collection.")
_ORDER = {Level.ERROR: 0, Level.WARNING: 1, Level.INFO: 2}


def of_series(profile: SeriesProfile) -> tuple[Alert, ...]:
    """Alerts of one series, gravest first."""
    if profile.count == 0:
        return (
            Alert(
                "empty",
                Level.WARNING,
                f"No sample from {profile.window.start:%Y-%m-%d %H:%M} to {profile.window.end:%Y-%m-%d %H:%M} UTC.",
                "Widen the range, or check on the Sources page when it was last collected.",
            ),
        )
    return _sorted([*_presence(profile), *_values(profile), *_movement(profile)])


def _presence(profile: SeriesProfile) -> list[Alert]:
    found = []
    if profile.stale and profile.age_s is not None:
        found.append(
            Alert(
                "stale",
                Level.ERROR,
                f"No sample for {duration(profile.age_s)}, where one every {duration(profile.interval_s)} is usual."
                if profile.interval_s
                else f"No sample for {duration(profile.age_s)}.",
                "The device or its exporter may be gone: check the source on the Sources page.",
            )
        )
    if profile.age_s is not None and profile.age_s < -60:
        found.append(
            Alert(
                "future",
                Level.WARNING,
                f"The newest sample is {duration(-profile.age_s)} ahead of this machine's clock.",
                "Compare the clocks of the source and of this machine.",
            )
        )
    if profile.gaps and profile.missing_share >= SOME_MISSING:
        much = profile.missing_share >= MUCH_MISSING
        found.append(
            Alert(
                "gaps",
                Level.WARNING if much else Level.INFO,
                f"{_times(len(profile.gaps), 'gap')}, the longest {duration(profile.longest_gap_s)}; "
                f"{profile.missing_share:.0%} of the samples are missing.",
                "Charts break there and learning skips them. Backfill on the Sources page while the source has them.",
            )
        )
    if profile.duplicates:
        found.append(
            Alert(
                "duplicates",
                Level.INFO,
                f"{_times(profile.duplicates, 'sample')} came twice with one timestamp; the first is used.",
                "Check whether two targets collect the same series.",
            )
        )
    return found


def _values(profile: SeriesProfile) -> list[Alert]:
    found = []
    if profile.nan or profile.infinite:
        bad = profile.nan + profile.infinite
        found.append(
            Alert(
                "non_finite",
                Level.ERROR if bad == profile.count else Level.WARNING,
                f"{_times(bad, 'value')} of {profile.count:,} {'is' if bad == 1 else 'are'} no number "
                f"({profile.nan:,} NaN, {profile.infinite:,} infinite).",
                "Charts and learning leave them out; a division by zero in the exporter or query is the usual cause.",
            )
        )
    if profile.constant:
        found.append(
            Alert(
                "constant",
                Level.INFO,
                f"The value never changed: always {amount(profile.last_value, _raw_unit(profile))}.",
                "Fine for limits and versions; elsewhere check that the exporter still updates it. Detectors skip it.",
            )
        )
    if profile.resets:
        found.append(
            Alert(
                "resets",
                Level.INFO,
                f"The counter started again {_times(profile.resets, 'time')}.",
                "Rates account for it. Many resets mean the process restarts often: look for crashes.",
            )
        )
    if profile.count == 1:
        little = "makes no rate" if profile.series.kind == "counter" else "says little"
        found.append(Alert("one_sample", Level.INFO, f"One sample {little} yet.", "Wait for the next collection."))
    if profile.truncated:
        found.append(
            Alert(
                "truncated",
                Level.INFO,
                f"Only the newest {profile.count:,} samples were profiled.",
                "Choose a shorter range to look at an earlier time.",
            )
        )
    return found


def _movement(profile: SeriesProfile) -> list[Alert]:
    found = []
    rhythm = profile.rhythm
    if rhythm.daily is not None and rhythm.daily >= STRONG_RHYTHM:
        found.append(
            Alert(
                "daily",
                Level.INFO,
                f"The time of day explains {rhythm.daily:.0%} of its movement.",
                "Judge a value against the same hour of other days; detectors do.",
            )
        )
    if rhythm.weekly is not None and rhythm.weekly >= STRONG_RHYTHM:
        found.append(
            Alert(
                "weekly",
                Level.INFO,
                f"The day of the week explains {rhythm.weekly:.0%} of what the time of day leaves open.",
                "Train on at least three weeks, so that weekends do not look strange.",
            )
        )
    trend = profile.trend
    if trend and trend.explained >= 0.6 and trend.per_day:
        way = "grows" if trend.per_day > 0 else "falls"
        found.append(
            Alert(
                "trend",
                Level.INFO,
                f"It {way} by {amount(abs(trend.per_day), profile.unit)} a day, and steadily so.",
                "If it has a limit, work out when it is reached; a detector trained long ago will need training again.",
            )
        )
    return found


def of_metric(profile: MetricProfile) -> tuple[Alert, ...]:
    """Alerts of a metric as a whole, gravest first."""
    found = []
    if profile.series and not profile.samples:
        found.append(
            Alert(
                "empty",
                Level.WARNING,
                "None of its series has a sample in this range.",
                "Widen the range, or check on the Sources page when it was last collected.",
            )
        )
    if profile.silent and profile.samples:
        all_of_them = len(profile.silent) == profile.series
        hosts = sorted({series.host for series in profile.silent if series.host})
        named = f" ({', '.join(hosts[:3])}{', …' if len(hosts) > 3 else ''})" if hosts else ""
        found.append(
            Alert(
                "stale",
                Level.ERROR if all_of_them else Level.WARNING,
                f"{len(profile.silent):,} of {profile.series:,} series {'has' if len(profile.silent) == 1 else 'have'} "
                f"gone silent{named}.",
                "The devices may be gone: check the source on the Sources page.",
            )
        )
    if profile.series > MANY_SERIES:
        widest = profile.labels[0] if profile.labels else None
        because = f", {widest.distinct:,} values of {widest.label} among them" if widest else ""
        found.append(
            Alert(
                "cardinality",
                Level.WARNING,
                f"{profile.series:,} series{because}.",
                "Collect an expression that sums over that label instead, such as sum without (label) (metric).",
            )
        )
    if profile.missing_share >= SOME_MISSING:
        found.append(
            Alert(
                "gaps",
                Level.WARNING if profile.missing_share >= MUCH_MISSING else Level.INFO,
                f"{profile.missing_share:.1%} of the samples there should be are missing or no number.",
                "Charts break there and learning skips them. Backfill on the Sources page while the source has them.",
            )
        )
    if profile.rows and profile.samples and all(row.count <= 1 for row in profile.rows):
        found.append(Alert("one_sample", Level.INFO, *ONE_SAMPLE))
    if profile.resets:
        found.append(
            Alert(
                "resets",
                Level.INFO,
                f"Its counters started again {_times(profile.resets, 'time')}.",
                "Rates account for it. Many resets mean the process restarts often: look for crashes.",
            )
        )
    if profile.same:
        repeats = sum(len(group) - 1 for group in profile.same)
        found.append(
            Alert(
                "same",
                Level.INFO,
                f"{repeats:,} series {'repeats' if repeats == 1 else 'repeat'} another one, such as "
                f"{', '.join(profile.same[0][:3])}.",
                "Collect one of each group; detectors watch one anyway.",
            )
        )
    if profile.described is not None:
        found.append(
            Alert(
                "truncated",
                Level.INFO,
                f"Values, gaps and rhythms are of the samples since {profile.described.start:%Y-%m-%d %H:%M} UTC: the "
                f"range holds {profile.samples:,}.",
                "Choose a shorter range, or one host, to look at an earlier time.",
            )
        )
    if profile.non_finite:
        found.append(
            Alert(
                "non_finite",
                Level.WARNING,
                f"{_times(profile.non_finite, 'value')} of {profile.samples:,} are no number (NaN or infinite).",
                "They are left out of charts and learning.",
            )
        )
    if profile.constant and profile.series > 1:
        found.append(
            Alert(
                "constant",
                Level.INFO,
                f"{profile.constant:,} of {profile.series:,} series never changed.",
                "Detectors leave them out.",
            )
        )
    return _sorted(found)


def _sorted(found: list[Alert]) -> tuple[Alert, ...]:
    return tuple(sorted(found, key=lambda alert: _ORDER[alert.level]))


def _times(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _raw_unit(profile: SeriesProfile) -> str:
    """Of a counter's stored values, which are no rates."""
    return "" if profile.series.kind == "counter" else profile.unit
