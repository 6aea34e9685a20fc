"""The tools by name: checks arguments by their schema, runs nothing that does not fit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from lib.chat.tools import anomalies, commands, comparison, forecasts, inventory, others, quality, statistics, sums
from lib.chat.tools.data import Data, Outcome, Result
from lib.errors import AppError


@dataclass(frozen=True)
class Tool:
    """One thing a person or a model may ask of the data. All of them only read, but for `command`, which proposes."""

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Data, Any], Result]

    def schema(self) -> dict[str, Any]:
        """JSON schema of the arguments: plain properties, no titles."""
        return _untitled(self.arguments.model_json_schema())


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "list_metrics",
            "Which metrics or hosts are stored, how many series, since when. Ask this before guessing a metric's name.",
            inventory.Arguments,
            inventory.run,
        ),
        Tool(
            "statistics",
            "Numbers of one metric over a period: latest, mean, min, max and when, median, quantile, increase of a "
            "counter. Counters are shown as rate per second. One row a host.",
            statistics.Arguments,
            statistics.run,
        ),
        Tool(
            "anomalies",
            "Anomalies the detectors found in a period: the worst, the newest, the longest, counts by host, severity.",
            anomalies.Arguments,
            anomalies.run,
        ),
        Tool(
            "explain_anomaly",
            "Why one anomaly is one: expected and actual value, and which series contributed how much.",
            anomalies.ExplainArguments,
            anomalies.run_explain,
        ),
        Tool(
            "describe_metric",
            "One metric: its kind, series, hosts, span, and the values of its labels.",
            inventory.MetricArguments,
            inventory.run_metric,
        ),
        Tool(
            "compare_windows",
            "The same statistic in two periods: today against yesterday, before against after a deploy.",
            comparison.WindowsArguments,
            comparison.run_windows,
        ),
        Tool(
            "odd_one_out",
            "Which host differs most from the others in the mean of a metric.",
            comparison.OddArguments,
            comparison.run_odd,
        ),
        Tool(
            "correlation",
            "Pearson's r of two metrics on the same hosts over a period.",
            comparison.CorrelationArguments,
            comparison.run_correlation,
        ),
        Tool(
            "ratio",
            "The mean of one metric divided by the mean of another over a period.",
            comparison.RatioArguments,
            comparison.run_ratio,
        ),
        Tool(
            "quality",
            "Whether data can be trusted: gaps, counter resets, constant series, silent series, duplicates, interval.",
            quality.Arguments,
            quality.run,
        ),
        Tool(
            "forecast",
            "The expected value of a metric at a time, or when it crosses a limit, from forecasts that were made.",
            forecasts.Arguments,
            forecasts.run,
        ),
        Tool(
            "what_changed",
            "Which series changed most in a period, against the time before it.",
            others.ChangedArguments,
            others.run_changed,
        ),
        Tool("marks", "Deploys, notes and maintenance people marked.", others.MarkArguments, others.run_marks),
        Tool("detectors", "The trained anomaly detectors and since when.", others.ModelArguments, others.run_models),
        Tool("alerts", "Alerts. Not available here: says so.", others.AlertArguments, others.run_alerts),
        Tool(
            "sql",
            "Run one SELECT over the stored tables; it cannot change anything.",
            others.SqlArguments,
            others.run_sql,
        ),
        Tool(
            "command",
            "Propose to collect, detect, forecast or label. It is not done until the person presses Approve.",
            commands.Arguments,
            commands.run,
        ),
    )
}


# Tools that compute from stored samples of a time.
FROM_SAMPLES = ("statistics", "compare_windows", "odd_one_out", "correlation", "ratio", "quality")


def call(data: Data, name: str, arguments: Mapping[str, Any] | None) -> Result:
    """Run a tool. Whatever is wrong with the call comes back as an ERROR result, for whoever called to read."""
    tool = TOOLS.get(name)
    if tool is None:
        return Result(Outcome.ERROR, f"There is no tool {name[:60]!r}; there are {', '.join(TOOLS)}.")
    if arguments is None:
        return Result(Outcome.ERROR, f"The arguments of {name} were not a JSON object; send one that fits its schema.")
    try:
        asked = tool.arguments.model_validate(dict(arguments))
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(str(p) for p in e['loc']) or name}: {e['msg']}" for e in error.errors()[:5])
        return Result(Outcome.ERROR, f"Arguments that do not fit {name}: {told[:400]}")
    try:
        result = tool.run(data, asked)
        return sums.honest(data, result) if name in FROM_SAMPLES else result
    except AppError as error:
        return Result(Outcome.ERROR, error.message)


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    properties = {
        name: {k: v for k, v in inner.items() if k != "title"} for name, inner in schema.get("properties", {}).items()
    }
    required = schema.get("required", [])
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
