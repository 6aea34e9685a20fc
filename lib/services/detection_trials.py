"""Backtests and tuning as tasks, and what the last of each said; results are files, which outlive their tasks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from sqlmodel import col, select

from lib.anomaly import inject
from lib.anomaly.events import Rule
from lib.anomaly.options import Options
from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.tables import Task
from lib.errors import ArtefactRefused, Invalid, NotEnoughData, NotFound
from lib.frames import Window, to_ms
from lib.services.detection_scoring import Scoring, rule_of
from lib.services.detection_training import Training
from lib.settings import Settings
from lib.tasks.job import JobKind
from lib.tasks.runner import Runner

log = logging.getLogger(__name__)

BACKTEST, TUNE = "detect.backtest", "detect.tune"
STRENGTHS = inject.STRENGTHS
LEAST_BUDGET_S, USUAL_BUDGET_S, MOST_BUDGET_S = 10.0, 600.0, 14_400.0
# Beside the budget: the export, one trial that was begun just before the end, and the last part.
BEYOND_BUDGET_S = 3600.0
STILL_COMING = timedelta(hours=1)
_MOST_ANOMALIES, _MOST_TASKS = 10_000, 200
# What a search that goes on must find as it was.
BEGUN_WITH = ("busy", "options", "rule", "told")


class Trials:
    """How good the detector of a group is on its own data, and which options suit it."""

    def __init__(
        self, settings: Settings, training: Training, scoring: Scoring, runner: Runner, audit: Audit, clock: Callable
    ) -> None:
        self.training, self.scoring, self.runner = training, scoring, runner
        self.audit, self.clock = audit, clock
        self.results, self.journals = settings.models_dir / "trials", settings.models_dir / "tuning"
        jobs = "lib.services.detection_trial_jobs"
        runner.register(
            JobKind(BACKTEST, f"{jobs}:backtest", prepare=self._prepare, finish=self._keep_backtest, cluster=True)
        )
        runner.register(
            JobKind(
                TUNE,
                f"{jobs}:tune",
                prepare=self._prepare_tuning,
                finish=self._keep_tuning,
                deadline_s=MOST_BUDGET_S + BEYOND_BUDGET_S,
            )
        )

    def backtest(
        self,
        actor: Actor,
        source_id: int,
        host: str,
        window: Window | None = None,
        *,
        kinds: Sequence[str] = tuple(inject.KINDS),
        strengths: Sequence[float] = STRENGTHS,
    ) -> Task:
        """Queue a backtest; the last 30 days unless a window is given. While one of the group runs, that one is
        returned. Raises Invalid for unknown kinds or strengths, NotFound for a group nothing is stored of."""
        actor.require(Permission.DETECT)
        from lib.anomaly.backtest import Design

        design = Design(kinds=tuple(kinds), strengths=tuple(float(s) for s in strengths))
        params = self._params(actor, source_id, host, window)
        params |= {"kinds": list(design.kinds), "strengths": list(design.strengths)}
        return self._submit(actor, BACKTEST, "detector.backtest", "Backtest", params)

    def tune(
        self,
        actor: Actor,
        source_id: int,
        host: str,
        window: Window | None = None,
        *,
        budget_s: float = USUAL_BUDGET_S,
        resume: bool = True,
    ) -> Task:
        """Queue a search for options that suit the group. resume: go on with a search that was cancelled or killed, on
        the data it was begun with, unless another window is asked for. Raises Invalid, NotFound."""
        actor.require(Permission.DETECT)
        if not LEAST_BUDGET_S <= budget_s <= MOST_BUDGET_S:
            raise Invalid(f"The budget is {budget_s:g} s; choose {LEAST_BUDGET_S:g} to {MOST_BUDGET_S:g} seconds.")
        params = self._params(actor, source_id, host, window) | {"budget_s": float(budget_s), "resume": resume}
        return self._submit(actor, TUNE, "detector.tune", "Tune", params)

    def last_backtest(self, actor: Actor, source_id: int, host: str) -> dict[str, Any] | None:
        """The newest backtest of a group: what `Backtest.to_json` gives, and source_id, host, by, made_at."""
        actor.require(Permission.VIEW)
        return self._read(self._result(source_id, host, "backtest"))

    def last_tuning(self, actor: Actor, source_id: int, host: str) -> dict[str, Any] | None:
        """The newest tuning of a group: what `Tuning.to_json` gives, and source_id, host, by, made_at."""
        actor.require(Permission.VIEW)
        return self._read(self._result(source_id, host, "tuning"))

    def unfinished(self, actor: Actor, source_id: int, host: str) -> bool:
        """Whether a search of this group was begun and not ended, so that tuning would go on with it."""
        actor.require(Permission.VIEW)
        return _header(self._journal(source_id, host)) is not None

    def last_task(self, actor: Actor, kind: str, source_id: int, host: str) -> Task | None:
        """The newest task of this kind (BACKTEST, TUNE) of a group, whatever became of it."""
        actor.require(Permission.VIEW)
        wanted = select(Task).where(Task.kind == kind).order_by(col(Task.id).desc()).limit(_MOST_TASKS)
        with self.training.database.session() as session:
            rows = session.exec(wanted).all()
        return next((t for t in rows if t.params["source_id"] == source_id and t.params["hosts"] == [host]), None)

    def forget(self, source_id: int) -> None:
        """Everything of a source that is removed."""
        for folder in (self.results, self.journals):
            for path in folder.glob(f"s{source_id}-*"):
                path.unlink(missing_ok=True)

    # --- in the app, around the child --------------------------------------------------------------

    def _params(self, actor: Actor, source_id: int, host: str, window: Window | None) -> dict[str, Any]:
        if host not in set(self.training.samples.hosts(source_id)["host"]):
            raise NotFound(f"Nothing is stored of {host!r} from source {source_id}; collect from it first.")
        return {
            "source_id": source_id,
            "hosts": [host],
            "start": window.start.isoformat() if window else None,
            "end": window.end.isoformat() if window else None,
            "by": actor.name,
        }

    def _submit(self, actor: Actor, kind: str, action: str, verb: str, params: dict[str, Any]) -> Task:
        source_id, host = params["source_id"], params["hosts"][0]
        title = f"{verb} the detector of {host or 'all series'}"
        task = self.runner.submit(kind, params, by=actor.name, title=title, key=f"{source_id}:{host}")
        self.audit.record(actor, action, host, source_id=source_id, task=task.id)
        return task

    def _prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """Export the group's samples, and say which spans are not to be touched and which options are in use."""
        source_id, host = params["source_id"], params["hosts"][0]
        params = self.training.prepare(params, workdir)
        window = Window(datetime.fromisoformat(params["start"]), datetime.fromisoformat(params["end"]))
        told = self.training.told(source_id, host, window)
        return {**params, "busy": self._busy(source_id, host, window), "told": told, **self._chosen(source_id, host)}

    def _prepare_tuning(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """As for a backtest; a search that goes on gets what it was begun with."""
        journal = self._journal(params["source_id"], params["hosts"][0])
        if not params["resume"]:
            journal.unlink(missing_ok=True)
        begun = None if params["start"] else _header(journal)
        # What is still coming in would make other data of it by the time it is gone on with.
        anew = params if params["end"] else {**params, "end": (self.clock() - STILL_COMING).isoformat()}
        if begun is None:
            return {**self._prepare(anew, workdir), "journal": str(journal)}
        try:
            exported = self.training.prepare({**params, "start": begun["start"], "end": begun["end"]}, workdir)
        except NotEnoughData:  # what it was begun with is gone
            journal.unlink(missing_ok=True)
            return {**self._prepare(anew, workdir), "journal": str(journal)}
        return {**exported, **{name: begun[name] for name in BEGUN_WITH}, "journal": str(journal)}

    def _busy(self, source_id: int, host: str, window: Window) -> list[tuple[int, int]]:
        """Spans of stored anomalies, in Unix milliseconds."""
        found = self.scoring.findings.anomalies(window=window, source_id=source_id, host=host, limit=_MOST_ANOMALIES)
        return [
            (to_ms(start), to_ms(window.end if pd.isna(end) else end))
            for start, end in zip(found["start_ts"], found["end_ts"], strict=True)
        ]

    def _chosen(self, source_id: int, host: str) -> dict[str, Any]:
        """options and rule of the detector at work, or the default."""
        row = next((d for d in self.scoring.active(source_id) if d.host == host), None)
        options = Options().to_json()
        if row is not None:
            with contextlib.suppress(ArtefactRefused, NotFound):
                options = self.scoring.loaded(row).detector.options.to_json()
        return {"options": options, "rule": asdict(rule_of(row) if row else Rule())}

    def _keep_backtest(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        self._keep("backtest", params, result)
        return {"winner": result["winner"], "verdict": result["verdict"], "notes": result["notes"]}

    def _keep_tuning(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        self._keep("tuning", params, result)
        self._journal(params["source_id"], params["hosts"][0]).unlink(missing_ok=True)
        return {name: result[name] for name in ("better", "options", "rule", "verdict", "resumed")} | {
            "trials": len(result["trials"])
        }

    # --- files -------------------------------------------------------------------------------------

    def _result(self, source_id: int, host: str, what: str) -> Path:
        return self.results / f"{_name(source_id, host)}.{what}.json"

    def _journal(self, source_id: int, host: str) -> Path:
        return self.journals / f"{_name(source_id, host)}.jsonl"

    def _keep(self, what: str, params: dict[str, Any], result: dict[str, Any]) -> None:
        """Written beside its place and renamed: a reader finds the old or the new, never half."""
        source_id, host = params["source_id"], params["hosts"][0]
        about = {"source_id": source_id, "host": host, "by": params["by"], "made_at": self.clock().isoformat()}
        path = self._result(source_id, host, what)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump({**result, **about}, file, allow_nan=False)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise

    def _read(self, path: Path) -> dict[str, Any] | None:
        """None when there is none, or none that can be read: the next one replaces it."""
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            log.warning("result of a trial cannot be read", extra={"file": path.name, "reason": str(error)})
            return None
        return found if isinstance(found, dict) else None


def _header(journal: Path) -> dict[str, Any] | None:
    """What an unfinished search was begun with. The jobs, and all they bring, are loaded when somebody asks."""
    from lib.services.detection_trial_jobs import read_header

    return read_header(journal)


def _name(source_id: int, host: str) -> str:
    """Of a group's files: hosts may hold what file names may not."""
    return f"s{source_id}-{hashlib.sha256(host.encode()).hexdigest()[:16]}"
