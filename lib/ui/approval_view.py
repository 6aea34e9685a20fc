"""Commands that wait: exactly what would be done, Approve and Reject, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import streamlit as st

from lib.app import App
from lib.auth.actor import Actor
from lib.db.tables import Proposal, ProposalStatus
from lib.ui import refusal
from lib.ui.text import ago, plain

_ICONS = {
    ProposalStatus.WAITING: ":material/hourglass_top:",
    ProposalStatus.RUNNING: ":material/sync:",
    ProposalStatus.DONE: ":material/check_circle:",
    ProposalStatus.FAILED: ":material/error:",
    ProposalStatus.REJECTED: ":material/block:",
    ProposalStatus.EXPIRED: ":material/timer_off:",
}
_TOLD = {
    ProposalStatus.RUNNING: "Approved; it is being done.",
    ProposalStatus.REJECTED: "Rejected; nothing was done.",
    ProposalStatus.EXPIRED: "Nobody decided in time, so nothing was done. Ask again if you still want it.",
}


def waiting(app: App, actor: Actor, commands: Mapping[int, str], key: str) -> None:
    """One box a command, as it stands now. commands: id -> digest, as the answer gave them."""
    for row in app.assistant.proposals(actor, list(commands)):
        _command(app, actor, row, commands[row.id or 0], f"{key}_{row.id}")


def _command(app: App, actor: Actor, row: Proposal, digest: str, key: str) -> None:
    status = ProposalStatus(row.status)
    with st.container(border=True, key=f"command_{key}"):
        st.markdown(f"{_ICONS[status]} {plain(row.summary, 400)}")
        exact = ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted(row.arguments.items()))
        st.code(f"{row.action}({exact})", language="python", wrap_lines=True)
        if status is not ProposalStatus.WAITING:
            st.caption(plain(row.outcome, 400) or _TOLD.get(status, ""))
            return
        with st.container(horizontal=True, vertical_alignment="center"):
            approve = st.button("Approve", type="primary", icon=":material/check:", key=f"approve_{key}")
            reject = st.button("Reject", icon=":material/close:", key=f"reject_{key}")
            st.caption(f"Nothing is done unless you approve. It expires {ago(row.expires_at, app.clock())}.")
        if approve or reject:
            with refusal.shown():
                if approve:
                    # The digest is that of the answer: what was changed since cannot be approved by this press.
                    app.assistant.approve(actor, row.id or 0, digest)
                else:
                    app.assistant.reject(actor, row.id or 0)
                st.rerun()
