"""A backup holds everything and comes back whole or not at all, whoever is killed when."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import SecretStr
from s3fs import S3FileSystem

from lib import cli
from lib.app import App, build
from lib.audit.log import Filter
from lib.auth.actor import SYSTEM, Actor, Role
from lib.db.tables import TaskStatus
from lib.errors import Conflict, Forbidden, Invalid, StoreBusy, StoreCorrupt, StoreError
from lib.frames import Block, Window, from_ms, to_ms
from lib.registry.files import Registry
from lib.services import restores
from lib.services.backups import MANIFEST, NEXT, STAGED, read
from lib.settings import Settings, TaskMode
from lib.store import copying

ADMIN = Actor("ada", Role.ADMIN, id=1)
END = from_ms(2**42)


def fill(app: App, value: float) -> None:
    """Twenty days of a series, archived but for a week, and a model; all of them say `value`."""
    ts = to_ms(app.clock()) - np.arange(20 * 24)[::-1] * 3_600_000
    app.samples.append(1, [Block("load", {"host": "a"}, ts, np.full(ts.size, value))])
    app.runner.start()
    app.archiving.tick()
    arrays = {"w.npz": {"w": np.full(3, value)}}
    Registry(app.settings.models_dir).save(f"m{value:.0f}", arrays=arrays, models={}, metadata={})
    (app.settings.data_dir / "training" / "1").mkdir(parents=True, exist_ok=True)
    (app.settings.data_dir / "training" / "1" / f"{value:.0f}.json").write_text("{}")
    (app.settings.data_dir / "secret.key").write_text(f"key {value:.0f}")
    app.audit.record(SYSTEM, f"said {value:.0f}")


def said(settings: Settings) -> tuple:
    """What an app that starts here finds: values, archived days, models, key, and who said what."""
    app = build(settings)
    try:
        ids = [one.id for one in app.samples.find()]
        values = app.samples.read(ids, Window(from_ms(0), END))["value"]
        models = sorted(path.name for path in settings.models_dir.iterdir()) if settings.models_dir.is_dir() else []
        learnt = sorted(path.name for path in (settings.data_dir / "training").glob("1/*.json"))
        told = sorted(one.action for one in app.audit.entries(Filter(), limit=50) if one.action.startswith("said"))
        verified = app.archiving.verify(SYSTEM)
        assert not verified.damaged and not verified.unknown
        key = settings.data_dir / "secret.key"
        return (
            (len(values), float(values.sum())),
            app.archiving.status(SYSTEM).days,
            models,
            learnt,
            key.read_text() if key.exists() else "",
            told,
        )
    finally:
        app.stop()


def leftovers(settings: Settings) -> list[str]:
    folders = (settings.data_dir, settings.data_dir / "archive", settings.models_dir)
    return [path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if ".re" in path.name]


WITH_1 = ((480, 480.0), 13, ["m1"], ["1.json"], "key 1", ["said 1"])
WITH_2 = ((480, 960.0), 13, ["m2"], ["2.json"], "key 2", ["said 2"])


def settings_at(path: Path) -> Settings:
    return Settings(
        data_dir=path / "data", models_dir=path / "models", demo=False, database_url="", admin_password="x" * 20
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`backup`, which says 1, and `other`, an installation that says 2; copied, never changed."""
    root = tmp_path_factory.mktemp("made")
    for number in (1, 2):
        app = build(settings_at(root / f"at{number}"))
        fill(app, number)
        if number == 1:
            app.backups.make(ADMIN, root / "backup")
        app.stop()
    return root


@pytest.fixture
def other(made: Path, tmp_path: Path) -> Settings:
    shutil.copytree(made / "at2", tmp_path / "at")
    return settings_at(tmp_path / "at")


