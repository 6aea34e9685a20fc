"""Prometheus' XOR chunks to arrays without a loop over samples: chunks lie side by side and are unpacked in step,
first every chunk's first sample, then every second one, and so on.

A chunk is a bit stream, so each sample can only be read after the one before it; but no chunk waits for another. With
a few thousand of them in step numpy decodes some hundred million samples a second on one core.

Layout (Prometheus, tsdb/docs/format/chunks.md, "XOR chunk data"): the number of samples in 2 bytes; the first
timestamp as varint and its value in 8 bytes; the second as distance (uvarint) and XOR; each further one as change of
the distance in 1, 14, 17, 20 or 64 bits behind a prefix, and as XOR with the value before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lib.errors import SourceAnswer, SourceTooLarge

_MOST = 10_000_000  # samples of one answer: 160 MB, about what the same cap on bytes lets through as text
_CELLS = 1 << 20  # samples unpacked at a time: 16 MB of results, twice
_BYTES = 4 << 20  # the same in bytes of chunks
_MOST_BITS = 145  # a sample takes at most: 4 + 64 for its time, 2 + 5 + 6 + 64 for its value
_LONGEST_VARINT = 10
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_TOP = np.uint64(1 << 63)
_NEW_WINDOW = np.uint64(0b11 << 62)
_WHOLE_CHANGE = np.uint64(0b1111 << 60)
# By the first four bits of a sample: the length of the prefix, and how many bits of change follow it. For the prefix
# `0`, which says "no change", the bit itself is read as a number of one bit.
_PREFIX = np.array([0] * 8 + [2] * 4 + [3] * 2 + [4] * 2, dtype=np.uint64)
_CHANGE = np.array([1] * 8 + [14] * 4 + [17] * 2 + [20, 64], dtype=np.uint64)


def decode(chunks: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ts_ms, value, size of each chunk): the samples of all chunks, one after the other. Bits are kept, of NaN too.

    Raises SourceAnswer when a chunk ends before its samples do, SourceTooLarge when there are too many for the memory.
    """
    lengths = np.fromiter(map(len, chunks), np.int64, len(chunks))
    if (lengths < 2).any():
        raise _broken()
    sizes = np.array([int.from_bytes(chunk[:2]) for chunk in chunks], dtype=np.int64)
    # A sample has 2 bits at least, so a short chunk cannot ask for much memory.
    if (sizes > 2 + 4 * lengths).any():
        raise _broken()
    ends = np.cumsum(sizes)
    starts = ends - sizes
    total = int(ends[-1]) if len(chunks) else 0
    if total > _MOST:
        raise SourceTooLarge(f"The answer holds {total:,} samples, more than {_MOST:,}; ask for less.", too_long=True)
    ts, value = np.empty(total, np.int64), np.empty(total, np.uint64)
    # Chunks of one size together: in a batch all are busy until its last step, or nearly so.
    for batch in _batches(np.argsort(-sizes, kind="stable"), sizes, lengths):
        moments, bits = _unpack([chunks[i] for i in batch.tolist()], lengths[batch], sizes[batch])
        for first, last in _runs(starts[batch], sizes[batch]):
            size, at = int(sizes[batch[first]]), int(starts[batch[first]])
            whole = slice(at, at + (last - first) * size)
            ts[whole].reshape(-1, size)[:] = moments[:size, first:last].T
            value[whole].reshape(-1, size)[:] = bits[:size, first:last].T
    return ts, value.view(np.float64), sizes


