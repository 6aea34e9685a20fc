"""Ask the API of this folder what it was asked when it was exported: the same predictions must come.

python smoke_test.py [URL]       without a URL it starts app.py itself, on a free port
python smoke_test.py --health    only whether it answers, at PORT of this machine
A key, when the API wants one, comes from the variable API_KEY. Only Python's own library is needed.
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess  # nosec
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
START_S = 90.0
# Other processors round the last digits otherwise; what computes in 32 bits has about seven of them.
RELATIVE, ABSOLUTE = 1e-4, 1e-5


def ask(url: str, body: Any = None) -> Any:
    """The JSON at an address; with a body, of a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    if os.environ.get("API_KEY"):
        request.add_header("X-API-Key", os.environ["API_KEY"])
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def compare(wanted: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """What differs between two predictions, in words."""
    found = []
    if wanted.get("label") != got.get("label"):
        found.append(f"label {got.get('label')!r} instead of {wanted.get('label')!r}")
    pairs = {"value": (wanted.get("value"), got.get("value"))}
    for name, value in (wanted.get("probabilities") or {}).items():
        pairs[f"probability of {name}"] = (value, (got.get("probabilities") or {}).get(name))
    for name, (one, other) in pairs.items():
        if one is None and other is None:
            continue
        if one is None or other is None or not math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            found.append(f"{name} {other} instead of {one}")
    return found


def check(url: str) -> list[str]:
    """What is wrong with the API at an address; nothing, when all is well."""
    about, request, answered = (
        json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in ("model", "request", "answer")
    )
    health = ask(f"{url}/health")
    found = [
        f"{name} is {health.get(key)!r} instead of {about[of]!r}"
        for name, key, of in (("model", "model", "name"), ("version",) * 3, ("sha256",) * 3)
        if health.get(key) != about[of]
    ]
    answer = ask(f"{url}/predict", request)
    pairs = zip(answered["predictions"], answer["predictions"], strict=True)
    for number, (wanted, got) in enumerate(pairs, 1):
        found += [f"row {number}: {said}" for said in compare(wanted, got)]
    try:
        ask(f"{url}/predict", {"rows": [{"no such field": 1}]})
        found.append("a row with an unknown field was not refused")
    except urllib.error.HTTPError as error:
        if error.code != 422:
            found.append(f"a row with an unknown field was answered with HTTP {error.code} instead of 422")
    return found


def started(port: int) -> subprocess.Popen[bytes]:
    """This folder's API on a port of this machine, answering. Raises SystemExit when it does not begin."""
    environment = {**os.environ, "HOST": "127.0.0.1", "PORT": str(port), "LOG_LEVEL": "warning"}
    process = subprocess.Popen([sys.executable, str(FOLDER / "app.py")], env=environment, cwd=FOLDER)  # noqa: S603
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            ask(f"http://127.0.0.1:{port}/health")
            return process
        except OSError:
            time.sleep(0.2)
    process.kill()
    raise SystemExit("app.py did not begin to answer; its messages are above.")


def main(given: list[str]) -> int:
    if given == ["--health"]:
        ask(f"http://127.0.0.1:{os.environ.get('PORT', '8080')}/health")
        return 0
    process = None
    try:
        if given:
            url = given[0].rstrip("/")
        else:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            process, url = started(port), f"http://127.0.0.1:{port}"
        found = check(url)
    finally:
        if process is not None:
            process.terminate()
            process.wait(20)
    print("\n".join(found) or f"{url} answers as it should.")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