def test_a_backup_comes_back_elsewhere(made: Path, tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    manifest = restores.restore(settings, made / "backup").manifest
    assert (manifest.samples, manifest.archived_days, manifest.missing) == (480, 13, ())
    assert said(settings) == WITH_1
    assert not leftovers(settings) and not (settings.data_dir / "restore.lock").exists()
    assert (made / "backup").stat().st_mode & 0o777 == 0o700
    assert (settings.data_dir / "secret.key").stat().st_mode & 0o777 == 0o600


def test_what_is_there_is_replaced_only_when_told(made: Path, other: Settings) -> None:
    with pytest.raises(Conflict, match="--force"):
        restores.restore(other, made / "backup")
    assert said(other) == WITH_2
    restores.restore(other, made / "backup", force=True)
    assert said(other) == WITH_1 and not leftovers(other)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "manifest", "escape", "link", "version", "nothing"])
def test_a_damaged_backup_changes_nothing(made: Path, other: Settings, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made / "backup", copy)
    values = json.loads((copy / MANIFEST).read_text())
    raw = next(copy.glob("archive/*/raw-*"))
    if damage == "flip":
        raw.write_bytes(raw.read_bytes()[:-9] + b"x" + raw.read_bytes()[-8:])
    elif damage == "cut":
        (copy / "metrics.duckdb").write_bytes((copy / "metrics.duckdb").read_bytes()[:-4096])
    elif damage == "gone":
        raw.unlink()
    elif damage == "link":
        raw.unlink()
        raw.symlink_to("/etc/passwd")
    elif damage == "nothing":
        (copy / MANIFEST).unlink()
    elif damage == "manifest":
        (copy / MANIFEST).write_text((copy / MANIFEST).read_text()[:-20])
    elif damage == "version":
        (copy / MANIFEST).write_text(json.dumps({**values, "version": 99}))
    else:
        for name in ("../../evil", "/etc/evil", "archive/../../evil", "models/.hidden/x", "evil"):
            values["files"][name] = values["files"]["app.sqlite"]
            (copy / MANIFEST).write_text(json.dumps(values))
            with pytest.raises(StoreError, match="which no backup holds"):
                restores.restore(other, copy, force=True)
            del values["files"][name]
    if damage != "escape":
        with pytest.raises(StoreError):
            restores.restore(other, copy, force=True)
    assert said(other) == WITH_2 and not leftovers(other)


def _killed_at(settings: Settings, backup: Path, step: int, place: str) -> None:
    steps = iter(range(step))

    def end(*_: object, **__: object) -> None:
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    real = restores.sync

    def ending_sync(path: Path) -> None:
        end()
        real(path)

    if place == "swap":
        restores._step = end  # type: ignore[assignment]
    else:
        restores.sync = ending_sync
    restores.restore(settings, backup, force=True)


@pytest.mark.parametrize("place", ["layout", "swap"])
def test_killed_at_any_step_it_is_the_old_or_the_new(made: Path, tmp_path: Path, place: str) -> None:
    """Every few of its steps; an app that starts then says what it finds."""
    context = multiprocessing.get_context("fork")
    ended, found = False, set()
    for step in range(0, 400, 9 if place == "layout" else 5):
        where = tmp_path / str(step)
        shutil.copytree(made / "at2", where)
        settings = settings_at(where)
        child = context.Process(target=_killed_at, args=(settings, made / "backup", step, place))
        child.start()
        child.join(60)
        ended = child.exitcode == 0
        state = said(settings)
        assert state in (WITH_1, WITH_2), f"killed at {step}"
        assert not leftovers(settings) and not (settings.data_dir / "restore.lock").exists()
        found.add(state[0])
        shutil.rmtree(where)
        if ended:
            break
    assert ended and found == ({WITH_1[0]} if place == "swap" else {WITH_1[0], WITH_2[0]})


