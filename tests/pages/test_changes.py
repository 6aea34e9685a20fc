from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import numpy as np

from lib.app import App
from lib.auth.actor import Role
from lib.errors import StoreError
from lib.frames import Block, to_ms
from lib.ui import links

PAGE = "pages/observe/changes.py"
HOSTILE = "<img src=x onerror=alert(1)> **b** [x](http://evil.example) %{y} =1+1"


def fill(app: App, host: str = "web-1", changed: bool = True) -> None:
    rng = np.random.default_rng(3)
    ts_ms = to_ms(app.clock()) - np.arange(600)[::-1] * 60_000 - 1000
    blocks = [Block("calm", {"instance": f"h{n}"}, ts_ms, rng.normal(5, 1, 600)) for n in range(5)]
    value = rng.normal(5, 1, 600)
    value[-60:] += 40 if changed else 0
    app.samples.append(1, [*blocks, Block("node_load1", {"instance": host}, ts_ms, value)])


def test_stranger_is_sent_to_sign_in(open_page: Callable) -> None:
    page = open_page(PAGE)
    assert "Sign in" in page.error[0].value
    assert not page.title


def test_empty_store_names_the_next_step(open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "Connect your Prometheus" in page.info[0].value


def test_guest_sees_what_changed_with_the_reason_and_how_many_were_compared(app: App, open_page: Callable) -> None:
    fill(app)
    page = open_page(PAGE, "guest")
    assert not page.exception
    words = " ".join(one.value for one in page.markdown)
    assert "**1 of 6** series changed more than chance explains" in words
    assert "Load \\(1 min\\)" in words
    assert len(page.get("plotly_chart")) == 1
    table = page.dataframe[0].value
    assert table["metric"].tolist()[0] == "node_load1"
    assert table["mark"].tolist()[0] == "◆"
    captions = " ".join(one.value for one in page.caption)
    assert "by chance" in captions
    assert "Earlier days are not stored" in captions
    assert "As of 2026-03-14 12:00:00 UTC" in captions


def test_a_host_that_went_down_is_one_card_that_opens_to_its_series(app: App, open_page: Callable) -> None:
    rng = np.random.default_rng(3)
    ts_ms = to_ms(app.clock()) - np.arange(600)[::-1] * 60_000 - 1000
    blocks = [Block("calm", {"instance": f"h{n}"}, ts_ms, rng.normal(5, 1, 600)) for n in range(9)]
    blocks += [Block(f"gone_{n}", {"instance": "<b>web-3"}, ts_ms[:-28], rng.normal(5, 1, 572)) for n in range(19)]
    app.samples.append(1, blocks)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    # As `plain` wrote them, without what keeps Markdown from reading them.
    words = [one.value.replace("\\", "").replace("\u2060", "") for one in page.markdown]
    (card,) = [one for one in words if "19 series stopped at 11:31:59 UTC" in one]
    assert card.startswith("**<b>web-3:")
    (opens,) = [one for one in page.expander if one.label == "19 series"]
    assert sorted(opens.dataframe[0].value["metric"]) == sorted(f"gone_{n}" for n in range(19))
    assert sum("Gone silent" in one for one in words) == 1


def test_quiet_hours_say_so(app: App, open_page: Callable) -> None:
    fill(app, changed=False)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "All 6 series were as before" in page.info[0].value
    assert "compared with the 4 hours before" in page.info[0].value
    assert "As of 2026-03-14 12:00:00 UTC" in page.caption[-1].value


def test_a_link_restores_window_host_and_comparison(app: App, open_page: Callable) -> None:
    fill(app)
    at = app.clock() - timedelta(minutes=60)
    query = links.changes_of(at, app.clock()) | {"host": "web-1", "times": "8x"}
    page = open_page(PAGE, Role.VIEWER, query)
    assert not page.exception
    assert page.selectbox(key="host").value == "web-1"
    assert page.selectbox(key="times").value == "8x"
    assert "from 2026\\-03\\-14" in page.markdown[0].value or "from 2026-03-14 11:00 UTC" in page.markdown[0].value
    assert page.dataframe[0].value["host"].tolist() == ["web-1"]


def test_range_without_samples_and_one_sample_say_what_to_do(app: App, open_page: Callable) -> None:
    app.samples.append(1, [Block("one", {}, np.array([to_ms(app.clock()) - 1000]), np.ones(1))])
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "too few of them are numbers" in page.info[0].value
    query = {"range": "custom", "range_from": "2025-01-01T00:00", "range_to": "2025-01-02T00:00"}
    page = open_page(PAGE, Role.VIEWER, query)
    assert "Choose another range" in page.info[0].value


def test_a_failure_is_said(app: App, open_page: Callable, monkeypatch) -> None:
    fill(app)

    def broken(*args: object, **kwargs: object) -> None:
        raise StoreError("The store cannot be read; see the log.")

    monkeypatch.setattr(app.changes, "compare", broken)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "cannot be read" in page.error[0].value


def test_hostile_labels_do_nothing(app: App, open_page: Callable) -> None:
    fill(app, host=HOSTILE)
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    for one in page.markdown:
        assert not re.search(r"(?<!\\)<img", one.value)
        assert "](http" not in one.value
    assert "<img" not in page.get("plotly_chart")[0].proto.spec
