"""The bytes of Prometheus' remote read protocol, both ways: what is asked, and the two forms an answer may have.

Messages: prometheus/prompb remote.proto and types.proto; only the fields used here. A streamed answer is a row of
frames: the length as uvarint, CRC-32C in 4 bytes, one ChunkedReadResponse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.errors import SourceAnswer, SourceTooLarge
from lib.prometheus.crc import crc32c

if TYPE_CHECKING:
    from google.protobuf.message import Message

Labels = tuple[tuple[str, str], ...]

STREAMED = "application/x-streamed-protobuf"
SAMPLES = "application/x-protobuf"
_STREAMED_XOR_CHUNKS, _SAMPLES = 1, 0  # ReadRequest.ResponseType
_XOR, _HISTOGRAMS = 1, (2, 3)  # Chunk.Encoding

# message -> (number, name, type, repeated); a type with a capital letter is another message.
_MESSAGES: dict[str, list[tuple[int, str, str, bool]]] = {
    "ReadRequest": [(1, "queries", "Query", True), (2, "accepted_response_types", "int32", True)],
    "Query": [
        (1, "start_timestamp_ms", "int64", False),
        (2, "end_timestamp_ms", "int64", False),
        (3, "matchers", "LabelMatcher", True),
    ],
    "LabelMatcher": [(1, "type", "int32", False), (2, "name", "string", False), (3, "value", "string", False)],
    "Label": [(1, "name", "string", False), (2, "value", "string", False)],
    "ReadResponse": [(1, "results", "QueryResult", True)],
    "QueryResult": [(1, "timeseries", "TimeSeries", True)],
    "TimeSeries": [(1, "labels", "Label", True), (2, "samples", "Sample", True), (4, "histograms", "bytes", True)],
    "Sample": [(1, "value", "double", False), (2, "timestamp", "int64", False)],
    "ChunkedReadResponse": [(1, "chunked_series", "ChunkedSeries", True), (2, "query_index", "int64", False)],
    "ChunkedSeries": [(1, "labels", "Label", True), (2, "chunks", "Chunk", True)],
    "Chunk": [(3, "type", "int32", False), (4, "data", "bytes", False)],
}


@dataclass
class Packed:
    """Series as a streamed answer has them. pieces: of each series in turn, how many of `chunks` are its own."""

    series: list[Labels] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    histograms: set[Labels] = field(default_factory=set)  # series with native ones, which are left out


@dataclass
class Plain:
    """Series as an answer of plain samples has them."""

    series: list[tuple[Labels, np.ndarray, np.ndarray]] = field(default_factory=list)
    histograms: set[Labels] = field(default_factory=set)


@cache
def message(name: str) -> type[Message]:
    """The class of a message; made when first asked for, so that importing this costs nothing."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="autoops/remote.proto", package="autoops", syntax="proto3")
    for title, fields in _MESSAGES.items():
        made = file.message_type.add(name=title)
        for number, label, kind, repeated in fields:
            one = made.field.add(name=label, number=number, label=3 if repeated else 1)
            if kind[0].isupper():
                one.type, one.type_name = kinds.TYPE_MESSAGE, f".autoops.{kind}"
            else:
                one.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = _pool(descriptor_pool)
    try:
        pool.FindFileByName(file.name)
    except KeyError:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"autoops.{name}"))


@cache
def _pool(module: Any) -> Any:
    """One of our own: Streamlit and others fill the default one."""
    return module.DescriptorPool()


def request(metric: str, start_ms: int, end_ms: int) -> bytes:
    """The body that asks for one metric's samples from start to end, both included; chunks if it can be."""
    asked: Any = message("ReadRequest")(accepted_response_types=[_STREAMED_XOR_CHUNKS, _SAMPLES])
    query = asked.queries.add(start_timestamp_ms=start_ms, end_timestamp_ms=end_ms)
    query.matchers.add(type=0, name="__name__", value=metric)  # 0: equals
    squeezed: bytes = _codec().compress(asked.SerializeToString(), asbytes=True)
    return squeezed


