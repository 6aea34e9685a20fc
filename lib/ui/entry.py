"""What the server needs besides the script: the App's life, and words for errors no page expected."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from lib.errors import AppError
from lib.settings import Settings
from lib.ui import runtime
from lib.ui.text import plain

log = logging.getLogger(__name__)


@cache
def settings() -> Settings:
    """For what runs before, or without, the App: the same values, secrets included."""
    st.secrets.load_if_toml_exists()
    return Settings()


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    """Build the App before the first visitor, stop it with the server.

    What keeps it from starting is logged and shown on each page, which tries again: a server that is down
    could not say what is wrong.
    """
    import anyio.to_thread

    # A folder called pages/ makes Streamlit look for pages there until the first script has run; whoever came first by
    # a deep link would be told that there is no such page.
    PagesManager.uses_pages_directory = False
    # Built outside a script on purpose: Streamlit's warning about that would be a newcomer's first line.
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)
    # Links are printed with the port that was asked for, unless a setting says how the world sees us.
    settings()
    os.environ.setdefault("AUTOOPS_PUBLIC_URL", f"http://localhost:{st.get_option('server.port')}")
    _answer_at_once(int(st.get_option("server.port")))
    made = None
    try:
        made = await anyio.to_thread.run_sync(runtime.app)
    except AppError as error:
        log.error("not started", extra={"reason": error.message})
    try:
        yield
    finally:
        if made is not None:
            await anyio.to_thread.run_sync(made.stop)


def _answer_at_once(port: int) -> None:
    """Switch Nagle's algorithm off on the socket the server is about to listen on; what it accepts inherits that.

    asyncio does so for sockets that say they are TCP, and Streamlit's does not say so. An answer, written as head and
    body, then waits 40 ms for the caller to acknowledge the head.
    """
    with contextlib.suppress(OSError):
        for place in Path("/dev/fd").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if stat.S_ISSOCK(os.fstat(int(place.name)).st_mode):
                    with socket.socket(fileno=os.dup(int(place.name))) as held:
                        inet = held.family in (socket.AF_INET, socket.AF_INET6)
                        if inet and held.getsockname()[1] == port:
                            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def on_script_error(error: Exception) -> bool:
    """A line in the log, and on the page what a person can use. Details of the unexpected stay in the log."""
    if isinstance(error, AppError):
        log.warning("page refused", extra={"code": error.code, "reason": error.message})
        st.error(plain(error.message), icon=":material/error:")
        return True
    reference = os.urandom(4).hex()
    log.error("page failed", exc_info=error, extra={"reference": reference})
    st.error(
        f"This page could not be shown. The reason is in the log under {reference}; try again, and tell an "
        "administrator if it stays.",
        icon=":material/error:",
    )
    return True
