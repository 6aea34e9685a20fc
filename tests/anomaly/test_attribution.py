from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from lib.anomaly import training
from lib.anomaly.attribution import forest_shares, paths, spoken_feature
from lib.anomaly.forest import FlatForest
from lib.features import channels as plans
from lib.features.grid import tabulate


def test_parts_of_a_path_add_up_to_it_exactly() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(600, 5))
    model = IsolationForest(n_estimators=30, max_samples=256, random_state=0).fit(rows)
    forest = FlatForest.from_sklearn(model)
    for row in (*rows[:20], np.array([8.0, 0, 0, 0, 0])):
        shortened, whole = paths(forest, row)
        length = -np.log2(forest.score(row[None, :])[0]) * forest.scale / len(forest.roots)
        assert whole - shortened.sum() == pytest.approx(length, rel=1e-5)


def test_expectation_before_any_split_is_the_mean_path_of_what_trees_grew_from() -> None:
    rows = np.random.default_rng(0).normal(size=(128, 3))
    model = IsolationForest(n_estimators=1, max_samples=128, random_state=1).fit(rows)
    tree = model.estimators_[0].tree_
    forest = FlatForest.from_sklearn(model)
    leaf = tree.children_left < 0
    expected = float((tree.n_node_samples[leaf] * forest.value[leaf]).sum() / tree.n_node_samples[leaf].sum())
    assert paths(forest, rows[0])[1] == pytest.approx(expected, rel=1e-6)


def test_axis_that_is_far_out_is_the_one_that_shortened_the_path() -> None:
    rows = np.random.default_rng(5).normal(size=(2000, 4))
    forest = FlatForest.from_sklearn(IsolationForest(n_estimators=100, random_state=0).fit(rows))
    for axis in range(4):
        odd = np.zeros(4)
        odd[axis] = 9.0
        assert int(paths(forest, odd)[0].argmax()) == axis


def test_features_of_the_series_that_went_wrong_come_first(host) -> None:
    made = host(days=6)
    fitted = training.fit(made.series, made.frame)
    values = made.values.copy()
    values[1, -6:] += 60  # the queue
    made.values = values
    table = tabulate(made.series, made.frame, fitted.detector.plan.grid)
    channels = plans.assemble(fitted.detector.plan, table)
    shares = forest_shares(fitted.detector, channels, channels.ts_ms.size - 1)
    assert fitted.detector.plan.channels[shares[0].channel].metric == "queue_depth"
    assert shares[0].share > 0.4 and shares[0].features
    assert 0 < sum(s.share for s in shares) <= 1
    assert [s.share for s in shares] == sorted((s.share for s in shares), reverse=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mean_12", "its average over 1 hour"),
        ("difference_1", "its change over 5 minutes"),
        ("ewma_residual_48", "its distance from its own average of 4 hours"),
        ("residual", "its distance from what was expected"),
        ("hour_sin", "the hour"),
        ("something_new", "something new"),
    ],
)
def test_features_are_named_in_words(name: str, words: str) -> None:
    assert spoken_feature(name, 300) == words
