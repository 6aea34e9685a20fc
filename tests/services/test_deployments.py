"""Exported folders, run as strangers would run them: only their own files, and the libraries they name, on the path."""

from __future__ import annotations

import hashlib
import http.client
import importlib.metadata
import json
import math
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lib.app import App
from lib.db.learning_tables import ModelVersion
from lib.errors import Conflict, Forbidden, Invalid, NotFound, UrlRefused
from lib.registry.answers import usual_row
from lib.registry.bundles import save_bundle
from lib.services import deployments
from lib.training import plan as plans
from lib.training import trainer
from tests.registry.kept import ANALYST, CUSTOMERS, FLOWERS, OPERATOR, PRICES, ROW, VIEWER, register
from tests.training.tables import Clock, churn


def bundle(app: App, folder: Path) -> ModelVersion:
    frame = churn(300)
    plan = plans.begin(frame, "left", trials=0, folds=2, families=("linear", "forest"))
    save_bundle(trainer.train(frame, plan, now=Clock()).model, folder)
    return app.models.register_bundle(ANALYST, "churn", folder, metrics={"roc_auc": 0.8})


def site(folder: Path, pins: list[str]) -> Path:
    """A folder of links to exactly the libraries that are pinned: what `pip install -r requirements.txt` would make."""
    folder.mkdir()
    for pin in pins:
        name, _, version = pin.partition(" ;")[0].partition("==")
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            assert name == "xgboost"  # the other platform's build
            continue
        assert found.version == version
        for top in {Path(str(one)).parts[0] for one in found.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
    return folder


def unzipped(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        roots = {name.split("/")[0] for name in names}
        assert len(roots) == 1
        assert not any(".." in name.split("/") or name.startswith("/") for name in names)
        archive.extractall(folder)
    return folder / roots.pop()


def post(url: str, body: object, **headers: str) -> tuple[int, dict]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@contextmanager
def running(folder: Path, libraries: Path, **environment: str) -> Iterator[str]:
    """The folder's API as its own process: no site-packages (-S), nothing of this project, no other variable."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-S", "app.py"],
        cwd=folder,
        env={
            "PYTHONPATH": str(libraries),
            "PORT": str(port),
            "HOST": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
            **environment,
        },
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 25
        while True:
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, "the exported API did not begin to answer"
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("format_", ["bundle", "onnx", "xgboost", "skops"])
def test_the_folder_alone_answers_as_the_app_does(app: App, tmp_path: Path, format_: str) -> None:
    row = {
        "bundle": lambda: bundle(app, tmp_path / "bundle"),
        "onnx": lambda: register(app, card="# Flowers", metrics={"accuracy": 0.9}),
        "xgboost": lambda: register(app, "binary.json", CUSTOMERS, "customers"),
        "skops": lambda: register(app, "forest.skops", PRICES, "prices"),
    }[format_]()
    made = app.deployments.export(OPERATOR, row.name, row.version, target="spaces", note="try")
    folder = unzipped(app.deployments.archive_of(VIEWER, made.id or 0), tmp_path / "out")
    assert folder.name == f"{row.name}-{row.version}"
    pins = (folder / "requirements.txt").read_text().splitlines()
    assert all("==" in pin for pin in pins)
    heavy = {"scikit-learn", "onnxruntime", "xgboost-cpu", "scipy", "pyarrow", "streamlit", "duckdb"}
    extra = {"bundle": set(), "onnx": {"onnxruntime"}, "xgboost": {"xgboost-cpu", "scipy"}}
    assert heavy & {pin.partition("==")[0] for pin in pins} == extra.get(format_, {"scikit-learn", "scipy"})
    libraries = site(tmp_path / "site", pins)

    rows = [usual_row(app.models.schema_of(row)) for _ in range(5)]
    number = next(one.name for one in app.models.schema_of(row).fields if one.kind in ("number", "integer"))
    for place, one in enumerate(rows):
        one[number] = float(one[number]) * (1 + place) + place
    here = app.prediction.predict(VIEWER, rows, model=row.name, version=row.version, explain=True)
    with running(folder, libraries) as url:
        status, there = post(f"{url}/api/v1/predict", {"rows": rows, "version": row.version, "explain": True})
        assert status == 200
        assert (there["model"], there["version"]) == (row.name, row.version)
        for one, other in zip(here.predictions, there["predictions"], strict=True):
            assert other.get("label") == one.label
            assert other.get("value", 0.0) == pytest.approx(one.value or 0.0, rel=1e-9)
            assert other.get("probabilities", {}) == pytest.approx(one.probabilities, rel=1e-9)
            assert [why["field"] for why in other["why"]] == [why.field for why in one.why]
        status, refused = post(f"{url}/predict", {"rows": [{"colour": 1}]})
        assert status == 422
        assert "unknown" in {one["code"] for one in refused["error"]["fields"]}
        assert post(f"{url}/predict", {"rows": rows, "version": 77})[0] == 404
        # Announced, not sent: whoever answers without reading may close while the rest is on its way.
        announced = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        announced.putrequest("POST", "/predict")
        announced.putheader("Content-Length", "2000000")
        announced.endheaders()
        assert announced.getresponse().status == 413
        announced.close()
        smoke = subprocess.run(
            [sys.executable, "-S", "smoke_test.py", url], cwd=folder, env={}, capture_output=True, text=True
        )
        assert smoke.returncode == 0, smoke.stdout + smoke.stderr
        app.deployments.say_where(OPERATOR, made.id or 0, url)
        assert app.deployments.check(OPERATOR, made.id or 0).state == "up"


def test_the_folder_is_whole_and_has_nothing_of_this_machine(app: App, tmp_path: Path) -> None:
    app.settings.secret_key = app.settings.secret_key.__class__("very secret indeed")
    row = register(app)
    made = app.deployments.export(OPERATOR, row.name, 1)
    again = app.deployments.export(OPERATOR, row.name, 1)
    assert again.sha256 == made.sha256  # the same files, the same bytes
    path = app.deployments.archive_of(VIEWER, made.id or 0)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == made.sha256
    folder = unzipped(path, tmp_path / "out")
    files = {one.relative_to(folder).as_posix(): one for one in folder.rglob("*") if one.is_file()}
    digests = json.loads(files.pop("MANIFEST.json").read_text())["files"]
    assert digests == {name: hashlib.sha256(one.read_bytes()).hexdigest() for name, one in files.items()}
    everything = b"\n".join(one.read_bytes() for one in files.values())
    for secret in (
        b"very secret",
        b"correct horse",
        str(tmp_path).encode(),
        b"operator",
        socket.gethostname().encode(),
    ):
        assert secret not in everything
    code = b"\n".join(one.read_bytes() for name, one in files.items() if name.endswith(".py"))
    assert b"import lib" not in code and b"from lib" not in code and b'"lib.' not in code
    readme = files["README.md"].read_text()
    assert readme.startswith("---\ntitle: flowers\nsdk: docker\n")
    assert all(word in readme for word in ("Cloud Run", "Amazon ECS", "Hugging Face Spaces"))
    assert "USER 1000" in files["Dockerfile"].read_text()
    assert "| fastapi | MIT" in files["NOTICE.md"].read_text()


def test_a_changed_folder_does_not_start_and_a_key_is_asked_for(app: App, tmp_path: Path) -> None:
    row = register(app)
    made = app.deployments.export(OPERATOR, row.name, row.version)
    folder = unzipped(app.deployments.archive_of(VIEWER, made.id or 0), tmp_path / "out")
    libraries = site(tmp_path / "site", (folder / "requirements.txt").read_text().splitlines())
    (folder / "README.md").write_text("---\nsdk: docker\n---\nours")  # guides are there to be changed
    with running(folder, libraries, API_KEY="k3y") as url:
        assert post(f"{url}/predict", {"rows": [ROW]})[0] == 401
        assert post(f"{url}/predict", {"rows": [ROW]}, Authorization="Bearer k3y")[0] == 200
        page = urllib.request.urlopen(url, timeout=10).read().decode()
        assert "length" in page
    model = folder / "model" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"x")
    ended = subprocess.run(
        [sys.executable, "-S", "app.py"],
        cwd=folder,
        env={"PYTHONPATH": str(libraries), "PORT": "1"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode != 0
    assert "model/model.onnx was changed" in ended.stderr


def test_only_operators_export_and_a_refusal_is_audited(app: App) -> None:
    row = register(app)
    with pytest.raises(Forbidden):
        app.deployments.export(ANALYST, row.name, row.version)
    made = app.deployments.export(OPERATOR, row.name, row.version)
    for act in (app.deployments.check, app.deployments.end):
        with pytest.raises(Forbidden):
            act(ANALYST, made.id or 0)
    with pytest.raises(Forbidden):
        app.deployments.say_where(VIEWER, made.id or 0, "http://example.org")
    with pytest.raises(NotFound, match="no champion"):
        app.deployments.export(OPERATOR, row.name)
    with pytest.raises(NotFound, match="no version 9"):
        app.deployments.export(OPERATOR, row.name, 9)
    with pytest.raises(Invalid, match="no place to run"):
        app.deployments.export(OPERATOR, row.name, 1, target="the moon")
    assert [one.id for one in app.deployments.all(VIEWER, "flowers")] == [made.id]
    assert not list(app.deployments.folder.glob(".export.*"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://169.254.169.254/latest", "no deployment should be"),
        ("http://metadata.google.internal", "not a deployment"),
        ("file:///etc/passwd", "not allowed for a deployment"),
        ("http://user:pw@host/", "asked without"),
        ("http://0xa9fea9fe", "no deployment should be"),
        ("javascript:1", "not allowed for a deployment"),
        ("http://host/?a=1", "before /health"),
        ("http://", "model.example.com"),
    ],
)
def test_an_address_the_guard_bars_is_not_kept(app: App, url: str, words: str) -> None:
    made = app.deployments.export(OPERATOR, register(app).name, 1)
    with pytest.raises(UrlRefused, match=words):
        app.deployments.say_where(OPERATOR, made.id or 0, url)
    assert app.deployments.get(VIEWER, made.id or 0).url == ""


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], str]]:
    servers = []

    def serve(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                if status in (301, 302):
                    self.send_header("Location", "http://169.254.169.254/health")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "state", "words"),
    [
        (200, {"model": "flowers", "version": 2, "sha256": "x"}, "other", "flowers 2 answers there, not flowers 1"),
        (200, {"model": "flowers", "version": 1, "sha256": "x"}, "other", "of other files"),
        (200, b"<html>", "other", "not in the JSON"),
        (200, b"[" * 9000, "other", "not in the JSON"),
        (200, b"[]", "other", "does not say which model"),
        (200, b"x" * 200_000, "down", "more than"),
        (404, b"", "other", "no /health"),
        (302, b"", "down", "metadata"),
        (503, b"", "down", "in trouble"),
    ],
)
def test_what_answers_at_an_address_is_told(
    app: App, answering: Callable[[int, bytes], str], status: int, body: object, state: str, words: str
) -> None:
    made = app.deployments.export(OPERATOR, register(app).name, 1)
    with pytest.raises(Conflict, match="address first"):
        app.deployments.check(OPERATOR, made.id or 0)
    url = answering(status, body if isinstance(body, bytes) else json.dumps(body).encode())
    app.deployments.say_where(OPERATOR, made.id or 0, f"{url}/", "cloud-run")
    found = app.deployments.check(OPERATOR, made.id or 0)
    assert found.state == state
    assert words in found.told
    assert "prometheus" not in found.told.lower()
    assert app.deployments.say_where(OPERATOR, made.id or 0, "").state == ""


def test_a_host_that_is_gone_is_down(app: App) -> None:
    made = app.deployments.export(OPERATOR, register(app).name, 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app.deployments.say_where(OPERATOR, made.id or 0, f"http://127.0.0.1:{port}")
    found = app.deployments.check(OPERATOR, made.id or 0)
    assert (found.state, found.checked_at) == ("down", app.clock())
    assert "refused" in found.told
    assert app.deployments.end(OPERATOR, made.id or 0).ended_at is not None
    assert app.deployments.end(OPERATOR, made.id or 0, back=True).ended_at is None


def test_old_folders_make_room_and_say_so(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "MOST_ZIPS", 2)
    register(app)
    made = [app.deployments.export(OPERATOR, "flowers", 1).id or 0 for _ in range(3)]
    with pytest.raises(NotFound, match="export flowers 1 again"):
        app.deployments.archive_of(VIEWER, made[0])
    assert app.deployments.archive_of(VIEWER, made[2]).is_file()


def test_a_usual_row_is_one_the_model_takes() -> None:
    assert usual_row(FLOWERS) == dict.fromkeys(("length", "width", "height", "weight"), 0.0)
    assert all(math.isfinite(value) for value in usual_row(CUSTOMERS).values())
