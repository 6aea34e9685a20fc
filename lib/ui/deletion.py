"""Before something goes: what depends on it, then the box to tick, then the button."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from lib.services.datasets import Dependant
from lib.ui.text import plain

_SHOWN = 50


def sure(depending: Sequence[Dependant], stays: str, what: str, *, key: str, number: int, may: bool) -> bool:
    """Whether it is to be deleted now. stays: what becomes of those that depend on it; what: in markdown, what goes."""
    if depending:
        count = len(depending)
        more = f"\n- and {count - _SHOWN:,} more" if count > _SHOWN else ""
        st.warning(
            "\n".join(f"- {plain(each.kind)}: {plain(each.name)}" for each in depending[:_SHOWN]) + more,
            title=f"{'1 thing was' if count == 1 else f'{count:,} things were'} made of it, {stays}",
            icon=":material/account_tree:",
        )
    else:
        st.caption("Nothing was made of it.")
    ticked = st.checkbox(f"Delete {what}; this cannot be undone", key=f"{key}_sure_{number}")
    return st.button("Delete", icon=":material/delete:", key=f"{key}_delete", disabled=not (may and ticked))
