"""The tools by name: checks arguments by their schema, runs nothing that does not fit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from lib.chat.tools import anomalies, inventory, statistics
from lib.chat.tools.data import Data, Outcome, Result
from lib.errors import AppError


@dataclass(frozen=True)
class Tool:
    """One thing a person or a model may ask of the data. All of them only read."""

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
    )
}


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
        return tool.run(data, asked)
    except AppError as error:
        return Result(Outcome.ERROR, error.message)


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    properties = {
        name: {k: v for k, v in inner.items() if k != "title"} for name, inner in schema.get("properties", {}).items()
    }
    required = schema.get("required", [])
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
