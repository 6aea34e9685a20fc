"""Networks as `torch.onnx.export` writes them: operators, names, float32, the number of rows left open.

They are made with onnx.helper and held against numpy, for PyTorch is not among this project's packages.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lib.errors import Invalid
from lib.registry import loaders, serving
from lib.registry.schema import from_json
from lib.registry.serving import Serving
from tests.registry.make_models import SIDE, picture_like, picture_scores

FIELDS = SIDE * SIDE


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path / "served", 700)
    yield made
    made.close()


def checked(folder: Path, body: bytes, **given: object) -> dict:
    path = folder / loaders.FILES["onnx"]
    path.write_bytes(body)
    return serving.check("onnx", path, given, 700)


def test_a_convolution_takes_a_picture_as_a_row_and_answers_as_numpy_says(held: Serving, tmp_path: Path) -> None:
    folder = held.folder / "net"
    folder.mkdir(parents=True)
    found = checked(folder, picture_like(), classes=["cat", "dog"], task="classification")
    schema = from_json(found["schema"])
    assert (len(schema.fields), schema.classes) == (FIELDS, ("cat", "dog"))
    rows = np.random.default_rng(2).normal(size=(40, FIELDS))
    model = {"key": "net", "format": "onnx", "schema": found["schema"]}

    def asked(some: np.ndarray) -> np.ndarray:
        columns = dict(zip(schema.names, some.T.tolist(), strict=True))
        answer = held.predict(model, columns, explain=False, unpack=lambda: None)
        return np.array(answer["probabilities"])[:, 1]

    scores = picture_scores(rows).astype(float)
    expected = 1 / (1 + np.exp(-scores))
    assert np.abs(asked(rows) - expected).max() < 1e-5
    # A score between 0 and 1 is still a score when nobody else is asked about.
    alone = next(number for number, score in enumerate(scores) if 0.1 < score < 0.9)
    assert asked(rows[alone : alone + 1])[0] == pytest.approx(expected[alone], abs=1e-5)


@pytest.mark.parametrize(
    ("body", "words"),
    [(picture_like(rows=1), "exactly one row"), (picture_like(rows=8), "exactly 8 rows"),
     (picture_like(side="side"), "only the number of rows left open")],
)  # fmt: skip
def test_what_is_fixed_or_open_elsewhere_is_refused(tmp_path: Path, body: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        checked(tmp_path, body, task="classification", classes=["cat", "dog"])


def test_the_library_that_runs_networks_is_told_to_report_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    body = picture_like()
    schema = from_json(checked(tmp_path, body, classes=["cat", "dog"], task="classification")["schema"])
    loaders.load_onnx(tmp_path, schema)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
