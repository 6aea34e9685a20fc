"""Stored series on their way to a dataset: which, over which span, and the anomalies that may be its target."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from lib.auth.actor import SYSTEM
from lib.datasets.windowing import Recipe, TargetKind, sentence
from lib.errors import Invalid, NotFound
from lib.frames import Series, Window, from_ms, to_ms
from lib.profiling.gaps import GAP_FACTOR
from lib.profiling.titles import short_titles
from lib.services.datasets_jobs import BUCKETS, SERIES
from lib.store.readings import Readings
from lib.store.samples import Samples

# `Detection.anomalies`: what was found, without what lies in maintenance.
Starts = Callable[..., pd.DataFrame]
MOST_SERIES, MOST_ANOMALIES = 200, 100_000


class Gathering:
    def __init__(self, samples: Samples, starts: Starts) -> None:
        self.samples, self.starts = samples, starts
        self.readings = Readings(samples.store, GAP_FACTOR)

    def params(self, series_ids: Sequence[int], window: Window, recipe: Recipe, host: str | None) -> dict[str, Any]:
        """What a job is told, checked. Raises Invalid, or NotFound for a series nobody has."""
        ids = [int(one) for one in dict.fromkeys(series_ids)]
        if not 1 <= len(ids) <= MOST_SERIES:
            raise Invalid(f"A dataset is made of 1 to {MOST_SERIES} series, not {len(ids)}.")
        recipe.check(ids)
        found = self.samples.find(ids=ids)
        missing = sorted(set(ids) - {one.id for one in found})
        if missing:
            raise NotFound(f"There is no series {missing[0]}; it may have been removed with its source.")
        return {
            "series": ids,
            "recipe": {**asdict(recipe), "aggregate": str(recipe.aggregate), "target": str(recipe.target)},
            "start_ms": to_ms(window.start),
            "end_ms": to_ms(window.end),
            "host": host,
            "target": sentence(recipe, names_of(found)),
        }

    def prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """Write what the job reads, series by series, so that the app never holds more than one of them."""
        import pyarrow as pa
        from pyarrow import parquet

        found = self.samples.find(ids=params["series"])
        if not found:
            raise NotFound("The series are gone; they may have been removed with their source.")
        window = Window(from_ms(params["start_ms"]), from_ms(params["end_ms"]))
        step_ms = params["recipe"]["step_s"] * 1000
        writer = None
        try:
            for one in found:
                frame = self.readings.buckets([one.id], window, step_ms, counters=one.kind == "counter")
                slots = frame["ts"].astype("datetime64[ms, UTC]").astype("int64") // step_ms
                table = pa.Table.from_pandas(
                    frame.assign(slot=slots)[["series_id", "slot", "min", "mean", "max"]], preserve_index=False
                )
                writer = writer or parquet.ParquetWriter(str(workdir / BUCKETS), table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
        wanted = params["recipe"]["target"] == TargetKind.ANOMALY
        starts = self._starts(found, window, params["host"]) if wanted else []
        told = {"names": {str(key): name for key, name in names_of(found).items()}, "anomalies": starts}
        (workdir / SERIES).write_text(json.dumps(told))
        return {one: params[one] for one in ("recipe", "start_ms", "end_ms")}

    def _starts(self, found: Sequence[Series], window: Window, host: str | None) -> list[int]:
        """When the anomalies of these hosts began, in milliseconds."""
        starts: set[int] = set()
        for source_id, name in sorted({(one.source_id, one.host) for one in found}):
            if host is None or host == name:
                frame = self.starts(SYSTEM, window, source_id=source_id, host=name, limit=MOST_ANOMALIES)
                starts.update(to_ms(moment.to_pydatetime()) for moment in frame["start_ts"])
        return sorted(starts)


def names_of(series: Sequence[Series]) -> dict[int, str]:
    """A column's name for each series: counters are read as rates."""
    found = {}
    for one, title in short_titles(series).items():
        kind = next(each.kind for each in series if each.id == one)
        found[one] = f"{title[:100]} per s" if kind == "counter" else title[:110]
    taken: dict[str, int] = {}
    for one, name in found.items():
        # Cut to a length two may be the same.
        taken[name.casefold()] = taken.get(name.casefold(), 0) + 1
        if taken[name.casefold()] > 1:
            found[one] = f"{name[:100]} ({one})"
    return found
