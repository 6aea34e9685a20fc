"""How well detectors rank, call and explain, on labelled sets, by the same code the app runs. No point adjustment."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import anomaly_sets
from benchmarks.anomaly_sets import Labelled
from benchmarks.report import Figure, note
from lib.anomaly import detector as detectors
from lib.anomaly import measures
from lib.anomaly.events import Past, Rule, decide
from lib.errors import NotEnoughData
from lib.features import channels as channel_plans
from lib.features.grid import tabulate

DAY_MS = 86_400_000
# A live detector is trained anew every day; a series without days as often as its length grows by a tenth.
RETRAIN = 0.1
# Fewer points than the app takes: some public series are that short.
LEAST = 100
FIGURES = ("vus_pr", "auc_pr", "best_f1", "f1", "alert_f1", "false_alerts_per_day")


def figures(one: Labelled, scores: np.ndarray, flags: np.ndarray | None, first: int) -> dict[str, float]:
    """Of the rows from `first` on. flags: what was called at a threshold found without labels; None: nothing was."""
    labels, scores = one.labels[first:], scores[first:]
    found = {
        "vus_pr": measures.vus_pr(labels, scores, one.window),
        "auc_pr": measures.auc_pr(labels, scores),
        "best_f1": measures.best_f1(labels, scores),
    }
    if flags is not None:
        spans = measures.runs(flags[first:])
        days = max((one.ts_ms[-1] - one.ts_ms[first]) / DAY_MS, 1e-9)
        found |= {
            "f1": measures.f1(labels, flags[first:]),
            "alert_f1": measures.alert_f1(labels, spans),
            "false_alerts_per_day": measures.alerts(labels, spans)[2] / days,
        }
    return found


def ours(one: Labelled, until: int, upto: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Any]:
    """Evidence and flags of rows `until` to `upto`, by a detector trained on what came before; and the fit."""
    fitted = detectors.fit(one.series, one.frame(slice(0, until)), seed, least=LEAST)
    detector, taught = fitted.detector, fitted.scored
    grid = detector.plan.grid
    before = max(0, until - detector.lookback - 2 * MARGIN)
    table = tabulate(one.series, one.frame(slice(before, upto)), grid)
    scored = detector.score(channel_plans.assemble(detector.plan, table))
    rows = grid.bin_of(one.ts_ms[until:upto]) - grid.bin_of(scored.ts_ms[:1])[0]
    rows = np.clip(rows, 0, len(scored.ts_ms) - 1)
    calibrated = int(len(taught.ts_ms) * (1 - detectors.HELD_OUT))
    past = Past(taught.ts_ms[calibrated:], taught.evidence[calibrated:])
    events, _ = decide(scored, Rule(), grid.step_s, int(rows[0]) if len(rows) else 0, past)
    flags = np.zeros(len(scored.ts_ms), dtype=bool)
    for event in events:
        flags[event.first : event.last + 1] = True
    return np.nan_to_num(scored.evidence)[rows], flags[rows], fitted


MARGIN = 60


def forest(one: Labelled, until: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Plain Isolation Forest on raw values; called above the 99% quantile of its training scores."""
    from sklearn.ensemble import IsolationForest

    rows = np.nan_to_num(one.values.T)
    model = IsolationForest(n_estimators=100, random_state=seed, n_jobs=1).fit(rows[:until])
    scores = -model.score_samples(rows)
    return scores, scores > np.quantile(scores[:until], 0.99)


