"""What a service refuses, told where the person asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from lib.errors import AppError
from lib.ui.text import plain


@contextmanager
def shown() -> Iterator[None]:
    """Run what a click asked for; an expected error becomes a line on the page, and the rest of the page goes on."""
    try:
        yield
    except AppError as error:
        st.error(plain(error.message), icon=":material/error:")


def caret(text: str, line: object, column: object) -> None:
    """The line somebody wrote with a caret under the place (both from 1) that is meant; nothing when unknown."""
    lines = text.split("\n")
    if isinstance(line, int) and isinstance(column, int) and line <= len(lines):
        # Far along a long line: what is around the place, with the caret still under it.
        start = max(0, column - 60)
        shown = lines[line - 1][start : start + 120].replace("\t", " ")
        st.code(f"{shown}\n{' ' * (column - 1 - start)}^", language=None)
