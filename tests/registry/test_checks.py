"""Uploaded files in the child that looks at them: what is taken, and what is refused with its reason."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest

from lib.errors import AppError, ArtefactRefused
from lib.registry import loaders, serving
from tests.registry.make_models import DATA, torch_like

MEMORY_MB = 700


def check(tmp_path: Path, format_: str, body: bytes, **given: object) -> dict:
    path = tmp_path / loaders.FILES[format_]
    path.write_bytes(body)
    return serving.check(format_, path, given, MEMORY_MB)


def zipped(name: str, body: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, body)
    return held.getvalue()


def test_the_committed_export_is_what_its_builder_makes() -> None:
    assert (DATA / "torch_mlp.onnx").read_bytes() == torch_like()


def test_a_network_as_pytorch_exports_it_is_taken_with_its_classes(tmp_path: Path) -> None:
    found = check(tmp_path, "onnx", torch_like(), classes=["a", "b", "c"], fields=["w", "x", "y", "z"])
    assert found["facts"]["made_with"] == "pytorch 2.4.0"
    assert found["schema"]["classes"] == ["a", "b", "c"]
    assert [one["name"] for one in found["schema"]["fields"]] == ["w", "x", "y", "z"]


def test_xgboost_json_and_skops_say_themselves_what_they_take(tmp_path: Path) -> None:
    found = check(tmp_path, "xgboost", (DATA / "binary.json").read_bytes())
    assert [one["name"] for one in found["schema"]["fields"]][:2] == ["age", "income"]
    assert found["schema"]["task"] == "classification"
    found = check(tmp_path, "skops", (DATA / "linear.skops").read_bytes())
    assert found["schema"]["classes"] == ["buys", "leaves"]


BOMB = zipped("schema.json", bytes(300_000_000))


REFUSED = [
    ("onnx", pickle.dumps({"a": 1}), "Python pickle"),
    ("onnx", b"hello", "no ONNX model"),
    ("onnx", zipped("archive/data.pkl", b"x"), "torch.save"),
    ("onnx", torch_like(domain="com.evil"), "com.evil"),
    ("onnx", torch_like(external=True), "another file"),
    ("onnx", torch_like(rows=1), "exactly one row"),
    ("xgboost", b'{"a":' * 50_000, "no XGBoost model"),
    ("xgboost", b"\x00\x01", "no XGBoost JSON"),
    ("skops", BOMB, "bomb"),
    ("skops", zipped("../../evil", b"x"), "lead out"),
    ("skops", zipped("schema.json", b"{}"), "readable skops"),
    ("skops", b"PK\x03\x04 and no more", "cannot be read"),
]


# Named by words: archives hold the time they were made, which would name each worker's tests anew.
@pytest.mark.parametrize(("format_", "body", "words"), REFUSED, ids=[one[2] for one in REFUSED])
def test_what_is_no_model_is_refused_with_the_reason(tmp_path: Path, format_: str, body: bytes, words: str) -> None:
    with pytest.raises(AppError, match=words):
        check(tmp_path, format_, body)


def test_a_skops_file_with_a_foreign_type_is_refused_and_nothing_of_it_runs(tmp_path: Path) -> None:
    from skops import io as skops_io

    body = skops_io.dumps({"model": Path(tmp_path / "x")})
    with pytest.raises(ArtefactRefused, match="not allowed"):
        check(tmp_path, "skops", body)


def test_what_the_uploader_says_must_fit_what_the_file_says(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="4 inputs, 2 fields"):
        check(tmp_path, "onnx", torch_like(), fields=["a", "b"])
    with pytest.raises(AppError, match="a regression gives one"):
        check(tmp_path, "onnx", torch_like(), task="regression")
    with pytest.raises(AppError, match="tells 3 classes apart"):
        check(tmp_path, "onnx", torch_like(), classes=["a", "b"])


def test_a_model_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(torch_like())
    with pytest.raises(AppError, match="more than 40 MB of memory"):
        serving.check("onnx", path, {}, 40)
