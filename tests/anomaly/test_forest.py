from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lib.anomaly.forest import FlatForest, mean_path_length
from lib.features import channels
from lib.features.grid import tabulate

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("rows", "columns", "trees", "sample"), [(2000, 12, 100, 512), (30, 1, 5, 30), (400, 3, 20, 2)]
)
def test_flat_forest_scores_as_scikit_learn_does(rows: int, columns: int, trees: int, sample: int) -> None:
    from sklearn.ensemble import IsolationForest

    rng = np.random.default_rng(rows)
    x = rng.normal(0, 1, (rows, columns))
    model = IsolationForest(n_estimators=trees, max_samples=sample, random_state=0).fit(x)
    unseen = np.concatenate([x, rng.normal(0, 10, (200, columns)), np.zeros((1, columns))])
    flat = FlatForest.from_sklearn(model)
    assert np.abs(flat.score(unseen) + model.score_samples(unseen)).max() < 1e-7
    again = FlatForest.from_arrays(flat.arrays())
    assert np.array_equal(again.score(unseen), flat.score(unseen))


def test_forest_trained_on_some_features_of_each_tree_is_flattened_right() -> None:
    from sklearn.ensemble import IsolationForest

    x = np.random.default_rng(1).normal(0, 1, (500, 8))
    model = IsolationForest(n_estimators=30, max_features=0.5, random_state=0).fit(x)
    assert np.abs(FlatForest.from_sklearn(model).score(x) + model.score_samples(x)).max() < 1e-7


def test_higher_is_stranger_and_nothing_gives_nothing() -> None:
    from sklearn.ensemble import IsolationForest

    x = np.random.default_rng(2).normal(0, 1, (500, 4))
    flat = FlatForest.from_sklearn(IsolationForest(random_state=0).fit(x))
    far, near = flat.score(np.array([[9.0, 9, 9, 9], [0, 0, 0, 0]]))
    assert far > 0.7 > 0.5 > near
    assert flat.score(np.empty((0, 4))).shape == (0,)


def test_mean_path_length_of_the_paper() -> None:
    assert mean_path_length(np.array([0, 1, 2])).tolist() == [0, 0, 1]
    assert mean_path_length(np.array([256]))[0] == pytest.approx(10.244770920, abs=1e-6)


def test_scoring_needs_no_scikit_learn(tmp_path: Path, host) -> None:
    """The app's process scores without it: memory and start-up depend on that."""
    from lib.anomaly import training

    made = host(days=3)
    fitted = training.fit(made.series, made.frame)
    made_by = fitted.detector
    np.savez(tmp_path / "detector.npz", **made_by.arrays())
    made.frame.to_parquet(tmp_path / "frame.parquet")
    (tmp_path / "plan.json").write_text(
        __import__("json").dumps(
            [fitted.detector.plan.to_json(), fitted.detector.spec.to_json(), fitted.detector.options.to_json()]
        )
    )
    code = f"""
import json, sys
import numpy as np, pandas as pd
from lib.anomaly import events
from lib.anomaly.detector import Detector
from lib.anomaly.options import Options
from lib.features import channels
from lib.features.build import Spec
from lib.features.channels import Plan
from lib.features.grid import tabulate
from lib.frames import Series
plan, spec, options = json.load(open({str(tmp_path / "plan.json")!r}))
plan, spec, options = Plan.from_json(plan), Spec.from_json(spec), Options.from_json(options)
arrays = dict(np.load({str(tmp_path / "detector.npz")!r}, allow_pickle=False))
detector = Detector.from_arrays(arrays, plan, spec, options)
frame = pd.read_parquet({str(tmp_path / "frame.parquet")!r})
kinds = ["gauge"] * 4 + ["counter"] * 2
series = [Series(i + 1, 1, "m", {{}}, "web-01", kinds[i]) for i in range(6)]
scored = detector.score(channels.assemble(plan, tabulate(series, frame, plan.grid)))
events.decide(scored, events.Rule(), plan.grid.step_s)
heavy = [m for m in ("sklearn", "scipy", "skops", "joblib") if m in sys.modules]
print(json.dumps([heavy, float(np.nansum(scored.evidence))]))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy, total = __import__("json").loads(result.stdout)
    assert heavy == []
    table = tabulate(made.series, made.frame, made_by.plan.grid)
    here = made_by.score(channels.assemble(made_by.plan, table))
    assert total == pytest.approx(float(np.nansum(here.evidence)))
