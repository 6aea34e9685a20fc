"""How the language models stand: what was asked of each, what it took, what it came to."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from lib.llm.fallback import ProviderState, ProviderStatus
from lib.llm.provider import TITLES
from lib.ui.text import plain

_STATES = {
    ProviderState.READY: "✓ ready",
    ProviderState.FAILING: "! failing",
    ProviderState.RESTING: "✗ resting",
}


def usage(known: Sequence[ProviderStatus]) -> None:
    """Since the app started, one row a provider."""
    table = pd.DataFrame(
        {
            "provider": TITLES.get(one.name, one.name),
            "model": one.model,
            "state": _STATES[one.state],
            "requests": one.requests,
            "failures": one.failures,
            "sent": one.tokens_in,
            "received": one.tokens_out,
            "cost": one.cost_usd,
        }
        for one in known
    )
    st.dataframe(
        table,
        hide_index=True,
        key="provider_usage",
        alt="What was asked of each language model since the app started",
        column_config={
            "provider": "Provider",
            "model": "Model",
            "state": "State",
            "requests": st.column_config.NumberColumn("Requests", format="localized"),
            "failures": st.column_config.NumberColumn("Failures", format="localized"),
            "sent": st.column_config.NumberColumn("Tokens sent", format="localized"),
            "received": st.column_config.NumberColumn("Tokens received", format="localized"),
            "cost": st.column_config.NumberColumn(
                "Cost (USD)", format="%.4f", help="By `AUTOOPS_LLM_PRICES`; empty: the model is not in that list."
            ),
        },
    )
    st.caption("Since the app started.")
    for one in known:
        if one.last_error:
            st.caption(f":material/error: {plain(TITLES.get(one.name, one.name))}: {plain(one.last_error, 300)}")
