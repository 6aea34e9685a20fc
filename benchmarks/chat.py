"""How often the offline chat is right: a set of questions over the bundled history, answers by independent SQL."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import chat_guard
from benchmarks.report import Figure, note

SETS = Path(__file__).parent.parent / "tests" / "evals"
NAMES = ("golden.json", "held_out.json", "held_out_3.json", "held_out_4.json", "held_out_5.json")
# The first sets have every type; the last only has other wording.
QUICK = 3
# Questions of each type when it has to be quick; a set that was named is asked whole.
SAMPLE = 1
# Questions asked once more for their time: a single run of each is at the mercy of whatever else the machine does.
ROUNDS = 3


def run(quick: bool, options: list[str]) -> Iterator[Figure]:
    """--questions FILE: another set of the same JSON shape (see tests/evals/README.md). Deterministic, no network."""
    from tests.evals import ask as asking
    from tests.evals.score import invented, problems

    files = [Path(options[i + 1]) for i, option in enumerate(options[:-1]) if option == "--questions"]
    names = NAMES[:QUICK] if quick else NAMES
    cases = [case for file in files or [SETS / name for name in names] for case in _read(file)]
    if quick and not files:
        cases = _sampled(cases)
    took: list[float] = []
    first: list[float] = []
    right = refused = refusable = made_up = asked = 0
    wrong: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="chat-bench-") as place:
        world = asking.demo_world(Path(place))
        truth = asking.facts(world)
        try:
            for case in cases:
                actor = asking.person(world, case.get("as", ""))
                for question in case["ask"]:
                    rounds = [
                        asking.ask(world.app, actor, question, case.get("before", []))
                        for _ in range(1 if quick else ROUNDS)
                    ]
                    answer = rounds[0][0]
                    took.append(float(np.median([seconds for _, seconds, _ in rounds])))
                    first.append(float(np.median([seconds for _, _, seconds in rounds])))
                    found = _marked(case, answer, world, truth, problems)
                    if of_nothing := invented(answer, question):
                        made_up += 1
                        note(f"invented in {question!r}: {', '.join(of_nothing)[:200]}")
                    asked += 1
                    right += not found
                    if asking.refuses(case):
                        refusable += 1
                        refused += not found
                    if found:
                        wrong[case["type"]] += 1
                        note(f"{case['type']}: {question!r}: {'; '.join(found)[:300]}")
        finally:
            world.app.stop()
    note(f"{asked} questions of {len({case['type'] for case in cases})} types; wrong: {dict(wrong) or 'none'}")
    yield Figure("chat", "questions", asked, "questions")
    yield Figure("chat", "correct", round(100 * right / max(asked, 1), 2), "%")
    yield Figure("chat", "refused", round(100 * refused / refusable, 2) if refusable else 100.0, "%")
    yield Figure("chat", "invented", made_up, "answers")
    yield Figure("chat", "p95_ms", round(1000 * float(np.quantile(took, 0.95)), 1), "ms")
    yield Figure("chat", "first_words_p95_ms", round(1000 * float(np.quantile(first, 0.95)), 1), "ms")
    yield from chat_guard.injection()
    yield from chat_guard.faults(quick)


def _read(file: Path) -> list[dict[str, Any]]:
    return list(json.loads(file.read_text())) if file.exists() else []


def _sampled(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A few questions of every type, always the same ones."""
    kept: Counter[str] = Counter()
    made = []
    for case in cases:
        few = case["ask"][: max(0, SAMPLE - kept[case["type"]])]
        kept[case["type"]] += len(few)
        made += [{**case, "ask": few}] if few else []
    return made


def _marked(case: dict[str, Any], answer: Any, world: Any, truth: Any, problems: Any) -> list[str]:
    try:
        return list(problems(answer, case["expect"], world, truth))
    except Exception as error:
        # An expectation that cannot be evaluated is a fault of the set; it must not hide the other questions.
        return [f"the expectation cannot be checked: {error}"]
