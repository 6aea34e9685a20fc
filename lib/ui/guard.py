"""The first line of every page: who is this, and may they be here."""

from __future__ import annotations

import streamlit as st

from lib.auth.actor import GUEST, Actor, Permission
from lib.errors import Forbidden
from lib.ui import runtime

COOKIE = "autoops_session"


def actor() -> Actor | None:
    """Who this browser session is, looked up anew on each run so that a revoked session ends at once."""
    token = st.session_state.get("session_token") or st.context.cookies.get(COOKIE)
    if token:
        found = runtime.app().administration.actor_of(token)
        if found:
            return found
    return GUEST if st.session_state.get("guest") else None


def require(permission: Permission = Permission.VIEW) -> Actor:
    """The actor, or a refusal and the end of the page. A courtesy to the reader: services check again."""
    who = actor()
    if who is None:
        st.error("Sign in to see this page.", icon=":material/lock:")
        st.stop()
    try:
        who.require(permission)
    except Forbidden as error:
        st.error(error.message, icon=":material/lock:")
        st.stop()
    return who
