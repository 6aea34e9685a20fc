"""Links between pages that keep the session and carry a choice along."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

# The anomaly a page is about, in its address.
ANOMALY = "anomaly"
_LEAST = timedelta(minutes=15)


def choose(anomaly_id: int | None) -> None:
    """Make the page be about this anomaly; None: about none in particular."""
    if anomaly_id is None:
        st.query_params.pop(ANOMALY, None)
    else:
        st.query_params[ANOMALY] = str(int(anomaly_id))


def chosen() -> int | None:
    """The anomaly of `?anomaly=12`; None when there is none, or no number."""
    text = st.query_params.get(ANOMALY, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def changes_of(start: datetime, end: datetime | None) -> dict[str, str]:
    """What makes the page of changes look at this span; one that is short or goes on at a quarter of an hour of it."""
    last = max(start + _LEAST if end is None or pd.isna(end) else end, start + _LEAST)
    return {"range": "custom", "range_from": f"{start:%Y-%m-%dT%H:%M}", "range_to": f"{last:%Y-%m-%dT%H:%M}"}


def to(
    page: str, label: str, *, icon: str | None = None, query: Mapping[str, str] | None = None, help: str | None = None
) -> None:
    """A link to `pages/<section>/<file>.py`. A page that runs without the shell around it shows the words alone."""
    try:
        st.page_link(page, label=label, icon=icon, query_params=dict(query or {}), help=help)
    except StreamlitPageNotFoundError:
        st.markdown(f"{icon or ''} {label}".strip())


def go(page: str, query: Mapping[str, str] | None = None) -> None:
    """Open another page now. One that runs without the shell around it stays where it is and says so."""
    try:
        st.switch_page(page, query_params=dict(query or {}))
    except StreamlitPageNotFoundError:
        st.info(f"Go on at {page}.")
