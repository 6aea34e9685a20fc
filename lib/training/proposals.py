"""Which steps a table calls for, each with the figures of its profile that say so; how sure that is, others know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.profiling.table_alerts import SAME
from lib.profiling.tables import ColumnProfile, Kind, TableProfile
from lib.training import rows as rows_of
from lib.training import schema as schemas
from lib.training.plan import Step
from lib.training.preparation import read
from lib.training.schema import FEATURES, Role, Task

# One value in so large a share of the rows is as good as one value.
NEARLY_ALL = 0.995
# A single column that ranks rows this well says what it should not know.
_TELLING = 0.995
_FAR, _RARE, _MANY, _UNLIKE = 5.0, 0.5, 40, 10.0
_LEAST_MISSING = 0.0005


@dataclass(frozen=True)
class Proposal:
    """key: what sort of suggestion it is, across tables; cause: how strong what calls for it is, about 0 to 3."""

    key: str
    step: Step
    reason: str
    cause: float


def proposals(
    profile: TableProfile, frame: pd.DataFrame, target: str, roles: Mapping[str, str], task: Task
) -> list[Proposal]:
    """In the order they would run. frame: the table's rows, or a fair part of them."""
    columns = {column.name: column for column in profile.columns if column.name in frame.columns}
    found = [
        _constant(columns, frame, target),
        _identifiers(columns, roles, target),
        _leaks(profile, frame, target, roles, task),
    ]
    gone = {name for one in found if one for name in one.step.columns}
    left = {name: role for name, role in roles.items() if role in FEATURES and name not in gone}
    by = {kind: [name for name, role in left.items() if role == kind] for kind in FEATURES}
    numbers, words = by[Role.NUMERIC], by[Role.CATEGORY]
    found += [
        _dates(by[Role.DATE]),
        _texts(by[Role.TEXT], columns),
        _tails(numbers, frame),
        _many(words, columns, frame),
        _gaps(numbers + words, columns, frame),
        _categories(words, columns, frame),
        _scales(numbers, frame),
        _balance(frame, target, task),
    ]
    return [one for one in found if one is not None]


def _constant(columns: Mapping[str, ColumnProfile], frame: pd.DataFrame, target: str) -> Proposal | None:
    empty = [
        name for name, one in columns.items() if name != target and (not one.count or not frame[name].notna().any())
    ]
    still = [name for name, one in columns.items() if name not in empty and name != target and _top(one) >= NEARLY_ALL]
    if not empty and not still:
        return None
    said = []
    if empty:
        said.append(f"{_names(empty)} {_is(empty)} empty in every row")
    if still:
        share = min(_top(columns[name]) for name in still)
        most = "every row" if share == 1 else f"at least {share:.1%} of the rows"
        said.append(f"{_names(still)} {_has(still)} one value in {most}")
    return Proposal(
        "drop constant", Step("drop", (*empty, *still)), f"{'; '.join(said)}: nothing can be told by it.", 1.0
    )


def _top(column: ColumnProfile) -> float:
    """Share of the rows with the most frequent value, gaps being one; 0 where it is not known."""
    if column.constant or column.count == 1:
        return column.count / max(1, column.rows)
    if column.kind is Kind.NUMBER and column.quantiles:
        inner = [value for one, value in column.quantiles.items() if 0 < float(one) < 1]
        # Quantiles are of few places: only a column whose inner ones are all the same can be nearly constant.
        if len(set(inner)) > 1:
            return 0.0
    return column.top[0][1] / column.rows if column.top and column.rows else 0.0


def _identifiers(columns: Mapping[str, ColumnProfile], roles: Mapping[str, str], target: str) -> Proposal | None:
    named = [name for name in columns if name != target and roles.get(name) == Role.IDENTIFIER]
    named += [
        name for name, one in columns.items()
        if name != target and name not in named and one.identifying and roles.get(name) in (Role.CATEGORY, Role.NUMERIC)
    ]  # fmt: skip
    if not named:
        return None
    one = columns[named[0]]
    said = f"{_names(named)} {_has(named)} a value of its own in nearly every row ({one.distinct:,} in {one.count:,})"
    return Proposal("drop identifier", Step("drop", tuple(named)), f"{said}: a model would learn it by heart.", 1.0)


