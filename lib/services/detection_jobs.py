"""The training job, in a child process: reads what the app exported, leaves artefacts and findings in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.anomaly import detector as detectors
from lib.anomaly import labels, training
from lib.anomaly.detector import Detector
from lib.anomaly.events import Rule, decide
from lib.anomaly.options import Options
from lib.anomaly.training import Fitted, Span
from lib.db.tables import Verdict
from lib.errors import ArtefactRefused, NotEnoughData
from lib.frames import Series
from lib.registry import files as registry
from lib.services import detection_findings
from lib.tasks.job import JobContext

SAMPLES, GROUPS, FOUND = "samples", "groups.json", "found.json"
ARRAYS = "detector.npz"
# Parts labels are held back in, a training each.
HELD_BACK = 3


def train(context: JobContext, **params: Any) -> dict[str, Any]:
    """Fit a detector for each group and score the span it was trained on.

    A group that cannot be trained is said and left out; when none can, the last reason is raised.
    """
    groups = json.loads((context.workdir / GROUPS).read_text())
    trained: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    failure: NotEnoughData | None = None
    for number, group in enumerate(groups):
        host, series = group["host"], series_of(group["series"])
        begin, share = number / len(groups), 1 / len(groups)
        context.progress(begin, f"{host}: {len(series)} series")
        frame = read(context.workdir / SAMPLES, [s.id for s in series])

        def said(fraction: float, message: str, host: str = host, begin: float = begin, share: float = share) -> None:
            context.progress(begin + fraction * share, f"{host}: {message}")

        try:
            fitted = _fit(series, frame, group, said)
        except NotEnoughData as error:
            failure = error
            refused.append({"host": host, "reason": error.message})
            context.log(f"{host or 'Group'}: {error.message}", level="warning")
            continue
        folder = f"detector-{number}"
        rule = Rule(**group.get("rule", {}))
        found = _keep(fitted, host, context.workdir / folder, rule)
        metrics = fitted.metrics | _heeded(series, frame, group, fitted, rule, said)
        _write(context.workdir / folder, fitted, group, params, frame, rule, metrics)
        (context.workdir / f"{folder}.{FOUND}").write_text(json.dumps(found))
        ids = [s.id for s in series]
        context.deliver(
            context.workdir / f"{folder}.scores.parquet",
            host=host,
            folder=folder,
            series_ids=ids,
            metrics=metrics,
            options=fitted.detector.options.to_json(),
            rule=group.get("rule", {}),
        )
        trained.append({"host": host, "anomalies": len(found["anomalies"]), **fitted.metrics})
        plan = fitted.detector.plan
        context.log(
            f"{host or 'Group'}: {len(plan.channels)} channels, {fitted.metrics['features']} features, "
            f"{fitted.metrics['points']:,} points, {len(found['anomalies'])} anomalies.",
            left_out=[f"{title}: {reason}" for title, reason in plan.left_out][:200],
        )
    if not trained and failure is not None:
        raise failure
    context.progress(1.0, f"{len(trained)} detectors trained")
    return {"trained": trained, "refused": refused}


def read(path: Path, ids: Sequence[int]) -> pd.DataFrame:
    """The exported samples of some series: series_id, ts, value. path: the folder `Samples.export` made."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path, filters=[("series_id", "in", list(ids))], use_threads=False)
    position = table.schema.get_field_index("ts")
    moments = table.column(position).cast(pa.timestamp("ms", tz="UTC"))
    return table.set_column(position, "ts", moments).to_pandas()


def series_of(given: Sequence[dict[str, Any]]) -> list[Series]:
    return [Series(**one) for one in given]


def _fit(
    series: Sequence[Series],
    frame: pd.DataFrame,
    group: dict[str, Any],
    said: Callable[[float, str], None] = lambda _fraction, _words: None,
    heeded: Callable[[int], bool] = lambda _number: True,
) -> Fitted:
    """heeded: which of the labels count."""
    leave_out, keep = told_spans(group, heeded)
    options = Options.from_json(group.get("options", {}))
    return training.fit(series, frame, progress=said, leave_out=leave_out, keep=keep, options=options)


def told_spans(
    group: dict[str, Any], heeded: Callable[[int], bool] = lambda _number: True
) -> tuple[list[Span], list[Span]]:
    """Spans to leave out of learning and spans to keep in: what people called wrong or expected, and what is muted, is
    not learnt from; a false alarm is, as normal."""
    told = [one for number, one in enumerate(group.get("labels", ())) if heeded(number)]
    odd = [(one["start"], one["end"]) for one in told if one["verdict"] != Verdict.FALSE]
    normal = [(one["start"], one["end"]) for one in told if one["verdict"] == Verdict.FALSE]
    return odd + [(int(a), int(b)) for a, b in group.get("muted", ())], normal


