"""Columns of tables: numbers in their unit, times in UTC."""

from __future__ import annotations

import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig


def number(label: str, unit: str = "", help: str | None = None) -> ColumnConfig:
    """A column of values in this unit, sortable as numbers."""
    shown = {"B": "bytes", "B/s": "bytes", "ratio": "percent"}.get(unit, "%.4g")
    per = f" {unit}" if unit and unit not in ("B", "ratio") else ""
    return st.column_config.NumberColumn(f"{label}{per and ' (' + per.strip() + ')'}", format=shown, help=help)


def moment(label: str, help: str | None = None) -> ColumnConfig:
    """A column of UTC times."""
    return st.column_config.DatetimeColumn(f"{label} (UTC)", format="YYYY-MM-DD HH:mm:ss", timezone="UTC", help=help)
