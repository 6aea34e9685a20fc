"""From the bytes of a Prometheus answer to blocks, some ten million samples a second.

The body is cut in two. What is left after taking out every series' samples is small and goes through `json`, which
proves that the answer is whole; the samples, `[1700000000.123,"1.5"],…`, become CSV by one `bytes.translate` and go
through Arrow, whose numbers are rounded as Python's `float` rounds them. An answer in another shape (other key order,
white space) goes through `json` altogether: slower, the same result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lib.errors import SourceAnswer
from lib.frames import Block
from lib.log import redact

_OPENING = b'"values":[['
_END_OF_ROW = bytes.maketrans(b"]", b"\n")
_SHOWN_CHARS = 300
_CHECK_URL = "Check the URL: it is the part before /api/v1."
# Below this, starting Arrow's thread pool costs more time and memory than it saves.
_THREADS_FROM_BYTES = 4 << 20


class Matrix(list[Block]):
    """The series of an answer. `warnings`: what the server said besides; `partial` when it said anything."""

    def __init__(self, blocks: Sequence[Block] = (), warnings: Sequence[str] = ()) -> None:
        super().__init__(blocks)
        self.warnings = tuple(warnings)

    @property
    def partial(self) -> bool:
        return bool(self.warnings)

    @property
    def samples(self) -> int:
        return sum(block.ts_ms.size for block in self)


class Vector(list[Any]):
    """An instant answer as JSON gave it, with the server's warnings."""

    def __init__(self, rows: Sequence[Any] = (), warnings: Sequence[str] = ()) -> None:
        super().__init__(rows)
        self.warnings = tuple(warnings)


def printable(text: object, limit: int = _SHOWN_CHARS) -> str:
    """What a server said, fit for a message: one line, bounded, nothing that looks like a credential."""
    line = "".join(c if c.isprintable() else " " for c in str(text)[: limit * 4])
    line = redact(" ".join(line.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def answer(body: bytes) -> dict[str, Any]:
    """The envelope of an answer, its `result` as Matrix where it is one. Raises SourceAnswer when it is not whole,
    not what the API promises, or says `status: error`."""
    cut = _cut(body)
    envelope = _json(cut[0] if cut else body)
    if not isinstance(envelope, dict) or "status" not in envelope:
        raise SourceAnswer(f"The server did not answer as Prometheus does; it sent “{_start(body)}”. {_CHECK_URL}")
    if envelope["status"] != "success":
        said = printable(envelope.get("error") or envelope.get("errorType") or "no reason given")
        raise SourceAnswer(f"The server reports an error: {said}", error_type=printable(envelope.get("errorType", "")))
    warnings = [printable(w) for w in envelope.get("warnings") or []]
    if envelope.get("isPartial") is True:  # how VictoriaMetrics says it
        warnings.append("the server marked the answer as partial")
    data = envelope.get("data")
    if isinstance(data, dict) and "resultType" in data:
        result = data.get("result")
        if data["resultType"] == "matrix":
            data["result"] = Matrix(_blocks(result, cut[1] if cut else None, body), warnings)
        elif isinstance(result, list):
            data["result"] = Vector(result, warnings)
        else:
            raise SourceAnswer(f"The answer has no result. {_CHECK_URL}")
    return envelope


def _start(body: bytes) -> str:
    return printable(body[:200].decode("utf-8", "replace"), 80) or "nothing"


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        if body.lstrip()[:1] in (b"{", b"["):
            raise SourceAnswer(
                "The answer broke off in the middle, or is not valid JSON. Nothing of it was kept; try again."
            ) from None
        raise SourceAnswer(f"The server did not answer with JSON; it sent “{_start(body)}”. {_CHECK_URL}") from None


def _cut(body: bytes) -> tuple[bytes, list[bytes]] | None:
    """(the body without its samples, the samples of each series), or None when the shape is another.

    Inside a JSON string a quote has a backslash before it, so `"values":[[` can only be structure; between it and the
    next brace stand numbers alone.
    """
    skeleton, segments, kept = [], [], 0
    at = body.find(_OPENING)
    while at >= 0:
        start = at + len(_OPENING)
        end = body.find(b"}", start)
        if end < 0 or body[end - 2 : end] != b"]]":
            end = body.find(b"]]", start)
            if end < 0:
                return None
            end += 2
        skeleton.append(body[kept : start - 1])
        segments.append(body[start : end - 1])
        kept = end - 1
        at = body.find(_OPENING, end)
    if not segments:
        return None
    skeleton.append(body[kept:])
    return b"".join(skeleton), segments


def _blocks(result: Any, segments: list[bytes] | None, body: bytes) -> list[Block]:
    if not isinstance(result, list):
        raise SourceAnswer(f"The answer has no list of series. {_CHECK_URL}")
    try:
        with_values = [row for row in result if "values" in row]
        if segments is None or len(segments) != len(with_values):
            return list(_slow(json.loads(body)["data"]["result"]))
        columns = _columns(segments)
        if columns is None:
            return list(_slow(json.loads(body)["data"]["result"]))
        blocks, start = [], 0
        for row, segment in zip(with_values, segments, strict=True):
            end = start + segment.count(b"]")
            blocks.append(_block(row["metric"], columns[0][start:end], columns[1][start:end]))
            start = end
        return blocks
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise SourceAnswer(
            f"The answer holds samples that cannot be read: {printable(error, 120)}. Nothing of it was kept."
        ) from None


def _columns(segments: list[bytes]) -> tuple[np.ndarray, np.ndarray] | None:
    """Milliseconds and values of every sample in order; None where the strict form does not hold."""
    import pyarrow as pa
    from pyarrow import csv

    # `[t,"v"],[t,"v"]` -> `,t,v` lines: brackets and quotes go, each closing bracket ends a line, and the comma
    # between two samples becomes an empty first column.
    text = b"".join([b"," + segment.translate(_END_OF_ROW, b'["') for segment in segments])
    try:
        table = csv.read_csv(
            pa.BufferReader(text),
            read_options=csv.ReadOptions(column_names=["", "ts", "value"], use_threads=len(text) > _THREADS_FROM_BYTES),
            parse_options=csv.ParseOptions(quote_char=False),
            convert_options=csv.ConvertOptions(
                column_types={"ts": pa.float64(), "value": pa.float64()},
                include_columns=["ts", "value"],
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != sum(segment.count(b"]") for segment in segments):
        return None
    return _milliseconds(table["ts"].to_numpy()), table["value"].to_numpy()


def _milliseconds(seconds: np.ndarray) -> np.ndarray:
    """Exact for anything printed with three decimals: a double near 2e9 is good to 2e-7."""
    if not np.isfinite(seconds).all() or (np.abs(seconds) > 1e11).any():
        raise ValueError("a timestamp is out of range")
    return np.rint(seconds * 1000).astype(np.int64)


def _slow(result: list[Mapping[str, Any]]) -> Iterator[Block]:
    for row in result:
        if "values" not in row:
            continue  # native histograms only
        values = row["values"]
        ts = np.array([float(pair[0]) for pair in values], dtype=np.float64)
        value = np.array([float(pair[1]) for pair in values], dtype=np.float64)
        if any(len(pair) != 2 for pair in values):
            raise ValueError("a sample does not have two parts")
        yield _block(row["metric"], _milliseconds(ts), value)


def _block(labels: Any, ts_ms: np.ndarray, value: np.ndarray) -> Block:
    named = {str(k): str(v) for k, v in labels.items()}
    return Block(named.pop("__name__", ""), named, ts_ms, value)