def _batches(order: np.ndarray, sizes: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """The chunks that have samples, the largest first, so many at a time that they fit the memory meant for it."""
    order = order[sizes[order] > 0]
    while order.size:
        heaviest = np.cumsum(lengths[order]) <= _BYTES
        most = max(1, min(_CELLS // int(sizes[order[0]]), int(heaviest.sum())))
        yield order[:most]
        order = order[most:]


def _runs(starts: np.ndarray, sizes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Spans of neighbours of one size whose samples follow each other in the result: copied at once."""
    breaks = np.flatnonzero((np.diff(starts) != sizes[:-1]) | (np.diff(sizes) != 0)) + 1
    edges = [0, *breaks.tolist(), starts.size]
    return zip(edges, edges[1:], strict=False)


def _unpack(chunks: list[bytes], lengths: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(ts_ms, bits of the value), both of shape (samples, chunks); sizes fall. Beyond a chunk's size: noise."""
    steps, count = int(sizes[0]), len(chunks)
    # Room behind the last chunk, so that one which lies about its size reads zeros until that is found out.
    room = bytes(16 + _LONGEST_VARINT * 2 + steps * _MOST_BITS // 8)
    joined = b"".join([*chunks, room])
    raw = np.frombuffer(joined, np.uint8)
    stream = _Stream(joined)
    ends = np.cumsum(lengths)
    ts, bits = np.zeros((steps, count), np.int64), np.zeros((steps, count), np.uint64)
    zigzag, at = _uvarint(raw, ends - lengths + 2)
    ts[0] = (zigzag >> 1).view(np.int64) ^ -(zigzag & 1).view(np.int64)
    at *= 8
    bits[0] = stream.window(at)
    at += 64
    lanes = _Lanes(stream, at)
    # How many chunks still have a sample at each step: sizes fall, so they are the first ones.
    active = count - np.searchsorted(sizes[::-1], np.arange(steps), side="right")
    delta = np.zeros(count, np.int64)
    for step in range(1, steps):
        lanes.narrow(int(active[step]))
        if step == 1:
            distance, after = _uvarint(raw, lanes.at >> 3)
            lanes.at[:] = after * 8
            delta[: lanes.count] = distance.view(np.int64)
            ahead = stream.window(lanes.at)
        else:
            ahead = lanes.change(delta)
        np.add(ts[step - 1, : lanes.count], delta[: lanes.count], out=ts[step, : lanes.count])
        np.bitwise_xor(bits[step - 1, : lanes.count], lanes.xor(ahead), out=bits[step, : lanes.count])
    if (lanes.all_at > ends * 8).any():
        raise _broken()
    return ts, bits


class _Stream:
    """Bytes as a row of 64-bit words, to be looked into at any bit."""

    def __init__(self, joined: bytes) -> None:
        words = np.frombuffer(joined, ">u8", len(joined) // 8).astype(np.uint64)
        self.words, self.next = words, words[1:]

    def window(self, at: np.ndarray) -> np.ndarray:
        """The 64 bits from bit `at` on, of each."""
        word = at >> 6
        shift = (at & 63).view(np.uint64)
        high = self.words.take(word)
        np.left_shift(high, shift, out=high)
        low = self.next.take(word)
        np.right_shift(low, 1, out=low)  # in two steps: by 64 at once is more than there is
        np.right_shift(low, np.bitwise_xor(shift, 63, out=shift), out=low)
        return np.bitwise_or(high, low, out=high)


class _Lanes:
    """Where each chunk is in its bits, and how its values were packed last."""

    def __init__(self, stream: _Stream, at: np.ndarray) -> None:
        self.stream, self.all_at = stream, at
        self._lead, self._width = np.zeros(at.size, np.uint64), np.full(at.size, 64, np.uint64)
        self.count = -1
        self.narrow(at.size)

    def narrow(self, count: int) -> None:
        """Only the first `count` chunks have more samples."""
        if count != self.count:
            self.count = count
            self.at, self.lead, self.width = self.all_at[:count], self._lead[:count], self._width[:count]

    def change(self, delta: np.ndarray) -> np.ndarray:
        """Read how the distance in time changes, and add it to `delta`; the bits that follow."""
        ahead = self.stream.window(self.at)
        if not (ahead >= _TOP).any():  # scrapes that come on the dot
            np.add(self.at, 1, out=self.at)
            return np.left_shift(ahead, 1, out=ahead)
        top = (ahead >> 60).view(np.int64)
        prefix, size = _PREFIX.take(top), _CHANGE.take(top)
        rest = 64 - size
        # A number of n bits stands for -(2**(n-1) - 1) to 2**(n-1): two's complement, but one higher.
        number = (ahead << prefix) - (np.uint64(1) << rest)
        change = (number.view(np.int64) >> rest.view(np.int64)) + 1
        prefix += size
        long = np.flatnonzero(ahead >= _WHOLE_CHANGE)
        np.add(self.at, prefix.view(np.int64), out=self.at)
        np.left_shift(ahead, prefix, out=ahead)
        if long.size:
            change[long] = self.stream.window(self.at[long] - 64).view(np.int64)
            ahead[long] = self.stream.window(self.at[long])
        delta[: self.count] += change
        return ahead

    def xor(self, ahead: np.ndarray) -> np.ndarray:
        """Read by what each value differs from the one before; `ahead`: at least 13 bits from here on."""
        differs = ahead >= _TOP
        new = ahead >= _NEW_WINDOW
        if new.any():
            np.copyto(self.lead, (ahead >> 57) & 31, where=new)
            np.copyto(self.width, ((ahead >> 51) - 1 & 63) + 1, where=new)  # 64 is written as 0
        self.at += 1
        self.at += differs
        self.at += new * np.int64(11)
        width = self.width * differs
        found = self.stream.window(self.at)
        self.at += width.view(np.int64)
        kept = np.right_shift(_ALL, width)
        np.invert(kept, out=kept)
        np.bitwise_and(found, kept, out=found)
        return np.right_shift(found, self.lead, out=found)


def _uvarint(raw: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(numbers, where what follows them begins), of one varint at each position."""
    number, at = np.zeros(at.size, np.uint64), at.copy()
    going = np.ones(at.size, bool)
    for place in range(_LONGEST_VARINT):
        byte = raw.take(at)
        number |= np.where(going, (byte & 0x7F).astype(np.uint64) << np.uint64(7 * place), np.uint64(0))
        at += going
        going &= byte >= 0x80
        if not going.any():
            return number, at
    raise _broken()


def _broken() -> SourceAnswer:
    return SourceAnswer("The server sent samples that end in the middle of one. Nothing of the answer was kept.")