def streamed(body: bytes, max_series: int) -> Packed:
    """A streamed answer taken apart; chunks as they are. Raises SourceAnswer when a frame is cut, damaged, or of a
    kind unknown here, SourceTooLarge beyond `max_series`."""
    frames = list(_frames(body))
    checksums = crc32c([frame for _, frame in frames])
    if checksums.tolist() != [checksum for checksum, _ in frames]:
        raise SourceAnswer(
            "A part of the answer was damaged on its way (its checksum differs). Nothing of it was kept."
        )
    found, kind = Packed(), message("ChunkedReadResponse")
    for _, frame in frames:
        for series in _parsed(kind, frame).chunked_series:
            labels = _labels(series)
            floats = []
            for chunk in series.chunks:
                encoding = chunk.type
                if encoding == _XOR:
                    floats.append(chunk.data)
                elif encoding in _HISTOGRAMS:
                    found.histograms.add(labels)
                else:
                    raise SourceAnswer(f"The server packs samples in a way not known here (encoding {encoding}).")
            if found.series and found.series[-1] == labels:  # a series may need several frames
                found.pieces[-1] += len(floats)
            else:
                if len(found.series) >= max_series:
                    raise _too_many(max_series)
                found.series.append(labels)
                found.pieces.append(len(floats))
            found.chunks += floats
    return found


def plain(body: bytes, max_bytes: int, max_series: int) -> Plain:
    """An answer of plain samples, as servers give that cannot stream. Raises as `streamed` does."""
    try:
        size, _ = _uvarint(body, 0)
        if size > max_bytes:
            raise SourceTooLarge(
                f"The answer unpacks to more than {max_bytes / (1 << 20):.0f} MB; ask for less at once.", too_long=True
            )
        unpacked = _codec().decompress(body, decompressed_size=size, asbytes=True)
    except (OSError, ValueError):
        raise SourceAnswer("The server's samples do not decompress. Nothing of the answer was kept.") from None
    found = Plain()
    for result in _parsed(message("ReadResponse"), unpacked).results:
        for series in result.timeseries:
            labels = _labels(series)
            if series.histograms:
                found.histograms.add(labels)
            if len(found.series) >= max_series:
                raise _too_many(max_series)
            count = len(series.samples)
            ts = np.fromiter((s.timestamp for s in series.samples), np.int64, count)
            found.series.append((labels, ts, np.fromiter((s.value for s in series.samples), np.float64, count)))
    return found


def _too_many(most: int) -> SourceTooLarge:
    return SourceTooLarge(f"The answer has more than the {most:,} series allowed.", too_many=True)


def _codec() -> Any:
    import pyarrow as pa

    return pa.Codec("snappy")


def _frames(body: bytes) -> Iterator[tuple[int, memoryview]]:
    """(checksum, message) of each frame."""
    view, at = memoryview(body), 0
    while at < len(body):
        try:
            size, at = _uvarint(body, at)
        except ValueError:
            raise _cut_off() from None
        if at + 4 + size > len(body):
            raise _cut_off()
        yield int.from_bytes(view[at : at + 4]), view[at + 4 : at + 4 + size]
        at += 4 + size


def _uvarint(body: bytes, at: int) -> tuple[int, int]:
    """(number, where it ends). Raises ValueError when it does not."""
    number = 0
    for place, byte in enumerate(body[at : at + 10]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise ValueError("an unfinished number")


def _cut_off() -> SourceAnswer:
    return SourceAnswer("The answer broke off in the middle. Nothing of it was kept.")


def _parsed(kind: type[Message], body: bytes | memoryview) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(body)
    except (DecodeError, UnicodeDecodeError):
        raise SourceAnswer("The server sent a message that is not one of remote read's. Nothing was kept.") from None


def _labels(series: Any) -> Labels:
    return tuple([(label.name, label.value) for label in series.labels])


def names_of(series: Sequence[Labels]) -> set[frozenset[tuple[str, str]]]:
    """Label sets to compare, whatever their order."""
    return {frozenset(labels) for labels in series}
