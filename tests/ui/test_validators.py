"""Plotly's properties looked up in its file say what the parsed file says."""

import json
from pathlib import Path

import plotly
import pytest

from lib.ui.validators import Looked

FILE = Path(plotly.__file__).parent / "validators" / "_validators.json"


def test_every_property_reads_as_in_the_parsed_file() -> None:
    parsed = json.loads(FILE.read_text(encoding="utf-8"))
    looked = Looked(FILE)
    names = list(parsed)[:: max(1, len(parsed) // 400)]
    assert len(names) >= 400
    assert {name: looked.get(name) for name in names} == {name: parsed[name] for name in names}


@pytest.mark.parametrize("name", ["", "params", "scatter.line.colour", 'layout"', "data_class_str"])
def test_what_is_no_property_is_not_found(name: str) -> None:
    assert Looked(FILE).get(name) is None


def test_a_figure_is_checked_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    from plotly.graph_objects import Figure
    from plotly.validator_cache import ValidatorCache

    from lib.ui import validators

    monkeypatch.setattr(ValidatorCache, "_cache", {})
    monkeypatch.setattr(ValidatorCache, "_json_cache", None)
    validators.look_up()
    assert isinstance(ValidatorCache._json_cache, Looked)
    figure = Figure()
    figure.add_scatter(x=[1, 2], y=[3, 4], line={"color": "red"}, xaxis="x2")
    figure.layout.xaxis2 = {"title": {"text": "seconds"}}
    assert figure.to_dict()["layout"]["xaxis2"]["title"]["text"] == "seconds"
    with pytest.raises(ValueError, match="height"):
        figure.layout.height = "tall"
