"""Who may come in, and what they may do."""

import pandas as pd
import streamlit as st

from lib.auth.actor import Permission, Role
from lib.services.administration import Person
from lib.ui import guard, refusal, runtime
from lib.ui.text import plain, stamp

actor = guard.require(Permission.MANAGE_USERS)
app = runtime.app()
administration = app.administration

MEANING = {
    Role.VIEWER: "looks and asks",
    Role.ANALYST: "also trains detectors and labels",
    Role.OPERATOR: "also connects sources and collects",
    Role.ADMIN: "also manages users and settings",
}


def role_label(role: Role) -> str:
    return f"{role.name.lower()}: {MEANING[role]}"


def show_link(link: str, username: str) -> None:
    st.success(f"A one-time link for {plain(username)}, good for one hour and not shown again:", icon=":material/link:")
    st.code(link, language=None, wrap_lines=True)


def state_of(person: Person) -> str:
    if person.disabled:
        return "✕ disabled"
    return "✓ active" if person.has_password else "… has not chosen a password"


st.title("Users", icon=":material/group:")
with st.popover("Add user", icon=":material/person_add:", key="add_user"):
    with st.form("add_user_form", border=False):
        new_name = st.text_input("User name", key="add_username")
        new_role = st.selectbox("Role", list(Role), key="add_role", format_func=role_label)
        help_ = "Leave empty for a one-time link: they choose their own."
        new_password = st.text_input("Password", type="password", key="add_password", help=help_)
        add = st.form_submit_button("Add", type="primary", icon=":material/person_add:")
    if add:
        with refusal.shown():
            link = administration.create_user(actor, new_name, new_role, new_password)
            st.success(f"{plain(new_name)} was added.", icon=":material/check:")
            if link:
                show_link(link, new_name)

people = administration.users(actor)
st.dataframe(
    pd.DataFrame(
        [
            {
                "User name": person.username,
                "Role": person.role.name.lower(),
                "State": state_of(person),
                "Open sessions": person.sessions,
                "Last sign-in": stamp(person.last_sign_in_at),
                "Since": stamp(person.created_at),
            }
            for person in people
        ]
    ),
    hide_index=True,
    key="users",
    alt="Users with role, state and last sign-in",
)
st.caption(f"As of {stamp(app.clock())}. Everything done here is in the audit log.")

st.subheader("Change a user", anchor=False)
by_id = {person.id: person for person in people}
person = by_id[st.selectbox("User", list(by_id), key="user", format_func=lambda id_: by_id[id_].username)]
with st.container(horizontal=True, vertical_alignment="bottom"):
    role = st.selectbox(
        "Role", list(Role), person.role - 1, key=f"role_{person.id}_{person.role}", format_func=role_label
    )
    if st.button("Save role", icon=":material/save:", key="save_role", disabled=role is person.role):
        with refusal.shown():
            administration.set_role(actor, person.id, role)
            st.rerun()
row, said = st.container(horizontal=True), st.container()
with row:
    if st.button("Reset password", icon=":material/key:", key="reset_password"):
        with said, refusal.shown():
            show_link(administration.reset_password(actor, person.id), person.username)
    if st.button("Sign out everywhere", icon=":material/logout:", key="end_sessions"):
        with said, refusal.shown():
            st.toast(f"{administration.end_sessions(actor, person.id)} sessions ended.", icon=":material/logout:")
    if st.button("Lift lockout", icon=":material/lock_open:", key="unlock"):
        with said, refusal.shown():
            administration.unlock(actor, person.id)
            st.toast("Failed sign-ins forgotten.", icon=":material/lock_open:")
    word = "Enable" if person.disabled else "Disable"
    if st.button(word, icon=":material/block:" if word == "Disable" else ":material/check:", key="disable"):
        with said, refusal.shown():
            administration.set_disabled(actor, person.id, not person.disabled)
            st.rerun()
    with st.popover("Delete", icon=":material/delete:", key="delete"):
        st.markdown(
            f"**{plain(person.username)}** loses sessions, API keys and conversations; the audit log keeps the name. "
            "Disabling keeps everything and can be taken back."
        )
        if st.button("Delete for good", type="primary", key="confirm_delete"):
            with refusal.shown():
                administration.delete_user(actor, person.id)
                st.rerun()
