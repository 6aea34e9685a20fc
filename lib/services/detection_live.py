"""Detectors that go on from sample to sample: what the next moments need is held, so that a collection costs what is
new. After a restart, or when samples came late, it is built again from what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from lib.anomaly.detector import Detector, Scored
from lib.anomaly.stream import LATE, Stream
from lib.features import channels as channel_plans
from lib.features.channels import Channels
from lib.features.grid import tabulate
from lib.frames import Series, Window, from_ms, to_ms
from lib.store.samples import Samples

# Steps read before the first that is wanted: a rate takes the sample before it, which may be a few steps away.
MARGIN = 12
# Longer holes are not filled moment by moment.
MOST_NEW = 2880


def read(
    samples: Samples, series: Sequence[Series], detector: Detector, start: datetime, end: datetime
) -> Channels | None:
    """A detector's channels over a span, from the first moment anything was seen at; None when nothing was."""
    wanted = set(detector.plan.series_ids)
    frame = samples.read(list(wanted), Window(start, end))
    table = tabulate([s for s in series if s.id in wanted], frame, detector.plan.grid)
    return channel_plans.assemble(detector.plan, table) if table.ts_ms.size else None


@dataclass
class Live:
    """stream: where scoring goes on. scored: the last moments, as far as what is going on needs them."""

    stream: Stream
    scored: Scored

    @classmethod
    def begin(cls, detector: Detector, channels: Channels, since: int) -> Live:
        """From stored channels, at least `lookback` of them before row `since`, the first asked for."""
        stream = Stream(detector)
        return cls(stream, stream.take(channels, since).rows(slice(since, None)))

    def go_on(self, samples: Samples, series: Sequence[Series], start: datetime, end: datetime) -> bool:
        """Take what came in a span. False when it cannot be gone on from here: it lies too far back, or too much of
        it is missing; then nothing was changed."""
        detector = self.stream.detector
        grid, step_ms = detector.plan.grid, detector.plan.grid.step_ms
        known_ms = int(self.scored.ts_ms[-1])
        # The newest moment known may have been half full.
        first_ms = min(int(grid.moments(int(grid.bin_of(np.array([to_ms(start)]))[0]), 1)[0]), known_ms)
        if not self.stream.follows(first_ms) or first_ms <= int(self.scored.ts_ms[0]):
            return False
        before = timedelta(milliseconds=step_ms * MARGIN)
        found = read(samples, series, detector, from_ms(first_ms) - before, end)
        new = found and _from(found, first_ms)
        if not new:
            return True
        if new.ts_ms.size > MOST_NEW:
            return False
        scored = self.stream.take(new)
        self.scored = Scored.joined([self.scored.rows(slice(0, int((self.scored.ts_ms < first_ms).sum()))), scored])
        return True

    def forget_before(self, moment_ms: int) -> None:
        """Moments before this are not needed any more, but for the newest few."""
        keep = min(int((self.scored.ts_ms < moment_ms).sum()), max(self.scored.ts_ms.size - 2 * LATE, 0))
        self.scored = self.scored.rows(slice(keep, None)).copy()


def _from(channels: Channels, first_ms: int) -> Channels | None:
    """From a moment on, every step of the grid, also those nothing was seen at; None when nothing came."""
    kept = channels.rows(slice(int((channels.ts_ms < first_ms).sum()), None))
    if not kept.ts_ms.size:
        return None
    missing = int(kept.ts_ms[0] - first_ms) // channels.plan.grid.step_ms
    if not missing:
        return kept
    ts = first_ms + channels.plan.grid.step_ms * np.arange(missing, dtype=np.int64)
    nothing = np.full((len(kept.values), missing), np.nan)
    return Channels(channels.plan, ts, nothing, np.zeros(nothing.shape, dtype=bool)).followed_by(kept)
