"""Words offered while somebody writes in a text area: under the caret, taken by Tab, or by an arrow and Enter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from lib.ui import components

# Longer ones nobody means to write, and would fill the list.
LONGEST = 120


class Where(StrEnum):
    """What a word may stand in."""

    OPEN = "open"
    QUOTES = "quotes"  # the kind says of which column or label: host = '…'
    BRACES = "braces"  # of a PromQL selector


@dataclass(frozen=True)
class Word:
    """kind: table, column, function, keyword; of a word in quotes the column it is a value of. tables: it is of."""

    text: str
    kind: str
    about: str = ""
    tables: tuple[str, ...] = ()
    where: Where = Where.OPEN


def offer(editor: str, words: Iterable[Word], *, quote: str = "'", escape: str = "''") -> None:
    """Listen to the text area of this key. quote, escape: how a text is written in its language, and the quote in it.

    Foreign names only become text; those that could not be written on one line are left out.
    """
    shown = [
        [word.text, word.kind, word.about[:80], list(word.tables), str(word.where)]
        for word in words
        if 0 < len(word.text) <= LONGEST and word.text.isprintable()
    ]
    components.component(
        "autoopscompletion", "completion", "completion", html="<span hidden></span>", js="completion.js"
    )(key=f"{editor}_completion", data={"editor": editor, "words": shown, "quote": quote, "escape": escape}, height=1)
