"""Backtest and tuning, in a child process: read what the app exported, hand back what a page can show."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.anomaly import backtest as backtests
from lib.anomaly import detector as detectors
from lib.anomaly import tuning
from lib.anomaly.backtest import Design
from lib.anomaly.events import Rule
from lib.anomaly.options import Options
from lib.anomaly.training import Span
from lib.anomaly.tuning import Trial
from lib.errors import NotEnoughData
from lib.frames import Series
from lib.services.detection_jobs import GROUPS, SAMPLES, read, series_of, told_spans
from lib.tasks.job import JobContext


def backtest(context: JobContext, **params: Any) -> dict[str, Any]:
    """Ours beside simple detectors on the group's own history."""
    given = _given(context, params)
    design = Design(kinds=tuple(params["kinds"]), strengths=tuple(params["strengths"]))
    found = backtests.run(
        given.series,
        given.frame,
        design,
        given.busy,
        given.leave_out,
        given.keep,
        Options.from_json(params["options"]),
        Rule(**params["rule"]),
        progress=context.progress,
    )
    for line in found.verdict:
        context.log(line)
    return found.to_json()


def tune(context: JobContext, **params: Any) -> dict[str, Any]:
    """Search until the budget is used up; each trial is written to the journal at once, so that a run that was ended
    goes on where it was."""
    began = time.monotonic()
    given = _given(context, params)
    frame, options = given.frame, Options.from_json(params["options"])
    journal = Path(params["journal"])
    header = {
        "start": params["start"],
        "end": params["end"],
        "busy": params["busy"],
        "options": params["options"],
        "rule": params["rule"],
        "told": params["told"],
        "about": fingerprint(frame),
    }
    known = read_journal(journal, header)
    if known:
        context.log(f"Going on after {len(known)} trials of an earlier run.")
    # Written anew: the last line of a run that was killed may be half there. Without a trial there is nothing to keep.
    begun = bool(known)
    if begun:
        begin_journal(journal, header, known)

    def made(trial: Trial) -> None:
        nonlocal begun
        if begun:
            append(journal, trial.to_json())
        else:
            begin_journal(journal, header, [trial])
            begun = True
        context.log(f"{trial.score:.3f} with {', '.join(f'{k} {v}' for k, v in trial.choice.items())}.")

    try:
        found = tuning.tune(
            given.series,
            frame,
            busy=given.busy,
            leave_out=given.leave_out,
            keep=given.keep,
            options=options,
            rule=Rule(**params["rule"]),
            spent=lambda: (time.monotonic() - began) / params["budget_s"],
            known=known,
            made=made,
            progress=context.progress,
        )
    except NotEnoughData:
        # The next search is to begin with what will have been collected by then.
        journal.unlink(missing_ok=True)
        raise
    for line in found.verdict:
        context.log(line)
    return found.to_json()


@dataclass(frozen=True)
class Given:
    """busy: spans no fault is put into. leave_out, keep: spans not to learn from, and to learn from come what may."""

    series: list[Series]
    frame: pd.DataFrame
    busy: list[Span]
    leave_out: list[Span]
    keep: list[Span]


def _given(context: JobContext, params: dict[str, Any]) -> Given:
    (group,) = json.loads((context.workdir / GROUPS).read_text())
    series = series_of(group["series"])
    context.progress(0.0, f"{group['host']}: {len(series)} series")
    # What people say while a search waits to go on would make another search of it.
    leave_out, keep = told_spans(params["told"])
    busy = [(a, b) for a, b in params["busy"]] + leave_out
    return Given(series, read(context.workdir / SAMPLES, [s.id for s in series]), busy, leave_out, keep)


def fingerprint(frame: pd.DataFrame) -> str:
    """What trials rest on: other samples or other code make other figures."""
    hashed = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    whole = int(np.bitwise_xor.reduce(hashed)) if hashed.size else 0
    return f"{whole:016x}-{len(frame)}-{detectors.VERSION}"


def read_header(path: Path) -> dict[str, Any] | None:
    """What an unfinished search was begun with; None without one that can be read."""
    lines = _lines(path)
    return (
        lines[0] if lines and {"start", "end", "busy", "options", "rule", "told", "about"} <= lines[0].keys() else None
    )


def read_journal(path: Path, header: dict[str, Any]) -> list[Trial]:
    """The trials of an earlier run; none when it was about something else."""
    lines = _lines(path)
    if not lines or lines[0] != header:
        return []
    return [Trial.from_json(line) for line in lines[1:]]


def begin_journal(path: Path, header: dict[str, Any], trials: Sequence[Trial]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    for values in (header, *(trial.to_json() for trial in trials)):
        append(beside, values)
    beside.replace(path)


def append(path: Path, values: dict[str, Any]) -> None:
    """One line, on disk when this returns."""
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path) -> list[dict[str, Any]]:
    """As far as they can be read: the last one of a run that was killed may be half there."""
    try:
        text = path.read_text()
    except (FileNotFoundError, UnicodeDecodeError):
        return []
    out = []
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            break
        if not isinstance(values, dict):
            break
        out.append(values)
    return out