def _leaks(
    profile: TableProfile, frame: pd.DataFrame, target: str, roles: Mapping[str, str], task: Task
) -> Proposal | None:
    schema = schemas.describe(frame, target, roles, task)
    kept, y = schemas.encode_target(frame, schema)
    told = dict.fromkeys(rows_of.leaking(frame, schema), 1.0)
    for relation in profile.relations:
        other = {relation.first: relation.second, relation.second: relation.first}.get(target)
        if other is not None and relation.strength >= SAME and roles.get(other) in FEATURES:
            told[other] = max(told.get(other, 0.0), relation.strength)
    if len(y) >= 50 and task != Task.MULTICLASS:
        numbers = [column.name for column in schema.columns if column.role == Role.NUMERIC]
        table = read(frame, dict.fromkeys(numbers, Role.NUMERIC))
        for place, name in enumerate(numbers):
            strength = _ranking(table.values[kept, place], y, task)
            if strength >= _TELLING:
                told[name] = max(told.get(name, 0.0), strength)
    if not told:
        return None
    names = sorted(told, key=lambda name: -told[name])
    said = f"{_names(names)} {'tells' if len(names) == 1 else 'tell'} {target} almost alone ({told[names[0]]:.3f} of 1)"
    return Proposal(
        "drop leak",
        Step("drop", tuple(names)),
        f"{said}: most likely written down after the answer was known. Keep it only if it is known beforehand.",
        1.0,
    )


def _ranking(values: np.ndarray, y: np.ndarray, task: Task) -> float:
    """How well one column orders the rows as the target does, 0 to 1."""
    from lib.training.metrics import auc

    known = np.isfinite(values)
    if known.mean() < 0.5 or known.sum() < 50:
        return 0.0
    held, wanted = values[known], y[known]
    if task == Task.BINARY:
        found = auc(wanted, held)
        return abs(2 * found - 1) if found == found else 0.0
    ranks = [pd.Series(one).rank().to_numpy() for one in (held, wanted)]
    if min(float(one.std()) for one in ranks) == 0:
        return 0.0
    return abs(float(np.corrcoef(ranks[0], ranks[1])[0, 1]))


def _dates(dates: Sequence[str]) -> Proposal | None:
    if not dates:
        return None
    said = f"{_names(dates)} {_has(dates)} dates; models take numbers: year, month, weekday, hour."
    return Proposal("dates", Step("dates", tuple(dates)), said, 1.0)


def _texts(texts: Sequence[str], columns: Mapping[str, ColumnProfile]) -> Proposal | None:
    if not texts:
        return None
    one = columns.get(texts[0])
    long = f", on average {one.lengths[1]:.0f} characters" if one and one.lengths else ""
    distinct = f" ({one.distinct:,} different ones{long})" if one else ""
    return Proposal(
        "text",
        Step("text", tuple(texts)),
        f"{_names(texts)} {_has(texts)} free text{distinct}: its words become weights.",
        1.0,
    )


def _tails(numbers: Sequence[str], frame: pd.DataFrame) -> Proposal | None:
    far = {}
    for name in numbers:
        values = _known(frame[name])
        if np.unique(values[:5000]).size < 20:
            continue
        low, quarter, three, high = np.quantile(values, (0.0, 0.25, 0.75, 1.0))
        if three > quarter and (reach := max(high - three, quarter - low) / (three - quarter)) > _FAR:
            far[name] = float(reach)
    if not far:
        return None
    names = sorted(far, key=lambda name: -far[name])
    said = f"{names[0]} reaches {far[names[0]]:,.0f} times as far as its middle half is wide"
    more = f", {len(names) - 1} more of {len(numbers)} number columns over {_FAR:.0f} times" if len(names) > 1 else ""
    return Proposal(
        "clip", Step("clip", tuple(names)), f"{said}{more}: the outermost rows pull straight models.",
        float(np.log10(far[names[0]])),
    )  # fmt: skip


