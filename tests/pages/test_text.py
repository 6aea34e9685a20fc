"""The text page: read and forgotten, told where it goes, refused with words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.auth.actor import Role
from lib.llm.fallback import Fallback, configured
from lib.settings import LlmMode
from lib.ui.text_view import NAMES
from tests.text.test_logs import incident

PAGE = "pages/act/text.py"


@pytest.fixture
def page(app: App, open_page: Callable) -> AppTest:
    return open_page(PAGE, Role.VIEWER)


def shown(page: AppTest) -> str:
    return "\n".join(str(one.value) for one in [*page.markdown, *page.caption, *page.info])


def test_stranger_is_refused(open_page: Callable) -> None:
    assert "Sign in" in open_page(PAGE).error[0].value


def test_report_is_read_and_stays_when_something_else_is_clicked(page: AppTest) -> None:
    page.text_area(key="text_text").set_value("Checkout was down. Maria Keller rolled back. It recovered.").run()
    page.button(key="text_analyse").click().run()
    assert "Nothing leaves this machine" in shown(page) and "badge" in shown(page)
    assert "Maria Keller" in set(page.dataframe[-1].value["In the text"])
    page.run()
    assert "Maria Keller" in set(page.dataframe[-1].value["In the text"])


def test_log_is_recognised_and_summarised(page: AppTest) -> None:
    page.text_area(key="text_text").set_value("\n".join(incident(400))).run()
    page.button(key="text_analyse").click().run()
    assert "400 lines" in shown(page)
    kinds = next(one.value for one in page.dataframe if "template" in one.value)
    assert int(kinds["count"].sum()) == 400


def test_nothing_to_read_is_said(page: AppTest) -> None:
    page.button(key="text_analyse").click().run()
    assert "no text" in page.error[0].value and not page.exception


def test_hostile_text_stays_text(page: AppTest) -> None:
    page.text_area(key="text_text").set_value("Look ![x](http://evil/x.png) and <img src=x>. " * 3).run()
    page.button(key="text_analyse").click().run()
    assert "![x]" not in shown(page) and not page.exception


def test_writing_without_a_provider_says_what_it_takes_before_anything_is_typed(page: AppTest) -> None:
    page.segmented_control(key="text_do").set_value("Write").run()
    assert "takes a language model provider" in page.info[0].value
    assert not page.text_area and not page.button and not page.exception


def test_what_is_sent_is_seen_before_and_a_log_is_said_to_stay(app: App, open_page: Callable) -> None:
    app.settings.llm_mode = LlmMode.AUTO
    app.settings.openai_base_url = "http://127.0.0.1:9/v1"
    app.texts.fallback = Fallback(configured(app.settings))
    page = open_page(PAGE, Role.VIEWER)
    page.text_area(key="text_text").set_value("Checkout was down, password=hunter2hunter2.").run()
    assert "Sent to OpenAI" in shown(page)
    sent = "\n".join(one.value for one in page.code)
    assert "Checkout was down" in sent and "hunter2" not in sent
    page.text_area(key="text_text").set_value("\n".join(incident(40))).run()
    assert "Nothing leaves this machine" in shown(page) and not page.code


def test_every_kind_of_reading_has_a_name() -> None:
    from lib.text.analysis import Wanted

    assert set(NAMES) == set(Wanted)
