from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from lib.app import App
from lib.auth.actor import GUEST
from lib.errors import Forbidden, Invalid, NotFound
from lib.registry.serving import Serving
from lib.settings import ROOT
from tests.registry.kept import CUSTOMERS, MIXED, OPERATOR, ROW, VIEWER, register
from tests.registry.make_models import NAMES


@pytest.fixture
def flowers(app: App) -> App:
    register(app)
    app.models.promote(OPERATOR, "flowers", 1)
    return app


def test_the_champion_answers_and_says_why_and_how_long_it_took(flowers: App) -> None:
    answer = flowers.prediction.predict(VIEWER, [ROW, {**ROW, "width": -3}], explain=True)
    assert (answer.model, answer.version) == ("flowers", 1)
    assert answer.predictions[0].label == "virginica"
    assert sum(answer.predictions[0].probabilities.values()) == pytest.approx(1)
    assert answer.predictions[0].probabilities != answer.predictions[1].probabilities
    assert {one.field for one in answer.predictions[0].why} == set(ROW)
    assert "usual value" in answer.why_method
    assert 0 < answer.model_ms < answer.took_ms


def test_a_version_of_ones_choice_and_the_champion_after_a_promotion(flowers: App) -> None:
    register(flowers, "binary.json", CUSTOMERS)
    row = dict.fromkeys(NAMES, 1.0)
    assert flowers.prediction.predict(VIEWER, [row], version=2).predictions[0].label == "buys"
    assert flowers.prediction.predict(VIEWER, [ROW]).version == 1
    flowers.models.promote(OPERATOR, "flowers", 2)
    assert flowers.prediction.predict(VIEWER, [row]).version == 2
    with pytest.raises(NotFound, match="no version 9"):
        flowers.prediction.predict(VIEWER, [ROW], version=9)
    with pytest.raises(NotFound, match="no challenger"):
        flowers.prediction.predict(VIEWER, [ROW], version="challenger")


def test_what_is_wrong_is_named_field_by_field(app: App) -> None:
    register(app, "binary.json", MIXED, name="mixed")
    with pytest.raises(Invalid) as refused:
        app.prediction.predict(VIEWER, [{"age": "old", "shop": "west", "member": True, "x": 1}], version=1)
    fields = refused.value.values["fields"]
    assert {(one["field"], one["code"]) for one in fields} == {("age", "type"), ("shop", "category"), ("x", "unknown")}
    assert "north, south" in refused.value.message


def test_without_a_model_or_with_several_it_says_what_to_do(app: App) -> None:
    with pytest.raises(NotFound, match="no model yet"):
        app.prediction.predict(VIEWER, [ROW])
    register(app)
    register(app, name="others")
    with pytest.raises(Invalid, match="flowers, others"):
        app.prediction.predict(VIEWER, [ROW])
    with pytest.raises(NotFound, match="promote a version"):
        app.prediction.predict(VIEWER, [ROW], model="flowers")
    for rows in ([], [ROW] * 1001):
        with pytest.raises(Invalid, match="rows were sent"):
            app.prediction.predict(VIEWER, rows, model="flowers")
    with pytest.raises(Forbidden):
        app.prediction.predict(GUEST, [ROW], model="flowers", version=1)


def test_predictions_go_on_after_the_child_was_killed(flowers: App) -> None:
    first = flowers.prediction.predict(VIEWER, [ROW]).predictions[0].probabilities
    pid = flowers.models.serving.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert flowers.prediction.predict(VIEWER, [ROW]).predictions[0].probabilities == first


def test_predictions_are_kept_bounded_and_only_their_share(flowers: App) -> None:
    log, since = flowers.prediction.log, flowers.clock() - timedelta(hours=1)
    flowers.prediction.predict(VIEWER, [ROW] * 150)
    kept = log.read("flowers", 1, since)
    assert len(kept) == 100  # one request does not push everybody else's out
    assert kept["features"][0] == ROW
    assert kept["prediction"][0] == "virginica"
    flowers.settings.predictions_logged = 0
    flowers.prediction.predict(VIEWER, [ROW])
    assert len(log.read("flowers", 1, since)) == 100
    flowers.settings.predictions_kept = 30
    log.prune()
    assert len(log.read("flowers", 1, since)) == 30


def test_the_process_that_asks_never_loads_what_models_are_read_with(tmp_path: Path) -> None:
    script = """
import sys
import time
from pathlib import Path
from lib.app import build
from lib.settings import Settings
from tests.registry.kept import CUSTOMERS, VIEWER, register
from tests.registry.make_models import NAMES
folder = Path(sys.argv[1])
app = build(Settings(data_dir=folder, models_dir=folder / "models", demo=False))
register(app, "binary.json", CUSTOMERS)
print(app.prediction.predict(VIEWER, [dict.fromkeys(NAMES, 1.0)], version=1, explain=True).predictions[0].label)
app.stop()
print(sorted({"xgboost", "sklearn", "onnxruntime", "onnx", "skops", "scipy", "shap"} & set(sys.modules)))
"""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.stdout.split() == ["buys", "[]"], ran.stderr


def test_a_server_loads_what_was_asked_lately_and_what_is_promoted_before_anybody_waits(flowers: App) -> None:
    other = register(flowers, "binary.json", CUSTOMERS, name="other")
    flowers.prediction.predict(VIEWER, [ROW], model="flowers")
    flowers.prediction.log.flush()
    before = flowers.models.serving
    flowers.models.serving = Serving(before.folder, before.memory_mb)  # as after a restart
    before.close()
    flowers.prediction.start()
    loaded(flowers, flowers.models.get(VIEWER, "flowers").sha256)
    assert not flowers.models.serving.holds(other.sha256)
    flowers.models.promote(OPERATOR, "other", 1)
    loaded(flowers, other.sha256)


def loaded(app: App, key: str) -> None:
    until = time.monotonic() + 20
    while not app.models.serving.holds(key):
        assert time.monotonic() < until
        time.sleep(0.02)
