"""The first thing a stranger sees, and the ways in: password, one-time link, looking around."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from lib.auth.tickets import Purpose
from lib.errors import AppError
from lib.ui import guard, runtime, state
from lib.ui.text import plain

# In the address where a one-time link could not be served as a route of its own.
TICKET = "ticket"


def draw(refusal: str = "") -> None:
    """One sentence on what this is, then looking around or the form. refusal: why a link did not open the door."""
    app = runtime.app()
    administration = app.administration
    with st.container(horizontal_alignment="center"), st.container(width=440, key="sign_in"):
        st.title("AutoOps", anchor=False)
        st.markdown("Watches your Prometheus metrics, marks what is unusual and says why. Ask it in plain words.")
        if refusal:
            st.error(plain(refusal), icon=":material/lock:")
        guests = administration.guests_allowed()
        if guests:
            st.button(
                "Look around",
                type="primary",
                icon=":material/visibility:",
                key="look_around",
                on_click=state.look_around,
                width="stretch",
            )
            st.caption(
                "Read-only, no account needed. You will see a simulated fleet, a recorded incident and this machine."
            )
            st.subheader("Or sign in", anchor=False)
        else:
            st.subheader("Sign in", anchor=False)
        _form(primary=not guests)
        if administration.waits_for_first_password():
            st.caption(
                ":material/key: First start? Whoever started AutoOps finds a one-time administrator link where it was "
                "started, or sets `AUTOOPS_ADMIN_PASSWORD`."
            )
    if state.just_left():
        _request("auth/leave")


def redeem_link() -> str:
    """Sign in by `?ticket=` in the address: the one-time link where `/auth/enter` is not served. Why it did not work,
    if so."""
    ticket = st.query_params.get(TICKET)
    if not ticket:
        return ""
    del st.query_params[TICKET]
    try:
        _keep(runtime.app().administration.enter(ticket, Purpose.LINK, guard.address()))
    except AppError as error:
        return error.message
    return ""


def keep_in_cookie() -> None:
    """Let the browser exchange the ticket for an HttpOnly cookie, so that a reload stays signed in.

    An image is the one request that needs no script and no reload. Where the route is not served nothing
    comes of it, and the session ends with the tab.
    """
    ticket = state.ticket()
    if ticket:
        _request(f"auth/cookie?{urlencode({TICKET: ticket})}")


def leave() -> None:
    """End this browser's session everywhere and show the first screen."""
    for token in guard.tokens():
        runtime.app().administration.leave(token, guard.address())
    state.leave()
    st.rerun()


def _form(primary: bool) -> None:
    with st.form("sign_in_form", border=False):
        username = st.text_input("User name", key="sign_in_username", autocomplete="username")
        password = st.text_input("Password", type="password", key="sign_in_password", autocomplete="current-password")
        sent = st.form_submit_button(
            "Sign in", type="primary" if primary else "secondary", icon=":material/login:", width="stretch"
        )
    if not sent:
        return
    try:
        token = runtime.app().administration.sign_in(username, password, guard.address())
    except AppError as error:
        st.error(plain(error.message), icon=":material/lock:")
        return
    _keep(token)
    st.rerun()


def _keep(token: str) -> None:
    """The new session takes the place of whatever this browser showed before."""
    administration = runtime.app().administration
    for old in guard.tokens():
        if old != token:
            administration.leave(old, guard.address())
    state.enter(token, administration.ticket_for(token))


def _request(path: str) -> None:
    st.html(f'<img src="{path}" alt="" hidden>', width="content")
