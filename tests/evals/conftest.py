"""One small world for all questions; nothing in it changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.app import build
from lib.settings import LlmMode, Settings
from tests.evals.truth import Truth
from tests.evals.world import NOW, World, build_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An app over a real store, at a fixed moment, with no provider."""
    place: Path = tmp_path_factory.mktemp("world")
    settings = Settings(
        data_dir=place / "data",
        models_dir=place / "models",
        demo=False,
        database_url="",
        llm_mode=LlmMode.OFFLINE,
        log_level="WARNING",
    )
    app = build(settings, lambda: NOW)
    yield build_world(app)
    app.stop()


@pytest.fixture(scope="module")
def truth(world: World) -> Truth:
    return Truth(world.blocks)
