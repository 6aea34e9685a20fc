"""One's own account: password, open sessions, API keys."""

import streamlit as st

from lib.auth.actor import ActorKind, Role
from lib.errors import AppError
from lib.ui import guard, runtime
from lib.ui.text import ago, plain, stamp

actor = guard.require()
app = runtime.app()
administration, now = app.administration, app.clock()

st.title("Account", icon=":material/person:")
if actor.kind is not ActorKind.USER:
    st.info("You are looking around as a guest. Sign in to have an account of your own.", icon=":material/login:")
    st.stop()
st.markdown(f"Signed in as **{plain(actor.name)}** with the role **{actor.role.name.lower()}**.")

password, sessions, keys = st.tabs(["Password", "Sessions", "API keys"], key="account_tabs")

with password:
    known = administration.has_password(actor)
    with st.form("password_form", border=False, clear_on_submit=True):
        current = st.text_input("Current password", type="password", key="password_current") if known else ""
        new = st.text_input("New password", type="password", key="password_new", help="At least 10 characters.")
        again = st.text_input("New password again", type="password", key="password_again")
        if st.form_submit_button("Save password", type="primary", icon=":material/save:"):
            try:
                if new != again:
                    st.error("The two new passwords differ; type them again.", icon=":material/error:")
                else:
                    administration.change_password(actor, current, new, session_token=(guard.tokens() or [""])[0])
                    st.success("Password saved. All other sessions were signed out.", icon=":material/check:")
            except AppError as error:
                st.error(plain(error.message), icon=":material/error:")

with sessions:
    st.caption("Where you are signed in. End what you do not recognise, then change your password.")
    for session in administration.own_sessions(actor):
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"From **{plain(session.address or 'an unknown address')}**, {ago(session.created_at, now)}")
            st.caption(f"Until {stamp(session.expires_at)}")
            st.button(
                "End",
                icon=":material/logout:",
                key=f"end_session_{session.id}",
                on_click=administration.end_own_session,
                args=(actor, session.id),
            )

with keys:
    st.caption(
        "For scripts: sent as `Authorization: Bearer ao_…` to `/api`, which [says what it takes](/api/docs). A key "
        "never has more rights than you."
    )
    with st.form("key_form", border=False):
        name = st.text_input("Name", key="key_name", placeholder="nightly report")
        role = st.selectbox(
            "Role", [r for r in Role if r <= actor.role], key="key_role", format_func=lambda r: r.name.lower()
        )
        days = st.number_input("Days until it expires", 1, 3650, 90, key="key_days")
        if st.form_submit_button("Create key", icon=":material/add:"):
            try:
                text = administration.create_key(actor, name, role, int(days))
                st.success("Copy the key now; it is not shown again.", icon=":material/key:")
                st.code(text, language=None)
            except AppError as error:
                st.error(plain(error.message), icon=":material/error:")
    own = administration.own_keys(actor)
    if not own:
        st.info("You have no API keys. Create one to read from a script.", icon=":material/key:")
    for key in own:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plain(key.name)}** `{key.prefix}…` · {key.role} · used {ago(key.last_used_at, now)}")
            ended = key.revoked_at or (key.expires_at if key.expires_at and key.expires_at <= now else None)
            st.caption(f"Ended {stamp(ended)}" if ended else f"Until {stamp(key.expires_at)}")
            if not key.revoked_at:
                st.button(
                    "Revoke",
                    icon=":material/block:",
                    key=f"revoke_{key.id}",
                    on_click=administration.revoke_key,
                    args=(actor, key.id),
                )
