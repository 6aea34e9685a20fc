"""What every page test needs: a browser that brings no cookie and comes from this very machine."""

from __future__ import annotations

import pytest
from streamlit.runtime.context import ContextProxy


@pytest.fixture(autouse=True)
def plain_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server AppTest answers every question about the browser with a mock, which is true and no address."""
    monkeypatch.setattr(ContextProxy, "cookies", {})
    monkeypatch.setattr(ContextProxy, "headers", {})
    monkeypatch.setattr(ContextProxy, "ip_address", None)