def _many(words: Sequence[str], columns: Mapping[str, ColumnProfile], frame: pd.DataFrame) -> Proposal | None:
    counts = {name: _distinct(name, columns, frame) for name in words}
    many = sorted((name for name in words if counts[name] > _MANY), key=lambda name: -counts[name])
    if not many:
        return None
    said = f"{many[0]} has {counts[many[0]]:,} different values"
    return Proposal(
        "encode target",
        Step("encode", tuple(many), "target"),
        f"{said}{_more(many)}: one column a value would be too many; the mean target of other rows says it in one.",
        float(np.log10(counts[many[0]])),
    )


def _gaps(names: Sequence[str], columns: Mapping[str, ColumnProfile], frame: pd.DataFrame) -> Proposal | None:
    shares = {
        name: max(columns[name].missing_share if name in columns else 0.0, float(frame[name].isna().mean()))
        for name in names
    }
    gaps = sorted((name for name in names if shares[name] > _LEAST_MISSING), key=lambda name: -shares[name])
    if not gaps:
        return None
    said = ", ".join(
        f"{name} {'is missing in ' if not place else ''}{shares[name]:.1%}{' of the rows' if not place else ''}"
        for place, name in enumerate(gaps[:3])
    )
    more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
    return Proposal(
        "impute",
        Step("impute"),
        f"{said}{more}: gaps are filled with the median, and a column says where they were.",
        float(np.sqrt(np.mean([shares[name] for name in names])) * 3),
    )


def _categories(words: Sequence[str], columns: Mapping[str, ColumnProfile], frame: pd.DataFrame) -> Proposal | None:
    if not words:
        return None
    counts = {name: _distinct(name, columns, frame) for name in words}
    most = max(words, key=lambda name: counts[name])
    what = "column holds" if len(words) == 1 else "columns hold"
    return Proposal(
        "encode",
        Step("encode"),
        f"{len(words)} {what} categories, {most} the most ({counts[most]:,}): models take numbers.",
        float(np.log10(1 + len(words))),
    )


def _scales(numbers: Sequence[str], frame: pd.DataFrame) -> Proposal | None:
    spreads = {}
    for name in numbers:
        values = _known(frame[name])
        if values.size > 1 and (spread := float(values.std())) > 0:
            spreads[name] = spread
    if len(spreads) < 2:
        return None
    small, large = min(spreads, key=lambda n: spreads[n]), max(spreads, key=lambda n: spreads[n])
    ratio = spreads[large] / spreads[small]
    if ratio < _UNLIKE:
        return None
    said = (
        f"{large} spreads {ratio:,.0f} times as wide as {small}"
        if ratio < 1e6
        else f"{large} spreads millions of times as wide as {small}"
    )
    return Proposal(
        "scale",
        Step("scale"),
        f"{said}: straight models, kernels and networks would hear only the widest.",
        float(min(3.0, np.log10(ratio) / 2)),
    )


def _balance(frame: pd.DataFrame, target: str, task: Task) -> Proposal | None:
    if task == Task.REGRESSION:
        return None
    counts = pd.Series(schemas.class_names(frame[target])).value_counts()
    if len(counts) < 2:
        return None
    share, even = counts.iloc[-1] / counts.sum(), 1 / len(counts)
    if share >= _RARE * even:
        return None
    rarest = f"{str(counts.index[-1])[:40]}, has {share:.1%} of the rows ({counts.iloc[-1]:,})"
    return Proposal(
        "balance",
        Step("balance", method="weights"),
        f"The rarest class of {target}, {rarest}.",
        float(-np.log10(share / even)),
    )


def _distinct(name: str, columns: Mapping[str, ColumnProfile], frame: pd.DataFrame) -> int:
    return columns[name].distinct if name in columns else int(frame[name].nunique())


def _known(column: pd.Series) -> np.ndarray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    return values[np.isfinite(values)]


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _more(names: Sequence[str]) -> str:
    return f", {len(names) - 1} more columns over {_MANY}" if len(names) > 1 else ""


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
