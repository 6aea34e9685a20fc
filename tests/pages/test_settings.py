"""The settings page: what is configured, without secrets, and what may be changed now."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from pydantic import SecretStr, ValidationError
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.audit.log import Filter
from lib.auth.actor import SYSTEM, Role
from lib.frames import Block, to_ms
from lib.llm.fallback import ProviderStatus, ProviderTest
from lib.settings import LlmMode, Settings

PAGE = "pages/operate/settings.py"


def test_every_setting_is_shown_and_no_secret(app: App, open_page: Callable) -> None:
    app.settings.gemini_api_key = SecretStr("AIzaVerySecretIndeed")
    page = open_page(PAGE, role=Role.ADMIN)
    table = page.dataframe[0].value
    assert len(table) == len(Settings.model_fields)
    assert "AIza" not in table.to_string()
    assert "correct horse" not in table.to_string()
    assert table.set_index("Setting")["Value"]["GEMINI_API_KEY"] == "set, hidden"


def test_changes_count_at_once_and_can_be_taken_back(app: App, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.ADMIN)
    page.toggle(key="set_guests").set_value(False)
    page.number_input(key="set_interval").set_value(60.0)
    next(button for button in page.button if button.label == "Save").click().run()
    assert not page.exception
    assert (app.settings.guests, app.settings.collect_interval_s, app.settings.llm_mode) == (False, 60, LlmMode.OFFLINE)
    origin = page.dataframe[0].value.set_index("Setting")["From"]
    assert (origin["AUTOOPS_GUESTS"], origin["AUTOOPS_COLLECT_INTERVAL_S"]) == ("changed here", "changed here")
    page.button(key="reset_settings").click().run()
    assert (app.settings.guests, app.settings.collect_interval_s) == (True, 15)


def test_search_narrows_and_nothing_found_says_so(open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.ADMIN)
    page.text_input(key="settings_search").set_value("lockout").run()
    assert len(page.dataframe[0].value) == 2
    page.text_input(key="settings_search").set_value("no such thing").run()
    assert "No setting matches" in page.info[0].value


def test_each_provider_is_tried_and_what_it_said_is_shown(app: App, open_page: Callable) -> None:
    assert "None is configured" in "".join(one.value for one in open_page(PAGE, role=Role.ADMIN).caption)
    told = [ProviderTest("gemini", True, "Answered.", 0.4), ProviderTest("openai", False, "Refused **the key**.", 1.2)]
    app.assistant.fallback.providers = {one.name: None for one in told}  # type: ignore[misc]
    app.assistant.fallback.test = lambda timeout_s=15.0: told  # type: ignore[method-assign]
    page = open_page(PAGE, role=Role.ADMIN)
    page.button(key="test_providers").click().run()
    assert "gemini" in page.success[0].value and "0.4 s" in page.success[0].value
    assert "**the key**" not in page.error[0].value
    assert app.audit.entries(Filter(), limit=1)[0].action == "test providers"


def test_tokens_and_cost_of_each_model_are_shown(app: App, open_page: Callable) -> None:
    known = [
        ProviderStatus("gemini", "priced", "host", requests=3, tokens_in=10**6, tokens_out=10**6, price=(1e-6, 2e-6)),
        ProviderStatus("openai", "unpriced", "host", requests=1, tokens_in=50, last_error="**down**"),
    ]
    app.assistant.fallback.providers = {one.name: None for one in known}  # type: ignore[misc]
    app.assistant.fallback.status = lambda: known  # type: ignore[method-assign]
    page = open_page(PAGE, role=Role.ADMIN)
    table = next(one.value for one in page.dataframe if "cost" in one.value)
    assert list(table["sent"]) == [10**6, 50]
    assert table["cost"][0] == pytest.approx(3.0) and pd.isna(table["cost"][1])
    assert "**down**" not in "".join(one.value for one in page.caption)


def test_prices_are_read_by_model() -> None:
    settings = Settings(llm_prices="a=1/2 org/b:free=0/0.5")
    assert settings.token_prices == {"a": (1e-6, 2e-6), "org/b:free": (0.0, 0.5e-6)}
    with pytest.raises(ValidationError):
        Settings(llm_prices="a=cheap")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.OPERATOR, "guest", None])
def test_others_are_refused(role: Role | str | None, open_page: Callable) -> None:
    page = open_page(PAGE, role=role)
    assert len(page.error) == 1
    assert not page.dataframe
    assert not page.toggle


def with_old_days(app: App) -> None:
    ts = to_ms(app.clock()) - np.arange(20 * 24)[::-1] * 3_600_000
    app.samples.append(1, [Block("load", {"host": "a"}, ts, np.arange(ts.size) / 4)])


def checked(app: App, page: AppTest) -> None:
    """Have the archive's files checked: the page shows a task at work, and then what it found."""
    page.button(key="archive_verify").click().run()
    task = app.archiving.newest_check(SYSTEM)
    assert task is not None and app.runner.wait(task.id, 60).status == "succeeded", task
    page.run()


def test_an_empty_archive_says_when_a_day_goes_there(open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.ADMIN)
    assert any("once 7 whole days lie behind it" in one.value for one in page.caption)
    assert not [button for button in page.button if button.key == "archive_verify"]


def test_the_archive_is_run_checked_and_told_of(app: App, open_page: Callable) -> None:
    with_old_days(app)
    app.runner.start()
    page = open_page(PAGE, role=Role.ADMIN)
    page.button(key="archive_run").click().run()
    task = app.runner.wait(1, 60)
    assert task.status == "succeeded", task.error
    page.run()
    told = {one.label: one.value for one in page.metric}
    assert (told["Days archived"], told["Days waiting"], told["Samples"]) == ("13", "0", "299")
    checked(app, page)
    assert any("52 files as they were written" in one.value for one in page.caption)
    page.button(key="archive_test").click().run()
    assert "Stored, read and removed" in page.success[0].value
    raw = next((app.settings.data_dir / "archive").glob("2026-03-01/raw-*.parquet"))
    raw.write_bytes(bytes(raw.stat().st_size))
    checked(app, page)
    assert "24 rows of raw" in page.error[0].value and not page.exception
    checked(app, page)
    assert not page.error, "what was set aside is not found again"


def test_a_backup_is_a_task_and_its_place_is_shown(app: App, open_page: Callable) -> None:
    page = open_page(PAGE, role=Role.ADMIN)
    assert "No backup yet" in "".join(one.value for one in page.caption)
    page.button(key="backup_make").click().run()
    assert not page.exception
    waiting = app.backups.newest(SYSTEM)
    assert waiting is not None and waiting.finished_at is None
    app.runner.start()
    assert app.runner.wait(waiting.id or 0, 60).error == ""
    page.run()
    (made,) = app.backups.known(SYSTEM)
    assert str(made.path) in [one.value for one in page.code]


def test_why_a_backup_was_not_made_is_shown(app: App, open_page: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.backups, "_steps", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No **space** left")))
    app.runner.start()
    app.runner.wait(app.backups.run(SYSTEM).id or 0, 60)
    page = open_page(PAGE, role=Role.ADMIN)
    assert "could not be written" in page.error[0].value and "**space**" not in page.error[0].value
