"""Plotly's table of 10,000 properties, looked up in its file: as objects it takes 10 MB, for a few hundred used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Looked:
    """Stands for the parsed file where plotly asks it for one property, which it does once for each."""

    def __init__(self, file: Path) -> None:
        self._text = file.read_text(encoding="utf-8")
        self._decoder = json.JSONDecoder()

    def get(self, name: str) -> dict[str, Any] | None:
        """What the file says of one property, by its whole name."""
        key = f"\n    {json.dumps(name)}: "
        at = self._text.find(key)
        return None if at < 0 else self._decoder.raw_decode(self._text, at + len(key))[0]


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
