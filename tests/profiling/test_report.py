"""What a profile looks like when it leaves: true JSON, and HTML in which data can do nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.frames import Block, Window, to_ms
from lib.profiling.profiles import Alert, Level
from lib.profiling.relations import Relation
from lib.profiling.report import Profile, to_html, to_json
from lib.profiling.tables import ColumnProfile, Kind, TableProfile, Target, TimeProfile

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
VIEWER = Actor("vera", Role.VIEWER)
HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'`${1}&lt;"
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul", "li", "span"} | {
    "table",
    "tr",
    "th",
    "td",
    "div",
    "svg",
    "rect",
    "figure",
    "figcaption",
    "small",
    "meter",
}


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def inert(page: bytes) -> Seen:
    """Parse a page and check that there is nothing in it that could run or load."""
    seen = Seen()
    seen.feed(page.decode())
    assert seen.tags <= TAGS
    assert not {name for name in seen.attributes if name.startswith("on") or name in ("src", "href", "style")}
    assert b"default-src 'none'" in page
    return seen


def hostile_table(text: str) -> TableProfile:
    column = ColumnProfile(
        text, text, Kind.TEXT, 3, 0, 2, text, text, top=((text, 2),), counts=(1, 2), edges=(0.0, 1.0, 2.0)
    )
    moment = ColumnProfile(text, "DATE", Kind.MOMENT, 3, 0, 2, text, text)
    return TableProfile(
        text,
        3,
        10,
        (column, moment),
        0,
        3,
        relations=(Relation(text, text, None, None, 0.5),),
        time=TimeProfile(text, text, text, 1.0, 0.0, 1, ((text, text),), 0),
        target=Target(text, text, (text,)),
        alerts=(Alert(text, Level.ERROR, text, text),),
    )


def test_a_table_with_hostile_names_stays_inert() -> None:
    seen = inert(to_html(hostile_table(HOSTILE), NOW))
    assert "script" not in seen.tags
    assert any("<script>alert(1)</script>" in text for text in seen.texts)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=60))
def test_any_name_stays_inert(text: str) -> None:
    inert(to_html(hostile_table(text), NOW))
    assert json.loads(to_json(hostile_table(text), NOW))["profile_of"] == "table"


def profiles(app: App) -> dict[str, Profile]:
    ts_ms = to_ms(app.clock()) - np.arange(600)[::-1] * 60_000
    value = np.where(np.arange(600) % 7 == 0, np.nan, np.sin(np.arange(600)))
    labels = {"instance": HOSTILE, "job": HOSTILE}
    app.samples.append(1, [Block(m, labels | {"cpu": cpu}, ts_ms, value) for m in ("a", "b") for cpu in "12"])
    window = Window.last(timedelta(days=1), app.clock() + timedelta(minutes=1))
    explore = app.exploration
    host = explore.find(VIEWER, "a")[0].host
    return {
        "series": explore.profile(VIEWER, explore.find(VIEWER, "a")[0].id, window),
        "metric": explore.profile_metric(VIEWER, "a", window),
        "host": explore.profile_host(VIEWER, host, window),
    }


@pytest.mark.parametrize("kind", ["series", "metric", "host"])
def test_every_kind_of_profile_leaves_whole_and_inert(app: App, kind: str) -> None:
    profile = profiles(app)[kind]
    inert(to_html(profile, NOW))
    text = to_json(profile, NOW).decode()
    # NaN and Infinity are no JSON, though Python would read them.
    body = json.loads(text, parse_constant=pytest.fail)
    assert body["profile_of"] == kind
    assert body["alerts"] == [
        {"code": a.code, "level": a.level.value, "sentence": a.sentence, "remedy": a.remedy} for a in profile.alerts
    ]
