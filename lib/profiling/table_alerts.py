"""What a table's profile means for whoever wants to use it, and which column they most likely want to predict."""

from __future__ import annotations

import re
from dataclasses import replace

from lib.profiling.profiles import Alert, Level
from lib.profiling.tables import ColumnProfile, Kind, TableProfile, Target
from lib.profiling.words import duration

SOME_MISSING, MUCH_MISSING = 0.05, 0.5
# A pair this strong says the same twice.
SAME = 0.98
FEW_ROWS = 50
# Alerts of one sort beyond this are summed up: a table of 400 constant columns needs one sentence, not 400.
MOST_OF_A_SORT = 5
_ORDER = {Level.ERROR: 0, Level.WARNING: 1, Level.INFO: 2}
_TARGET = re.compile(
    r"(?i)(?:^|[_\W])(target|label|class|outcome|y|churn(?:ed)?|fraud|default(?:ed)?|fail(?:ed|ure)?|survived|price|result|anomaly)$"
)


def judged(profile: TableProfile) -> TableProfile:
    """The profile with its alerts, gravest first, and its likely target."""
    target = likely_target(profile)
    found = [*_whole(profile)]
    sorts: dict[str, list[Alert]] = {}
    for column in profile.columns if profile.rows else ():
        for alert in _of_column(column):
            sorts.setdefault(alert.code, []).append(alert)
    for code, alerts in sorts.items():
        found += alerts[:MOST_OF_A_SORT]
        if len(alerts) > MOST_OF_A_SORT:
            more = len(alerts) - MOST_OF_A_SORT
            words = f"{more:,} more {'column has' if more == 1 else 'columns have'} the same trouble ({code})."
            found.append(Alert(code, alerts[0].level, words, alerts[0].remedy))
    return replace(profile, target=target, alerts=tuple(sorted(found, key=lambda alert: _ORDER[alert.level])))


def _whole(profile: TableProfile) -> list[Alert]:
    found = []
    if not profile.rows:
        return [
            Alert(
                "empty",
                Level.ERROR,
                "The table has no rows.",
                "Check the export that made the file: it may have been cut short, or its filter matched nothing.",
            )
        ]
    if profile.rejected.count:
        first = "; ".join(f"line {line} ({why})" for line, why in profile.rejected.examples[:3])
        share = profile.rejected.count / (profile.rows + profile.rejected.count)
        found.append(
            Alert(
                "rejected",
                Level.ERROR if share > 0.1 else Level.WARNING,
                f"{_count(profile.rejected.count, 'line')} could not be read: {first}.",
                "They were left out. Repair them, save the file as UTF-8 with the same fields in each line, try again.",
            )
        )
    if profile.rows < FEW_ROWS:
        found.append(
            Alert(
                "few_rows",
                Level.WARNING,
                f"{_count(profile.rows, 'row')} only.",
                "Shares and relations of so few rows are accidents; gather more before you conclude anything.",
            )
        )
    if profile.duplicates:
        found.append(
            Alert(
                "duplicates",
                Level.WARNING,
                f"{_count(profile.duplicates, 'row')} ({profile.duplicates / profile.rows:.1%}) "
                f"{'repeats' if profile.duplicates == 1 else 'repeat'} an earlier one in every column.",
                "Drop them before learning: the same row in training and in test makes a model look better than it is.",
            )
        )
    if profile.left_out:
        found.append(
            Alert(
                "too_wide",
                Level.INFO,
                f"{_count(profile.left_out, 'column')} not looked at, only the first {len(profile.columns) - 1:,} and "
                "the last.",
                "Profile a file with fewer columns to see them.",
            )
        )
    for relation in profile.relations:
        if relation.strength >= SAME:
            found.append(
                Alert(
                    "same",
                    Level.INFO,
                    f"{relation.first} and {relation.second} say nearly the same ({relation.strength:.2f} of 1).",
                    "Keep one of them; if one is what you want to predict, the other may give the answer away.",
                )
            )
    same = [alert for alert in found if alert.code == "same"]
    for alert in same[MOST_OF_A_SORT:]:
        found.remove(alert)
    if profile.time is not None and profile.time.gap_count:
        time = profile.time
        found.append(
            Alert(
                "gaps",
                Level.INFO,
                f"{time.column} pauses {_count(time.gap_count, 'time')}, longest from {time.gaps[0][0]} to "
                f"{time.gaps[0][1]}, where a row each {duration(time.interval_s)} is usual.",
                "Check whether the source was down then; do not interpolate over it without saying so.",
            )
        )
    return found


