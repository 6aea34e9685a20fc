"""Training on tables with known scores of other AutoML tools: 60 s each, one thread."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.report import Figure, note

TIE = 0.001
LINEAR_SLACK = 0.005
OVERRUN = 0.05
WHERE = (
    "--data DIR: a folder with NAME.parquet (column `target`) and a reference.json of task, metric, splits and scores "
    "of each. The usual ones are public: OpenML credit-g, titanic, phoneme, telco churn, California housing, adult, "
    "diamonds, and three that scikit-learn brings."
)


def data_folder(given: str | None) -> Path | None:
    """The folder named, else the one beside the project or in AUTOOPS_BENCH_DATA."""
    if given:
        return Path(given)
    held = Path(os.environ.get("AUTOOPS_BENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
    for folder in (held, held / "tabular"):
        if (folder / "reference.json").is_file():
            return folder
    return None


def one(folder: str, name: str, task: str, metric: str, split: int, splits: int, budget_s: float) -> None:
    """In a process of its own: train on one split, print test score and seconds."""
    import time

    from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

    from lib.training import plan as plans
    from lib.training import trainer
    from lib.training.metrics import score
    from lib.training.schema import Task

    frame = pd.read_parquet(Path(folder) / f"{name}.parquet")
    made = StratifiedShuffleSplit if task != "regression" else ShuffleSplit
    parts = list(made(n_splits=splits, test_size=0.25, random_state=7).split(frame, frame["target"]))
    train, test = parts[split]
    learn, unseen = frame.iloc[train].reset_index(drop=True), frame.iloc[test].reset_index(drop=True)
    began, cpu = time.perf_counter(), time.process_time()
    usable: list[float] = []

    def event(said: Any) -> None:
        if said["kind"] == "usable":
            usable.append(time.perf_counter() - began)
        if os.environ.get("AUTOML_VERBOSE") and said["kind"] in ("candidate", "done"):
            print(dict(said), file=sys.stderr, flush=True)

    plan = plans.begin(learn, "target", task=Task(task), metric=metric, budget_s=budget_s)
    outcome = trainer.train(learn, plan, now=time.monotonic, event=event)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    model = outcome.model
    began = time.perf_counter()
    out, target = model.raw(unseen), model.targets(unseen)
    predict_s = time.perf_counter() - began
    began = time.perf_counter()
    for row in range(20):
        model.raw(unseen.iloc[row : row + 1])
    print(
        json.dumps(
            {
                "score": score(metric, target, out),
                "took_s": took,
                "cpu_s": cpu,
                "usable_s": usable[0],
                "own": model.scores[metric],
                "tried": model.about["tried"],
                "members": {m.name: round(m.weight, 2) for m in model.members},
                "predict_s": predict_s,
                "row_ms": (time.perf_counter() - began) / 20 * 1000,
                "board": [(row["name"], row["score"]) for row in outcome.board[:5]],
            }
        )
    )


def _run(job: tuple[str, str, str, str, int, int, float]) -> dict[str, Any]:
    code = f"from benchmarks.automl import one; one(*{job!r})"
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, env=os.environ | threads
    )
    return json.loads(done.stdout.splitlines()[-1])


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """at_least_flaml, at_least_autogluon (the better preset), at_least_linear: tables on which the mean test score is
    no worse (by 0.001; 0.005 for linear); overrun: the most time taken beyond the budget, as a share of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks automl", epilog=WHERE)
    parser.add_argument("--data")
    parser.add_argument("--tables", help="only these, separated by commas")
    parser.add_argument("--seconds", type=float, default=8.0 if quick else 60.0)
    parser.add_argument("--side-by-side", type=int, default=2, help="tables trained at once, each on one thread")
    options = parser.parse_args(args)
    folder = data_folder(options.data)
    if folder is None or not (folder / "reference.json").is_file():
        note(f"No tables found. {WHERE}")
        return
    tables = json.loads((folder / "reference.json").read_text())["datasets"]
    names = options.tables.split(",") if options.tables else list(tables)
    if quick and not options.tables:
        names = names[:4]
    jobs = []
    for name in names:
        about = tables[name]
        splits = int(about["splits"])
        for split in range(1 if quick else splits):
            jobs.append((str(folder), name, about["task"], about["metric"], split, splits, options.seconds))
    with ThreadPoolExecutor(options.side_by_side) as pool:
        results = list(pool.map(_run, jobs))
    flaml: list[bool] = []
    autogluon: list[bool] = []
    linear: list[bool] = []
    for name in names:
        mine = [result for job, result in zip(jobs, results, strict=True) if job[1] == name]
        mean, reference = float(np.mean([r["score"] for r in mine])), tables[name].get("reference", {})
        known = [v for k, v in reference.items() if k.startswith("autogluon") and v is not None]
        said = [f"{k} {v}" for k, v in reference.items() if v is not None]
        yield Figure("automl", f"score_{name}", round(mean, 4), tables[name]["metric"], ", ".join(said))
        note(
            f"{name}: {[round(r['score'], 4) for r in mine]}, own estimate {[round(r['own'], 4) for r in mine]}, "
            f"{[round(r['took_s'], 1) for r in mine]} s ({[round(r['cpu_s'], 1) for r in mine]} of CPU), "
            f"usable after {[round(r['usable_s'], 1) for r in mine]} s, "
            f"tried {[r['tried'] for r in mine]}, a row {[round(r['row_ms'], 1) for r in mine]} ms, all "
            f"{[round(r['predict_s'], 1) for r in mine]} s, {[r['members'] for r in mine]} {mine[0]['board']}"
        )
        if reference.get("flaml_60s") is not None:
            flaml.append(mean >= reference["flaml_60s"] - TIE)
        if known:
            autogluon.append(mean >= max(known) - TIE)
        if reference.get("linear") is not None:
            linear.append(mean >= reference["linear"] - LINEAR_SLACK)
    overrun = max(max(0.0, r["took_s"] / options.seconds - 1) for r in results)
    yield Figure("automl", "at_least_flaml", sum(flaml), f"of {len(flaml)}", "FLAML, 60 s")
    yield Figure("automl", "at_least_autogluon", sum(autogluon), f"of {len(autogluon)}", "its better preset, 60 s")
    yield Figure("automl", "at_least_linear", sum(linear), f"of {len(linear)}", "linear model, by more than 0.005")
    yield Figure("automl", "overrun", round(overrun, 4), "share", f"budget {options.seconds:g} s")
    yield Figure("automl", "usable_s", round(max(r["usable_s"] for r in results), 2), "s", "slowest table")
    yield Figure("automl", "row_ms", round(max(r["row_ms"] for r in results), 1), "ms", "slowest table")