def chance(one: Labelled, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that know nothing: what any figure has to be held against."""
    scores = np.random.default_rng(seed).random(len(one.labels))
    return scores, scores > 0.99


def taught_then_judged(one: Labelled) -> dict[str, dict[str, float]]:
    """Learn from the first part, score the rest, causally."""
    n = one.taught
    evidence, flags, _ = ours(one, n, len(one.labels))
    result = {"ours": figures(one, _after(evidence, n), _after(flags, n), n)}
    result["iforest"] = figures(one, *forest(one, n), n)
    result["random"] = figures(one, *chance(one), n)
    return result


def live(one: Labelled) -> dict[str, dict[str, float]]:
    """As the app watches a live source: trained on all there is so far, again and again; each row is judged by a
    detector that has not seen it."""
    n, total = one.taught, len(one.labels)
    scores, flags = np.zeros(total), np.zeros(total, dtype=bool)
    at = n
    while at < total:
        upto = min(total, at + max(int(RETRAIN * total), 1))
        try:
            scores[at:upto], flags[at:upto], _ = ours(one, at, upto)
        except NotEnoughData as error:
            note(f"{one.name}, row {at}: {error.message}")
        at = upto
    return {
        "ours": figures(one, scores, flags, n),
        "iforest": figures(one, *forest(one, n), n),
        "random": figures(one, *chance(one), n),
    }


def offline(one: Labelled) -> dict[str, dict[str, float]]:
    """The whole series learnt from and looked through at once, as after the first training."""
    total = len(one.labels)
    fitted = detectors.fit(one.series, one.frame(), least=LEAST)
    grid, scored = fitted.detector.plan.grid, fitted.scored
    rows = grid.bin_of(one.ts_ms) - grid.bin_of(scored.ts_ms[:1])[0]
    evidence = np.nan_to_num(scored.evidence)[np.clip(rows, 0, len(scored.ts_ms) - 1)]
    return {
        "ours": figures(one, evidence, None, 0),
        "iforest": figures(one, forest(one, total)[0], None, 0),
        "random": figures(one, chance(one)[0], None, 0),
    }


def _after(rows: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([np.zeros(n, dtype=rows.dtype), rows])


def _report(what: str, sets: Iterable[Labelled], judge: Any) -> Iterator[Figure]:
    """A line a file, detector and figure, then the means."""
    with ProcessPoolExecutor(2) as pool:
        sets = list(sets)
        results = dict(zip((one.name for one in sets), pool.map(partial(_judged, judge), sets), strict=True))
    means: dict[tuple[str, str], list[float]] = {}
    for name, result in results.items():
        for who, found in result.items():
            print(json.dumps({"bench": "anomaly", "set": what, "file": name, "detector": who, **_rounded(found)}))
            for metric, value in found.items():
                means.setdefault((who, metric), []).append(value)
    for (who, metric), values in means.items():
        known = [v for v in values if np.isfinite(v)]
        name = f"{what}_{metric}" if who == "ours" else f"{what}_{who}_{metric}"
        yield Figure(
            "anomaly", name, round(float(np.mean(known)), 4) if known else float("nan"), f"mean of {len(known)}"
        )


def _judged(judge: Any, one: Labelled) -> Any:
    return judge(one)


def _rounded(found: dict[str, float]) -> dict[str, float | None]:
    return {k: round(float(v), 4) if np.isfinite(v) else None for k, v in found.items()}


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """--data DIR: Parquet with split and label (default: the SMD machines). --nab DIR: NAB's real series, live and, for
    those in tsb_matched.json, offline. Without any: both, as far as they are there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks anomaly", description=run.__doc__)
    parser.add_argument("--data", metavar="DIR")
    parser.add_argument("--nab", metavar="DIR", nargs="?", const="")
    chosen = parser.parse_args(args)
    if chosen.nab is None or chosen.data is not None:
        place = anomaly_sets.folder("smd", chosen.data)
        yield from _report("data", anomaly_sets.tables(place, 2 if quick else None), taught_then_judged)
    if chosen.nab is not None or (chosen.data is None and not quick):
        place = anomaly_sets.folder("nab", chosen.nab or None)
        series = list(anomaly_sets.nab(place, 8 if quick else None))
        yield from _report("nab", series, live)
        yield from _report("nab_offline", [one for one in series if one.name in _matched(place)], offline)


def _matched(place: Path) -> set[str]:
    file = place / "tsb_matched.json"
    return set(json.loads(file.read_text())["series"]) if file.is_file() else set()
