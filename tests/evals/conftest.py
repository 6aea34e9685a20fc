"""Two worlds for all questions; nothing in them changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.evals import ask as asking
from tests.evals.demo import DemoWorld
from tests.evals.truth import Facts, Truth
from tests.evals.world import World, build_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An app over a small store, at a fixed moment, with no provider."""
    app = asking.offline_app(tmp_path_factory.mktemp("world"))
    yield build_world(app)
    app.stop()


@pytest.fixture(scope="module")
def truth(world: World) -> Truth:
    return Truth(world.blocks)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoWorld]:
    """The bundled history in an app of its own."""
    made = asking.demo_world(tmp_path_factory.mktemp("demo"))
    yield made
    made.app.stop()


@pytest.fixture(scope="module")
def facts(demo: DemoWorld) -> Facts:
    return asking.facts(demo)
