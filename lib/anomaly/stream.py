"""Scores new moments one by one as they come, for what one moment costs instead of its whole look-back."""

from __future__ import annotations

from lib.anomaly.detector import Detector, Scored
from lib.anomaly.state import State
from lib.errors import Invalid
from lib.features.channels import Channels


class Stream:
    """A detector at work on one run of moments; gives what `Detector.score` gives for the run as a whole.

    After a restart, or when samples came late, begin a new one with at least `Detector.lookback` stored moments.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.until_ms: int | None = None  # the newest moment it knows
        # After the newest moment, and before it: half full, it may come again.
        self._after = self._before = detector.begin()

    def take(self, channels: Channels, since: int = 0) -> Scored:
        """Score the moments that follow; the first may be the newest one known, seen more fully, which it replaces.

        channels: by the detector's plan, every step of the grid, also those nothing was seen at. since: the first row
        asked for, as in `Detector.score`. Raises Invalid when a moment is missing or older.
        """
        n = channels.ts_ms.size
        if not n:
            return self.detector.score(channels)
        state = self._from(int(channels.ts_ms[0]))
        scored: list[Scored] = []
        before = state
        if n > 1:
            one, before = self.detector.advance(channels.rows(slice(0, n - 1)), state, since)
            scored.append(one)
        newest, self._after = self.detector.advance(channels.rows(slice(n - 1, n)), before)
        self._before, self.until_ms = before, int(channels.ts_ms[-1])
        return Scored.joined([*scored, newest])

    def _from(self, start_ms: int) -> State:
        if self.until_ms is None or start_ms == self.until_ms + self.detector.plan.grid.step_ms:
            return self._after
        if start_ms == self.until_ms:
            return self._before
        raise Invalid(
            f"Moments from {start_ms} on do not follow {self.until_ms} at a step of "
            f"{self.detector.plan.grid.step_ms} ms; begin a new stream from what is stored."
        )
