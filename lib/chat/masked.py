"""A text that is understood stretch by stretch."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[^\s,;?!()\[\]{}\"“”‘]+")


class Masked:
    """A text whose understood stretches are blanked, so that nothing is understood twice."""

    def __init__(self, text: str) -> None:
        self.text = text

    def blank(self, begin: int, end: int) -> None:
        self.text = self.text[:begin] + " " * (end - begin) + self.text[end:]

    def take(self, pattern: re.Pattern[str]) -> list[re.Match[str]]:
        found = list(pattern.finditer(self.text))
        for match in found:
            self.blank(match.start(), match.end())
        return found

    def tokens(self) -> list[tuple[str, int, int]]:
        made = []
        for match in _TOKEN.finditer(self.text):
            word = match[0].strip(".:-…'")
            if word:
                begin = match.start() + match[0].index(word)
                made.append((word, begin, begin + len(word)))
        return made
