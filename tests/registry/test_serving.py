"""The warm child: what it answers, what it cannot reach, and what happens when it dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib.errors import ArtefactRefused, Unavailable
from lib.registry import bundled, loaders
from lib.registry.schema import ModelSchema
from lib.registry.serving import Serving
from tests.registry.kept import CUSTOMERS, FLOWERS, PRICES
from tests.registry.make_models import DATA, NAMES, torch_answers

FORMATS = {".onnx": "onnx", ".json": "xgboost", ".skops": "skops"}


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path / "served", 700)
    yield made
    made.close()


def ask(serving: Serving, file: str, schema: ModelSchema, columns: dict, *, explain: bool = False) -> dict:
    path = DATA / file
    format_ = FORMATS[path.suffix]

    def unpack() -> None:
        (serving.folder / path.stem).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, serving.folder / path.stem / loaders.FILES[format_])

    model = {"key": path.stem, "format": format_, "schema": schema.to_json()}
    return serving.predict(model, columns, explain=explain, unpack=unpack)


def flowers(serving: Serving, rows: np.ndarray, **more: bool) -> dict:
    return ask(serving, "torch_mlp.onnx", FLOWERS, dict(zip(FLOWERS.names, rows.T.tolist(), strict=True)), **more)


def test_a_network_as_pytorch_exports_it_answers_as_numpy_says(serving: Serving) -> None:
    rows = np.random.default_rng(1).normal(size=(50, 4))
    found = flowers(serving, rows)
    logits = torch_answers(rows).astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.abs(np.array(found["probabilities"]) - expected).max() < 1e-5
    assert found["labels"] == [FLOWERS.classes[one] for one in expected.argmax(axis=1)]


def test_xgboost_explains_by_tree_shap_that_adds_up_and_takes_what_is_missing(serving: Serving) -> None:
    columns = {name: [1.0, None] for name in NAMES}
    found = ask(serving, "binary.json", CUSTOMERS, columns, explain=True)
    assert "SHAP" in found["why"]["method"]
    other = ask(serving, "binary.json", CUSTOMERS, {name: [-1.0] for name in NAMES}, explain=True)
    assert found["labels"][0] == "buys"
    assert found["why"]["values"][0][0] > 0  # age speaks for it
    assert len(other["why"]["values"][0]) == 5


def test_scikit_learn_answers_with_linear_terms_or_ablation(serving: Serving) -> None:
    columns = {f"f{number}": [2.0 if number == 0 else 0.0] for number in range(5)}
    schema = ModelSchema(CUSTOMERS.task, PRICES.fields, ("buys", "leaves"))
    linear = ask(serving, "linear.skops", schema, columns, explain=True)
    assert "Linear terms" in linear["why"]["method"]
    assert linear["labels"] == ["buys"]
    assert linear["why"]["values"][0][0] > 1
    assert linear["why"]["values"][0][1:] == [0, 0, 0, 0]
    forest = ask(serving, "forest.skops", PRICES, columns, explain=True)
    assert "One field at a time" in forest["why"]["method"]
    assert forest["why"]["values"][0][0] > 1


def test_one_child_serves_all_and_another_comes_when_it_is_killed(serving: Serving) -> None:
    row = np.ones((1, 4))
    before = flowers(serving, row)
    pid = serving.pid
    ask(serving, "binary.json", CUSTOMERS, {name: [1.0] for name in NAMES})
    assert serving.pid == pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert flowers(serving, row)["probabilities"] == before["probabilities"]
    assert serving.pid not in (None, pid)


def test_an_idle_child_ends_and_a_closed_one_says_so(serving: Serving) -> None:
    flowers(serving, np.ones((1, 4)))
    serving.tidy(0)
    assert serving.pid is None
    serving.close()
    with pytest.raises(Unavailable, match="stopping"):
        flowers(serving, np.ones((1, 4)))


def test_a_format_nobody_reads_and_a_broken_file_are_refused_and_the_child_stays(
    serving: Serving, tmp_path: Path
) -> None:
    flowers(serving, np.ones((1, 4)))
    pid = serving.pid
    (serving.folder / "bad").mkdir()
    (serving.folder / "bad" / "model.onnx").write_bytes(b"junk")
    model = {"key": "bad", "format": "onnx", "schema": FLOWERS.to_json()}
    columns = {name: [1.0] for name in FLOWERS.names}
    with pytest.raises(ArtefactRefused, match="cannot load"):
        serving.predict(model, columns, explain=False, unpack=lambda: None)
    assert serving.pid == pid


def test_what_training_makes_says_its_own_class_and_keeps_its_schema(tmp_path: Path) -> None:
    held = {
        "task": "binary",
        "target": "left",
        "classes": ["no", "yes"],
        "columns": [
            {"name": "age", "role": "numeric", "missing": 0.1, "distinct": 50, "categories": [], "low": 18.0,
             "high": 90.0, "middle": 40.0},
            {"name": "plan", "role": "category", "missing": 0.0, "distinct": 2, "categories": ["a", "b"], "low": None,
             "high": None, "middle": None},
        ],
    }  # fmt: skip
    (tmp_path / "schema.json").write_text(json.dumps(held))
    schema = bundled.schema_of(tmp_path)
    assert [(one.kind, one.missing, one.open, one.usual) for one in schema.fields] == [
        ("number", True, True, 40.0),
        ("category", False, False, "a"),
    ]

    class Model:
        """Says yes from a tenth on."""

        def probabilities(self, frame: pd.DataFrame) -> np.ndarray:
            return np.column_stack([1 - frame["age"] / 100, frame["age"] / 100])

        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            return np.where(frame["age"] >= 10, "yes", "no").astype(object)

    found = bundled.BundleModel(Model(), schema).predict(pd.DataFrame({"age": [20.0, 5.0]}))
    assert found.labels == ["yes", "no"]
    assert found.values.tolist() == [0.2, 0.95]
    with pytest.raises(ArtefactRefused, match="no bundle"):
        bundled.schema_of(tmp_path / "nothing")
