"""Pictures of results: foreign names do nothing, each says what it shows, and odd results are drawn too."""

from __future__ import annotations

import json

import pytest

from lib.ui import result_charts

HOSTILE = "<b>x</b> %{y}"


def drawn(figure: object) -> str:
    return json.dumps(figure.to_plotly_json(), default=list)


def curves(count: int) -> list[dict]:
    return [
        {
            "class": f"{HOSTILE} {n}", "auc": 0.7, "average_precision": 0.5, "share": 0.1,
            "roc": {"false_positive": [0.0, 1.0], "true_positive": [0.0, 1.0]},
            "pr": {"recall": [0.0, 1.0], "precision": [1.0, 0.1]},
        }
        for n in range(count)
    ]  # fmt: skip


def figures() -> list:
    residuals = {
        "said": [1.0, 2.0], "came": [1.5, 1.0], "half_within": 0.5, "bias": 0.1,
        "histogram": {"edges": [-1.0, 0.0, 1.0], "counts": [3, 4]},
    }  # fmt: skip
    promised = {"promised": [0.1], "seen": [0.2], "low": [0.1], "high": [0.3], "count": [9], "ece": 0.1}
    points = [
        {"rows": 10, "value": 0.5, "low": None, "high": None},
        {"rows": 20, "value": 0.6, "low": 0.5, "high": 0.7},
    ]
    words = {"column": HOSTILE, "values": [HOSTILE, "b"], "mean": {HOSTILE: [0.1, None]}, "low": [0, 0], "high": [1, 1]}
    return [
        result_charts.confusion({"classes": [HOSTILE, "b"], "counts": [[3, 1], [0, 0]]}),
        result_charts.confusion({"classes": [f"c{n}" for n in range(40)], "counts": [[1] * 40] * 40}),
        result_charts.roc(curves(1)),
        result_charts.roc(curves(9)),
        result_charts.precision_recall(curves(9)),
        result_charts.calibration(promised),
        result_charts.said_and_came(residuals, HOSTILE),
        result_charts.residuals(residuals, HOSTILE),
        result_charts.learning_curve(points, HOSTILE),
        result_charts.bars([HOSTILE, "b" * 200], [0.5, -0.2], "lost", spread=[0.1, 0.0], alt="bars"),
        result_charts.dependence(words, HOSTILE),
        result_charts.dependence({"column": "c", "values": [1.0, 2.0], "mean": {"a": [0.1, 0.2]}}, "said"),
    ]


@pytest.mark.parametrize("place", range(12))
def test_each_picture_says_what_it_shows_and_runs_nothing_foreign(place: int) -> None:
    figure = figures()[place]
    told = dict(figure.layout.meta)
    assert len(told.pop("alt")) > 3
    figure.layout.meta = None
    shown = drawn(figure)
    assert "<b>" not in shown and "%{y}  " not in shown and " %{y} " not in shown


def test_many_classes_are_shaded_and_not_written() -> None:
    few, many = figures()[:2]
    assert len(few.layout.annotations) == 4 and not many.layout.annotations
    assert len(figures()[3].data) == result_charts.MOST_CURVES + 1
