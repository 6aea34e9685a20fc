from __future__ import annotations

import pytest

from lib.training.plan import Plan, Step, replace
from lib.training.review import Facts, review
from lib.training.schema import Task
from lib.ui.pipeline_graph import Moved, Picked, card_of, event, nodes

ROLES = {"a": "numeric", "b": "category", "y": "target"}
PLAN = Plan("y", ROLES, steps=(Step("impute"), Step("encode", ("b",), "target")), families=("linear", "forest"))
FACTS = Facts(100, ROLES, task=Task.BINARY)


def test_the_graph_has_the_plan_in_its_order() -> None:
    shown = nodes(PLAN, review(PLAN, FACTS), "churn")
    assert [(one.id, one.layer) for one in shown] == [
        ("data", 0),
        ("step-0", 1),
        ("step-1", 2),
        ("split", 3),
        ("model-linear", 4),
        ("model-forest", 4),
        ("ensemble", 5),
        ("scores", 6),
    ]
    assert shown[2].title == "2 Encode categories" and shown[2].detail == "target: b" and shown[2].movable
    alone = nodes(replace(PLAN, ensemble=False), review(PLAN, FACTS), "churn", editable=False)
    assert [one.id for one in alone][-2:] == ["model-forest", "scores"] and not any(one.movable for one in alone)


def test_what_is_wrong_is_at_its_node_with_the_remedy_in_words() -> None:
    plan = replace(PLAN, steps=(*PLAN.steps, Step("clip", ("b",))), families=("oracle",))
    states = {one.id: one for one in nodes(plan, review(plan, FACTS), "churn")}
    assert {name: one.state for name, one in states.items() if one.state} == {
        "step-2": "error",
        "model-oracle": "error",
    }
    assert "Take these columns out of the step." in states["step-2"].label and "error" in states["step-2"].label


def test_long_names_are_cut() -> None:
    plan = Plan("y" * 190, {"y" * 190: "target"})
    assert all(len(one.title) <= 81 and len(one.detail) <= 81 for one in nodes(plan, review(plan, FACTS), "x" * 200))


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"picked": "step-1"}, Picked("step-1")),
        ({"picked": "model-linear"}, Picked("models")),
        ({"picked": "ensemble"}, Picked("models")),
        ({"moved": {"at": 0, "to": 1}, "picked": None}, Moved(0, 1)),
        ({"picked": "step-9"}, None),
        ({"picked": "<script>"}, None),
        ({"picked": 4}, None),
        ({"moved": {"at": 0, "to": 9}}, None),
        ({"moved": {"at": -1, "to": 0}}, None),
        ({"moved": {"at": True, "to": 0}}, None),
        ({"moved": {"at": "0"}}, None),
        ({"moved": [0, 1]}, None),
        ({}, None),
    ],
)
def test_what_a_browser_sends_is_understood_or_left(sent: dict, meant: object) -> None:
    assert event(sent, PLAN) == meant


def test_models_share_a_card() -> None:
    assert {card_of(one) for one in ("model-linear", "ensemble")} == {"models"} and card_of("split") == "split"
