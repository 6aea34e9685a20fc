"""The process's one App, shared by pages, routes and schedule. Process state lives here and nowhere else."""

from __future__ import annotations

import streamlit as st

from lib.app import App, build
from lib.settings import Settings


@st.cache_resource(show_spinner=False)
def app() -> App:
    """Built and started on first use: by the server's lifespan, or by the first visit where routes are not served."""
    st.secrets.load_if_toml_exists()  # puts top-level secrets into the environment, where Settings reads them
    made = build(Settings(), lasting=True)
    made.start()
    return made
