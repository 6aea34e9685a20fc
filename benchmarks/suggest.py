"""Suggestions: is the first one near the best found, and do they help as often as is said."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.automl import WHERE, data_folder
from benchmarks.report import Figure, note
from benchmarks.suggest_tables import TARGET, Made, ruled, troubled, variants
from benchmarks.suggest_weights import AS_IS, pairs_of, weighed
from lib.errors import AppError
from lib.training import learners
from lib.training.plan import USUAL_STEPS, Plan
from lib.training.suggestions import CLOSE, Reference, Suggested
from lib.training.traits import TRAITS

OUTCOMES = Path(__file__).parents[1] / "lib" / "training" / "reference_outcomes.json"
# Rows looked at: of the table as it is, of its variants, and with --quick.
ROWS, VARIANT_ROWS, QUICK_ROWS = 6_000, 1_200, 900
QUICK_TABLES, QUICK_S = 6, 30.0
BINS = 10


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """within_1pct: share of tables on which the model and steps suggested first come within 1% of the best found, with
    the table and its variants unknown to whoever suggests; ece: how far confidences are from what came true."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks suggest", epilog=WHERE)
    parser.add_argument("--data")
    parser.add_argument("--learn", metavar="DIR", help="try everything on the tables of DIR and write the outcomes")
    parser.add_argument("--keep", help="with --learn: a file for what is done, to go on from there")
    parser.add_argument("--rows", type=int, default=QUICK_ROWS if quick else ROWS)
    parser.add_argument("--tables", help="only these, separated by commas")
    parser.add_argument("--side-by-side", type=int, default=2, help="tables tried at once, each on one thread")
    options = parser.parse_args(args)
    folder = data_folder(options.learn or options.data)
    if folder is None or not (folder / "reference.json").is_file():
        note(f"No tables found. {WHERE}")
        return
    os.environ["PYTHONWARNINGS"] = "ignore"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if options.learn:
        yield from _learn(folder, Path(options.keep) if options.keep else None, options.side_by_side)
        return
    reference = Reference.from_json(json.loads(OUTCOMES.read_text())) if OUTCOMES.is_file() else Reference()
    names = options.tables.split(",") if options.tables else list(_listed(folder))
    if quick and not options.tables:
        names = names[:QUICK_TABLES]
    until = time.monotonic() + (QUICK_S if quick else 1e9)
    jobs = [(str(folder), name, options.rows, quick, until) for name in names]
    with ProcessPoolExecutor(options.side_by_side, mp_context=get_context("spawn")) as pool:
        judged = [one for one in pool.map(_judge, jobs) if one is not None]
    pairs, live = [], {one["name"] for one in judged}
    for one in judged:
        note(
            f"{one['name']}: {one['family']} with {one['steps']} {one['score']:.4f}, best found {one['best']:.4f} "
            f"({one['best_of']}); {one['scores']}"
        )
        pairs += one["pairs"]
    within = [one["within"] for one in judged]
    yield Figure("suggest", "within_1pct", round(float(np.mean(within)), 3), f"of {len(within)}", "best found of all")
    yield Figure(
        "suggest", "always_histogram", round(float(np.mean([o["plain"] for o in judged])), 3), f"of {len(within)}"
    )
    for tried in reference.tried:
        # As they are, tables were measured just now.
        if tried.variant != AS_IS or tried.base not in live:
            pairs += pairs_of(reference.without(tried.base), tried)
    yield Figure("suggest", "ece", round(ece(pairs), 4), "share", f"{len(pairs):,} suggestions, each without its table")
    share = float(np.mean([came for _said, came in pairs]))
    yield Figure(
        "suggest", "ece_control", round(ece([(0.5, came) for _said, came in pairs]), 4), "share", "always a half"
    )
    skill = 1 - float(np.mean([(s - c) ** 2 for s, c in pairs])) / (share * (1 - share))
    yield Figure("suggest", "brier_skill", round(skill, 3), "share", "always the share of all")


def ece(pairs: Sequence[tuple[float, float]]) -> float:
    """Mean distance of what was said from what came, over ten stretches of confidence, by how often each was said."""
    said, came = np.array(pairs, dtype=float).reshape(-1, 2).T
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    return float(
        sum(
            abs(said[place == one].mean() - came[place == one].mean()) * (place == one).mean()
            for one in np.unique(place)
        )
    )


def _listed(folder: Path) -> dict[str, dict[str, Any]]:
    return dict(json.loads((folder / "reference.json").read_text())["datasets"])


def _table(folder: Path, name: str) -> Made:
    about = _listed(folder)[name]
    frame = pd.read_parquet(folder / f"{name}.parquet").rename(columns={about.get("target", TARGET): TARGET})
    return Made(name, AS_IS, frame, about["task"], about["metric"])


