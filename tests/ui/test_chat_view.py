"""The words of an answer as they are drawn: left in the middle, it is kept before anybody is told."""

from __future__ import annotations

from collections.abc import Generator

from lib.chat.events import Done, Event, Text, Waiting
from lib.ui import chat_view
from lib.ui.state import Asking


def test_stream_left_in_the_middle_closes_the_answer_first() -> None:
    asking, order = Asking("hosts?"), []

    def answer() -> Generator[Event]:
        try:
            yield Waiting()
            yield Text("So far ")
            yield Done("offline")
        finally:
            order.append(asking.over)

    into: list[Event] = []
    words = chat_view.stream(answer(), into, asking)
    assert next(words) == "So far "
    words.close()
    assert order == [False] and asking.over and into == [Text("So far ")]
