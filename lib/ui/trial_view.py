"""Backtest and tuning on the page: start them, follow them, read what the last one said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from lib.anomaly import inject
from lib.auth.actor import Actor, Permission
from lib.db.tables import Task
from lib.errors import AppError
from lib.frames import from_ms
from lib.services.detection_card import Card
from lib.ui.text import ago, duration, plain, stamp

if TYPE_CHECKING:
    from lib.app import App

_BUDGETS = {"1 minute": 60, "5 minutes": 300, "10 minutes": 600, "30 minutes": 1800, "1 hour": 3600}
_STRENGTHS = (2.0, 3.0, 5.0, 8.0, 12.0)


def backtest(app: App, actor: Actor, source_id: int, host: str) -> None:
    """Faults put into this host's own history: who would have found them."""
    if _follow(app, actor, "detect.backtest", source_id, host):
        return
    found = app.detection.trials.last_backtest(actor, source_id, host)
    if found is None:
        st.info(
            "Learns from the first part of this host's history, puts known faults into the rest and counts who finds "
            "them: this detector, four simple ones and random scores. Takes about a minute.",
            title="Not tested on your data yet",
            icon=":material/science:",
        )
    else:
        _outcome(found["verdict"], found, app.clock())
        _figures(found["figures"])
        _recalls(found["figures"])
        with st.expander("What to bear in mind", icon=":material/info:"):
            learnt, until, tested = (
                stamp(from_ms(found[name])) for name in ("trained_from_ms", "trained_until_ms", "tested_until_ms")
            )
            st.caption(
                f"Learnt from {learnt} to {until}, tested to {tested}: {len(found['found'])} faults in "
                f"{found['rounds']} rounds over {found['channels']} quantities."
            )
            st.markdown("\n".join(f"- {plain(note, 600)}" for note in found["notes"]))
    with st.form("backtest_form", border=True):
        kinds = st.multiselect("Faults", list(inject.KINDS), list(inject.KINDS), key="backtest_kinds")
        strengths = st.pills(
            "Strengths",
            _STRENGTHS,
            selection_mode="multi",
            default=(3.0, 5.0, 8.0),
            key="backtest_strengths",
            format_func=lambda s: f"{s:g} deviations",
            help="In deviations of each quantity from its own slow course. Drops, flat lines and broken relations have "
            "none.",
        )
        pressed = _submit("Run the backtest", "backtest_run", actor)
    if pressed:
        _start(lambda: app.detection.trials.backtest(actor, source_id, host, kinds=kinds, strengths=strengths))


def tuning(app: App, actor: Actor, source_id: int, host: str, card: Card | None) -> None:
    """A search for options that suit this host, within a budget."""
    if _follow(app, actor, "detect.tune", source_id, host):
        return
    trials = app.detection.trials
    found, unfinished = trials.last_tuning(actor, source_id, host), trials.unfinished(actor, source_id, host)
    if found is None:
        st.info(
            "Tries options of the forest and thresholds on faults put into this host's own history, split by time, and "
            "judges the best one once on the last part, which nothing was chosen by.",
            title="Not tuned yet",
            icon=":material/tune:",
        )
    else:
        _outcome(found["verdict"], found, app.clock())
        _choices(found)
        if found["better"] and card is not None:
            _use(app, actor, source_id, host, found, card)
    if unfinished:
        st.caption(":material/pause: A search was ended before its time; it goes on where it was.")
    with st.form("tuning_form", border=True):
        budget = st.selectbox("Budget", list(_BUDGETS), index=1, key="tuning_budget", help="Of the clock.")
        fresh = unfinished and st.toggle("Begin anew", key="tuning_fresh")
        pressed = _submit("Go on" if unfinished and not fresh else "Tune", "tuning_run", actor)
    if pressed:
        budget_s = _BUDGETS[str(budget)]
        _start(lambda: trials.tune(actor, source_id, host, budget_s=budget_s, resume=not fresh))


def _submit(words: str, key: str, actor: Actor) -> bool:
    may = actor.may(Permission.DETECT)
    return st.form_submit_button(
        words,
        icon=":material/play_arrow:",
        key=key,
        type="primary",
        disabled=not may,
        help="" if may else "This takes the role analyst.",
    )


def _start(begin: Any) -> None:
    try:
        begin()
    except AppError as error:
        st.error(plain(error.message))
        return
    st.rerun()


def _follow(app: App, actor: Actor, kind: str, source_id: int, host: str) -> bool:
    """Progress while one runs, with a button that ends it; else how the last one failed. Whether one runs."""
    last = app.detection.trials.last_task(actor, kind, source_id, host)
    if last is not None and last.error:
        st.warning(plain(last.error, 600), title="The last run failed", icon=":material/error:")
    if last is None or last.finished_at is not None:
        return False
    task_id = last.id or 0

    @st.fragment(run_every=1.0)
    def watch() -> None:
        task = app.jobs.get(actor, task_id)
        if task.finished_at is not None:
            st.rerun(scope="app")
        _progress(task)
        if st.button("End it", icon=":material/stop:", key="trial_end", disabled=not actor.may(Permission.RUN_TASKS)):
            try:
                app.jobs.cancel(actor, task_id)
                st.rerun(scope="app")
            except AppError as error:
                st.error(plain(error.message))

    watch()
    return True


def _progress(task: Task) -> None:
    words = task.message or "waiting for a free place"
    st.progress(min(max(task.progress, 0.0), 1.0), text=f"{plain(task.title)}: {plain(words)}")


