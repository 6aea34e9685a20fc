"""A real store in tmp_path, and real disks that fill up or refuse writing."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lib import frames
from lib.frames import Block, Window
from lib.store.connection import Store
from lib.store.samples import Samples
from tests.s3 import s3, s3_server, wire  # noqa: F401

START = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
START_MS = frames.to_ms(START)
ALL = Window(frames.from_ms(0), datetime(2100, 1, 1, tzinfo=UTC))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "metrics.duckdb")
    yield made
    made.close()


@pytest.fixture
def samples(store: Store) -> Samples:
    return Samples(store)


@pytest.fixture
def block() -> Callable[..., Block]:
    """block(values, at=second, step=seconds, **labels): one series' samples, counted in seconds from START."""

    def make(values: object, at: float = 0, step: float = 15, metric: str = "node_load1", **labels: str) -> Block:
        value = np.asarray(values, dtype=np.float64)
        ts = START_MS + np.round((at + np.arange(value.size) * step) * 1000).astype(np.int64)
        return Block(metric, labels or {"instance": "a:9100"}, ts, value)

    return make


class Disk:
    """A place whose room the test decides."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, leave_bytes: int) -> None:
        """Leave so much room for the store."""

    def free(self) -> None:
        """Give room again."""


class SmallDisk(Disk):
    """A tmpfs of its own, and a file that takes its room."""

    def fill(self, leave_bytes: int) -> None:
        with (self.path / "filler").open("wb") as file:
            file.write(bytes(shutil.disk_usage(self.path).free - leave_bytes))

    def free(self) -> None:
        (self.path / "filler").unlink()


class LimitedFile(Disk):
    """A limit on the size of files: what a quota does, without the right to mount anything."""

    def fill(self, leave_bytes: int) -> None:
        size = max((file.stat().st_size for file in self.path.iterdir()), default=0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + leave_bytes, resource.RLIM_INFINITY))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0


@contextmanager
def mounted_disk(path: Path) -> Iterator[Disk]:
    """A tmpfs where mounting is allowed, else a limited file."""
    if not mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)):
        with limited_file(path) as disk:
            yield disk
        return
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextmanager
def limited_file(path: Path) -> Iterator[Disk]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield LimitedFile(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=[mounted_disk, limited_file])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A disk that fills up: as a file system, and as a limit."""
    path = tmp_path / "disk"
    path.mkdir()
    with request.param(path) as made:
        yield made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk that fills up, its log and its file together."""
    path = tmp_path / "disk"
    path.mkdir()
    with mounted_disk(path) as made:
        yield made


@contextmanager
def unwritable_directory(path: Path) -> Iterator[None]:
    """Take the right to write away; root has it always, so root becomes nobody meanwhile."""
    me = os.geteuid()
    path.chmod(0o555)
    for file in path.iterdir():
        file.chmod(0o444)
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)
        path.chmod(0o755)
        for file in path.iterdir():
            file.chmod(0o644)


@contextmanager
def read_only_mount(path: Path) -> Iterator[None]:
    """The same files on a file system that is read-only; without the right to mount, an unwritable directory."""
    if not mount("--bind", str(path), str(path)):
        with unwritable_directory(path):
            yield
        return
    try:
        assert mount("-o", "remount,bind,ro", str(path))
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that nobody, too, can reach; those in tmp_path are private."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=[read_only_mount, unwritable_directory])
def read_only(request: pytest.FixtureRequest) -> Callable:
    """with read_only(directory): nothing in it can be written."""
    return request.param
