"""What runs again and again while the app is up: collection, clean-up."""

from __future__ import annotations

from collections.abc import Callable


class Schedule:
    """APScheduler in a background thread. A run that is still going is not started a second time."""

    def every(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        """Run `work` every so many seconds, first at once after `start`. What it raises is logged, never fatal."""

    def start(self) -> None: ...

    def stop(self) -> None: ...
