"""A real Prometheus that scrapes a real node exporter every second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.prometheus import scraping_an_exporter


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with scraping_an_exporter(tmp_path_factory.mktemp("prometheus")) as url:
        yield url
