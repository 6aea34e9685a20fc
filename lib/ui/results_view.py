"""What a training came to, on the page: words first, then figures with intervals, pictures, reasons and weak spots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.db.tables import TaskStatus
from lib.services.training import MOST_COMPARED, Run
from lib.services.training_setup import slug
from lib.tasks.runner import ACTIVE
from lib.training import words
from lib.ui import charts, links, refusal, result_charts
from lib.ui.text import plain

if TYPE_CHECKING:
    from lib.app import App

Results = Mapping[str, Any]
MOST_BARS, MOST_SHARES = 15, 12


def verdict(results: Results) -> None:
    """The first sentence is the result; the rest holds it against simpler answers."""
    first, *rest = words.verdict(results)
    st.markdown(f"**{plain(first, 800)}**")
    cautions = [*rest, *results["notes"]]
    st.markdown("\n".join(f"- {plain(line, 800)}" for line in cautions))


def figures(results: Results) -> None:
    """Each metric with its interval, beside what always saying the same reaches."""
    rows = results["metrics"]
    st.dataframe(
        pd.DataFrame(
            {
                "metric": [("★ " if one["chosen"] else "") + one["label"] for one in rows],
                "value": [one["value"] for one in rows],
                "sure": [f"{words.number(one['low'])} to {words.number(one['high'])}" for one in rows],
                "usual": [one.get("baseline") for one in rows],
                "better": ["smaller" if one["smaller_is_better"] else "greater" for one in rows],
                "means": [words.METRICS[one["name"]] for one in rows],
            }
        ),
        column_config={
            "metric": st.column_config.TextColumn("Metric", help="★ the one models were chosen by.", pinned=True),
            "value": st.column_config.NumberColumn("Model", format="%.4g"),
            "sure": st.column_config.TextColumn("95% sure", help="Had other rows been drawn: 400 resamples."),
            "usual": st.column_config.NumberColumn("Always the same", format="%.4g", help="The mean, or class shares."),
            "better": "Better is",
            "means": st.column_config.TextColumn("What it says", width="large"),
        },
        hide_index=True,
        key="result_metrics",
        alt="Metrics with their 95% intervals and the simplest answer beside them",
    )


def pictures(results: Results) -> None:
    """Confusion, curves and calibration of classes; residuals of a number."""
    if "residuals" in results:
        found, target = results["residuals"], str(results.get("target", "target"))
        st.caption(
            f"Half of the rows are off by at most {words.number(found['half_within'])}, nine in ten by at most "
            f"{words.number(found['nine_in_ten_within'])}; on average {words.number(found['bias'])}."
        )
        _side_by_side(
            ("Said and came", result_charts.said_and_came(found, target), "result_said"),
            ("How far off", result_charts.residuals(found, target), "result_residuals"),
        )
        return
    pairs = [("Who was taken for whom", result_charts.confusion(results["confusion"]), "result_confusion")]
    pairs.append(("Promises kept?", result_charts.calibration(results["calibration"]), "result_calibration"))
    _side_by_side(*pairs)
    _classes(results)
    if results["curves"]:
        _side_by_side(
            ("ROC", result_charts.roc(results["curves"]), "result_roc"),
            ("Precision and recall", result_charts.precision_recall(results["curves"]), "result_pr"),
        )


def _classes(results: Results) -> None:
    said = f"Probabilities are {results['calibration']['ece']:.1%} off on average."
    if results["task"] == "binary":
        name = plain(results["classes"][1], 60)
        said += f" {name} is said from a probability of {results['threshold']:.0%} on."
    st.caption(said)
    rows = results["confusion"]["by_class"]
    if len(rows) > 2:
        st.dataframe(
            pd.DataFrame(rows),
            column_config={
                "class": "Class",
                "precision": st.column_config.NumberColumn("Right of those said", format="percent"),
                "recall": st.column_config.NumberColumn("Found", format="percent"),
                "support": st.column_config.NumberColumn("Rows", format="localized"),
            },
            hide_index=True,
            key="result_classes",
            alt="Precision and recall of each class",
        )


def _side_by_side(*pictures_: tuple[str, Any, str]) -> None:
    for (title, figure, key), column in zip(pictures_, st.columns(len(pictures_)), strict=True):
        with column:
            st.markdown(f"**{title}**")
            charts.show(figure, key=key)


# --- what takes a while ------------------------------------------------------------------------------


def curve(app: App, actor: Actor, run: Run, results: Results) -> None:
    """How the score grows with rows; made when asked for."""
    st.markdown("**Would more rows help?**")
    points = lazily(app, actor, run, "learning_curve", ask="Draw the learning curve")
    if points is None:
        return
    if len(points) < 2:
        st.caption("Smaller parts of this table are too small to learn from.")
        return
    label = next(one["label"] for one in results["metrics"] if one["chosen"])
    st.caption(
        "One quick model on growing parts of the rows, with 95% intervals. Where it still climbs at the right end, "
        "more rows would help."
    )
    charts.show(result_charts.learning_curve(points, label), key="result_learning")


def looks_at(app: App, actor: Actor, run: Run, results: Results) -> None:
    """Which columns matter, how each moves the prediction, and why single rows were judged as they were."""
    ranked = [one for one in results.get("importance", []) if one["drop"] is not None]
    if ranked:
        st.markdown("**What the score rests on**")
        st.caption("How much worse the score gets when a column is shuffled, with the spread over repeats.")
        shown = ranked[:MOST_BARS]
        alt = (
            "Score lost when shuffled: "
            + ", ".join(f"{o['column']} {words.number(o['drop'])}" for o in shown[:6])
            + "."
        )
        label = next(one["label"] for one in results["metrics"] if one["chosen"])
        figure = result_charts.bars(
            [one["column"] for one in shown],
            [one["drop"] for one in shown],
            f"{label} lost",
            spread=[one["spread"] or 0.0 for one in shown],
            alt=alt,
        )
        charts.show(figure, key="result_importance")
    st.markdown("**How one column moves the prediction**")
    names = [one["column"] for one in ranked] or list(run.plan.roles)
    column = st.selectbox("Column", names, key="result_column", bind="query-params", filter_mode="contains", width=320)
    found = lazily(app, actor, run, "dependence", column) if column else None
    if found and found["values"]:
        about = "Probability" if results["classes"] else str(results.get("target", run.plan.target))
        st.caption("The mean over rows, all else as it was; the band is the middle half of rows.")
        charts.show(result_charts.dependence(found, about), key="result_dependence")
    _shares(lazily(app, actor, run, "shap", title="Why single rows were judged so (SHAP)"))


def _shares(found: Any) -> None:
    if not found or not found["rows"]:
        return
    rows, summary = found["rows"], found["summary"][:MOST_BARS]
    left, right = st.columns(2)
    with left:
        st.caption(f"Over {len(rows)} rows: mean distance a column moved the prediction.")
        alt = "Mean share: " + ", ".join(f"{one['column']} {words.number(one['mean'])}" for one in summary[:6]) + "."
        values = [one["mean"] or 0.0 for one in summary]
        figure = result_charts.bars([one["column"] for one in summary], values, "moved by", alt=alt)
        charts.show(figure, key="result_shap")
    with right:
        place = st.number_input("Row", 1, len(rows), 1, key="result_row", help="One of those explained.", width=160)
        one = rows[int(place) - 1]
        shares = one["shares"][:MOST_SHARES]
        st.caption(
            f"{plain(one['of'], 60)}: {words.number(one['said'])} was said, {words.number(one['base'])} is usual. "
            "Bars to the right raised it, hatched ones lowered it."
        )
        names = [f"{share['column']} = {_value(share['value'])}" for share in shares]
        values = [share["share"] or 0.0 for share in shares]
        alt = f"Shares of row {place}: " + ", ".join(
            f"{n} {words.number(v)}" for n, v in zip(names, values, strict=True)
        )
        charts.show(result_charts.bars(names, values, "moved by", alt=alt + "."), key="result_shares")


def _value(value: Any) -> str:
    return "missing" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def lazily(app: App, actor: Actor, run: Run, what: str, column: str = "", *, ask: str = "", title: str = "") -> Any:
    """A view, made by a child when it is first looked at; None while it is not there. ask: words of a button that
    begins it instead."""
    if title:
        st.markdown(f"**{title}**")
    found = app.training.view(actor, run.id, what, column)
    if found is not None:
        return found
    task = app.training.viewing(actor, run.id, what, column)
    may = actor.may(Permission.RUN_TASKS)
    if task is not None and task.status in ACTIVE:
        st.fragment(_watch, run_every=1.0)(app, actor, task.id or 0)
        return None
    failed = task is not None and task.status != TaskStatus.SUCCEEDED
    if failed and task is not None:
        st.warning(plain(task.error or f"It was {task.status}.", 600), icon=":material/error:")
    if not may:
        st.caption(":material/lock: Nobody has asked for it yet; that takes the role analyst.")
    elif (not failed and not ask) or st.button(
        ask or "Try again", key=f"result_ask_{what}", icon=":material/play_arrow:"
    ):
        with refusal.shown():
            app.training.explain(actor, run.id, what, column)
            st.rerun(scope="app")
    return None


def _watch(app: App, actor: Actor, task_id: int) -> None:
    task = app.jobs.get(actor, task_id)
    if task.finished_at is not None:
        st.rerun(scope="app")
    st.progress(min(max(task.progress, 0.0), 1.0), text=f"{plain(task.title)}: {plain(task.message or 'waiting')}")


# --- weak spots, other runs, taking it along ---------------------------------------------------------


def errs(results: Results) -> None:
    """Parts of the table where the model errs more than elsewhere."""
    rows = results["slices"]
    sure = [one for one in rows if one["sure"]]
    if sure:
        one = sure[0]
        st.markdown(
            f"**It errs most where {plain(one['column'], 60)} is {plain(one['value'], 60)}: a loss of "
            f"{words.number(one['loss'])} a row against {words.number(one['overall'])} overall.**"
        )
    else:
        st.markdown("**No part of the table stands out beyond what chance shows.**")
    if not rows:
        st.caption("Parts of at least 20 rows are looked at; there are none.")
        return
    st.dataframe(
        pd.DataFrame(
            {
                "sure": ["● beyond chance" if one["sure"] else "○ may be chance" for one in rows],
                "column": [one["column"] for one in rows],
                "value": [one["value"] for one in rows],
                "rows": [one["rows"] for one in rows],
                "loss": [one["loss"] for one in rows],
                "times": [one["loss"] / one["overall"] if one["overall"] else None for one in rows],
            }
        ),
        column_config={
            "sure": st.column_config.TextColumn("How sure", help="Of 100 shuffles fewer than one shows as much."),
            "column": "Column",
            "value": "Value",
            "rows": st.column_config.NumberColumn("Rows", format="localized"),
            "loss": st.column_config.NumberColumn(
                "Loss a row", format="%.3g", help="Log loss of classes; distance from what came, of a number."
            ),
            "times": st.column_config.NumberColumn("Times the overall", format="%.2f"),
        },
        hide_index=True,
        key="result_slices",
        alt="Parts of the table where the model errs more than elsewhere",
    )


def compare(app: App, actor: Actor, run: Run, runs: Sequence[Run], named: Mapping[str, str]) -> None:
    """This run beside others: each metric with its interval, the best marked, and whether it is clearly better.

    named: words for each run, no two the same.
    """
    done = {one.id: one for one in runs if one.status == TaskStatus.SUCCEEDED and one.id != run.id}
    others = st.multiselect(
        "Beside",
        list(done),
        key=f"result_others_{run.id}",
        format_func=lambda one: f"{named[one]} · {done[one].table}",
        max_selections=MOST_COMPARED - 1,
        placeholder="Choose other finished runs",
        filter_mode="contains",
    )
    if not others:
        st.info("Choose one or more other runs to see them side by side.", icon=":material/compare_arrows:")
        return
    found = app.training.compare(actor, [run.id, *others])
    hashes = {one.data_hash for one in (run, *(done[other] for other in others))}
    if not found["same_task"]:
        st.warning("These runs answer different questions; only metrics they share are shown.")
    elif len(hashes) > 1:
        st.warning("These runs learnt from different data: a difference may come from the rows.")
    if not found["rows"]:
        st.info("They share no metric.")
        return
    frame: dict[str, list[str]] = {"metric": [one["label"] for one in found["rows"]]}
    config: dict[str, Any] = {"metric": st.column_config.TextColumn("Metric", pinned=True)}
    for place, run_id in enumerate(found["runs"]):
        cells = []
        for row in found["rows"]:
            one, mark = row["values"][run_id], ""
            if row["best"] == run_id:
                mark = "★ " if row["clear"] else "☆ "
            cells.append(
                f"{mark}{words.number(one['value'])} ({words.number(one['low'])} to {words.number(one['high'])})"
            )
        frame[str(place)] = cells
        config[str(place)] = st.column_config.TextColumn(found["names"][run_id])
    st.dataframe(
        pd.DataFrame(frame), column_config=config, hide_index=True, key="result_compare", alt="Runs side by side"
    )
    st.caption("★ clearly best: its interval lies apart. ☆ best, but the intervals overlap: not clearly apart.")


def card(app: App, actor: Actor, run: Run) -> None:
    """The model card, to read and to take along; the pipeline as a script."""
    text = app.training.card(actor, run.id)
    with st.container(horizontal=True):
        st.download_button(
            "Model card",
            text,
            f"{slug(run.name)}.md",
            "text/markdown",
            key="result_card",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "As a Python script",
            lambda: app.training.script(actor, run.id),
            f"{slug(run.name)}.py",
            "text/x-python",
            key="result_script",
            icon=":material/code:",
            on_click="ignore",
            help="Fits this very model again, without this app: the same predictions from the same dataset. Its first "
            "lines say what may change them.",
        )
    with st.container(border=True):
        # Names in it were escaped when it was written.
        st.markdown(text)


def register(app: App, actor: Actor, run: Run) -> None:
    """Put the model where it can be promoted and asked."""
    for name, version in run.registered[-3:]:
        links.to(
            "pages/learn/models.py",
            f"In the registry as {plain(name)}, version {version}",
            icon=":material/deployed_code:",
            query={"model": name, "version": str(version)},
        )
    if not actor.may(Permission.TRAIN):
        return
    with st.popover("Put into the registry", icon=":material/deployed_code:", key=f"register_{run.id}"):
        st.markdown("It becomes the next version of a model; promote it there, then ask it on Predict or by the API.")
        name = st.text_input(
            "Model",
            run.registered[-1][0] if run.registered else slug(run.name),
            key=f"register_name_{run.id}",
            max_chars=63,
        )
        if st.button("Put it there", type="primary", key=f"register_go_{run.id}"):
            with refusal.shown():
                row = app.training_setup.register(actor, run.id, name)
                st.toast(f"{plain(row.name)}, version {row.version}, is in the registry.")
                st.rerun(scope="app")
