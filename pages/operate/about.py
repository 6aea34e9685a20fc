"""What this is, in which version, and in which state."""

import platform
from importlib import metadata

import pandas as pd
import streamlit as st

from lib.frames import utcnow
from lib.ui import guard, runtime
from lib.ui.text import stamp

actor = guard.require()
app = runtime.app()

st.title("About AutoOps", icon=":material/info:")
st.markdown(
    "AutoOps pulls metrics from Prometheus, learns how your machines usually behave, marks what is unusual with the "
    "reason in words, and answers questions about it. Everything runs in one process on your own machine; nothing "
    "leaves it unless you connect a source or a language model elsewhere."
)

st.subheader("This installation", anchor=False)
remote = app.settings.llm_mode.value != "offline" and (
    app.settings.gemini_api_key.get_secret_value() or app.settings.openai_api_key.get_secret_value()
)
facts = {
    "AutoOps": metadata.version("autoops") if "autoops" in {d.name for d in metadata.distributions()} else "0.1.0",
    "Python": platform.python_version(),
    "App data": "PostgreSQL" if app.database.path is None else "SQLite",
    "Chat": "a language model may answer" if remote else "offline engine, nothing leaves this machine",
    "Guests": "may look around" if app.administration.guests_allowed() else "may not come in",
}
st.dataframe(
    pd.DataFrame({"What": list(facts), "Value": list(facts.values())}),
    hide_index=True,
    key="about_facts",
    alt="Versions and modes of this installation",
)

st.subheader("Built with", anchor=False)
PACKAGES = ("streamlit", "duckdb", "pandas", "scikit-learn", "plotly", "sqlmodel", "prometheus-api-client", "fastapi")
st.dataframe(
    pd.DataFrame({"Package": PACKAGES, "Version": [metadata.version(name) for name in PACKAGES]}),
    hide_index=True,
    key="about_packages",
    alt="Packages and their versions",
)
st.caption(f"As of {stamp(utcnow())}.")
