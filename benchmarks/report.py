"""One line of JSON a figure, so that runs can be compared by a machine."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """peer: what `value` was measured against in the same run; ratio: value to peer, as the metric's name says."""

    bench: str
    metric: str
    value: float
    unit: str
    peer: str | None = None
    ratio: float | None = None

    def line(self) -> str:
        return json.dumps({k: v for k, v in asdict(self).items() if v is not None})


def note(text: str) -> None:
    """A word to whoever watches; figures alone go to stdout."""
    print(text, file=sys.stderr, flush=True)
