"""Looking at what is stored: catalogue, chart data, profiles, exports."""

from __future__ import annotations

from collections.abc import Callable

from lib.settings import Settings
from lib.store.samples import Samples


class Exploration:
    def __init__(self, settings: Settings, samples: Samples, clock: Callable) -> None:
        self.settings, self.samples, self.clock = settings, samples, clock
