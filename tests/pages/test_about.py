"""The about page: versions and modes, for everybody who may look, and nothing a stranger could use."""

from __future__ import annotations

from collections.abc import Callable

from lib.app import App
from lib.auth.actor import Role


def test_versions_and_modes(app: App, open_page: Callable) -> None:
    page = open_page("pages/operate/about.py", role=Role.VIEWER)
    assert not page.exception
    facts = dict(page.dataframe[0].value.values)
    assert facts["App data"] == "SQLite"
    assert facts["Chat"] == "offline engine, nothing leaves this machine"
    assert "streamlit" in set(page.dataframe[1].value["Package"])


def test_a_guest_sees_no_paths_or_addresses(app: App, open_page: Callable) -> None:
    page = open_page("pages/operate/about.py", role="guest")
    shown = " ".join(frame.value.to_string() for frame in page.dataframe)
    assert str(app.settings.data_dir) not in shown
    assert "://" not in shown


def test_a_stranger_is_refused(open_page: Callable) -> None:
    assert open_page("pages/operate/about.py").error
