"""A real S3 server of our own (moto's), which checks keys, and a wire to it that can be cut, blocked or slowed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lib.store.places import BucketPlace, bucket


@dataclass(frozen=True)
class Bucket:
    """Where a bucket is, and with which key."""

    endpoint: str
    key: str
    secret: str
    name: str = ""

    @property
    def url(self) -> str:
        return f"s3://{self.name}/archive"

    def place(self, cache: Path, cache_bytes: int = 10_000_000, **named: Any) -> BucketPlace:
        return bucket(self.url, self.endpoint, self.key, self.secret, cache, cache_bytes, **named)

    def client(self, service: str = "s3") -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
        )

    def stored(self) -> list[str]:
        return [one["Key"] for one in self.client().list_objects_v2(Bucket=self.name).get("Contents", [])]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """One server a test process, with one key that may do everything; any other is refused."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("s3") / "server.log").open("wb")
    # The calls before keys are checked: making the user, its key and its rights.
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < until, Path(log.name).read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        somebody = Bucket(f"http://127.0.0.1:{port}", "anybody", "anything")
        users = somebody.client("iam")
        users.create_user(UserName="autoops")
        made = users.create_access_key(UserName="autoops")["AccessKey"]
        allowed = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
        document = json.dumps({"Version": "2012-10-17", "Statement": allowed})
        users.put_user_policy(UserName="autoops", PolicyName="archive", PolicyDocument=document)
        yield replace(somebody, key=made["AccessKeyId"], secret=made["SecretAccessKey"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        log.close()


@pytest.fixture
def s3(s3_server: Bucket) -> Bucket:
    """An empty bucket."""
    made = replace(s3_server, name=f"metrics-{uuid.uuid4().hex[:12]}")
    made.client().create_bucket(Bucket=made.name)
    return made


class Wire:
    """A TCP proxy. state: 'open'; 'cut' (accepts and hangs up); 'silent' (never passes anything on).

    after_bytes: cut in the middle of an answer once so much of it has come. slow_s: wait so long for each 200 bytes.
    """

    def __init__(self, endpoint: str) -> None:
        self.target = int(endpoint.rpartition(":")[2])
        self.state, self.after_bytes, self.slow_s, self.asked = "open", 0, 0.0, 0
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, state: str) -> None:
        """Also for connections that are kept open."""
        self.state = state
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self.set("cut")
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                self.asked += 1
                self._open.append(near)
                if self.state == "cut":
                    near.close()
                elif self.state == "open":
                    far = socket.create_connection(("127.0.0.1", self.target))
                    self._open.append(far)
                    threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
                    threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(200 if answers and self.slow_s else 65536):
                if answers and self.slow_s:
                    time.sleep(self.slow_s)
                if answers and self.after_bytes and passed + len(data) > self.after_bytes:
                    data = data[: self.after_bytes - passed]
                    target.sendall(data)
                    break
                target.sendall(data)
                passed += len(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def wire(s3: Bucket) -> Iterator[Wire]:
    made = Wire(s3.endpoint)
    yield made
    made.close()