def _heeded(
    series: Sequence[Series],
    frame: pd.DataFrame,
    group: dict[str, Any],
    fitted: Fitted,
    rule: Rule,
    said: Callable[[float, str], None],
) -> dict[str, Any]:
    """What labels did, measured on labels that were held back: a detector is trained without each third of them, and
    asked about that third. Nothing while there are too few."""
    told = [one for one in group.get("labels", ()) if one["verdict"] != Verdict.EXPECTED]
    real = np.array([one["verdict"] == Verdict.REAL for one in told], dtype=bool)
    if min(int(real.sum()), int((~real).sum())) < labels.ENOUGH:
        return {}
    said(0.95, "labels held back are judged")
    place = np.empty(len(told), dtype=int)
    for kind in (True, False):
        place[real == kind] = np.arange(int((real == kind).sum())) % HELD_BACK
    fired = np.zeros(len(told), dtype=bool)
    only = group | {"labels": told}
    for part in range(HELD_BACK):
        held = place == part
        if not held.any():
            continue
        one = _fit(series, frame, only, heeded=lambda number, held=held: not held[number])  # type: ignore[misc]
        decided, _ = decide(one.scored, rule, one.detector.plan.grid.step_s)
        ts = one.scored.ts_ms
        spans = [(int(ts[e.first]), int(ts[e.last])) for e in decided]
        starts, ends = (np.array([t[edge] for t in told])[held] for edge in ("start", "end"))
        fired[held] = labels.touched(spans, starts, ends)
    before = labels.judge(np.array([one["found"] for one in told], dtype=bool), real)
    return {"labels": {"before": asdict(before), "after": asdict(labels.judge(fired, real))}}


def _keep(fitted: Fitted, host: str, stem: Path, rule: Rule) -> dict[str, Any]:
    """What was found in the training span: scores as Parquet beside `stem`, the rest as JSON-able values."""
    detector, scored = fitted.detector, fitted.scored
    # The first moments have too little before them to be judged.
    since = min(detector.spec.windows[0] * 4, len(scored.ts_ms) // 4)
    found = detection_findings.findings(scored, detection_findings.up_to(fitted.channels), detector, host, rule, since)
    found.scores.to_parquet(stem.with_suffix(".scores.parquet"))
    found.expectations.to_parquet(stem.with_suffix(".expectations.parquet"))
    return {"anomalies": found.anomalies, "start_ms": int(scored.ts_ms[0]), "end_ms": int(scored.ts_ms[-1])}


def _write(
    folder: Path,
    fitted: Fitted,
    group: dict[str, Any],
    params: dict[str, Any],
    frame: pd.DataFrame,
    rule: Rule,
    metrics: dict[str, Any],
) -> None:
    detector = fitted.detector
    hashed = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    registry.seal(
        folder,
        arrays={ARRAYS: detector.arrays()},
        models={f"{name}.skops": model for name, model in fitted.models.items()},
        metadata={
            "kind": "detector",
            "host": group["host"],
            "plan": detector.plan.to_json(),
            "spec": detector.spec.to_json(),
            "options": detector.options.to_json(),
            "rule": asdict(rule),
            "features": list(fitted.feature_names),
            "series": group["series"],
            "metrics": metrics,
            "parts": list(detectors.PARTS),
            "seed": 0,
            "data": {
                "hash": f"{int(np.bitwise_xor.reduce(hashed)):016x}",
                "samples": len(frame),
                "first": frame["ts"].min().isoformat(),
                "last": frame["ts"].max().isoformat(),
                "asked": {"start": params["start"], "end": params["end"]},
            },
            "code": detectors.VERSION,
        },
    )


def load(artefact: registry.Artefact) -> Detector:
    """The detector of a checked artefact, ready to score without scikit-learn. Raises ArtefactRefused when another
    version of the code made it."""
    from lib.features.build import Spec
    from lib.features.channels import Plan

    metadata = artefact.metadata
    if metadata.get("code") != detectors.VERSION:
        raise ArtefactRefused(f"{artefact.path.name} was made by another version of AutoOps. Train it again.")
    return Detector.from_arrays(
        artefact.arrays(ARRAYS),
        Plan.from_json(metadata["plan"]),
        Spec.from_json(metadata["spec"]),
        Options.from_json(metadata["options"]),
    )
