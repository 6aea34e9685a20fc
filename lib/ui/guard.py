"""The first line of every page: who is this, and may they be here."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st

from lib.auth.actor import GUEST, Actor, Permission
from lib.auth.address import client_address
from lib.auth.sessions import COOKIE
from lib.errors import Forbidden
from lib.ui import runtime, state


def actor() -> Actor | None:
    """Who this browser session is, looked up anew on each run so that a revoked session ends at once."""
    administration = runtime.app().administration
    for token in tokens():
        found = administration.actor_of(token, address())
        if found:
            return found
    return GUEST if state.is_guest() and administration.guests_allowed() else None


def tokens() -> list[str]:
    """What this browser shows for itself: the tab's own sign-in first, then the cookie it opened the page with."""
    shown = (state.token(), st.context.cookies.get(COOKIE))
    return [token for token in shown if token]


def address() -> str:
    """Where the visitor comes from; Streamlit says nothing for this very machine."""
    proxies = runtime.app().settings.trusted_proxies
    forwarded = st.context.headers.get("X-Forwarded-For") if proxies else None
    return client_address(st.context.ip_address or "127.0.0.1", forwarded, proxies)


def require(permission: Permission = Permission.VIEW) -> Actor:
    """The actor, or a refusal and the end of the page. A courtesy to the reader: services check again."""
    who = actor()
    if who is None:
        _refuse("Sign in to see this page.")
    try:
        who.require(permission)
    except Forbidden as error:
        _refuse(error.message)
    return who


def _refuse(message: str) -> NoReturn:
    st.error(message, icon=":material/lock:")
    st.stop()
