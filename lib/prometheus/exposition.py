"""A `/metrics` page as blocks: the text format every exporter speaks, and OpenMetrics.

As in Prometheus, a page is taken whole or not at all: a line that cannot be read means that something else may be
wrong as well. Types, help and exemplars are not kept.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping

import numpy as np

from lib.errors import SourceAnswer, SourceTooLarge
from lib.frames import Block
from lib.prometheus.parse import printable

# First choice last, so that an exporter that knows neither still answers.
ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
# A page shows what is now; some bridges show a few moments of each series.
SAMPLES_A_SERIES = 20
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:.]*")
_LABEL = re.compile(r'\s*(?:([^\s="{},]+|"(?:[^"\\]|\\.)*")\s*=\s*)?"((?:[^"\\]|\\.)*)"\s*(,|(?=\}))')
_ESCAPED = re.compile(r"\\(.)")
_MEANS = {"n": "\n"}
_NUMBER = re.compile(r"[+-]?(?:inf(?:inity)?|nan|0x[0-9a-f.p+-]+|[0-9.]+(?:e[+-]?[0-9]+)?)", re.IGNORECASE)


def blocks(
    text: bytes, content_type: str, now_ms: int, max_series: int, added: Mapping[str, str] | None = None
) -> list[Block]:
    """One block a series, in the page's order.

    now_ms: the moment of samples without one of their own, which is nearly all. added: labels every series gets
    (job, instance); one of the page's own with that name goes to `exported_` and the name, as in Prometheus. Raises
    SourceAnswer with the line that cannot be read, SourceTooLarge beyond `max_series`.
    """
    openmetrics = content_type.split(";")[0].strip().lower() == "application/openmetrics-text"
    found: dict[tuple[str, frozenset[tuple[str, str]]], tuple[Mapping[str, str], dict[int, float]]] = {}
    for count, (name, labels, value, ts) in enumerate(_samples(text, openmetrics)):
        if count >= SAMPLES_A_SERIES * max_series:
            raise SourceTooLarge(
                f"The page has more than {SAMPLES_A_SERIES} samples for each of the {max_series:,} series allowed; it "
                "says the same again and again, or holds a history, which can be imported as a file."
            )
        named = _placed(labels, added or {})
        key = name, frozenset(named.items())
        if key not in found and len(found) >= max_series:
            raise SourceTooLarge(
                f"The page has more than the {max_series:,} series allowed; have the exporter show less, or raise "
                "AUTOOPS_SOURCE_MAX_SERIES."
            )
        found.setdefault(key, (named, {}))[1][now_ms if ts is None else ts] = value
    return [
        Block(name, labels, np.array(sorted(samples), np.int64), np.array([samples[t] for t in sorted(samples)]))
        for (name, _), (labels, samples) in found.items()
    ]


def _samples(text: bytes, openmetrics: bool) -> Iterator[tuple[str, dict[str, str], float, int | None]]:
    """(name, labels, value, milliseconds or None) of each line that is a sample."""
    try:
        lines = io.StringIO(text.decode("utf-8"), newline="\n")
    except UnicodeDecodeError:
        raise SourceAnswer("The page is not text in UTF-8; is this the address of a /metrics page?") from None
    ended = False
    for number, line in enumerate(lines, 1):
        line = line.strip(" \t\r\n")
        if line.startswith("#"):
            ended = ended or line == "# EOF"
            continue
        if line:
            if openmetrics and ended:
                raise SourceAnswer(f"The page goes on after its end (line {number}).")
            try:
                yield sample(line, openmetrics)
            except (ValueError, OverflowError) as error:
                raise SourceAnswer(
                    f"Line {number} of the page cannot be read ({error}): “{printable(line, 80)}”. Nothing was kept."
                ) from None
    if openmetrics and not ended:
        raise SourceAnswer("The page breaks off before its end (# EOF). Nothing of it was kept.")


def sample(line: str, openmetrics: bool) -> tuple[str, dict[str, str], float, int | None]:
    """One line as name, labels, value and milliseconds (None: it has no time). Raises ValueError that says why not."""
    found = _NAME.match(line)
    name, rest = (found[0], line[found.end() :].lstrip()) if found else ("", line)
    labels: dict[str, str] = {}
    if rest.startswith("{"):
        at = 1
        while not rest[at:].lstrip().startswith("}"):
            pair = _LABEL.match(rest, at)
            if pair is None:
                raise ValueError("its labels are not closed")
            label, value = pair[1], _plain(pair[2])
            if label is None:
                if name:
                    raise ValueError("it has two names")
                name = value  # {"name with.dots", label="value"}
            else:
                label = _plain(label[1:-1]) if label.startswith('"') else label
                if label in labels:
                    raise ValueError(f"{printable(label, 30)} is there twice")
                labels[label] = value
            at = pair.end()
        rest = rest[rest.index("}", at) + 1 :]
    if not name:
        raise ValueError("it has no name")
    words = rest.split(" # ")[0].split()  # what follows is an exemplar
    if not 1 <= len(words) <= 2:
        raise ValueError("there should be a value, and perhaps a time, behind the name")
    return name, labels, _number(words[0]), _moment(words[1], openmetrics) if len(words) > 1 else None


def _number(word: str) -> float:
    if not _NUMBER.fullmatch(word):
        raise ValueError("its value is no number")
    return float.fromhex(word) if "x" in word.lower() else float(word)


def _moment(word: str, openmetrics: bool) -> int:
    """Seconds in OpenMetrics, whole milliseconds in the older format."""
    return round(_number(word) * 1000) if openmetrics else int(word)


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: _MEANS.get(found[1], found[1]), text) if "\\" in text else text


def _placed(labels: dict[str, str], added: Mapping[str, str]) -> dict[str, str]:
    kept = {f"exported_{name}" if name in added else name: value for name, value in labels.items() if value}
    return {**kept, **added}
