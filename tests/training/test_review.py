from __future__ import annotations

from dataclasses import replace

import pytest

from lib.training.leaks import Leak
from lib.training.plan import Plan, Step
from lib.training.review import Facts, mend, review
from lib.training.schema import Task

GUESSES = {"a": "numeric", "id": "identifier", "b": "category", "day": "date", "y": "target"}
FACTS = Facts(100, GUESSES, task=Task.BINARY)
PLAN = Plan("y", {**GUESSES})


def mended(plan: Plan, facts: Facts = FACTS) -> Plan:
    """All that is mended by itself, mended."""
    for _ in range(10):
        fixable = [one for one in review(plan, facts).findings if one.fix]
        if not fixable:
            return plan
        plan = mend(plan, fixable[0], facts)
    raise AssertionError("mending does not end")


def test_a_sound_plan_has_no_findings() -> None:
    assert review(PLAN, FACTS).findings == () and review(PLAN, FACTS).ready


@pytest.mark.parametrize(
    ("plan", "node", "fatal"),
    [
        (replace(PLAN, target=""), "data", True),
        (replace(PLAN, roles={**GUESSES, "y": "numeric"}), "data", True),
        (replace(PLAN, roles={**GUESSES, "gone": "numeric"}), "data", True),
        (replace(PLAN, roles={**GUESSES, "id": "numeric"}), "data", False),
        (replace(PLAN, roles={**GUESSES, "b": "numeric"}), "data", False),
        (replace(PLAN, roles={**GUESSES, "a": "wizard"}), "data", True),
        (replace(PLAN, roles={**GUESSES, "a": "time", "day": "time"}), "data", True),
        (replace(PLAN, roles={**GUESSES, "a": "group", "day": "time"}), "split", True),
        (replace(PLAN, roles={**GUESSES, "b": "time"}), "split", True),
        (replace(PLAN, steps=(Step("impute", ("id",)),)), "step-0", False),
        (replace(PLAN, roles={**GUESSES, "b": "date"}), "data", False),
        (replace(PLAN, families=()), "models", True),
        (replace(PLAN, families=("linear", "oracle")), "models", True),
        (replace(PLAN, budget_s=0.5), "models", True),
        (replace(PLAN, folds=90), "split", True),
        (replace(PLAN, holdout=2.0), "split", True),
        (replace(PLAN, task=Task.BINARY, metric="r2"), "scores", True),
        (replace(PLAN, metric="r2"), "scores", True),
        (replace(PLAN, task=Task.REGRESSION), "scores", True),
        (replace(PLAN, steps=(Step("fly"),)), "step-0", True),
        (replace(PLAN, steps=(Step("clip", ("b",)),)), "step-0", True),
        (replace(PLAN, steps=(Step("encode", ("gone",)),)), "step-0", True),
        (replace(PLAN, steps=(Step("encode", ("b",), "magic"),)), "step-0", True),
        (replace(PLAN, steps=(Step("clip", ("a",), "", {"share": 5}),)), "step-0", True),
        (replace(PLAN, steps=(Step("drop", ("a",)), Step("scale", ("a",)))), "step-1", True),
        (replace(PLAN, steps=(Step("encode"), Step("drop", ("b",)))), "step-1", True),
        (replace(PLAN, steps=(Step("encode"), Step("encode", ("b",), "target"))), "step-1", False),
        (replace(PLAN, steps=(Step("encode"), Step("encode", (), "target"))), "step-1", False),
        (replace(PLAN, steps=(Step("scale"), Step("clip"), Step("scale"))), "step-2", False),
        (replace(PLAN, steps=(Step("balance"), Step("balance"))), "step-1", True),
        (replace(PLAN, steps=(Step("drop"),)), "step-0", False),
    ],
)
def test_what_is_wrong_shows_where_it_is_and_says_what_to_do(plan: Plan, node: str, fatal: bool) -> None:
    found = review(plan, FACTS)
    told = [one for one in found.findings if one.fix != "add_step"]
    assert {one.node for one in told} == {node}, told
    assert found.ready is not fatal and all(one.remedy for one in found.findings)
    assert found.findings[0].fatal is fatal
    if plan.target:
        assert mended(plan) != plan and review(mended(plan), FACTS).findings == ()


def test_what_comes_too_late_moves_before_what_it_concerns() -> None:
    plan = replace(PLAN, steps=(Step("dates"), Step("impute"), Step("encode"), Step("drop", ("b",))))
    assert [step.kind for step in mended(plan).steps] == ["drop", "dates", "impute", "encode"]


def test_columns_no_step_turns_into_numbers_are_told_and_the_step_is_one_click_away() -> None:
    plan = replace(PLAN, steps=(Step("impute"), Step("scale")))
    found = review(plan, FACTS)
    assert found.ready and [one.columns for one in found.findings] == [("day",), ("b",)]
    assert "not learnt from: there is no step “Encode categories”" in found.findings[1].message
    assert [step.kind for step in mended(plan).steps] == ["dates", "impute", "encode", "scale"]
    nothing = Plan("y", {"b": "category", "y": "target"}, steps=())
    assert not review(nothing, FACTS).ready and review(mended(nothing), FACTS).ready


def test_leaks_block_only_while_they_are_learnt_from() -> None:
    facts = replace(FACTS, leaks=(Leak("a", "copy", "a is the target itself."), Leak("b", "tells", "b tells.")))
    found = review(PLAN, facts)
    assert [(one.columns, one.fatal) for one in found.findings] == [(("a",), True), (("b",), False)]
    assert mended(PLAN, facts).roles["a"] == "ignore"
    assert review(replace(PLAN, steps=(Step("drop", ("a", "b")), *PLAN.steps)), facts).ready is True
    assert review(replace(PLAN, roles={**GUESSES, "a": "ignore"}), facts).ready is True


def test_a_target_that_cannot_be_learnt_is_an_error_a_person_mends() -> None:
    found = review(PLAN, replace(FACTS, task=None, refusal="It has a single class."))
    assert not found.ready and found.findings[0].fix == "" and mend(PLAN, found.findings[0], FACTS) == PLAN


def test_what_training_would_refuse_is_said_before() -> None:
    facts = replace(FACTS, guesses={**GUESSES, "still": "ignore"})
    nothing = review(Plan("y", {"still": "numeric", "y": "target"}), facts)
    assert not nothing.ready and "Nothing can be learnt from still" in nothing.findings[0].message
    alone = replace(PLAN, roles={**GUESSES, "still": "group"})
    assert [one.node for one in review(alone, facts).findings] == ["split"] and not review(alone, facts).ready
    without = Plan("y", {"a": "numeric", "y": "target"}, steps=(Step("drop", ("b",)),))
    assert review(replace(PLAN, steps=(Step("drop", ("id",)), *PLAN.steps)), FACTS).findings == ()
    assert not review(without, FACTS).ready and review(mended(without), FACTS).findings == ()


def test_two_thousand_columns_are_judged() -> None:
    guesses = {f"c{n}": "numeric" for n in range(2000)} | {"y": "target"}
    plan = Plan("y", {**guesses, **{f"lost{n}": "numeric" for n in range(500)}})
    found = review(plan, Facts(10, guesses))
    assert len(found.findings) == 1 and review(mend(plan, found.findings[0], FACTS), Facts(10, guesses)).ready
