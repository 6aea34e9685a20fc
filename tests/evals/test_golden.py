"""Questions with known answers: the offline engine is right, refuses what cannot be answered, and invents nothing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lib.auth.actor import GUEST
from tests.evals import ask as asking
from tests.evals.demo import DemoWorld
from tests.evals.score import invented, problems
from tests.evals.truth import Facts, Truth
from tests.evals.world import World

HERE = Path(__file__).parent


def cases(name: str) -> list[Any]:
    known: list[dict[str, Any]] = json.loads((HERE / name).read_text())
    return [pytest.param(case, ask, id=f"{case['type']}: {ask}"[:80]) for case in known for ask in case["ask"]]


@pytest.mark.parametrize(("case", "question"), cases("golden.json"))
def test_answer_over_the_demo_is_right_cited_or_refused(
    case: dict[str, Any], question: str, demo: DemoWorld, facts: Facts
) -> None:
    actor = asking.person(demo, case.get("as", ""))
    answer, _, _ = asking.ask(demo.app, actor, question, case.get("before", []))
    assert problems(answer, case["expect"], demo, facts) == [], answer.text
    assert invented(answer, question) == [], answer.text


@pytest.mark.parametrize(("case", "question"), cases("small.json"))
def test_answer_over_a_small_world_is_right_cited_or_refused(
    case: dict[str, Any], question: str, world: World, truth: Truth
) -> None:
    asked = question.format(id0=world.anomalies[0].id) if "{id" in question else question
    answer, _, _ = asking.ask(world.app, GUEST, asked, case.get("before", []))
    assert problems(answer, case["expect"], world, truth) == [], answer.text


def test_set_is_wide_enough() -> None:
    golden = json.loads((HERE / "golden.json").read_text())
    phrasings = Counter(case["type"] for case in golden for _ in case["ask"])
    assert sum(phrasings.values()) >= 160
    assert len(phrasings) >= 40
    assert sum(count for kind, count in phrasings.items() if kind.startswith("refuse")) >= 40


def unseen_once() -> list[Any]:
    """The sets of new wording, one test each: (file, half)."""
    sets = (("held_out_3.json", "abcde"), ("held_out_4.json", "fghijkl"), ("held_out_5.json", "mnopqrstuvw"))
    return [(name, half) for name, halves in sets for half in halves]


@pytest.mark.parametrize(("name", "half"), unseen_once())
def test_wording_that_was_unseen_once_stays_right(name: str, half: str, demo: DemoWorld, facts: Facts) -> None:
    asked, wrong = 0, []
    for case in json.loads((HERE / name).read_text()):
        for question in case["ask"] if case["half"] == half else ():
            answer, _, _ = asking.ask(
                demo.app, asking.person(demo, case.get("as", "")), question, case.get("before", [])
            )
            found = problems(answer, case["expect"], demo, facts) + invented(answer, question)
            wrong += [f"{question[:80]!r}: {found} in {answer.text[:300]!r}"] if found else []
            asked += 1
    assert asked > 40
    assert not wrong, "\n".join(wrong)
