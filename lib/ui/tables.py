"""Columns of tables: numbers in their unit, times in UTC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from lib.profiling.words import binary


def number(label: str, unit: str = "", help: str | None = None) -> ColumnConfig:
    """A column of values in this unit, sortable as numbers."""
    shown = "percent" if unit == "ratio" else "%.4g"
    per = f" {unit}" if unit and unit != "ratio" else ""
    return st.column_config.NumberColumn(f"{label}{per and ' (' + per.strip() + ')'}", format=shown, help=help)


def scaled(frame: pd.DataFrame, names: Sequence[str], unit: str) -> tuple[pd.DataFrame, str]:
    """The frame with bytes in these columns counted in KiB, MiB, … as words and charts count them, and that unit; the
    browser's own format for bytes counts in thousands. Other units stay."""
    base, slash, per = unit.partition("/")
    if base != "B":
        return frame, unit
    values = {one: pd.to_numeric(frame[one]).to_numpy("float64", na_value=np.nan) for one in names}
    every = np.abs(np.concatenate(list(values.values())))
    size, name = binary(float(every[np.isfinite(every)].max(initial=0.0)))
    return frame.assign(**{one: value / size for one, value in values.items()}), f"{name}{slash}{per}"


def height(rows: int, most: int) -> int:
    """How high a table of this many rows is drawn, in pixels; of more than `most`, half a row says that it goes on."""
    return 38 + 35 * rows if rows <= most else 38 + 35 * most + 18


def moment(label: str, help: str | None = None) -> ColumnConfig:
    """A column of UTC times."""
    return st.column_config.DatetimeColumn(f"{label} (UTC)", format="YYYY-MM-DD HH:mm:ss", timezone="UTC", help=help)
