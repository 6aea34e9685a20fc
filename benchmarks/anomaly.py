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
import pandas as pd

from benchmarks import anomaly_sets
from benchmarks.anomaly_sets import Labelled
from benchmarks.report import Figure, note
from lib.anomaly import backtest, inject, measures, peers, training
from lib.anomaly.detector import Scored
from lib.anomaly.events import attributed
from lib.anomaly.stream import Stream
from lib.errors import NotEnoughData
from lib.features import channels as channel_plans
from lib.features.grid import tabulate

DAY_MS = 86_400_000
# A live detector is trained anew every day; a series without days as often as its length grows by a tenth.
RETRAIN = 0.1
# Fewer points than the app takes: some public series are that short.
LEAST = 100
MARGIN = 60
CLAIMS = tuple(np.linspace(0.05, 0.95, 19))
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


def watched(one: Labelled, until: int, upto: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Scored, Any, Any]:
    """Evidence and flags of rows `until` to `upto`, by a detector trained on what came before; all that was scored,
    where in it each of the rows is, and the fit."""
    fitted = training.fit(one.series, one.frame(slice(0, until)), seed, least=LEAST)
    detector = fitted.detector
    grid = detector.plan.grid
    before = max(0, until - detector.lookback - MARGIN)
    table = tabulate(one.series, one.frame(slice(before, upto)), grid)
    scored = detector.score(channel_plans.assemble(detector.plan, table))
    rows = grid.bin_of(one.ts_ms[until:upto]) - grid.bin_of(scored.ts_ms[:1])[0]
    rows = np.clip(rows, 0, len(scored.ts_ms) - 1)
    since = int(rows[0]) if len(rows) else 0
    scored, events = backtest.decided(fitted, scored, since)
    flags = backtest.flags_of(events, len(scored.ts_ms))
    return np.nan_to_num(scored.evidence)[rows], flags[rows], scored, rows, fitted


