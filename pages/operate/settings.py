"""What is configured, where each value comes from, and the few that may be changed here."""

import pandas as pd
import streamlit as st

from lib.auth.actor import Permission
from lib.settings import LlmMode
from lib.ui import archive_view, backup_view, guard, provider_view, refusal, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.MANAGE_SETTINGS)
app = runtime.app()
configuration, settings = app.administration.configuration, app.settings
MODES = {
    LlmMode.AUTO: "auto: Gemini, then OpenAI, then offline",
    LlmMode.GEMINI: "Gemini only",
    LlmMode.OPENAI: "OpenAI only",
    LlmMode.OFFLINE: "offline: nothing leaves this machine",
}
SOURCES = {"default": "default", "environment": "environment", "here": "changed here"}

st.title("Settings", icon=":material/settings:")
overview = configuration.overview(actor)
changed = {entry.name for entry in overview if entry.source == "here"}

st.subheader("Change now", anchor=False)
st.caption("These take effect at once, for everybody, and are kept over restarts.")
with st.form("settings_form"):
    mode = st.selectbox(
        "Language model in chat",
        list(MODES),
        list(MODES).index(settings.llm_mode),
        key="set_llm_mode",
        format_func=lambda one: MODES[one],
    )
    covered = st.toggle(
        "Hosts and label values go to a model under made-up names", settings.llm_pseudonyms, key="set_llm_pseudonyms"
    )
    guests = st.toggle("Guests may look around the demo", settings.guests, key="set_guests")
    interval = st.number_input(
        "Seconds between collections",
        1.0,
        86400.0,
        float(settings.collect_interval_s),
        1.0,
        format="%g",
        key="set_interval",
    )
    saved = st.form_submit_button("Save", type="primary", icon=":material/save:")
if saved:
    with refusal.shown():
        wanted = {"llm_mode": mode, "llm_pseudonyms": covered, "guests": guests, "collect_interval_s": interval}
        for key in (key for key, value in wanted.items() if value != getattr(settings, key)):
            configuration.change(actor, key, wanted[key])
        st.rerun()
if changed and st.button("Back to the environment's values", icon=":material/undo:", key="reset_settings"):
    with refusal.shown():
        for key in changed:
            configuration.reset(actor, key)
        st.rerun()

st.subheader("Language models", anchor=False)
if not app.assistant.fallback.providers:
    st.caption("None is configured: the offline engine answers. Set `GEMINI_API_KEY`, `OPENAI_API_KEY` or a base URL.")
else:
    provider_view.usage(app.assistant.providers())
if app.assistant.fallback.providers and st.button(
    "Test all providers", icon=":material/network_check:", key="test_providers", help="Sends a few words."
):
    with refusal.shown(), st.spinner("Asking each of them …"):
        for one in app.assistant.test_all(actor):
            told = f"{plain(one.name)} ({one.seconds:.1f} s): {plain(one.message)}"
            (st.success if one.ok else st.error)(told, icon=f":material/{'check' if one.ok else 'error'}:")

st.subheader("Archive", anchor=False)
archive_view.show(app, actor)

st.subheader("Backup", anchor=False)
backup_view.show(app, actor)

st.subheader("Everything", anchor=False)
search = st.text_input("Search", key="settings_search", placeholder="name or meaning", live=True)
rows = [
    {
        "Setting": entry.variable,
        "Value": entry.value,
        "From": SOURCES[entry.source],
        "Meaning": entry.description,
    }
    for entry in overview
    if search.lower() in f"{entry.variable} {entry.description}".lower()
]
if rows:
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="settings", alt="All settings, secrets hidden")
else:
    st.info("No setting matches. Search for part of a name.", icon=":material/search_off:")
st.caption(
    "Others are set as environment variables, or as secrets of the same name, before the start. Secrets are never "
    f"shown. As of {stamp(app.clock())}."
)
