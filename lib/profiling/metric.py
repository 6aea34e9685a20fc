"""What all series of a metric are like together: how many, by which labels, and which have gone silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.frames import Series, Window
from lib.profiling import shape
from lib.profiling.alerts import of_metric
from lib.profiling.profiles import LabelProfile, MetricProfile
from lib.profiling.series import is_stale
from lib.profiling.units import unit_of

if TYPE_CHECKING:
    from lib.profiling.hosts import HostProfile

TOP_VALUES = 10


def label_profiles(series: Sequence[Series]) -> tuple[tuple[LabelProfile, ...], dict[str, str]]:
    """Cardinality by label, most values first, and the labels whose value all series share."""
    counts: dict[str, Counter[str]] = {}
    for one in series:
        for name, value in one.labels.items():
            counts.setdefault(name, Counter())[value] += 1
    shared = {
        name: next(iter(values))
        for name, values in counts.items()
        if len(values) == 1 and values.total() == len(series) and len(series) > 1
    }
    varying = [
        LabelProfile(name, len(values), dict(values.most_common(TOP_VALUES)))
        for name, values in counts.items()
        if name not in shared
    ]
    return tuple(sorted(varying, key=lambda found: (-found.distinct, found.label))), shared


def profile(
    metric: str,
    series: Sequence[Series],
    table: pd.DataFrame,
    now: datetime,
    *,
    together: HostProfile | None = None,
    distribution: shape.Distribution | None = None,
    resets: int = 0,
    duplicates: int = 0,
    described: Window | None = None,
) -> MetricProfile:
    """Everything there is to say about a metric.

    table: one row a series that has samples: series_id, count, first, last (UTC), min, max (finite values),
    non_finite, interval_s. together: its series held against each other; with distribution (of all readings), resets
    and duplicates it may be of a part of the range, `described`.
    """
    kind = series[0].kind if series else "gauge"
    labels, shared = label_profiles(series)
    by_id = {one.id: one for one in series}
    silent = tuple(
        by_id[row.series_id]
        for row in table.itertuples()
        if row.series_id in by_id
        and is_stale((now - row.last).total_seconds(), None if pd.isna(row.interval_s) else row.interval_s)
    )
    found = MetricProfile(
        metric=metric,
        kind=kind,
        unit=unit_of(metric, kind),
        series=len(series),
        hosts=len({one.host for one in series if one.host}),
        samples=int(table["count"].sum()),
        first=table["first"].min().to_pydatetime() if len(table) else None,
        last=table["last"].max().to_pydatetime() if len(table) else None,
        labels=labels,
        shared=shared,
        silent=silent,
        constant=int(((table["min"] == table["max"]) & (table["count"] > 1)).sum()),
        non_finite=int(table["non_finite"].sum()),
        distribution=distribution or shape.distribution(np.empty(0)),
        resets=resets,
        duplicates=duplicates,
        described=described,
    )
    if together is not None:
        found = replace(
            found,
            missing=sum(row.missing for row in together.rows),
            missing_share=together.missing_share,
            rows=together.rows,
            relations=together.relations,
            same=together.same,
            related=together.related,
        )
    return replace(found, alerts=of_metric(found))
