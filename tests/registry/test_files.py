from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lib.errors import ArtefactRefused, Conflict, NotFound
from lib.registry import files
from lib.registry.files import METADATA, Registry


@pytest.fixture(scope="module")
def forest():
    from sklearn.ensemble import IsolationForest

    return IsolationForest(n_estimators=5, random_state=0).fit(np.random.default_rng(0).normal(0, 1, (100, 3)))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


@pytest.fixture
def saved(registry: Registry, forest) -> Path:
    arrays = {"detector.npz": {"a": np.arange(5.0)}}
    return registry.save("web-01-v1", arrays=arrays, models={"forest.skops": forest}, metadata={"host": "web-01"})


def test_what_was_saved_comes_back(registry: Registry, saved: Path, forest) -> None:
    artefact = registry.open("web-01-v1")
    x = np.random.default_rng(1).normal(0, 1, (20, 3))
    assert artefact.arrays("detector.npz")["a"].tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(artefact.model("forest.skops").score_samples(x), forest.score_samples(x))
    assert artefact.metadata["host"] == "web-01"
    assert set(artefact.metadata["libraries"]) >= {"numpy", "scikit-learn", "skops"}
    assert set(artefact.metadata["files"]) == {"detector.npz", "forest.skops"}


@pytest.mark.parametrize("name", ["detector.npz", "forest.skops"])
def test_changed_file_is_refused(registry: Registry, saved: Path, name: str) -> None:
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(ArtefactRefused, match="checksum"):
        registry.open("web-01-v1")


def test_missing_and_added_files_are_refused(registry: Registry, saved: Path) -> None:
    (saved / "extra.pkl").write_bytes(b"x")
    with pytest.raises(ArtefactRefused, match="extra.pkl"):
        registry.open("web-01-v1")
    (saved / "extra.pkl").unlink()
    (saved / "forest.skops").unlink()
    with pytest.raises(ArtefactRefused, match="forest.skops"):
        registry.open("web-01-v1")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99, "files": {}}', '{"schema": 1}', "null"])
def test_unreadable_metadata_is_refused(registry: Registry, saved: Path, text: str) -> None:
    (saved / METADATA).write_text(text)
    with pytest.raises(ArtefactRefused):
        registry.open("web-01-v1")


def forged(saved: Path, name: str, content: bytes) -> None:
    """Someone who can write the folder can fix the checksum too; the contents must be refused on their own."""
    (saved / name).write_bytes(content)
    metadata = json.loads((saved / METADATA).read_text())
    metadata["files"][name]["sha256"] = files.sha256(saved / name)
    (saved / METADATA).write_text(json.dumps(metadata))


def test_skops_file_that_names_a_foreign_type_is_refused(registry: Registry, saved: Path, tmp_path: Path) -> None:
    from skops import io

    with zipfile.ZipFile(saved / "forest.skops") as archive:
        schema = archive.read("schema.json").decode()
    hostile = tmp_path / "hostile.skops"
    with zipfile.ZipFile(hostile, "w") as archive:
        archive.writestr(
            "schema.json",
            json.dumps(
                {
                    "__class__": "system",
                    "__module__": "os",
                    "__loader__": "FunctionNode",
                    "__id__": 1,
                    "content": {"module_path": "os", "function": "system"},
                    "protocol": json.loads(schema)["protocol"],
                    "_skops_version": io.__name__,
                }
            ),
        )
    forged(saved, "forest.skops", hostile.read_bytes())
    with pytest.raises(ArtefactRefused, match="os.system"):
        registry.open("web-01-v1").model("forest.skops")


def test_skops_file_of_a_model_we_never_save_is_refused(registry: Registry, saved: Path, tmp_path: Path) -> None:
    from functools import partial

    from skops import io

    io.dump(partial(print, "hello"), tmp_path / "other.skops")
    forged(saved, "forest.skops", (tmp_path / "other.skops").read_bytes())
    with pytest.raises(ArtefactRefused, match="not allowed"):
        registry.open("web-01-v1").model("forest.skops")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_damaged_skops_file_is_refused(registry: Registry, saved: Path, content: bytes) -> None:
    forged(saved, "forest.skops", content)
    with pytest.raises(ArtefactRefused, match="not a readable skops file"):
        registry.open("web-01-v1").model("forest.skops")


def test_pickle_inside_an_array_file_is_refused(registry: Registry, saved: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", a=np.array([object()], dtype=object))
    forged(saved, "detector.npz", (tmp_path / "bad.npz").read_bytes())
    with pytest.raises(ArtefactRefused, match="plain arrays"):
        registry.open("web-01-v1").arrays("detector.npz")


def test_nothing_is_overwritten_and_a_failed_save_leaves_nothing(registry: Registry, saved: Path) -> None:
    with pytest.raises(Conflict):
        registry.save("web-01-v1", arrays={}, models={}, metadata={})
    with pytest.raises(TypeError):
        registry.save("web-01-v2", arrays={"a.npz": {"a": np.ones(2)}}, models={}, metadata={"bad": object()})
    assert sorted(p.name for p in registry.folder.iterdir()) == ["web-01-v1"]


@pytest.mark.parametrize("name", ["../web", "a/b", "", ".", "A", "web 01", "x" * 200, "web\0"])
def test_odd_names_never_reach_the_file_system(registry: Registry, name: str) -> None:
    with pytest.raises(NotFound):
        registry.open(name)
    with pytest.raises(NotFound):
        registry.save(name, arrays={}, models={}, metadata={})


def test_unknown_artefact_and_unknown_file_are_not_found(registry: Registry, saved: Path) -> None:
    with pytest.raises(NotFound, match="train it again"):
        registry.open("web-99-v1")
    with pytest.raises(NotFound, match="detector.npz"):
        registry.open("web-01-v1").arrays("../../etc/passwd")


def test_adopted_artefact_keeps_its_files_and_gains_metadata(registry: Registry, tmp_path: Path) -> None:
    made = files.seal(
        tmp_path / "work" / "detector-0", arrays={"a.npz": {"a": np.ones(2)}}, models={}, metadata={"x": 1}
    )
    registry.adopt(made, "web-01-v3", {"version": 3})
    artefact = registry.open("web-01-v3")
    assert (artefact.metadata["x"], artefact.metadata["version"]) == (1, 3)
    assert artefact.arrays("a.npz")["a"].tolist() == [1, 1]


def test_adopting_a_changed_folder_is_refused(registry: Registry, tmp_path: Path) -> None:
    made = files.seal(tmp_path / "detector-0", arrays={"a.npz": {"a": np.ones(2)}}, models={}, metadata={})
    (made / "a.npz").write_bytes(b"other")
    with pytest.raises(ArtefactRefused):
        registry.adopt(made, "web-01-v4", {})
    assert not (registry.folder / "web-01-v4").exists()


def test_removed_artefact_is_gone_and_removing_it_again_is_fine(registry: Registry, saved: Path) -> None:
    registry.remove("web-01-v1")
    registry.remove("web-01-v1")
    assert list(registry.folder.iterdir()) == []
