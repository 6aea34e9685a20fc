"""Asking the questions of a set, one after the other, as the person the case names."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from lib.app import App, build
from lib.auth.actor import GUEST, Actor, ActorKind, Role
from lib.chat.events import Event
from lib.services.conversations import Entry
from lib.settings import LlmMode, Settings
from tests.evals.demo import MARKS, NOW, DemoWorld, build_demo
from tests.evals.score import Answer, collect
from tests.evals.truth import Facts

DEMO_STEP_S = 300.0


def offline_app(place: Path) -> App:
    """An app over an empty store, at a fixed moment, with no provider."""
    settings = Settings(
        data_dir=place / "data",
        models_dir=place / "models",
        demo=False,
        database_url="",
        llm_mode=LlmMode.OFFLINE,
        log_level="ERROR",
    )
    return build(settings, lambda: NOW)


def demo_world(place: Path) -> DemoWorld:
    return build_demo(offline_app(place), place)


def facts(world: DemoWorld) -> Facts:
    """What is right of the demo, from what was stored and nothing of the app's own reading."""
    anomalies = pd.DataFrame([asdict(one) for one in world.anomalies]).drop(columns=["explanation"])
    detectors = pd.DataFrame(
        [{"host": d.host, "trained_at": d.created_at} for d in world.app.detection.detectors(GUEST)]
    )
    marks = pd.DataFrame([{"kind": str(kind), "start_at": pd.Timestamp(start)} for kind, start, *_ in MARKS])
    return Facts(
        world.blocks, DEMO_STEP_S, anomalies=anomalies, detectors=detectors, marks=marks, forecasts=world.forecasts
    )


def person(world: DemoWorld, name: str) -> Actor:
    return Actor("operator", Role.OPERATOR, ActorKind.USER, world.operator) if name == "operator" else GUEST


def ask(app: App, actor: Actor, question: str, before: list[str]) -> tuple[Answer, float, float]:
    """The answer, the seconds it took, and those to its first word or sign of work."""
    history: list[Entry] = []
    for earlier in before:
        answer = collect(list(app.assistant.answer(actor, earlier, history=history)))
        history += [Entry("user", earlier, NOW), Entry("assistant", answer.text, NOW, "offline", answer.evidence)]
    began, first = time.perf_counter(), 0.0
    events: list[Event] = []
    for event in app.assistant.answer(actor, question, history=history):
        first = first or time.perf_counter() - began
        events.append(event)
    return collect(events), time.perf_counter() - began, first


def refuses(case: dict[str, Any]) -> bool:
    return bool(case["expect"].get("refuse"))
