"""The server's side of remote read, for a `FaultServer`: frames of XOR chunks, or plain samples."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from lib.prometheus import wire
from tests.faults.conftest import FaultServer, Request
from tests.prometheus.xor import bits_of, encode, uvarint

STREAMED = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
_SLICE = 50  # samples a chunk


def asked(request: Request) -> tuple[str, int, int]:
    """(metric, first and last millisecond, both included) of what a client sent."""
    size = wire._uvarint(request.sent, 0)[0]
    body = pa.Codec("snappy").decompress(request.sent, decompressed_size=size, asbytes=True)
    message: Any = wire.message("ReadRequest").FromString(body)
    [query] = message.queries
    [matcher] = query.matchers
    assert (matcher.type, matcher.name) == (0, "__name__")
    return matcher.value, query.start_timestamp_ms, query.end_timestamp_ms


def series_of(request: Request) -> Iterator[tuple[dict[str, str], list[tuple[int, int]]]]:
    """(labels, [(milliseconds, the value's bits)]) of what was asked for."""
    name, start, end = asked(request)
    for labels, samples in request.server.series.get(name, []):
        inside = [(round(t * 1000), bits_of(float(v))) for t, v in samples if start <= round(t * 1000) <= end]
        yield {"__name__": name, **labels}, inside


def frame(message: bytes, checksum: int | None = None) -> bytes:
    if checksum is None:
        checksum = checksum_of(message)
    return uvarint(len(message)) + checksum.to_bytes(4) + message


def checksum_of(message: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in message:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def message(labels: dict[str, str], chunks: Iterable[tuple[int, bytes]]) -> bytes:
    """One frame's message; chunks: (encoding, data)."""
    made: Any = wire.message("ChunkedReadResponse")()
    series = made.chunked_series.add()
    for name, value in sorted(labels.items()):
        series.labels.add(name=name, value=value)
    for encoding, data in chunks:
        series.chunks.add(type=encoding, data=data)
    body: bytes = made.SerializeToString()
    return body


def frames(request: Request) -> list[bytes]:
    """A frame a series, as Prometheus does it, chunks of a few samples each."""
    return [
        frame(message(labels, [(1, encode(samples[i : i + _SLICE])) for i in range(0, len(samples), _SLICE)]))
        for labels, samples in series_of(request)
    ]


def streams(request: Request) -> None:
    request.send(b"".join(frames(request)), Content_Type=STREAMED)


def gives_samples(request: Request) -> None:
    """As a server does that cannot stream."""
    made: Any = wire.message("ReadResponse")()
    result = made.results.add()
    for labels, samples in series_of(request):
        series = result.timeseries.add()
        for name, value in sorted(labels.items()):
            series.labels.add(name=name, value=value)
        for ts, bits in samples:
            series.samples.add(timestamp=ts, value=struct.unpack(">d", bits.to_bytes(8))[0])
    body = pa.Codec("snappy").compress(made.SerializeToString(), asbytes=True)
    request.send(body, Content_Type="application/x-protobuf", Content_Encoding="snappy")


def reads(server: FaultServer) -> int:
    """How often remote read was asked for."""
    return sum(path.startswith("/api/v1/read") for path in server.requests)
