from __future__ import annotations

import io
import pickle

import pytest

from lib.app import App
from lib.audit.log import Filter
from lib.errors import AppError, Forbidden, Invalid
from tests.registry.kept import ANALYST, VIEWER
from tests.registry.make_models import DATA, torch_like


def upload(app: App, file_name: str, body: bytes, name: str = "made", **more):  # type: ignore[no-untyped-def]
    return app.model_uploads.upload(ANALYST, name, file_name, io.BytesIO(body), **more)


def test_an_upload_becomes_a_version_that_answers(app: App) -> None:
    row = upload(app, "net.onnx", torch_like(), fields=["a", "b", "c", "d"], classes=["x", "y", "z"], target="kind")
    assert (row.version, row.origin, row.format) == (1, "uploaded", "onnx")
    assert "Nothing is known here about the data" in row.card
    answer = app.prediction.predict(VIEWER, [dict.fromkeys("abcd", 1.0)], model="made", version=1)
    assert answer.predictions[0].label == "z"
    assert list(app.model_uploads.incoming.iterdir()) == []


@pytest.mark.parametrize(
    ("file_name", "body", "words"),
    [
        ("a.onnx", pickle.dumps([1]), "pickle"),
        ("a.pkl", b"x", "pickle"),
        ("a.pt", b"x", "pickle"),
        ("../a.onnx", b"x", "path"),
        ("a\\b.onnx", b"x", "path"),
        ("a.txt", b"x", "none of"),
        ("a.onnx", b"", "empty"),
        ("a.json", b"{}", "no XGBoost model"),
    ],
)
def test_what_is_refused_leaves_nothing_and_is_audited(app: App, file_name: str, body: bytes, words: str) -> None:
    with pytest.raises(AppError, match=words):
        upload(app, file_name, body)
    assert app.models.all(VIEWER) == []
    assert app.models.packages.place.names() == []
    assert not app.model_uploads.incoming.exists() or list(app.model_uploads.incoming.iterdir()) == []
    assert app.audit.entries(Filter(action="model.upload"))[0].outcome == "refused"


def test_a_file_above_the_cap_is_refused_however_it_is_sent(app: App) -> None:
    app.settings.model_max_mb = 0.001
    with pytest.raises(Invalid, match="larger than"):
        upload(app, "a.json", (DATA / "binary.json").read_bytes())


def test_an_unreadable_schema_or_task_is_refused_before_the_file_is_read(app: App) -> None:
    for more in ({"model_schema": "{"}, {"model_schema": '{"task": "x"}'}, {"task": "ranking"}):
        with pytest.raises(Invalid):
            upload(app, "a.onnx", torch_like(), **more)


def test_a_viewer_uploads_nothing(app: App) -> None:
    with pytest.raises(Forbidden):
        app.model_uploads.upload(VIEWER, "x", "a.onnx", io.BytesIO(b"x"))
