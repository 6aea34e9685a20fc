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
