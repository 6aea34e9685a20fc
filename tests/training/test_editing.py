from __future__ import annotations

import pytest

from lib.errors import Invalid
from lib.training import editing
from lib.training.plan import MOST_STEPS, USUAL_STEPS, Plan, Step, replace
from lib.training.schema import Task

ROLES = {"a": "numeric", "b": "category", "day": "date", "y": "target"}
PLAN = Plan("y", ROLES)
KINDS = [step.kind for step in USUAL_STEPS]


def test_steps_are_moved_removed_and_added_where_they_usually_stand() -> None:
    assert [s.kind for s in editing.moved(PLAN, 0, 2).steps] == ["text", "impute", "dates", "encode", "scale"]
    assert [s.kind for s in editing.moved(PLAN, 0, 99).steps][-1] == "dates"
    assert [s.kind for s in editing.removed(PLAN, 1).steps] == ["dates", "impute", "encode", "scale"]
    assert [s.kind for s in editing.added(PLAN, Step("clip")).steps] == [*KINDS[:2], "clip", *KINDS[2:]]
    assert [s.kind for s in editing.added(PLAN, Step("drop", ("a",))).steps][0] == "drop"
    assert [s.kind for s in editing.added(PLAN, Step("balance")).steps][-1] == "balance"
    with pytest.raises(Invalid, match="no step 6"):
        editing.moved(PLAN, 5, 0)
    with pytest.raises(Invalid, match="at most"):
        editing.added(replace(PLAN, steps=(Step("clip"),) * MOST_STEPS), Step("clip"))


def test_a_column_that_is_no_feature_any_more_leaves_the_steps_that_name_it() -> None:
    plan = replace(PLAN, steps=(Step("clip", ("a",)), Step("encode", ("b",)), Step("impute", ("a", "b"))))
    made = editing.with_roles(plan, {"a": "ignore"})
    assert [step.columns for step in made.steps] == [("b",), ("b",)]
    assert editing.forget(plan, ("a",)).roles == {"b": "category", "day": "date", "y": "target"}


def test_another_target_takes_the_place_of_the_first() -> None:
    made = editing.with_roles(replace(PLAN, task=Task.BINARY), {"b": "target"})
    assert made.target == "b" and made.task is None
    assert made.roles == {"a": "numeric", "b": "target", "day": "date", "y": "ignore"}


def test_differences_name_what_changed_and_only_what_moved() -> None:
    after = editing.moved(PLAN, 4, 0)
    assert [(one.what, one.before, one.after) for one in editing.differences(PLAN, after)] == [
        ("Scale numbers", "place 5", "place 1")
    ]
    after = replace(
        editing.with_roles(PLAN, {"a": "ignore"}), folds=3, steps=(*PLAN.steps[:4], Step("scale", (), "robust"))
    )
    told = {(one.part, one.what): (one.before, one.after) for one in editing.differences(PLAN, after)}
    assert told == {
        ("Setting", "Folds"): ("0", "3"),
        ("Column", "a"): ("numeric", "ignore"),
        ("Step", "Step 5"): ("Scale numbers", "Scale numbers (robust)"),
    }
    gone = editing.differences(PLAN, editing.removed(PLAN, 2))
    assert [(one.what, one.before, one.after) for one in gone] == [("Step 3", "Fill gaps", "")]
    assert editing.differences(PLAN, PLAN) == []
