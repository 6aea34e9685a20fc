import numpy as np
import pytest
import xgboost
from sklearn import ensemble

from lib.errors import ArtefactRefused
from lib.registry.bundles import load_bundle, save_bundle
from lib.training import plan as plans
from lib.training import portable, trainer
from tests.training.tables import Clock, churn


def table(classes=2, rows=300):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 4)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    score = np.nan_to_num(values[:, 0]) + np.nan_to_num(values[:, 1]) ** 2
    return values, np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]))


@pytest.mark.parametrize("classes", [2, 3])
def test_trees_say_what_their_libraries_say_gaps_included(classes):
    values, target = table(classes)
    link = portable.SIGMOID if classes == 2 else portable.SOFTMAX
    forest = ensemble.ExtraTreesClassifier(20, random_state=0).fit(values, target)
    boosted = ensemble.HistGradientBoostingClassifier(max_iter=15).fit(values, target)
    width = 1 if classes == 2 else classes
    two = classes == 2
    params = {"objective": "binary:logistic" if two else "multi:softprob", "base_score": 0.5 if two else 0.0}
    if classes > 2:
        params["num_class"] = classes
    booster = xgboost.train(params, xgboost.QuantileDMatrix(values, target), 10)
    pairs = [
        (portable.of_forest(forest), forest.predict_proba(values)),
        (portable.of_histogram(boosted, link), boosted.predict_proba(values)),
        (portable.of_booster(booster, width, 0.0, link), booster.predict(xgboost.DMatrix(values)).reshape(300, -1)),
    ]
    for trees, expected in pairs:
        wanted = expected[:, -1:] if classes == 2 else expected
        assert np.allclose(trees.predict(values), wanted, atol=1e-5)
        assert np.allclose(trees.predict(values[:3]), wanted[:3], atol=1e-5)
    grove = portable.Grove([(trees, 0) for trees, _ in pairs])
    for said, (trees, _) in zip(grove.predict(values[:5]), pairs, strict=True):
        assert np.allclose(said, trees.predict(values[:5]))


def test_arrays_that_lead_in_circles_or_outside_are_refused():
    values, target = table()
    trees = portable.of_forest(ensemble.ExtraTreesClassifier(3, random_state=0).fit(values, target))
    inner = int(np.nonzero(trees.left >= 0)[0][0])
    for name, value in (("left", inner), ("right", 10**6), ("feature", -5)):
        arrays = {key: one.copy() for key, one in trees.arrays().items()}
        arrays[name][inner] = value
        with pytest.raises(ValueError, match="do not fit together"):
            portable.rebuild(trees.about(), arrays)
    with pytest.raises(ValueError, match="no kind of predictor"):
        portable.rebuild({"kind": "code"}, {})


@pytest.mark.parametrize("file", ["plan.json", "schema.json", "model.json", "preparations.json", "arrays.npz"])
def test_a_bundle_with_a_damaged_file_is_refused(tmp_path, file):
    frame = churn(100)
    plan = plans.begin(frame, "left", trials=0, folds=2, families=("linear",))
    save_bundle(trainer.train(frame, plan, now=Clock()).model, tmp_path)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(ArtefactRefused, match="no readable model"):
        load_bundle(tmp_path)


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    frame = churn(100)
    plan = plans.begin(frame, "left", trials=0, folds=2, families=("linear",))
    save_bundle(trainer.train(frame, plan, now=Clock()).model, tmp_path)

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    held = np.empty(1, dtype=object)
    held[0] = Bomb()
    np.savez(tmp_path / "arrays.npz", **{"m0p0/weight0": held})
    with pytest.raises(ArtefactRefused):
        load_bundle(tmp_path)
    assert not (tmp_path / "ran").exists()