def forest(one: Labelled, until: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Plain Isolation Forest on raw values; called above the 99% quantile of its training scores."""
    values = np.nan_to_num(one.values)
    step_ms = int(np.median(np.diff(one.ts_ms)))
    score, _ = peers.forest(values[:, :until], step_ms, seed)
    scores = score(values)
    return scores, scores > np.quantile(scores[:until], 0.99)


def chance(one: Labelled, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that know nothing: what any figure has to be held against."""
    scores = np.random.default_rng(seed).random(len(one.labels))
    return scores, scores > 0.99


def taught_then_judged(one: Labelled) -> dict[str, dict[str, float]]:
    """Learn from the first part, score the rest, causally."""
    n = one.taught
    evidence, flags, *_ = watched(one, n, len(one.labels))
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
            scores[at:upto], flags[at:upto], *_ = watched(one, at, upto)
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
    fitted = training.fit(one.series, one.frame(), least=LEAST)
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
    for who in dict.fromkeys(who for who, _ in means):
        mean = {m: float(np.nanmean(v)) for (w, m), v in means.items() if w == who and np.isfinite(v).any()}
        print(json.dumps({"bench": "anomaly", "set": what, "file": "mean", "detector": who, **_rounded(mean)}))
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
    parser.add_argument("--explain", action="store_true", help="causes named, against those written down")
    parser.add_argument("--calibration", action="store_true", help="what confidence claims, against what holds")
    parser.add_argument("--inject", action="store_true", help="faults put into clean simulated hosts")
    parser.add_argument("--speed", action="store_true", help="a million rows, and one new one, on one core")
    chosen = parser.parse_args(args)
    if chosen.inject:
        yield from _inject(quick)
        return
    if chosen.speed:
        yield from _speed()
        return
    if chosen.explain or chosen.calibration:
        yield from _meant(
            chosen, list(anomaly_sets.tables(anomaly_sets.folder("smd", chosen.data), 2 if quick else None))
        )
        return
    if chosen.nab is None or chosen.data is not None:
        place = anomaly_sets.folder("smd", chosen.data)
        yield from _report("data", anomaly_sets.tables(place, 2 if quick else None), taught_then_judged)
    if chosen.nab is not None or (chosen.data is None and not quick):
        place = anomaly_sets.folder("nab", chosen.nab or None)
        series = list(anomaly_sets.nab(place, 8 if quick else None))
        yield from _report("nab", series, live)
        yield from _report("nab_offline", [one for one in series if one.name in _matched(place)], offline)


def _meant(chosen: argparse.Namespace, sets: list[Labelled]) -> Iterator[Figure]:
    """Whether explanations and confidences hold."""
    with ProcessPoolExecutor(2) as pool:
        if chosen.explain:
            hits = list(pool.map(_explained, sets))
            for one, found in zip(sets, hits, strict=True):
                note(f"{one.name}: {np.mean(found):.3f} of {len(found)} anomalies")
            yield Figure("anomaly", "hit_rate_150", round(float(np.mean([h for found in hits for h in found])), 4), "")
        if chosen.calibration:
            gaps = np.array(list(pool.map(_borne_out, sets)))
            for claim, gap in zip(CLAIMS, gaps.mean(axis=0), strict=True):
                note(f"claimed {claim:.2f}, held {claim + gap:.3f}")
            yield Figure("anomaly", "ece", round(float(np.abs(gaps).mean()), 4), "")


def _explained(one: Labelled) -> list[float]:
    """Of each anomaly whose causes somebody wrote down: the part of them among the first 150% as many we name."""
    _, _, scored, rows, fitted = watched(one, one.taught, len(one.labels))
    plan = fitted.detector.plan
    # A channel that was left out because it moves with another is named with it.
    with_it: dict[str, list[int]] = {}
    names = {s.title: s.id - 1 for s in one.series}
    for title, reason in plan.left_out:
        with_it.setdefault(reason.removeprefix("moves with "), []).append(names[title])
    hits = []
    for first, last, causes in one.causes:
        at = rows[first - one.taught : last + 1 - one.taught]
        shares = attributed(scored, slice(int(at[0]), int(at[-1]) + 1))
        ranked: list[int] = []
        for number in np.argsort(-shares):
            channel = plan.channels[number]
            ranked += [channel.series_id - 1, *with_it.get(channel.title, ())]
        hits.append(len(set(ranked[: int(1.5 * len(causes))]) & causes) / len(causes))
    return hits


def _borne_out(one: Labelled) -> list[float]:
    """How often normal rows keep below each claim, less the claim: 0 where a confidence means what it says."""
    _, _, scored, rows, _ = watched(one, one.taught, len(one.labels))
    normal = np.nan_to_num(scored.confidence[rows][one.labels[one.taught :] == 0])
    return [float((normal <= claim).mean() - claim) for claim in CLAIMS]


def _speed() -> Iterator[Figure]:
    """One core: a million rows of a group with at least 140 features, features and scores."""
    import time

    rng = np.random.default_rng(0)
    n, train, c = 1_000_000, 30_000, 6
    slow = np.sin(np.arange(n) / 200)[None] * rng.random((c, 1)) * 3
    values = slow + rng.normal(0, 1, (c, n))
    ts_ms = anomaly_sets.BEGIN_MS + anomaly_sets.MINUTE_MS * np.arange(n, dtype=np.int64)
    one = Labelled("speed", ts_ms, values, np.zeros(n, dtype=int), train, 0)
    fitted = training.fit(one.series, one.frame(slice(0, train)))
    plan = fitted.detector.plan
    whole = channel_plans.Channels(plan, ts_ms, values, np.zeros((c, n), dtype=bool))
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        for start in range(0, n, 50_000):
            before = max(0, start - fitted.detector.lookback)
            fitted.detector.score(whole.rows(slice(before, start + 50_000)))
        taken.append(time.perf_counter() - began)
    yield Figure("anomaly", "speed_features", len(fitted.feature_names), "features")
    yield Figure("anomaly", "batch_s", round(float(np.median(taken)), 2), "s a million rows")
    stream = Stream(fitted.detector)
    known = train + fitted.detector.lookback
    stream.take(whole.rows(slice(train, known)))
    single = []
    for newest in range(known, known + 1000):
        one_row = whole.rows(slice(newest, newest + 1))
        began = time.perf_counter()
        stream.take(one_row)
        single.append((time.perf_counter() - began) * 1000)
    yield Figure("anomaly", "online_p99_ms", round(float(np.quantile(single, 0.99)), 2), "ms a new sample")


def _injected(seed: int, kinds: tuple[str, ...], count: int, strength: float) -> dict[str, dict[str, float]]:
    """A clean simulated host nobody has seen: learnt from for 20 days, faults put into the next ten."""
    series, frame = anomaly_sets.clean_host(seed)
    days = pd.to_datetime(frame["ts"]).dt.floor("D")
    edge = days.min() + pd.Timedelta(days=20)
    fitted = training.fit(series, frame[frame["ts"] < edge])
    detector = fitted.detector
    table = tabulate(series, frame, detector.plan.grid)
    rng = np.random.default_rng(seed)
    since = int(np.searchsorted(table.ts_ms, edge.timestamp() * 1000))
    clean = np.zeros(table.ts_ms.size, dtype=bool)
    clean[since:] = True
    size, labels = np.nanstd(table.values[:, :since], axis=1), np.zeros(table.ts_ms.size, dtype=int)
    watched_rows = np.flatnonzero(np.isin(table.ids, detector.plan.series_ids))
    faults = inject.plan(clean, kinds, count, rng, apart=60)
    for fault in faults:
        backtest.spoil(table.values, fault, watched_rows, strength, size, rng)
        labels[fault.first : fault.last + 1] = 1
    scored, events = backtest.watch(fitted, channel_plans.assemble(detector.plan, table), since)
    flags = backtest.flags_of(events, labels.size)
    whole = Labelled(f"host-{seed}", table.ts_ms, np.nan_to_num(table.values), labels, since, 12)
    found = {
        "ours": figures(whole, np.nan_to_num(scored.evidence), flags, since),
        "iforest": figures(whole, *forest(whole, since), since),
        "random": figures(whole, *chance(whole), since),
    }
    for kind in kinds:
        mine = [fault for fault in faults if fault.kind == kind]
        met = sum(any(e.first <= f.last and e.last >= f.first for e in events) for f in mine)
        found["ours"][f"met_{kind.replace(' ', '_')}"] = met / len(mine) if mine else float("nan")
    return found


def _inject(quick: bool) -> Iterator[Figure]:
    """Point F1 of the four plain kinds, alert F1 of all seven, over hosts and seeds the detector was never tried on."""
    plain = ("spike", "level shift", "variance burst", "drop to zero")
    for name, kinds, metric in (("inject_plain", plain, "f1"), ("inject_all", tuple(inject.KINDS), "alert_f1")):
        seeds = range(9000, 9000 + (4 if quick else 20))
        with ProcessPoolExecutor(2) as pool:
            results = list(pool.map(partial(_injected, kinds=kinds, count=14, strength=5.0), seeds))
        for who in results[0]:
            for key in results[0][who]:
                if key in (metric, "false_alerts_per_day", "vus_pr") or key.startswith("met_"):
                    value = round(float(np.nanmean([r[who][key] for r in results])), 4)
                    label = f"{name}_{key}" if who == "ours" else f"{name}_{who}_{key}"
                    yield Figure("anomaly", label, value, f"mean of {len(results)} hosts")


def _matched(place: Path) -> set[str]:
    file = place / "tsb_matched.json"
    return set(json.loads(file.read_text())["series"]) if file.is_file() else set()