def _of_column(column: ColumnProfile) -> list[Alert]:
    name, found = column.name, []

    def add(code: str, level: Level, sentence: str, remedy: str) -> None:
        found.append(Alert(code, level, sentence, remedy))

    if not column.count:
        add("all_missing", Level.WARNING, f"{name} is empty in every row.", "Drop the column, or repair its export.")
        return found
    if column.missing_share >= SOME_MISSING:
        much = column.missing_share >= MUCH_MISSING
        add(
            "missing",
            Level.WARNING if much else Level.INFO,
            f"{name} is missing in {column.missing_share:.1%} of the rows.",
            "Drop the column unless its absence itself means something; then add a column that says so."
            if much
            else "Fill it with the median or most frequent value of the training rows, or keep it missing.",
        )
    if column.constant:
        add("constant", Level.INFO, f"{name} has one value in all rows that have any.", "Drop it: it tells nothing.")
    if column.nan or column.infinite:
        add(
            "non_finite",
            Level.WARNING,
            f"{name} holds {column.nan:,} NaN and {column.infinite:,} infinite values.",
            "Turn them into missing values; a division by zero where the file was made is the usual cause.",
        )
    if column.beyond_exact:
        add(
            "beyond_exact",
            Level.WARNING,
            f"{name} reaches beyond 9,007,199,254,740,992, where programs that compute in doubles lose digits.",
            "Keep it as an integer, or as text if it is an identifier.",
        )
    if column.identifying:
        add(
            "identifier",
            Level.INFO,
            f"{name} has its own value in nearly every row: an identifier.",
            "Keep it to join by, and leave it out of learning.",
        )
    elif column.kind is Kind.TEXT and column.distinct > 1000:
        add(
            "cardinality",
            Level.INFO,
            f"{name} has about {column.distinct:,} different texts.",
            "Group rare ones, or encode it by frequency; one column a value would be too many.",
        )
    if column.blank:
        add(
            "blank",
            Level.WARNING if column.blank > SOME_MISSING * column.rows else Level.INFO,
            f"{name} is blank, but not missing, in {_count(column.blank, 'row')}.",
            "Decide whether blank means unknown; then turn it into a missing value.",
        )
    if column.reads_as and column.reads_share >= 0.999:
        add(
            "stored_as_text",
            Level.WARNING,
            f"{name} holds {column.reads_as}s stored as text.",
            f"Convert the column to {column.reads_as}s before you compute with it.",
        )
    elif column.reads_as and column.reads_share >= 0.5:
        add(
            "mixed",
            Level.WARNING,
            f"{name} mixes kinds: {column.reads_share:.1%} of its texts read as a {column.reads_as}, the rest do not.",
            "Find the odd values by sorting; words such as n/a belong turned into missing values.",
        )
    if column.top and column.distinct > 1 and column.kind in (Kind.TEXT, Kind.BOOLEAN) and column.top_exact:
        share = column.top[0][1] / column.count
        if share >= 0.95:
            add(
                "imbalance",
                Level.INFO,
                f"{share:.1%} of {name} is one value.",
                "As a target, judge by precision and recall, not accuracy; as a feature, it rarely helps.",
            )
    if (outliers := _outliers(column)) is not None:
        add("heavy_tail", Level.INFO, *outliers)
    if column.resets:
        add(
            "resets",
            Level.INFO,
            f"{name} only grows, but for {_count(column.resets, 'fall')}: a counter that starts again.",
            "Use its increase from row to row, with a fall counted as a start at zero.",
        )
    if column.trend is not None and column.trend >= 0.6 and not column.increasing_only:
        add(
            "trend",
            Level.INFO,
            f"Time alone explains {column.trend:.0%} of {name} by a straight line.",
            "Split training and test by time; a model of levels will not hold outside the range it saw.",
        )
    if column.daily is not None and column.daily >= 0.4:
        add(
            "daily",
            Level.INFO,
            f"The time of day explains {column.daily:.0%} of the movement of {name}.",
            "Give models the hour of the day.",
        )
    return found


def _outliers(column: ColumnProfile) -> tuple[str, str] | None:
    spread = column.quantiles
    if column.kind is not Kind.NUMBER or not spread or column.distinct < 20:
        return None
    low, high = spread["0.25"], spread["0.75"]
    reach = high - low
    far = max(spread["1.0"] - high, low - spread["0.0"])
    if reach > 0 and far > 20 * reach:
        return (
            f"{column.name} reaches {far / reach:,.0f} times as far as its middle half is wide.",
            "Look at the largest values; use the median, a logarithm, or a method by ranks.",
        )
    return None


def likely_target(profile: TableProfile) -> Target | None:
    """The column most worth predicting, by its name, kind, place and what the others tell of it; None without one."""
    if profile.rows < FEW_ROWS:
        return None
    told: dict[str, float] = {}
    for relation in profile.relations:
        for name in (relation.first, relation.second):
            # What is told completely is a copy, not something to predict.
            if relation.strength < SAME:
                told[name] = max(told.get(name, 0.0), relation.strength)
    scored = []
    for index, column in enumerate(profile.columns):
        classes = column.kind in (Kind.TEXT, Kind.BOOLEAN) or (column.kind is Kind.NUMBER and column.distinct <= 20)
        if column.kind not in (Kind.NUMBER, Kind.TEXT, Kind.BOOLEAN) or column.distinct < 2 or column.identifying:
            continue
        if column.missing_share > MUCH_MISSING or (column.kind is Kind.TEXT and column.distinct > 100):
            continue
        score, reasons = 0.0, []
        if _TARGET.search(column.name):
            score += 2
            reasons.append("its name is that of a target")
        if index == len(profile.columns) - 1:
            score += 0.5
            reasons.append("it is the last column")
        if column.distinct == 2:
            score += 0.4
            reasons.append("it has two classes")
        strength = told.get(column.name, 0.0)
        if strength >= 0.2:
            score += strength
            reasons.append(f"another column tells of it ({strength:.2f} of 1)")
        if not column.missing:
            score += 0.1
        if column.increasing_only:
            continue
        if reasons:
            scored.append((score, index, column, "classification" if classes else "regression", tuple(reasons)))
    if not scored:
        return None
    scored.sort(key=lambda one: (-one[0], one[1]))
    _, _, column, task, reasons_ = scored[0]
    return Target(column.name, task, reasons_, tuple(one[2].name for one in scored[1:4]))


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
