"""A model card: what a model is for, from what, how good, where it errs; Markdown to read and keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.training.model import Model
from lib.training.schema import Role, Task
from lib.training.words import verdict

_TASKS = {
    Task.BINARY: "tells two classes apart",
    Task.MULTICLASS: "tells classes apart",
    Task.REGRESSION: "predicts a number",
}


def card(
    model: Model,
    results: Mapping[str, Any],
    *,
    name: str,
    importance: Sequence[Mapping[str, Any]] = (),
    facts: Mapping[str, str] | None = None,
) -> str:
    """Markdown. facts: further lines of the head, such as data hash, code version and date."""
    plan, schema = model.plan, model.schema
    lines = [f"# {_text(name)}", "", f"Predicts `{_code(schema.target)}`: {_TASKS[model.task]}", ""]
    if schema.classes:
        lines[2] += f" ({', '.join(_text(one) for one in schema.classes[:20])})"
    lines[2] += f". Learnt from {schema.rows:,} rows and {len(schema.columns):,} columns."
    lines += [f"- {_text(key)}: {_text(value)}" for key, value in (facts or {}).items()]
    lines += [
        "",
        "## How good",
        "",
        " ".join(_text(line) for line in verdict(results)),
        "",
        _how(model, results),
        "",
        "| Metric | Value | 95% interval | Always the usual answer |",
        "| --- | --- | --- | --- |",
    ]
    for one in results["metrics"]:
        label = f"**{one['label']}**" if one["chosen"] else one["label"]
        ends = f"{_number(one['low'])} to {_number(one['high'])}"
        lines.append(f"| {label} | {_number(one['value'])} | {ends} | {_number(one.get('baseline'))} |")
    if "calibration" in results:
        lines += ["", f"Probabilities are off by {_number(results['calibration']['ece'])} on average (ECE)."]
    if model.task == Task.BINARY:
        lines += ["", f"`{_code(schema.classes[1])}` is said from a probability of {model.threshold:.3f} on."]
    lines += ["", "## What is inside", "", "| Model | Weight | Parameters |", "| --- | --- | --- |"]
    for member in model.members:
        params = ", ".join(f"{key} {_number(value)}" for key, value in member.params.items())
        lines.append(f"| {_text(member.name)} | {member.weight:.2f} | {_text(params)} |")
    lines += ["", "Steps: " + "; ".join(_text(step.label) for step in plan.steps) + ".", ""]
    lines.append(f"Budget {plan.budget_s:g} s, {results['took_s']:.0f} s used; seed {plan.seed}.")
    if importance:
        lines += ["", "## What it looks at", "", "| Column | Score lost when shuffled |", "| --- | --- |"]
        lines += [f"| {_text(one['column'])} | {_number(one['drop'])} |" for one in importance[:12]]
    lines += ["", "## Where it errs", ""]
    sure = [one for one in results["slices"] if one["sure"]]
    for one in sure[:6]:
        lines.append(
            f"- {_text(one['column'])} = {_text(one['value'])} ({one['rows']:,} rows): loss {_number(one['loss'])}, "
            f"overall {_number(one['overall'])}"
        )
    if not sure:
        lines.append("No part of the table stands out beyond chance.")
    cautions = [*results["notes"], *(f"{key} was left out: {why}." for key, why in results["left_out"].items())]
    if cautions:
        lines += ["", "## Mind", "", *(f"- {_text(one)}" for one in cautions[:20])]
    lines += ["", "## What it takes", "", "| Column | Kind | Seen |", "| --- | --- | --- |"]
    for column in schema.columns:
        seen = f"{_number(column.low)} to {_number(column.high)}" if column.low is not None else ""
        if column.categories:
            seen = ", ".join(_text(one) for one in column.categories[:8]) + (" …" if column.distinct > 8 else "")
        lines.append(f"| {_text(column.name)} | {column.role} | {seen} |")
    return "\n".join(lines) + "\n"


def _how(model: Model, results: Mapping[str, Any]) -> str:
    if results["held_out"]:
        return f"Measured once on {results['rows']:,} rows that were held out from everything."
    way = "each predicted from earlier ones" if model.plan.of(Role.TIME) else "each predicted by models without it"
    return (
        f"Measured on {results['rows']:,} rows, {way}; weights, calibration and threshold were learnt on other rows "
        "than those they are judged on."
    )


def _text(value: object) -> str:
    """One line that Markdown shows as it is: names come from people's files."""
    flat = " ".join(str(value).split())[:300]
    for sign in "\\`*_{}[]<>#|!":
        flat = flat.replace(sign, f"\\{sign}")
    return flat


def _code(value: object) -> str:
    return " ".join(str(value).split()).replace("`", "'")[:200]


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
