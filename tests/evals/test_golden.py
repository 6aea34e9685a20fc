"""Questions with known answers: the offline engine is right, refuses what cannot be answered, and invents nothing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lib.auth.actor import GUEST
from lib.services.conversations import Entry
from tests.evals.score import Answer, collect, problems
from tests.evals.truth import Truth
from tests.evals.world import NOW, World

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text())
CASES = [pytest.param(case, ask, id=f"{case['type']}: {ask}"[:80]) for case in GOLDEN for ask in case["ask"]]


def ask(world: World, question: str, before: list[str]) -> Answer:
    history: list[Entry] = []
    for earlier in before:
        answer = collect(list(world.app.assistant.answer(GUEST, earlier, history=history)))
        history += [
            Entry("user", earlier, NOW),
            Entry("assistant", answer.text, NOW, "offline", answer.evidence),
        ]
    return collect(list(world.app.assistant.answer(GUEST, question, history=history)))


@pytest.mark.parametrize(("case", "question"), CASES)
def test_answer_is_right_cited_or_refused(case: dict[str, Any], question: str, world: World, truth: Truth) -> None:
    asked = question.format(id0=world.anomalies[0].id) if "{id" in question else question
    answer = ask(world, asked, case.get("before", []))
    assert problems(answer, case["expect"], world, truth) == [], answer.text


def test_set_is_wide_enough() -> None:
    phrasings = Counter(case["type"] for case in GOLDEN for _ in case["ask"])
    assert sum(phrasings.values()) >= 160
    assert len(phrasings) >= 12
    assert sum(count for kind, count in phrasings.items() if kind in ("refuse", "unknown", "no data")) >= 40
