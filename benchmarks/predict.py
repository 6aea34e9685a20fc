"""One row of 30 fields through the API of a real server, an XGBoost model behind it; what the processes take."""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil

from benchmarks.browser import serve
from benchmarks.report import Figure, note
from lib.app import build
from lib.auth.actor import Role
from lib.db.tables import User
from lib.settings import Settings

FIELDS, TREES, DEPTH = 30, 300, 6


def _model(path: Path) -> Any:
    """300 trees of depth 6: what a search usually ends with. The booster, as the peer."""
    import xgboost

    rng = np.random.default_rng(5)
    x = rng.normal(size=(4_000, FIELDS))
    y = (x[:, :6].sum(axis=1) + rng.normal(0, 1, len(x)) > 0).astype(int)
    names = [f"field_{number}" for number in range(FIELDS)]
    matrix = xgboost.DMatrix(x, y, feature_names=names)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": DEPTH, "nthread": 1}, matrix, TREES)
    booster.save_model(path)
    return booster


def _key(folder: Path) -> str:
    """An operator's key, made before the server starts: only one process may hold the files."""
    app = build(Settings(data_dir=folder, models_dir=folder / "models", demo=False))
    try:
        user = User(username="bench", password_hash="", role="operator")
        with app.database.session() as session:
            session.add(user)
        assert user.id is not None
        return app.administration.keys.create(user.id, "bench", Role.OPERATOR, None)[0]
    finally:
        app.stop()


class Client:
    """One connection that stays, as a program's would."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=120)
        self.headers = {"Authorization": f"Bearer {key}", "Host": parts.netloc}

    def ask(
        self, method: str, path: str, body: bytes | dict[str, Any], kind: str = "application/json"
    ) -> dict[str, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, f"/api/v1{path}", data, {**self.headers, "Content-Type": kind})
        answer = self.connection.getresponse()
        read = json.loads(answer.read())
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {read}")
        return dict(read)


def _measure(client: Client, rows: list[dict[str, float]], **more: Any) -> list[float]:
    took = []
    for row in rows:
        began = time.perf_counter()
        client.ask("POST", "/predict", {"rows": [row], "model": "bench", **more})
        took.append((time.perf_counter() - began) * 1000)
    return took


def run(quick: bool, rest: list[str]) -> Iterable[Figure]:
    import xgboost

    count = 300 if quick else 2000
    with tempfile.TemporaryDirectory(prefix="predict-") as held:
        folder = Path(held)
        booster = _model(folder / "model.json")
        body = (folder / "model.json").read_bytes()
        key = _key(folder / "data")
        # The limit of 120 requests a minute is what this measures past.
        with serve(folder / "data", AUTOOPS_DEMO="false", AUTOOPS_API_RATE_PER_MINUTE="1000000") as server:
            client = Client(server.url, key)
            client.ask("POST", "/models/bench/versions?file_name=model.json", body, "application/octet-stream")
            client.ask("PUT", "/models/bench/aliases/champion", {"version": 1})
            rng = np.random.default_rng(6)
            table = rng.normal(size=(count, FIELDS)).round(4)
            rows = [{f"field_{n}": float(v) for n, v in enumerate(line)} for line in table]
            first = _measure(client, rows[:1])[0]
            _measure(client, rows[:50])
            took = [_measure(client, rows) for _ in range(3)]
            why = _measure(client, rows[:100], explain=True)
            p50 = statistics.median(statistics.median(one) for one in took)
            p99 = statistics.median(float(np.percentile(one, 99)) for one in took)
            peer = []
            for line in table[:200]:
                began = time.perf_counter()
                row = xgboost.DMatrix(line.reshape(1, -1), feature_names=booster.feature_names, nthread=1)
                booster.predict(row)
                peer.append((time.perf_counter() - began) * 1000)
            bare = statistics.median(peer)
            yield Figure(
                "predict", "p50_ms", round(p50, 2), "ms", f"XGBoost in this process {bare:.2f} ms", round(p50 / bare, 2)
            )
            yield Figure("predict", "p99_ms", round(p99, 2), "ms")
            yield Figure("predict", "explained_p50_ms", round(statistics.median(why), 2), "ms")
            yield Figure("predict", "first_ms", round(first, 1), "ms")
            process = psutil.Process(server.pid)
            yield Figure("predict", "app_mb", round(process.memory_info().rss / 2**20, 1), "MB")
            child = sum(one.memory_info().rss for one in process.children(recursive=True)) / 2**20
            yield Figure("predict", "child_mb", round(child, 1), "MB")
            client = Client(server.url, key)  # the peer's time was longer than a server keeps a silent connection
            answer = client.ask("POST", "/predict", {"rows": rows[:100], "model": "bench"})
            ours = np.array([one["probabilities"]["1"] for one in answer["predictions"]])
            theirs = booster.predict(xgboost.DMatrix(table[:100], feature_names=booster.feature_names))
            note(f"largest difference from XGBoost itself: {np.abs(ours - theirs).max():.1e}")
            yield Figure("predict", "largest_difference", float(np.abs(ours - theirs).max()), "probability")
