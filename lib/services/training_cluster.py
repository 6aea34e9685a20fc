"""What a training hands to a Dask cluster: its first candidates, a fit on each worker; forests, tree by tree, through
joblib; and XGBoost of very large tables, over all workers at once. Imported by a job that runs on one."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.disk import sha256
from lib.tasks.cluster import connected
from lib.tasks.job import CLUSTER, JobContext
from lib.tasks.remote import still_wanted
from lib.training import trainer
from lib.training.plan import Plan

if TYPE_CHECKING:
    from distributed import Client, Future

Fold = tuple[Mapping[str, Any], dict[str, np.ndarray]]
# Rounds of boosting between two looks at the clock.
_ROUNDS = 50
# Below so many rows sending trees about takes longer than growing them.
_FOREST_ROWS = 5_000


def given() -> dict[str, Any] | None:
    """The cluster this job may hand work to; None: it does not run on one."""
    text = os.environ.get(CLUSTER, "")
    return json.loads(text) if text else None


class Elsewhere:
    """The cluster as `trainer.train` uses it: finished folds by name (`restored`), the candidates told beforehand
    (`ahead`), boosting of many rows (`boost`). What fails there is fitted here, with a line in the log."""

    def __init__(
        self,
        client: Client,
        context: JobContext,
        table: Path,
        plan: Plan,
        kept: Mapping[str, Fold],
        checkpoint: Callable[[str, Mapping[str, Any], dict[str, np.ndarray]], None],
        boost_rows: int,
    ) -> None:
        self.client, self.context, self.table, self.plan = client, context, table, plan
        self.kept, self.checkpoint, self.rows = dict(kept), checkpoint, boost_rows
        self.forest_rows = _FOREST_ROWS
        self._futures: dict[str, Future] = {}
        self._until = 0.0

    # --- candidates -----------------------------------------------------------------------------

    def ahead(self, candidates: Sequence[trainer.Candidate], rows: int, left_s: float) -> None:
        """Begin fitting these on the workers, in their order."""
        self._until = time.monotonic() + left_s
        wanted = [one for one in candidates if not (one.family == "xgboost" and rows > self.rows)]
        wanted = [one for one in wanted if f"{one.name} fold 0" not in self.kept]
        data = self._data()
        for place, one in enumerate(wanted):
            self._futures[one.name] = self.client.submit(
                fit_one, data, self.plan.to_json(), one.name, left_s, pure=False, retries=0, priority=-place
            )
        workers = len(self.client.scheduler_info(n_workers=-1)["workers"])
        self.context.log(f"{len(wanted)} candidates are fitted on {workers} workers.")

    def get(self, name: str, default: Fold | None = None) -> Fold | None:
        """A finished fold; waits for one that is being fitted on a worker."""
        if name in self.kept:
            return self.kept[name]
        future = self._futures.pop(name.rpartition(" fold ")[0], None)
        if future is None:
            return default
        try:
            found: dict[str, Fold] = future.result(timeout=max(0.1, self._until - time.monotonic()))
        except Exception as error:  # whatever a worker makes of it, or its loss: it is fitted here
            self.context.log(f"{name} is fitted here: {type(error).__name__} on a worker", level="warning")
            future.cancel()
            return default
        for each, (meta, arrays) in found.items():
            self.kept[each] = (meta, arrays)
            self.checkpoint(each, meta, arrays)
        return self.kept.get(name, default)

    def enough(self) -> None:
        """What is still being fitted ends: its workers have other jobs."""
        for future in self._futures.values():
            future.cancel()
        self._futures.clear()

    def values(self) -> Collection[Fold]:
        return self.kept.values()

    def _data(self) -> Any:
        """The table as the workers get it: where it lies, when all see it there, else its bytes."""
        seen = self.client.run(_digest, str(self.table))
        if set(seen.values()) == {_digest(str(self.table))}:
            return str(self.table)
        self.context.log("The workers do not see the table: it is shipped.")
        return self.client.scatter(self.table.read_bytes(), hash=False)

    # --- boosting -------------------------------------------------------------------------------

    def boost(
        self,
        options: Mapping[str, Any],
        learn: tuple[np.ndarray, np.ndarray, np.ndarray | None],
        rounds: int,
        left_s: Callable[[], float],
        held: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None = None,
        patience: int = 0,
    ) -> tuple[Any, int]:
        """An XGBoost model of the best round and how many rounds that is. All workers build each tree together; the
        clock is looked at between some rounds, since all of them must end at the same one."""
        from xgboost import dask as spread

        plain = {key: value for key, value in options.items() if key != "verbosity"}
        matrix = self._matrix(learn, plain, None)
        evals = [] if held is None else [(self._matrix(held, plain, matrix), "held")]
        booster, seen = None, []
        while (done := booster.num_boosted_rounds() if booster else 0) < rounds and (not booster or left_s() > 0.05):
            step = min(_ROUNDS, rounds - done)
            made = spread.train(self.client, plain, matrix, step, evals=evals, xgb_model=booster, verbose_eval=False)
            booster = made["booster"]
            if held is not None:
                seen += next(iter(made["history"]["held"].values()))
                if len(seen) - 1 - int(np.argmin(seen)) >= patience:
                    break
        assert booster is not None  # at least one step is made
        best = int(np.argmin(seen)) + 1 if seen else booster.num_boosted_rounds()
        return booster[:best], best

    def _matrix(
        self, part: tuple[np.ndarray, np.ndarray, np.ndarray | None], options: Mapping[str, Any], ref: Any
    ) -> Any:
        import dask.array
        from xgboost import dask as spread

        values, target, weight = part
        workers = max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))
        pieces = np.array_split(np.arange(len(values)), workers)

        def spread_out(array: np.ndarray) -> Any:
            arrays = []
            for rows in pieces:
                there = self.client.scatter(array[rows], hash=False)
                arrays.append(dask.array.from_delayed(there, shape=array[rows].shape, dtype=array.dtype))
            return dask.array.concatenate(arrays)

        kind = spread.DaskQuantileDMatrix
        return kind(
            self.client, spread_out(values), spread_out(np.asarray(target)),
            weight=None if weight is None else spread_out(weight), max_bin=options["max_bin"], ref=ref,
        )  # fmt: skip


@contextmanager
def elsewhere(
    context: JobContext,
    table: Path,
    plan: Plan,
    kept: Mapping[str, Fold],
    checkpoint: Callable[[str, Mapping[str, Any], dict[str, np.ndarray]], None],
) -> Iterator[Elsewhere | None]:
    """The cluster of this job, with joblib set to it; None when the job runs by itself."""
    cluster = given()
    if cluster is None:
        yield None
        return
    import joblib

    with (
        connected(cluster["address"], cluster["timeout_s"]) as client,
        client.as_current(),
        # One job at a time unless a model says otherwise: only forests are worth the way.
        joblib.parallel_config(backend="dask", n_jobs=1),
    ):
        yield Elsewhere(client, context, table, plan, kept, checkpoint, cluster["boost_rows"])


def fit_one(data: str | bytes, plan: dict[str, Any], name: str, left_s: float) -> dict[str, Fold]:
    """On a worker: a candidate's folds, as the training itself would fit them."""
    from lib.services.training_jobs import read_table

    wanted, until, stays = Plan.from_json(plan), time.monotonic() + left_s, still_wanted()
    found: dict[str, Fold] = {}

    def keep(fold: str, meta: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> None:
        found[fold] = (dict(meta), arrays)

    with tempfile.TemporaryDirectory(prefix="autoops-fit-") as near:
        table = Path(data) if isinstance(data, str) else Path(near) / "table.parquet"
        if isinstance(data, bytes):
            table.write_bytes(data)
        frame, _notes = read_table(table, wanted)

    def now() -> float:
        # Once nobody waits any more, all time is over: a fit that looks at the clock ends at once.
        return time.monotonic() + (0.0 if stays() else 1e9)

    trainer.fit_alone(frame, wanted, name, now=now, stop=lambda: now() > until, checkpoint=keep)
    return found


def _digest(path: str) -> str:
    """Tells whether two machines mean the same file by a path; empty where it is not."""
    try:
        return sha256(Path(path))
    except OSError:
        return ""
