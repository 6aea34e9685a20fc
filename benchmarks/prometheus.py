"""A real Prometheus and a real node exporter from the system's packages, for benchmarks and tests."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.browser import free_port
from lib.errors import Unavailable


def binary(name: str) -> str:
    """Where a program is. Raises Unavailable with the package that brings it."""
    found = shutil.which(name)
    if found is None:
        package = "prometheus-node-exporter" if "exporter" in name else "prometheus"
        raise Unavailable(f"{name} is not installed; on Debian: apt-get install {package}")
    return found


@contextmanager
def running(folder: Path, config: str = "global: {}\n", *flags: str) -> Iterator[str]:
    """Prometheus on a port of the system's choice; its URL once it is ready. Its data is in folder/tsdb.

    config: `{url}` in it becomes the server's own host and port.
    """
    address = f"127.0.0.1:{free_port()}"
    (folder / "prometheus.yml").write_text(config.replace("{url}", address))
    arguments = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
        *flags,
    )
    with _started(binary("prometheus"), *arguments, ready=f"http://{address}/-/ready"):
        yield f"http://{address}"


@contextmanager
def scraping_an_exporter(folder: Path, interval_s: float = 1, labels: str = "{}") -> Iterator[str]:
    """Prometheus that scrapes a node exporter and itself; its URL.

    labels: what the exporter's series carry besides, as YAML has it.
    """
    with ExitStack() as stack:
        exporter = f"127.0.0.1:{free_port()}"
        stack.enter_context(
            _started(
                binary("prometheus-node-exporter"),
                f"--web.listen-address={exporter}",
                ready=f"http://{exporter}/metrics",
            )
        )
        config = (
            f"global: {{scrape_interval: {interval_s}s, scrape_timeout: {round(interval_s * 900)}ms}}\n"
            "scrape_configs:\n"
            f"  - {{job_name: node, static_configs: [{{targets: ['{exporter}'], labels: {labels}}}]}}\n"
            "  - {job_name: prometheus, static_configs: [{targets: ['{url}']}]}\n"
        )
        yield stack.enter_context(running(folder, config))


@contextmanager
def _started(*command: str, ready: str, within_s: float = 60) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + within_s
    try:
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} did not answer at {ready} (exit status {process.poll()})")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
