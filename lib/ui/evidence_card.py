"""One card of evidence: the call, its window and rows, the result, and a way to run it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from lib.app import App
from lib.auth.actor import Actor
from lib.chat.events import Evidence
from lib.ui import links, refusal
from lib.ui.text import plain, stamp

ANOMALY = "anomaly"
# Who a row is about; and moments as a conversation keeps them, all of them UTC.
_NAMES = ("id", "host", "series", "metric", "label")
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:\+00:00|Z)")


def shown(app: App, actor: Actor, card: Evidence, key: str) -> None:
    """The inside of a card's popover."""
    st.code(card.query, language="sql" if card.tool == "sql" else "python", wrap_lines=True)
    facts = {
        "Window (UTC)": _window(card),
        "Computed from": f"{card.rows:,} {'row' if card.rows == 1 else 'rows'}",
        "Computed as": card.formula,
        "Source": card.source,
    }
    for name, value in facts.items():
        if value:
            st.caption(f"**{name}:** {plain(value, 600)}")
    _result(card, f"result_{key}", f"Result of [{card.number}]")
    with st.container(horizontal=True, vertical_alignment="center"):
        if card.tool != "command" and st.button("Run again", icon=":material/replay:", key=f"again_{key}"):
            with refusal.shown():
                _again(card, app.assistant.again(actor, card), app, key)
        _onward(card)


def _again(card: Evidence, now: Evidence, app: App, key: str) -> None:
    same = _comparable(card.table) == _comparable(now.table) and card.total == now.total
    told = "The same as in the answer." if same else "It gives something else now: samples came or went since."
    icon = ":material/check:" if same else ":material/sync_problem:"
    st.caption(f"{icon} {told} {now.rows:,} rows, run {stamp(app.clock(), seconds=True)}.")
    if not same:
        _result(now, f"now_{key}", f"Result of [{card.number}] now")


def _comparable(rows: Any) -> list[dict[str, str]]:
    return [{str(name): _text(value) for name, value in row.items()} for row in rows]


def _text(value: Any) -> str:
    """As it is kept with a conversation: moments as ISO text, numbers to six figures."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _result(card: Evidence, key: str, alt: str) -> None:
    if not card.table:
        return
    st.dataframe(_readable(card.table, card.query), hide_index=True, key=key, alt=alt)
    if card.total > len(card.table):
        st.caption(f"{len(card.table)} of {card.total:,} rows.")


def _readable(rows: tuple[Mapping[str, Any], ...], query: str) -> pd.DataFrame:
    """Without columns that say nothing, moments short, and what was asked first: the rest is behind a narrow edge."""
    frame = pd.DataFrame([{k: v for k, v in row.items() if not isinstance(v, list | dict)} for row in rows])
    told = [name for name in frame.columns if not frame[name].map(lambda value: value is None or value == "").all()]
    asked = re.search(r'statistic="(\w+)"', query)
    names = sorted(told, key=lambda name: (name not in _NAMES, not (asked and str(name).startswith(asked[1]))))
    return frame[names].map(_short)


def _short(value: Any) -> Any:
    if isinstance(value, datetime) and not pd.isna(value):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, str) and (found := _ISO.fullmatch(value)):
        return f"{found[1]} {found[2]}"
    return value


def _window(card: Evidence) -> str:
    if card.window_start is None or card.window_end is None:
        return ""
    return f"{card.window_start:%Y-%m-%d %H:%M} to {card.window_end:%Y-%m-%d %H:%M}"


def _onward(card: Evidence) -> None:
    if metric := card.links.get("metric"):
        query = {"metric": str(metric)}
        if len(card.links.get("hosts", ())) == 1:
            query["host"] = str(card.links["hosts"][0])
        if card.links.get("forecast"):
            links.to("pages/observe/forecast.py", "Open in Forecast", icon=":material/trending_up:", query=query)
            return
        if card.window_start and card.window_end and card.window_start.year > 1970:
            until = card.window_end + timedelta(seconds=59)
            query |= {"range": "custom", "range_from": f"{card.window_start:%Y-%m-%dT%H:%M}"}
            query["range_to"] = f"{until:%Y-%m-%dT%H:%M}"
        links.to("pages/observe/explore.py", "Open in Explore", icon=":material/monitoring:", query=query)
    for anomaly_id in card.links.get("anomaly_ids", ())[:3]:
        links.to(
            "pages/observe/anomalies.py",
            f"Open anomaly {anomaly_id}",
            icon=":material/warning:",
            query={ANOMALY: str(anomaly_id)},
        )