def _outcome(verdict: Sequence[str], found: Mapping[str, Any], now: datetime) -> None:
    st.markdown(f"**{plain(verdict[0], 800)}**")
    if len(verdict) > 1:
        st.markdown("\n".join(f"- {plain(line, 800)}" for line in verdict[1:]))
    made = datetime.fromisoformat(found["made_at"])
    st.caption(f"By {plain(found['by'])}, {ago(made, now, short=True)}.")


def _figures(figures: Sequence[Mapping[str, Any]]) -> None:
    rows = pd.DataFrame(
        {
            "detector": [("★ " if not n else "") + one["name"] for n, one in enumerate(figures)],
            "f1": [one["f1"] for one in figures],
            "sure": [f"{one['f1_low']:.2f} to {one['f1_high']:.2f}" for one in figures],
            "precision": _percent(figures, "precision"),
            "recall": _percent(figures, "recall"),
            "false": [one["false_alerts_per_day"] for one in figures],
            "untouched": [one["alerts_untouched_per_day"] for one in figures],
            "delay": [duration(one["delay_s"]) if one["delay_s"] is not None else "–" for one in figures],
            "vus": [one["vus_pr"] for one in figures],
        }
    )
    st.dataframe(
        rows,
        hide_index=True,
        key="backtest_figures",
        column_config={
            "detector": st.column_config.TextColumn("Detector", help="★ the one of this app; random is the control."),
            "f1": st.column_config.NumberColumn("F1 of alerts", format="%.2f"),
            "sure": st.column_config.TextColumn("95% sure", help="Had other faults been drawn from these."),
            "precision": st.column_config.NumberColumn("Precision", format="%.0f %%"),
            "recall": st.column_config.NumberColumn("Recall", format="%.0f %%"),
            "false": st.column_config.NumberColumn("False a day", format="%.2f"),
            "untouched": st.column_config.NumberColumn(
                "Alerts a day, untouched", format="%.2f", help="On the history as it was; nobody knows which are right."
            ),
            "delay": st.column_config.TextColumn("Found after", help="In the median, of what was found."),
            "vus": st.column_config.NumberColumn("VUS-PR", format="%.2f", help="How well scores rank, 0 to 1."),
        },
        alt="Detectors compared on faults put into this host's history",
    )


def _percent(figures: Sequence[Mapping[str, Any]], name: str) -> list[float | None]:
    return [None if one[name] is None else 100 * one[name] for one in figures]


def _recalls(figures: Sequence[Mapping[str, Any]]) -> None:
    """What of each kind of fault each detector found, in percent."""
    kinds = figures[0]["by_kind"]
    rows = pd.DataFrame({"fault": list(kinds), "cases": [int(one["cases"]) for one in kinds.values()]})
    config: dict[str, Any] = {"fault": "Found by kind", "cases": st.column_config.NumberColumn("Cases")}
    for number, one in enumerate(figures):
        name = f"found_{number}"
        rows[name] = [100 * one["by_kind"][kind]["recall"] for kind in kinds]
        title = ("★ " if not number else "") + one["name"]
        config[name] = st.column_config.ProgressColumn(
            title, format="%.0f %%", min_value=0, max_value=100, width=115, help=one["name"]
        )
    st.dataframe(
        rows,
        hide_index=True,
        key="backtest_recalls",
        column_config=config,
        height=38 + 35 * len(rows),
        alt="Faults found by kind and detector",
    )


def _choices(found: Mapping[str, Any]) -> None:
    rows = []
    for name, one in (("default", found["default"]), ("best", found["best"])):
        options = one["options"]
        rows.append(
            {
                "": name,
                "score": one["score"],
                "held": one["held_out"],
                "sure": f"{one['held_out_low']:.2f} to {one['held_out_high']:.2f}",
                "recall": 100 * one["recall"],
                "false": one["false_alerts_per_day"],
                "threshold": one["rule"]["open_at"],
                "options": ", ".join(
                    f"{k} {options[k]:g}" for k in ("trees", "tree_rows", "components", "smooth", "forest")
                ),
            }
        )
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key="tuning_choices",
        column_config={
            "score": st.column_config.NumberColumn("F1, chosen by", format="%.2f", help="What the search saw."),
            "held": st.column_config.NumberColumn("F1, held back", format="%.2f", help="What it did not see."),
            "sure": "95% sure",
            "recall": st.column_config.NumberColumn("Recall", format="%.0f %%"),
            "false": st.column_config.NumberColumn("False a day", format="%.2f"),
            "threshold": st.column_config.NumberColumn("Threshold", format="%.1f"),
            "options": "Options",
        },
        alt="The default beside the best options found",
    )
    st.caption(
        f"{len(found['trials'])} trials, {found['resumed']} of them from an earlier run; {found['faults']} faults to "
        f"choose by, {found['held_out_faults']} to judge by."
    )


def _use(app: App, actor: Actor, source_id: int, host: str, found: Mapping[str, Any], card: Card) -> None:
    if st.button(
        "Train with the best options",
        icon=":material/check:",
        key="tuning_use",
        disabled=not actor.may(Permission.DETECT),
        help=f"And from then on, version after version. Threshold {found['rule']['open_at']:g}.",
    ):
        kept = {name: getattr(card.options, name) for name in ("direction", "missing")} | {
            "least": dict(card.options.least)
        }
        _start(
            lambda: app.detection.train(
                actor, source_id, host, options={**found["options"], **kept}, rule=found["rule"]
            )
        )
