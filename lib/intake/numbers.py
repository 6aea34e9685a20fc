"""Numbers as files write them: decimal point or comma, thousands, words for "nothing here"."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

NOT_A_NUMBER = "is no number"
TOO_LARGE = "is larger than a number can be"
MISSING = frozenset(("", "-", "–", "null", "none", "nil", "na", "n/a", "#n/a", "\\n", "nat", "<na>"))
_WORDS = {"true": 1.0, "false": 0.0}
_GROUPED = {
    ".": re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?"),
    ",": re.compile(r"[+-]?\d{1,3}([.\u00a0\u202f ]\d{3})+(,\d*)?"),
}


def read(cells: Sequence[str] | np.ma.MaskedArray, decimal: str = ".") -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Values, shape (n,); which are there, shape (n,); and the reason for each cell that is neither a number nor empty.

    NaN and Inf as words are values, as in Prometheus; empty cells, null and n/a are not.
    """
    if isinstance(cells, np.ma.MaskedArray):
        there = ~np.ma.getmaskarray(cells)
        if cells.dtype.kind not in "fiub":
            return np.zeros(there.size), there & False, dict.fromkeys(np.flatnonzero(there).tolist(), NOT_A_NUMBER)
        return cells.data.astype(np.float64), there, {}
    if decimal == ".":
        try:
            plain = np.array([float(cell) for cell in cells])
        except ValueError:
            pass
        else:
            # Two things Python reads and no exporter writes, or that are too large: looked at one by one.
            if not np.isinf(plain).any() and not any("_" in cell for cell in cells):
                return plain, np.ones(plain.size, dtype=bool), {}
    values, there = np.zeros(len(cells)), np.zeros(len(cells), dtype=bool)
    wrong: dict[int, str] = {}
    for position, cell in enumerate(cells):
        text = cell.strip()
        if text.lower() in MISSING:
            continue
        value = one(text, decimal)
        if isinstance(value, str):
            wrong[position] = value
        else:
            values[position], there[position] = value, True
    return values, there, wrong


def one(text: str, decimal: str = ".") -> float | str:
    """The number, or why it is none."""
    word = _WORDS.get(text.lower())
    if word is not None:
        return word
    if _GROUPED[decimal].fullmatch(text):
        text = re.sub("[.\u00a0\u202f ]" if decimal == "," else ",", "", text)
    if decimal == ",":
        if "." in text:
            return NOT_A_NUMBER
        text = text.replace(",", ".")
    if "_" in text:
        return NOT_A_NUMBER
    try:
        value = float(text)
    except ValueError:
        return NOT_A_NUMBER
    return TOO_LARGE if np.isinf(value) and any(c.isdigit() for c in text) else value
