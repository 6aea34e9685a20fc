"""Scores new moments one by one as they come, for what one moment costs instead of its whole look-back."""

from __future__ import annotations

from lib.anomaly.detector import Detector, Scored
from lib.anomaly.state import State
from lib.errors import Invalid
from lib.features.channels import Channels

# So many of the newest moments may come again, seen more fully: a bin was half full, or samples came late.
LATE = 8
_BEGINNING_MS = -(2**62)


class Stream:
    """A detector at work on one run of moments; gives what `Detector.score` gives for the run as a whole.

    After a restart, or when samples came later than that, begin a new one from what is stored: at least
    `Detector.lookback` moments. Not for several threads at once.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        # States to go on from, each with the newest moment it knows, and the moments after the first of them.
        self._known: list[tuple[int, State]] = [(_BEGINNING_MS, detector.begin())]
        self._rows: Channels | None = None

    def follows(self, start_ms: int) -> bool:
        """Whether moments from there on can be taken: they come next, or again and not too late."""
        step_ms, until_ms = self.detector.plan.grid.step_ms, self._known[-1][0]
        if self._rows is None:
            return True
        return self._known[0][0] < start_ms <= until_ms + step_ms and (until_ms - start_ms) % step_ms == 0

    def take(self, channels: Channels, since: int = 0) -> Scored:
        """Score moments that come next, or again: then they replace what is known from the first of them on.

        channels: by the detector's plan, every step of the grid, also those nothing was seen at. since: the first row
        asked for, as in `Detector.score`. Raises Invalid when they do not follow, and changes nothing.
        """
        if not channels.ts_ms.size:
            return self.detector.score(channels)
        start_ms, end_ms = int(channels.ts_ms[0]), int(channels.ts_ms[-1])
        if not self.follows(start_ms):
            raise Invalid(
                f"Moments from {start_ms} on do not follow {self._known[-1][0]} at a step of "
                f"{self.detector.plan.grid.step_ms} ms; begin a new stream from what is stored."
            )
        known = [one for one in self._known if one[0] < start_ms]
        state_ms, state = known[-1]
        rows = channels
        if self._rows is not None:
            rows = self._rows.rows(slice(0, int((self._rows.ts_ms < start_ms).sum()))).followed_by(channels)
        todo = rows.rows(slice(int((rows.ts_ms <= state_ms).sum()), None))
        again = todo.ts_ms.size - channels.ts_ms.size  # known already, but of no state to go on from
        settled = max(0, todo.ts_ms.size - LATE)
        scored = []
        for part in (slice(0, settled), slice(settled, None)):
            piece = todo.rows(part)
            if piece.ts_ms.size:
                one, state = self.detector.advance(piece, state, max(0, since + again - part.start))
                known.append((int(piece.ts_ms[-1]), state))
                scored.append(one)
        late_ms = end_ms - LATE * self.detector.plan.grid.step_ms
        while known[1][0] <= late_ms:
            known.pop(0)
        self._known, self._rows = known, rows.rows(slice(int((rows.ts_ms <= known[0][0]).sum()), None)).copy()
        return Scored.joined(scored).rows(slice(again, None))
