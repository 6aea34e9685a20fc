from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from lib import cli
from lib.app import build
from lib.frames import Block, to_ms
from lib.settings import Settings
from lib.store.connection import Store
from tests.store.test_sheets import workbook
from tests.training.tables import churn

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a command of our own sees, in this process and in children: its own files, nothing configured."""
    values = {
        "AUTOOPS_DATA_DIR": str(tmp_path / "data"),
        "AUTOOPS_MODELS_DIR": str(tmp_path / "models"),
        "AUTOOPS_DEMO": "false",
        "AUTOOPS_PROMETHEUS_URL": "",
        "AUTOOPS_LOG_LEVEL": "WARNING",
        "DATABASE_URL": "",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli, "SECRETS", tmp_path / "secrets.toml")
    return dict(os.environ)


def run(environment: dict[str, str], *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lib", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def add_host(settings: Settings, days: float = 3) -> None:
    """A host whose load spikes two hours before now."""
    app = build(settings)
    now_ms = to_ms(datetime.now(UTC))
    ts = now_ms - np.arange(int(days * 288))[::-1] * 300_000
    rng = np.random.default_rng(3)
    blocks = []
    for number in range(4):
        value = 10 + 3 * np.sin(ts / 86_400_000 * 2 * np.pi + number) + rng.normal(0, 0.3, ts.size)
        value[-30:-22] += 40
        blocks.append(Block(f"load_{number}", {"host": "lab"}, ts, value))
    app.samples.append(1, blocks)
    app.stop()


def test_help_names_every_command_and_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    told = capsys.readouterr().out
    assert left.value.code == 0
    assert all(
        word in told
        for word in (
            "serve",
            "collect",
            "detect",
            "forecast",
            "train",
            "predict",
            "export",
            "archive",
            "bench",
            "exit status",
        )
    )


@pytest.mark.parametrize(
    "command", ["serve", "collect", "detect", "forecast", "train", "predict", "export", "archive", "bench"]
)
def test_each_command_has_help_an_example_and_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([command, "--help"])
    told = capsys.readouterr().out
    assert left.value.code == 0 and "--json" in told and f"python -m lib {command} " in told


@pytest.mark.parametrize(
    "arguments", [[], ["unknown"], ["serve", "--port", "0"], ["serve", "--port", "http"], ["collect", "--never"]]
)
def test_a_wrong_command_line_is_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2 and "usage:" in capsys.readouterr().err


def test_help_loads_nothing_that_takes_time() -> None:
    script = (
        "import sys, lib.cli; lib.cli.parser().format_help(); "
        "print([m for m in ('streamlit', 'duckdb', 'sklearn', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_to_collect_says_what_to_do(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["collect", "--once"]) == 1
    assert "AUTOOPS_PROMETHEUS_URL" in capsys.readouterr().err
    assert cli.main(["collect", "--once", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "not_found"


def test_collecting_a_source_that_is_down_is_one_and_says_so(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOOPS_PROMETHEUS_URL", "http://127.0.0.1:9")
    assert cli.main(["collect", "--once", "--json"]) == 1
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row["source"] == "Prometheus" and row["written"] == 0
    assert row["error"] or row["failed_targets"]


def test_the_first_collection_brings_the_demo_and_this_machine(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOOPS_DEMO", "true")
    assert cli.main(["collect", "--once"]) == 0
    told = capsys.readouterr().out
    assert "First start" in told and "This machine" in told
    assert cli.main(["collect", "--once", "--json", "--source", "This machine"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["source"] for row in rows] == ["This machine"] and rows[0]["written"] > 0
    assert cli.main(["collect", "--once", "--source", "nothing"]) == 1
    assert "This machine" in capsys.readouterr().err


def test_collecting_goes_on_until_it_is_told_to_stop(environment: dict[str, str]) -> None:
    environment["AUTOOPS_DEMO"] = "true"
    process = subprocess.Popen(
        [sys.executable, "-m", "lib", "collect", "--json"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert first["source_id"] >= 1 and first["start"] < first["end"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("command", [["collect", "--once"], ["detect"], ["serve"], ["forecast", "list"]])
def test_a_held_file_is_told_with_the_process_that_holds_it(environment: dict[str, str], command: list[str]) -> None:
    store = Store(Settings().store_path)
    try:
        done = run(environment, *command)
    finally:
        store.close()
    assert done.returncode == 1
    assert str(os.getpid()) in done.stderr and "Traceback" not in done.stderr


def test_detecting_in_an_empty_store_says_what_to_do(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["detect"]) == 1
    assert "collect" in capsys.readouterr().err
    assert cli.main(["detect", "--last", "soon"]) == 1
    assert "24h" in capsys.readouterr().err
    assert cli.main(["detect", "--source", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_detecting_trains_where_needed_and_lists_what_it_found(environment: dict[str, str]) -> None:
    add_host(Settings())
    began = time.monotonic()
    done = run(environment, "detect", "--host", "lab", "--last", "1d", "--json", timeout=150)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    spike = datetime.now(UTC) - timedelta(minutes=30 * 5 + (time.monotonic() - began) / 60)
    assert any(abs(datetime.fromisoformat(row["start"]) - spike) < timedelta(minutes=30) for row in found)
    assert all(row["host"] == "lab" and row["sentence"] for row in found)
    again = run(environment, "detect", "--last", "1d")
    assert again.returncode == 0 and "newest first" in again.stdout and "lab" in again.stdout


def test_benchmarks_are_listed_and_unknown_ones_refused(environment: dict[str, str]) -> None:
    listed = run(environment, "bench")
    assert listed.returncode == 0 and "ingest" in listed.stdout
    assert run(environment, "bench", "no-such-bench").returncode == 2


def test_secrets_are_read_as_the_app_reads_them(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.SECRETS.write_text('AUTOOPS_ADMIN_USERNAME = "root"\nAUTOOPS_GUESTS = false\n[nested]\nkey = "ignored"\n')
    monkeypatch.setenv("AUTOOPS_ADMIN_USERNAME", "somebody")
    monkeypatch.setenv("AUTOOPS_GUESTS", "true")
    cli.load_secrets()
    settings = Settings()
    assert settings.admin_username == "root" and settings.guests is False
    cli.SECRETS.write_text("broken = [")
    assert cli.main(["collect", "--once"]) == 1
    assert "secrets.toml" in capsys.readouterr().err


def test_a_data_directory_that_cannot_be_made_is_told_in_one_line(
    environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "data").write_text("a file where a directory should be")
    assert cli.main(["collect"]) != 0
    told = capsys.readouterr().err
    assert "AUTOOPS_DATA_DIR" in told and "Traceback" not in told


def test_archive_runs_verifies_and_restores(environment: dict[str, str], tmp_path: Path) -> None:
    add_host(Settings(), days=12)
    ran = run(environment, "archive", "run", "--json")
    assert ran.returncode == 0, ran.stderr
    status = json.loads(ran.stdout)
    assert status["days"] >= 4 and status["due"] == 0 and status["size_bytes"] > 0
    found = json.loads(run(environment, "archive", "verify", "--json").stdout)
    assert (found["samples"], found["damaged"]) == (status["samples"], [])
    for file in (tmp_path / "data").glob("metrics.duckdb*"):
        file.unlink()
    back = json.loads(run(environment, "archive", "restore", "--json").stdout)
    assert (back["samples"], back["known"], back["unreadable"]) == (status["samples"], 0, {})
    raw = next((tmp_path / "data" / "archive").rglob("raw-*.parquet"))
    raw.write_bytes(raw.read_bytes()[:-1])
    again = run(environment, "archive", "restore", "--from", str(tmp_path / "data" / "archive"))
    assert again.returncode == 1 and "Not readable" in again.stdout
    wrong = run(environment, "archive", "run", "--from", "x")
    assert wrong.returncode == 1 and "goes with restore" in wrong.stderr


def test_a_forecast_is_made_listed_and_asked_about_a_limit(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    add_host(Settings(), days=6)
    assert cli.main(["forecast", "list"]) == 0 and "forecast run" in capsys.readouterr().out
    asked = ["--metric", "load_1", "--host", "lab", "--horizon", "6h", "--no-prophet"]
    assert cli.main(["forecast", "run", *asked, "--limit", "1000"]) == 0
    told = capsys.readouterr()
    assert "error against naive" in told.out and "Not within the horizon" in told.out
    assert cli.main(["forecast", "list", "--host", "lab", "--json"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["metric"] == "load_1" and row["model"] in told.out and row["made_by"] == "system"
    assert cli.main(["forecast", "show", str(row["id"]), "--json", "--points", "--limit", "0", "--side", "above"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["points"]) == shown["steps"] and shown["crossing"]["state"] == "already beyond"
    assert shown["card"]["reasons"] and shown["points"][0]["low95"] <= shown["points"][0]["middle"]
    assert cli.main(["forecast", "show", str(row["id"])]) == 0
    assert row["model"] in capsys.readouterr().out


def test_what_a_forecast_cannot_do_is_said(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    add_host(Settings(), days=0.004)  # one sample of each series
    for arguments, words in (
        (["run", "--metric", "load_1"], "one sample"),
        (["run"], "Name the series"),
        (["run", "--metric", "nothing"], "Nothing is stored"),
        (["run", "--metric", "load_1", "--horizon", "1s"], "horizon"),
        (["run", "--metric", "load_1", "--country", "XX"], "XX"),
        (["show", "77"], "no forecast 77"),
        (["show"], "by its number"),
        (["list", "--most", "0"], "--most"),
        (["list", "--side", "above"], "--limit"),
    ):
        assert cli.main(["forecast", *arguments]) == 1, arguments
        told = capsys.readouterr()
        assert words in told.err and not told.out, arguments


def test_samples_are_exported_day_by_day(
    environment: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    from lib.services import exploration

    add_host(Settings(), days=3)
    assert cli.main(["export", "--metric", "load_1", "--last", "366d"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "metric" in lines[0] and len(lines) == 1 + 3 * 288 and lines[1:] == sorted(lines[1:])
    monkeypatch.setattr(exploration, "MAX_EXPORT_ROWS", 100)  # so that parts of a day are needed
    for kind, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        file = tmp_path / f"lab.{kind}"
        assert (
            cli.main(["export", "--host", "lab", "--last", "366d", "--format", kind, "--to", str(file), "--json"]) == 0
        )
        told = json.loads(capfd.readouterr().out)
        frame = read(file)
        assert told["samples"] == len(frame) == 4 * 3 * 288 and frame.groupby("series_id")["ts"].nunique().eq(864).all()
    assert sorted(path.name for path in tmp_path.glob("lab*")) == ["lab.csv", "lab.parquet"]


def test_what_cannot_be_exported_is_said(
    environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_host(Settings(), days=0.1)
    for arguments, words in (
        ([], "--metric"),
        (["--metric", "nothing"], "Nothing is stored"),
        (["--metric", "load_1", "--format", "parquet"], "--to"),
        (["--metric", "load_1", "--to", str(tmp_path / "no" / "where.csv")], "cannot be written"),
        (["--metric", "load_1", "--last", "soon"], "24h"),
    ):
        assert cli.main(["export", *arguments]) == 1, arguments
        assert words in capsys.readouterr().err, arguments


def test_train_and_predict(environment: dict[str, str], tmp_path: Path) -> None:
    table, card, out = tmp_path / "churn.csv", tmp_path / "card.md", tmp_path / "out.csv"
    frame = churn(120)
    frame.to_csv(table, index=False)
    rows = [list(frame.columns), *frame.astype(object).where(frame.notna(), None).to_numpy().tolist()]
    book = tmp_path / "churn.xlsx"
    book.write_bytes(workbook([["something", "else"], [1, 2], [3, 4]], customers=rows))
    quick = ("--start", "First look", "--models", "linear", "--budget", "5s")
    done = run(
        environment, "train", str(book), "--sheet", "customers", "--target", "left", *quick,
        "--register", "churn", "--card", str(card), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["model"] == "churn" and told["board"][0]["family"] == "linear" and told["took_s"] <= 5.25
    assert card.read_text().startswith("# left of churn")
    row = ("--row", "age=61", "income=2000", "plan=basic", "visits=2")
    said = run(environment, "predict", "churn", "--version", "1", "--json", *row)
    assert said.returncode == 0 and json.loads(said.stdout)["label"] in ("yes", "no"), said.stderr
    wrong = run(environment, "predict", "churn", "--version", "1", "--row", "age=old")
    assert wrong.returncode == 1 and "age is 'old'; it takes a number" in wrong.stderr
    asked = ("--file", str(table), "--out", str(out))
    assert run(environment, "predict", "churn", "--version", "1", *asked).returncode == 0
    assert len(out.read_text().splitlines()) == 121
    stored = run(environment, "predict", "churn", "--version", "1", "--dataset", "1", "--out", str(out))
    assert stored.returncode == 0 and len(out.read_text().splitlines()) == 121, stored.stderr
    named = ("--dataset", "1", "--dataset-version", "000000", "--out", str(out))
    missing = run(environment, "predict", "churn", "--version", "1", *named)
    assert missing.returncode == 1 and "no version '000000'" in missing.stderr
    stale = run(environment, "train", "churn", "--sheet", "customers", "--target", "left")
    assert stale.returncode == 1 and "goes with a workbook" in stale.stderr
    refused = run(environment, "train", "churn", "--target", "gone")
    assert refused.returncode == 1 and "no column 'gone'" in refused.stderr
    assert "neither a dataset nor a file" in run(environment, "train", "nothing").stderr