def _judge(job: tuple[str, str, int, bool, float]) -> dict[str, Any] | None:
    """In a process of its own: the first suggestion for a table, against everything that was tried on it."""
    from benchmarks.suggest_trial import FIT_S, Trial

    folder, name, rows, quick, until = job
    if time.monotonic() > until:
        return None
    table = _table(Path(folder), name)
    reference = Reference.from_json(json.loads(OUTCOMES.read_text())) if OUTCOMES.is_file() else Reference()
    reference = reference.without(name)
    trial = Trial(table, rows, splits=1 if quick or len(table.frame) > 3_000 else 3)
    cpu_s = 2.0 if quick else FIT_S
    suggested: Suggested = trial.suggested(reference)
    found: dict[tuple[str, str], float] = {}
    steps, roles, balance = trial.of_plan(suggested.plan)
    first = suggested.models[0].family
    scores = trial.score(learners.FAMILIES, steps, roles, balance, cpu_s=cpu_s)
    for family, score in trial.comparable(scores).items():
        found[family, "steps suggested first"] = score
    if not quick:
        for said, (steps, roles) in (
            ("all steps", trial.with_all()),
            ("usual steps", trial.of_plan(Plan(TARGET, trial.roles, trial.task, USUAL_STEPS))[:2]),
        ):
            scores = trial.score(learners.FAMILIES, steps, roles, cpu_s=cpu_s)
            for family, score in trial.comparable(scores).items():
                found[family, said] = score
    best_of = max(found, key=lambda one: found[one])
    best, mine = found[best_of], found.get((first, "steps suggested first"), -np.inf)
    plain = found.get(("histogram", "steps suggested first"), -np.inf)
    pairs: list[tuple[float, float]] = []
    if not quick:
        pairs = pairs_of(reference, trial.tried())
    return {
        "name": name,
        "family": first,
        "steps": [step.label for step in suggested.plan.steps],
        "score": mine,
        "best": best,
        "best_of": " with ".join(best_of),
        "within": float(mine >= best - CLOSE * abs(best)),
        "plain": float(plain >= best - CLOSE * abs(best)),
        "scores": {f"{family}, {said}": round(score, 4) for (family, said), score in found.items()},
        "pairs": pairs,
    }


# --- learning ---------------------------------------------------------------------------------------


def _learn(folder: Path, keep: Path | None, side_by_side: int) -> Iterator[Figure]:
    """Try everything on every table and variant, and write what came of it; the tables themselves are not kept."""
    done: dict[tuple[str, str], dict[str, Any]] = {}
    if keep is not None and keep.is_file():
        for line in keep.read_text().splitlines():
            one = json.loads(line)
            done[one["base"], one["variant"]] = one
    jobs = [job for job in _jobs(folder) if job[1:3] not in done]
    note(f"{len(done)} tables are tried already, {len(jobs)} are left.")
    with ProcessPoolExecutor(side_by_side, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_try, job) for job in jobs]
        for number, future in enumerate(as_completed(futures), 1):
            tables = future.result()
            for one in tables:
                done[one["base"], one["variant"]] = one
                if keep is not None:
                    with keep.open("a") as file:
                        file.write(json.dumps(one) + "\n")
                note(f"{number} of {len(jobs)}: {one['base']}, {one['variant']}: {one['scores']} {one['steps']}")
    listed = [done[key] for key in sorted(done)]
    found = Reference.from_json({"traits": list(TRAITS), "weights": {}, "tables": listed})
    held = weighed(found).to_json()
    lines = ",\n".join(json.dumps(one) for one in held.pop("tables"))
    OUTCOMES.write_text(f'{json.dumps(held)[:-1]}, "tables": [\n{lines}\n]}}\n')
    yield Figure("suggest", "reference_tables", len(done), "tables")
    yield Figure("suggest", "reference_bytes", OUTCOMES.stat().st_size, "B")


def _jobs(folder: Path) -> list[tuple[str, str, str]]:
    """(folder, base, variant), a variant of each table in turn, so that a part of them is a fair one."""
    each = []
    for name in _listed(folder):
        table = _table(folder, name)
        made = [one.variant for one in variants(name, table.frame, table.task, table.metric)]
        each.append([(str(folder), name, variant) for variant in [AS_IS, *made]])
    each.append([("", one.base, one.variant) for one in (*ruled(), *troubled())])
    turns = max(len(one) for one in each)
    return [one[turn] for turn in range(turns) for one in each if turn < len(one)]


def _try(job: tuple[str, str, str]) -> list[dict[str, Any]]:
    """In a process of its own."""
    from benchmarks.suggest_trial import Trial

    folder, base, variant = job
    if not folder:
        table = next(one for one in (*ruled(), *troubled()) if (one.base, one.variant) == (base, variant))
    else:
        table = _table(Path(folder), base)
        if variant != AS_IS:
            made = variants(base, table.frame, table.task, table.metric)
            table = next(one for one in made if one.variant == variant)
    splits = (3 if variant == AS_IS else 2) if len(table.frame) <= 1_000 else 1
    try:
        trial = Trial(table, ROWS if variant == AS_IS else VARIANT_ROWS, splits=splits)
        return Reference((trial.tried(8.0),)).to_json()["tables"]
    except AppError as error:
        note(f"{base}, {variant}: {error.message}")
        return []
