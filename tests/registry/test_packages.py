from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from lib.disk import sha256 as digest_of
from lib.errors import ArtefactRefused, Invalid, StoreError
from lib.registry.packages import PATTERN, Packages
from lib.store.places import LocalPlace, bucket
from tests.s3 import Bucket


@pytest.fixture(params=["folder", "bucket"])
def packages(request: pytest.FixtureRequest, tmp_path: Path) -> Packages:
    if request.param == "folder":
        return Packages(LocalPlace(tmp_path / "kept", PATTERN), tmp_path / "unpacked")
    s3: Bucket = request.getfixturevalue("s3")
    return Packages(s3.place(tmp_path / "cache", pattern=PATTERN), tmp_path / "unpacked")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {"model.onnx": tmp_path / "a", "plan.json": tmp_path / "b"}
    for name, path in made.items():
        path.write_text(name * 100)
    return made


def test_files_come_back_as_they_were(packages: Packages, files: dict[str, Path]) -> None:
    kept = packages.keep(files)
    folder = packages.unpack(kept.sha256)
    assert {one.name: one.read_text() for one in folder.iterdir()} == {n: p.read_text() for n, p in files.items()}
    assert packages.place.names() == [f"{kept.sha256[:2]}/{kept.sha256}.model"]
    assert packages.keep(files) == kept


def test_a_changed_archive_is_refused(packages: Packages, files: dict[str, Path]) -> None:
    kept = packages.keep(files)
    path = packages.archive(kept.sha256)
    with path.open("r+b") as file:
        file.seek(60)
        file.write(b"!")
    with pytest.raises(ArtefactRefused, match="checksum differs"):
        packages.unpack(kept.sha256)
    assert [one.name for one in packages.unpacked.iterdir()] == []


def test_what_is_gone_says_so(packages: Packages) -> None:
    with pytest.raises((StoreError, ArtefactRefused)):
        packages.unpack("0" * 64)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a" * 200, "x\0"])
def test_a_name_with_path_parts_is_refused_and_nothing_kept(packages: Packages, tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(Invalid):
        packages.keep({name: tmp_path / "a"})
    assert packages.place.names() == []


def test_an_archive_that_names_a_path_is_not_unpacked(packages: Packages, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../../evil", "x")
    sha256 = digest_of(bad)
    packages.place.put(bad, f"{sha256[:2]}/{sha256}.model")
    with pytest.raises(ArtefactRefused, match="evil"):
        packages.unpack(sha256)
    assert not (tmp_path / "evil").exists()


def test_a_full_disk_leaves_nothing(
    packages: Packages, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(packages.place), "put", full)
    with pytest.raises(OSError, match="space"):
        packages.keep(files)
    assert os.listdir(packages.unpacked) == []


def test_strays_are_swept_and_versions_stay(packages: Packages, files: dict[str, Path]) -> None:
    kept = packages.keep(files)
    stray = packages.keep({"x.json": files["plan.json"]})
    assert packages.sweep({kept.sha256}) == [stray.sha256]
    assert packages.archive(kept.sha256).is_file()


def test_another_machine_finds_them_in_the_bucket(tmp_path: Path, files: dict[str, Path], s3: Bucket) -> None:
    kept = Packages(s3.place(tmp_path / "cache", pattern=PATTERN), tmp_path / "unpacked").keep(files)
    place = s3.place(tmp_path / "cache 2", pattern=PATTERN)
    other = Packages(place, tmp_path / "unpacked 2")
    assert sorted(one.name for one in other.unpack(kept.sha256).iterdir()) == sorted(files)
    other.remove(kept.sha256)
    assert place.names() == []


def test_a_bucket_nobody_answers_for_is_told(tmp_path: Path, files: dict[str, Path]) -> None:
    place = bucket("s3://models/all", "http://127.0.0.1:9", "key", "secret", tmp_path / "cache", 10**7, pattern=PATTERN)
    with pytest.raises(StoreError, match="settings of the bucket"):
        Packages(place, tmp_path / "unpacked").keep(files)
