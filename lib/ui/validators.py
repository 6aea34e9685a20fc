"""Plotly's table of 10,000 properties, looked up in its file: as objects it takes 10 MB, for a few hundred used."""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import Any

_END = b"\n    }"


class Looked:
    """Stands for the parsed file where plotly asks it for one property, which it does once for each."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, name: str) -> dict[str, Any] | None:
        """What the file says of one property, by its whole name. Takes a millisecond, and no memory after it."""
        key = f"\n    {json.dumps(name)}: ".encode()
        with self._file.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            at = text.find(key)
            if at < 0:
                return None
            start = at + len(key)
            # What is nested in an entry is indented deeper than its own end.
            return dict(json.loads(text[start : text.find(_END, start) + len(_END)]))


def look_up() -> None:
    """Call early, before other modules are imported: they move in where the parsed table was.

    Streamlit makes plotly read the table at its own start. A plotly that keeps it elsewhere is left as it is.
    """
    import plotly
    from plotly.validator_cache import ValidatorCache

    file = Path(plotly.__file__).parent / "validators" / "_validators.json"
    if hasattr(ValidatorCache, "_json_cache") and file.exists():
        looked = Looked(file)
        if looked.get("layout") and looked.get("scatter.line.color"):
            ValidatorCache._json_cache = looked
