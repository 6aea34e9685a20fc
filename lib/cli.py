"""The command line: serve the app, or do one of its jobs without it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib import cli_export, cli_forecast, cli_predict, cli_train
from lib.errors import AppError, Conflict, Invalid, NotFound
from lib.frames import Window
from lib.log import redact
from lib.settings import ROOT, Settings

if TYPE_CHECKING:
    from lib.app import App
    from lib.services.backups import Manifest

SECRETS = ROOT / ".streamlit" / "secrets.toml"
EPILOG = """\
Settings come from the environment (AUTOOPS_...) and .streamlit/secrets.toml; README lists them. Only one process can
hold the metrics file: while the app runs, a command ends with the app's process number; use its pages or its API
(/api/docs) then.

exit status: 0 done, 1 it did not work (the message says why), 2 the command line is wrong
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what an AppError says goes to stderr in one line, or as JSON with --json."""
    options = parser().parse_args(arguments)
    try:
        load_secrets()
        return int(options.run(options))
    except AppError as error:
        if options.json:
            print(json.dumps({"error": {"code": error.code, "message": error.message}}))
        else:
            print(f"autoops: {redact(error.message)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    shown: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON, one object a line")
    top = argparse.ArgumentParser(prog="python -m lib", description=__doc__, epilog=EPILOG, **shown)
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        parents=[shared],
        help="start the app",
        description="Start the app.",
        epilog="example: python -m lib serve --port 8080 --address 127.0.0.1",
    )
    serve.add_argument("--port", type=_port, help="where to listen (default: 8501)")
    serve.add_argument("--address", help="which address to listen on (default: all of this machine's)")
    serve.set_defaults(run=_serve)

    collect = commands.add_parser(
        "collect",
        parents=[shared],
        help="collect from the configured sources",
        description="Collect from the configured sources, again and again until interrupted.",
        epilog="example: python -m lib collect --once --source Prometheus --json",
    )
    collect.add_argument("--once", action="store_true", help="collect each enabled source once and leave")
    collect.add_argument("--source", help="only this source, by name or number (with --once)")
    collect.set_defaults(run=_collect)

    detect = commands.add_parser(
        "detect",
        parents=[shared],
        help="train detectors where there are none, score, and list anomalies",
        description="Score what is stored and list the anomalies found; hosts without a detector get one first.",
        epilog="example: python -m lib detect --host db-01 --last 24h --json",
    )
    detect.add_argument("--source", help="only this source, by name or number")
    detect.add_argument("--host", help="only this host")
    detect.add_argument("--last", default="7d", metavar="SPAN", help="24h, 7d, or START/END in ISO 8601 (default: 7d)")
    detect.add_argument("--train", action="store_true", help="train anew even where there is a detector")
    detect.set_defaults(run=_detect)

    cli_forecast.add_to(commands, shared).set_defaults(run=_forecast)
    cli_train.add_to(commands, shared).set_defaults(run=_train)
    cli_predict.add_to(commands, shared).set_defaults(run=_predict)
    cli_export.add_to(commands, shared).set_defaults(run=_export)

    archive = commands.add_parser(
        "archive",
        parents=[shared],
        help="archive closed days, check the archive, bring it back",
        description="run: archive the days that have closed. verify: check every file and decode every sample; what is "
        "damaged is set aside. restore: bring back samples of archived files the store does not know of, or of a copy.",
        epilog="example: python -m lib archive restore --from /mnt/copy/archive",
    )
    archive.add_argument("action", choices=("run", "verify", "restore"))
    archive.add_argument("--from", dest="folder", help="a copy of an archive, or a folder of quarantine (with restore)")
    archive.set_defaults(run=_archive)

    backup = commands.add_parser(
        "backup",
        parents=[shared],
        help="copy everything into a new folder",
        description="Copy samples, archived days, users and settings, the key of stored passwords and models into a "
        "new folder, with the checksum of each file. While the app runs, use the button on its Settings page.",
    )
    backup.add_argument("folder", nargs="?", help="a folder that is not there yet (default: below data/backups)")
    backup.add_argument("--copy-bucket", action="store_true", help="fetch archived days from the bucket, too")
    backup.set_defaults(run=_backup)

    restore = commands.add_parser(
        "restore",
        parents=[shared],
        help="put a backup in the place of what is there",
        description="Check a backup, then put it in the place of what is there, in one step. The app must be stopped.",
    )
    restore.add_argument("folder", help="the backup")
    restore.add_argument("--force", action="store_true", help="replace what is there")
    restore.add_argument("--check", action="store_true", help="only compare each file with its checksum")
    restore.set_defaults(run=_restore)

    bench = commands.add_parser(
        "bench",
        parents=[shared],
        help="run benchmarks (they print JSON as it is)",
        description="Run benchmarks one after the other; each prints one JSON line a figure.",
        epilog="example: python -m lib bench ingest query --quick",
    )
    bench.add_argument("name", nargs="*", help="which ones; none lists them")
    bench.add_argument("--quick", action="store_true", help="within a minute, for a first impression")
    bench.set_defaults(run=_bench)
    return top


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)


def load_secrets() -> None:
    """Put the top-level values of secrets.toml into the environment, as the app itself does."""
    try:
        secrets = tomllib.loads(SECRETS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise Invalid(f"{SECRETS} cannot be read: {error}") from None
    for name, value in secrets.items():
        if isinstance(value, str | int | float):
            os.environ[name] = str(value)


# --- commands ----------------------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    from lib.services import restores

    restores.settle(Settings())
    _refuse_if_held(Settings())
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "Home.py")]
    if options.port:
        command += ["--server.port", str(options.port)]
        os.environ.setdefault("AUTOOPS_PUBLIC_URL", f"http://localhost:{options.port}")  # what printed links lead to
    command += ["--server.address", options.address] if options.address else []
    os.chdir(ROOT)  # Streamlit looks for .streamlit/ here
    if os.name == "posix":
        os.execv(command[0], command)  # noqa: S606 (signals then reach the server itself)
    return subprocess.call(command)


def _refuse_if_held(settings: Settings) -> None:
    """Raises StoreBusy, which names the process, before a second server begins to show the same on each page."""
    if settings.store_path.exists():
        from lib.store.connection import Store

        Store(settings.store_path, settings.store_memory_mb).close()


@contextmanager
def _app() -> Iterator[App]:
    from lib.app import build

    os.environ.setdefault("AUTOOPS_LOG_LEVEL", "WARNING")  # what a person reads is printed; a log would bury it
    app = build()
    try:
        yield app
    finally:
        app.stop()


def _collect(options: argparse.Namespace) -> int:
    from lib.auth.actor import SYSTEM

    if options.source and not options.once:
        raise Invalid("--source goes with --once; without it every enabled source is collected.")
    with _app() as app:
        if not options.once:
            return _collect_on(app, options.json)
        before = app.health.figures().samples
        app.collection.ensure_defaults()
        made = app.health.figures().samples - before
        if made:
            row: dict[str, Any] = {"source": None, "written": made, "failed_targets": 0, "error": None}
            _say(options.json, row, f"First start: {made} samples of what comes with the app")
        chosen = _source_id(app, options.source)
        outcomes = app.collection.collect_now(SYSTEM, chosen)
        if not outcomes:
            raise NotFound("No source is enabled; add one on the Sources page, or set AUTOOPS_PROMETHEUS_URL.")
        for name, outcome in outcomes.items():
            error = redact(outcome.error.message) if outcome.error else None
            row = {"source": name, "written": outcome.written, "failed_targets": outcome.failed, "error": error}
            told = f"{name}: {outcome.written} new samples"
            told += f", {outcome.failed} targets failed" if outcome.failed else ""
            _say(options.json, row, told + (f"; {error}" if error else ""))
        return int(any(outcome.error or outcome.failed for outcome in outcomes.values()))


def _collect_on(app: App, as_json: bool) -> int:
    """Until SIGINT or SIGTERM."""
    stop = threading.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, lambda *_: stop.set())

    def tell(source_id: int, window: Window) -> None:
        row = {"source_id": source_id, "start": window.start.isoformat(), "end": window.end.isoformat()}
        _say(as_json, row, f"{_moment(app.clock())}  source {source_id}: collected until {_moment(window.end)}")

    app.collection.on_collected.append(tell)
    app.runner.start()
    app.schedule.every(1, "collect", app.collection.tick)
    app.schedule.start()
    stop.wait()
    return 0


def _detect(options: argparse.Namespace) -> int:
    from lib.auth.actor import SYSTEM

    with _app() as app:
        window = Window.parse(options.last, app.clock())
        source_id = _source_id(app, options.source)
        groups = app.detection.groups(SYSTEM)
        if source_id is not None:
            groups = groups[groups["source_id"] == source_id]
        if options.host:
            groups = groups[groups["host"] == options.host]
        if groups.empty:
            raise NotFound("Nothing is stored of what was asked for; run `python -m lib collect --once` first.")
        untrained = groups if options.train else groups[groups["state"] != "trained"]
        if len(untrained):
            app.runner.start()
        for number, rows in untrained.groupby("source_id"):
            task = app.detection.train(SYSTEM, int(number), [str(host) for host in rows["host"]])
            _follow(app, task.id or 0)
        for detector_id in groups.drop(untrained.index)["detector_id"]:
            app.detection.score(SYSTEM, int(detector_id), window)
        found = app.detection.anomalies(SYSTEM, window, source_id=source_id, host=options.host)
        for row in found.to_dict("records"):
            _say(options.json, _anomaly(row), _anomaly_line(row))
        if not options.json:
            print(f"{len(found)} anomalies on {len(groups)} hosts in {options.last}, newest first.")
        return 0


def _forecast(options: argparse.Namespace) -> int:
    with _app() as app:
        return cli_forecast.run(app, options, _say, _follow)


def _train(options: argparse.Namespace) -> int:
    with _app() as app:
        return cli_train.run(app, options, _say, _follow)


def _predict(options: argparse.Namespace) -> int:
    with _app() as app:
        return cli_predict.run(app, options, _say, _follow)


def _export(options: argparse.Namespace) -> int:
    with _app() as app:
        return cli_export.run(app, options, _say)


def _archive(options: argparse.Namespace) -> int:
    from lib.auth.actor import SYSTEM

    if options.folder and options.action != "restore":
        raise Invalid("--from goes with restore.")
    with _app() as app:
        if options.action == "run":
            app.runner.start()
            before = None
            while (due := app.archiving.status(SYSTEM).due) and due != before:
                before = due
                _follow(app, app.archiving.run(SYSTEM).id or 0)
            status = app.archiving.status(SYSTEM)
            each = status.bytes_per_sample
            row: dict[str, Any] = {"days": status.days, "samples": status.samples, "size_bytes": status.size_bytes}
            told = f"{status.days} days archived, {status.samples:,} samples"
            _say(options.json, row | {"due": status.due}, told + (f", {each:.2f} bytes each" if each else ""))
            return int(status.due > 0)
        if options.action == "verify":
            found = app.archiving.verify(SYSTEM, deep=True, said=_progress)
            _say(
                options.json,
                {"files": found.files, "samples": found.rows, "damaged": found.damaged, "unknown": found.unknown},
                f"{found.files:,} files with {found.rows:,} samples are as they were written",
            )
            if not options.json:
                for line in (*found.damaged, *(f"Not of this store: {name}" for name in found.unknown)):
                    print(line)
            return int(bool(found.damaged))
        folder = Path(options.folder) if options.folder else None
        restored = app.archiving.restore(SYSTEM, folder, _progress)
        row = {"files": restored.files, "samples": restored.samples, "known": restored.known}
        told = f"{restored.files:,} files: {restored.samples:,} samples brought back, {restored.known:,} were there"
        _say(options.json, row | {"unreadable": restored.unreadable}, told)
        if not options.json:
            for name, reason in restored.unreadable.items():
                print(f"Not readable: {name}: {reason}")
        return int(bool(restored.unreadable))


def _backup(options: argparse.Namespace) -> int:
    from lib.auth.actor import SYSTEM

    with _app() as app:
        target = Path(options.folder).absolute() if options.folder else None
        made = app.backups.make(SYSTEM, target, copy_bucket=options.copy_bucket, said=_progress)
    _say_backup(options.json, made.path, made.manifest, "Backed up to")
    return 0


def _restore(options: argparse.Namespace) -> int:
    from lib.services import restores

    folder, settings = Path(options.folder).absolute(), Settings()
    if options.check:
        found = restores.check(settings, folder, _progress)
    else:
        found = restores.restore(settings, folder, force=options.force, said=_progress)
    _say_backup(options.json, folder, found.manifest, "As it was written:" if options.check else "Restored from")
    for name in found.gone if not options.json else ():
        print(f"Not in the bucket any more: {name}")
    return int(bool(found.gone))


def _say_backup(as_json: bool, path: Path, manifest: Manifest, did: str) -> None:
    row = {"path": str(path), "files": len(manifest.files), "size_bytes": manifest.size_bytes}
    row |= {"samples": manifest.samples, "archived_days": manifest.archived_days, "made_at": manifest.made_at}
    told = f"{did} {path}: {len(manifest.files):,} files, {manifest.size_bytes:,} bytes, {manifest.samples:,} samples"
    _say(as_json, row | {"missing": manifest.missing}, "\n".join([told, *manifest.missing]))


def _progress(share: float, words: str) -> None:
    print(f"{share:4.0%}  {words}", file=sys.stderr, flush=True)


def _bench(options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "benchmarks"]
    flags = ["--quick"] if options.quick else []
    runs = [[*command, name, *flags] for name in options.name] or [command]
    return max(subprocess.call(run, cwd=ROOT) for run in runs)


# --- their parts -------------------------------------------------------------------------------


def _source_id(app: App, wanted: str | None) -> int | None:
    """A source by its name or number; None when none was named."""
    from lib.auth.actor import SYSTEM

    if not wanted:
        return None
    known = app.collection.status(SYSTEM)
    found = [source.id for source in known if source.name == wanted or str(source.id) == wanted]
    if not found:
        names = ", ".join(f"{source.id} {source.name}" for source in known) or "none"
        raise NotFound(f"There is no source {wanted!r}; there are: {names}.")
    return found[0]


def _follow(app: App, task_id: int) -> None:
    """Wait for a task, telling stderr how far it is. Raises Conflict when it did not succeed."""
    told = ""
    while True:
        try:
            task = app.runner.wait(task_id, 0.5)
        except TimeoutError:
            task = app.runner.get(task_id)
            if task.message != told:
                told = task.message
                print(f"{task.progress:4.0%}  {told}", file=sys.stderr, flush=True)
            continue
        if task.status != "succeeded":
            raise Conflict(f"{task.title} ended as {task.status}: {redact(task.error) or 'no reason was given'}")
        return


def _anomaly(row: dict[Any, Any]) -> dict[str, Any]:
    kept = ("id", "source_id", "host", "severity", "confidence", "score", "title", "unit", "sentence")
    times = {name: _iso(row[f"{name}_ts"]) for name in ("start", "end", "peak")}
    return {name: row[name] for name in kept} | times


def _anomaly_line(row: dict[Any, Any]) -> str:
    end = _moment(row["end_ts"]) if _iso(row["end_ts"]) else "goes on         "
    return f"{_moment(row['start_ts'])} to {end}  {row['severity']:8}  {row['host']}: {row['sentence']}"


def _iso(value: Any) -> str | None:
    """NaT, as pandas writes a missing moment, differs from itself."""
    return None if value is None or value != value else value.isoformat()


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def _say(as_json: bool, row: dict[str, Any], line: str) -> None:
    print(json.dumps(row, default=str) if as_json else line, flush=True)