def test_a_running_app_is_left_alone_and_named(made: Path, other: Settings) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from lib.store.connection import Store
        store = Store(Path(sys.argv[1]))
        print("open", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(other.store_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout and child.stdout.readline() == "open\n"
            with pytest.raises(StoreBusy, match=f"process {child.pid}") as caught:
                restores.restore(other, made / "backup", force=True)
            assert caught.value.values["pid"] == child.pid
        finally:
            child.kill()
    assert said(other) == WITH_2


def test_an_app_of_this_process_is_left_alone(made: Path, app: App) -> None:
    with pytest.raises(StoreBusy, match="this process"):
        restores.restore(app.settings, made / "backup", force=True)
    app.samples.append(1, [Block("load", {}, np.array([1]), np.array([1.0]))])


def test_no_app_starts_while_a_restore_goes_on(made: Path, other: Settings) -> None:
    with restores._alone(other), pytest.raises(StoreBusy, match=f"process {os.getpid()}"):
        build(other)
    assert said(other) == WITH_2


def test_a_damaged_archive_is_not_backed_up_as_if_it_were_whole(app: App, tmp_path: Path) -> None:
    fill(app, 1)
    raw = next((app.settings.data_dir / "archive").glob("*/raw-*"))
    raw.write_bytes(raw.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="damaged"):
        app.backups.make(ADMIN, tmp_path / "b")
    assert not (tmp_path / "b").exists() and not list(tmp_path.glob(".b*"))


def test_only_administrators_make_one_and_it_is_audited(app: App, tmp_path: Path) -> None:
    with pytest.raises(Forbidden):
        app.backups.make(Actor("olga", Role.OPERATOR), tmp_path / "b")
    left = app.backups.folder / ".autoops-20260101T000000Z.part"
    left.mkdir(parents=True)
    made = app.backups.make(ADMIN)
    assert not left.exists(), "a killed one's half is taken away"
    assert app.audit.entries(Filter(), limit=1)[0].action == "backup.make"
    assert [one.path for one in app.backups.known(ADMIN)] == [made.path]
    with pytest.raises(Conflict):
        app.backups.make(ADMIN, made.path)


@pytest.mark.parametrize("mode", TaskMode)
def test_a_backup_as_a_task_says_how_far_it_is_and_where_it_lies(app: App, mode: TaskMode, tmp_path: Path) -> None:
    fill(app, 1)
    app.settings.task_mode = mode
    app.runner.start()
    told: list[str] = []
    step = app.backups._go_on
    app.backups._go_on = lambda workdir: (step(workdir), told.append((workdir / NEXT).read_text()))[0]  # type: ignore
    task = app.runner.wait(app.backups.run(ADMIN).id or 0, 60)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert [json.loads(one)[1] for one in told[:-1]][:1] == ["samples"] and told[-1] == "null"
    assert json.loads(told[-2]) == [0.95, "checksums"]
    (made,) = app.backups.known(ADMIN)
    assert task.result["path"] == str(made.path) and made.path.stat().st_mode & 0o77 == 0
    other = settings_at(tmp_path / "elsewhere")
    restores.restore(other, made.path)
    assert other.store_path.exists()
    with pytest.raises(Forbidden):
        app.backups.run(Actor("olga", Role.OPERATOR))


def test_an_ended_backup_leaves_nothing_and_the_next_one_is_whole(app: App) -> None:
    fill(app, 1)
    app.runner.start()
    under_way, go_on = threading.Event(), threading.Event()
    step = app.backups._go_on

    def slow(workdir: Path) -> None:
        step(workdir)
        if (workdir / STAGED).exists():
            under_way.set()
            go_on.wait(30)

    app.backups._go_on = slow  # type: ignore[method-assign]
    task = app.backups.run(ADMIN)
    assert app.backups.run(ADMIN).id == task.id, "one at a time"
    assert under_way.wait(30)
    app.runner.cancel(task.id or 0)
    go_on.set()
    app.backups._go_on = step  # type: ignore[method-assign]
    again = app.runner.wait(app.backups.run(ADMIN).id or 0, 60)
    assert again.status == TaskStatus.SUCCEEDED, again.error
    assert [str(one.path) for one in app.backups.known(ADMIN)] == [again.result["path"]]
    assert not list(app.settings.tasks_dir.glob("*/exchange/*"))


def test_a_full_disk_ends_the_task_in_words(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.runner.start()

    def full(store: object, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(copying, "copy", full)
    task = app.runner.wait(app.backups.run(ADMIN).id or 0, 60)
    assert task.status == TaskStatus.FAILED and "No space left on device" in task.error
    assert not app.backups.known(ADMIN) and not list(app.settings.data_dir.rglob("metrics.duckdb"))[1:]


def test_the_copy_of_app_data_is_sound(app: App, tmp_path: Path) -> None:
    """Taken while another connection has written and not yet committed."""
    app.audit.record(SYSTEM, "said 7")
    folder = tmp_path / "b"
    with closing(sqlite3.connect(app.database.path or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE unsaid (x)")
        assert [words for _, words in app.backups._steps(folder, False)][-1] == "checksums"
        other.execute("ROLLBACK")
    with closing(sqlite3.connect(folder / "app.sqlite")) as copy:
        assert copy.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        assert not copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'unsaid'").fetchall()
    assert "app.sqlite" in read(folder).files


def test_app_data_in_postgresql_is_said_and_not_forgotten(app: App, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(app.backups, "database", SimpleNamespace(path=None))
    made = app.backups.make(ADMIN, tmp_path / "b")
    assert "pg_dump" in made.manifest.missing[0] and not (tmp_path / "b" / "app.sqlite").exists()


def test_sqlite_is_not_laid_beside_postgresql(made: Path, tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    settings.database_url = "postgresql://u:p@localhost/x"
    with pytest.raises(Invalid, match="PostgreSQL"):
        restores.restore(settings, made / "backup")


def test_from_the_command_line(made: Path, other: Settings, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("AUTOOPS_DATA_DIR", str(other.data_dir))
    monkeypatch.setenv("AUTOOPS_MODELS_DIR", str(other.models_dir))
    monkeypatch.setenv("AUTOOPS_DEMO", "false")
    assert cli.main(["backup", str(tmp_path / "taken")]) == 0
    assert "480 samples" in capsys.readouterr().out
    assert cli.main(["restore", str(tmp_path / "taken"), "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["archived_days"] == 13
    assert cli.main(["restore", str(made / "backup")]) == 1
    assert "--force" in capsys.readouterr().err
    assert cli.main(["restore", str(made / "backup"), "--force"]) == 0
    assert said(other) == WITH_1
    assert read(tmp_path / "taken").samples == 480
    assert cli.main(["restore", str(tmp_path / "taken"), "--force"]) == 0
    assert said(other) == WITH_2


def test_a_damaged_store_can_be_replaced(made: Path, other: Settings) -> None:
    other.store_path.write_bytes(b"no database" * 1000)
    restores.restore(other, made / "backup", force=True)
    assert said(other) == WITH_1
    assert StoreCorrupt.code == "store_corrupt"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a real S3 server of this machine, with an empty bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    S3FileSystem(key="k", secret="s", client_kwargs={"endpoint_url": address}, skip_instance_cache=True).mkdir("keep")
    yield address
    server.stop()


@pytest.mark.parametrize("copied", [False, True])
def test_archived_days_in_a_bucket_are_referred_to_or_copied(s3: str, tmp_path: Path, copied: bool) -> None:
    def at(name: str, **more: object) -> Settings:
        plain = settings_at(tmp_path / name)
        return plain.model_copy(update={"archive_key": SecretStr("k"), "archive_secret": SecretStr("s"), **more})

    far = {"archive_url": f"s3://keep/{copied}", "archive_endpoint": s3}
    app = build(at("one", **far))
    fill(app, 1)
    made = app.backups.make(ADMIN, tmp_path / "b", copy_bucket=copied)
    place = app.store.archive.place
    app.stop()
    assert len(made.manifest.referred) == (0 if copied else 52)
    assert copied or "only referred to" in made.manifest.missing[0]
    if copied:  # whole without the bucket
        for name in place.names():
            place.remove(name)
        with pytest.raises(Invalid, match="names a bucket"):
            restores.restore(at("two", **far), tmp_path / "b")
        settings = at("two")
        restores.restore(settings, tmp_path / "b")
    else:
        with pytest.raises(Invalid, match="AUTOOPS_ARCHIVE_URL"):
            restores.restore(at("two"), tmp_path / "b")
        settings = at("two", **far)
        assert restores.restore(settings, tmp_path / "b").gone == ()
        place.remove(min(made.manifest.referred))
        assert restores.check(settings, tmp_path / "b").gone == (min(made.manifest.referred),)
    if copied:
        assert said(settings) == WITH_1
