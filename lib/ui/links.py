"""Links between pages that keep the session and carry a choice along."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError


def to(
    page: str, label: str, *, icon: str | None = None, query: Mapping[str, str] | None = None, help: str | None = None
) -> None:
    """A link to `pages/<section>/<file>.py`. A page that runs without the shell around it shows the words alone."""
    try:
        st.page_link(page, label=label, icon=icon, query_params=dict(query or {}), help=help)
    except StreamlitPageNotFoundError:
        st.markdown(f"{icon or ''} {label}".strip())
