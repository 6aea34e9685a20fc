"""How far off forecasts are and how honest their intervals, on public series, the demo and random walks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import anomaly_sets
from benchmarks.report import Figure, note
from lib.errors import AppError
from lib.forecast import history
from lib.forecast.forecaster import forecast
from lib.forecast.history import History
from lib.forecast.models import Naive, SeasonalNaive
from lib.forecast.prophet_model import ProphetModel

HORIZON_S = 86_400
# Moments in the newer part that each series is forecast from, with nothing known of what comes.
ORIGINS, QUICK_ORIGINS = 5, 2
FIRST_ORIGIN = 0.55
# Every so many columns of a machine, and series of the demo.
SMD_EVERY, DEMO_EVERY = 2, 5
# A quick look leaves Prophet out: it is chosen for one in a hundred and takes two thirds of the time.
QUICK = {"nab": 2, "smd": 4, "demo": 4, "walk": 4}
WALKS = 24


@dataclass(frozen=True)
class One:
    """What became of one series: mean absolute errors over its origins, shares that lay within, models chosen.
    prophet: its error against the chosen one's where it was tried on all the past, for each origin."""

    name: str
    error: float
    peer: float
    naive: float
    within80: float
    within95: float
    models: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Where the peer makes no error at all, any error is twice as much."""
        return self.error / self.peer if self.peer > 0 else 2.0


def run(quick: bool, arguments: list[str]) -> Iterator[Figure]:
    parser = argparse.ArgumentParser("forecast")
    parser.add_argument("--nab", help="folder of NAB's real* series")
    parser.add_argument("--smd", help="folder of SMD machines as Parquet")
    parser.add_argument("--no-prophet", action="store_true", help="leave Prophet out of what may be chosen")
    given = parser.parse_args(arguments)
    sets = {
        "nab": list(_nab(anomaly_sets.folder("nab", given.nab))),
        "smd": list(_smd(anomaly_sets.folder("smd", given.smd))),
        "demo": list(_demo()),
        "walk": list(_walks()),
    }
    if quick:
        sets = {name: some[:: QUICK[name]] for name, some in sets.items()}
    prophet = not (given.no_prophet or quick)
    jobs = [(one, QUICK_ORIGINS if quick else ORIGINS, prophet) for some in sets.values() for one in some]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = [one for one in pool.map(judge, jobs) if one is not None]
    # Where nothing happened there is nothing to be better at: the error of both is zero and their ratio is none.
    still = [one.name for one in found if one.error == one.peer == 0]
    note(f"left out, since nothing happened in what was foreseen: {', '.join(still) or 'none'}")
    found = [one for one in found if one.name not in still]
    public = [one for one in found if not one.name.startswith("walk")]
    walks = [one for one in found if one.name.startswith("walk")]
    note(f"{len(public)} series, {len(walks)} random walks")
    for worst in sorted(public, key=lambda one: -one.ratio)[:5]:
        note(f"  {worst.ratio:.2f} {worst.name}: {', '.join(worst.models)}")
    yield from _figures("", public)
    for name in ("nab", "smd", "demo"):
        yield from _figures(f"_{name}", [one for one in public if one.name.startswith(name)])
    chosen = np.mean([model == "Prophet" for one in public for model in one.models])
    yield Figure("forecast", "prophet_chosen", float(chosen), "share")
    # Of a random walk nothing can be foreseen: a ratio to naive well below 1 would be a leak.
    walked = float(np.mean([one.error / one.naive for one in walks]))
    yield Figure("forecast", "mase_ratio_random_walk", walked, "ratio", "naive", walked)
    yield Figure("forecast", "coverage80_random_walk", float(np.mean([one.within80 for one in walks])), "share")


def _figures(of: str, found: Sequence[One]) -> Iterator[Figure]:
    if not found:
        return
    ratios = np.array([one.ratio for one in found])
    mean = float(ratios.mean())
    yield Figure("forecast", f"share_better{of}", float((ratios < 1).mean()), "share", "seasonal naive")
    yield Figure("forecast", f"mase_ratio{of}", mean, "ratio", "seasonal naive", mean)
    yield Figure("forecast", f"coverage80{of}", float(np.mean([one.within80 for one in found])), "share")
    yield Figure("forecast", f"coverage95{of}", float(np.mean([one.within95 for one in found])), "share")


def judge(job: tuple[tuple[str, History], int, bool]) -> One | None:
    """Forecast one series from several moments, each time knowing only what was before."""
    (name, whole), origins, prophet = job
    steps = HORIZON_S // whole.step_s
    rows: list[tuple[float, ...]] = []
    models: list[str] = []
    for origin in np.linspace(FIRST_ORIGIN * len(whole), len(whole) - steps, origins).astype(int):
        known = whole.until(origin)
        came = whole.values[len(known) : len(known) + steps]
        there = np.isfinite(came)
        if there.mean() < 0.2:
            continue
        try:
            found = forecast(known, steps, costly=(ProphetModel(),) if prophet else ())
        except AppError as error:
            note(f"{name}: {error.message}")
            continue
        seasonal = SeasonalNaive() if SeasonalNaive().fits(known, steps) else Naive()
        slack = 1e-9 * float(np.abs(came[there]).max())
        rows.append(
            (
                *(
                    float(np.abs(came - path)[there].mean())
                    for path in (
                        found.middle,
                        seasonal.path(known, steps, steps),
                        Naive().path(known, steps, steps),
                    )
                ),
                *(
                    float(((came >= low - slack) & (came <= high + slack))[there].mean())
                    for low, high in ((found.low80, found.high80), (found.low95, found.high95))
                ),
            )
        )
        models.append(found.card.model)
    return One(name, *np.mean(rows, axis=0).tolist(), tuple(models)) if rows else None


def binned(ts_ms: np.ndarray, values: np.ndarray, unit: str = "") -> History:
    """As the app bins a series for this horizon."""
    step_s = history.step_of(HORIZON_S, float(np.median(np.diff(np.sort(ts_ms)))) / 1000)
    known = np.isfinite(values)
    means = pd.Series(values[known]).groupby(ts_ms[known] // (step_s * 1000)).mean()
    return history.of_bins(means.index.to_numpy(), means.to_numpy(), step_s, unit)


def _nab(place: Path) -> Iterator[tuple[str, History]]:
    for one in anomaly_sets.nab(place):
        yield f"nab/{one.name}", binned(one.ts_ms, one.values[0])


def _smd(place: Path) -> Iterator[tuple[str, History]]:
    """Columns that never change are left out: nobody is better at those."""
    for machine in anomaly_sets.tables(place):
        for number in range(0, len(machine.values), SMD_EVERY):
            if np.ptp(machine.values[number]) > 0:
                yield f"smd/{machine.name}/m{number:02d}", binned(machine.ts_ms, machine.values[number])


def _demo() -> Iterator[tuple[str, History]]:
    from lib import frames
    from lib.demo import history as bundled
    from lib.profiling.rates import rate
    from lib.profiling.units import unit_of

    now = frames.utcnow()
    for number, block in enumerate(bundled.blocks("simulated", now)):
        kind = frames.kind_of(block.metric)
        past = block.ts_ms <= frames.to_ms(now)
        ts_ms, values = block.ts_ms[past], block.value[past]
        if kind == "counter":
            ts_ms, values, _ = rate(ts_ms, values)
        if number % DEMO_EVERY == 0 and values.size > 1000 and np.ptp(values) > 0:
            yield f"demo/{number}/{block.metric}", binned(ts_ms, values, unit_of(block.metric, kind))


def _walks() -> Iterator[tuple[str, History]]:
    for seed in range(WALKS):
        values = np.random.default_rng(seed).normal(size=20 * 144).cumsum()
        yield f"walk/{seed}", history.of_bins(np.arange(len(values)), values, 600)
