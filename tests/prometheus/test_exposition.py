"""A metrics page becomes what Prometheus would have made of it."""

from __future__ import annotations

import math
import time
import urllib.request
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prometheus import running
from lib.errors import SourceAnswer, SourceTooLarge
from lib.frames import Window, utcnow
from lib.prometheus import exposition
from lib.prometheus.guard import Guard
from lib.prometheus.query import Endpoint, Limits, Wanted
from lib.prometheus.read import Reader

NOW = 1_772_323_200_000
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def read(text: str, kind: str = "text/plain; version=0.0.4", most: int = 100, **added: str) -> dict:
    """{(name, labels): [(ms, value)]}"""
    found = exposition.blocks(text.encode(), kind, NOW, most, added)
    return {
        (b.metric, tuple(sorted(b.labels.items()))): list(zip(b.ts_ms.tolist(), b.value.tolist(), strict=True))
        for b in found
    }


def test_the_older_format() -> None:
    page = """# HELP http_requests_total All of them.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{ method = "post" , code = "400", }    3\t
  rpc_duration_seconds{quantile="0.5"} 4.773e-05
path{dir="C:\\\\DIR\\\\",error="Cannot find file:\\n\\"FILE.TXT\\"",empty=""} 1.458255915e9
plain 12.47
odd{a="}#,= {"} -Inf

not_there NaN
"""
    found = read(page)
    assert found[("http_requests_total", (("code", "200"), ("method", "post")))] == [(1395066363000, 1027)]
    assert found[("http_requests_total", (("code", "400"), ("method", "post")))] == [(NOW, 3)]
    assert found[("rpc_duration_seconds", (("quantile", "0.5"),))] == [(NOW, 4.773e-05)]
    assert found[("path", (("dir", "C:\\DIR\\"), ("error", 'Cannot find file:\n"FILE.TXT"')))] == [(NOW, 1458255915)]
    assert found[("plain", ())] == [(NOW, 12.47)] and found[("odd", (("a", "}#,= {"),))] == [(NOW, -math.inf)]
    assert math.isnan(found[("not_there", ())][0][1]) and len(found) == 7


def test_openmetrics_has_seconds_exemplars_and_an_end() -> None:
    page = """# TYPE foo histogram
foo_bucket{le="0.1"} 8 # {} 0.054
foo_bucket{le="1"} 11 1520879607.789 # {trace_id="KOO # 5"} 0.67 1520879607.7
foo_created 1520430000.123
{"with.dots", "a.b"="c"} 1
# EOF
"""
    found = read(page, OPEN)
    assert found[("foo_bucket", (("le", "0.1"),))] == [(NOW, 8)]
    assert found[("foo_bucket", (("le", "1"),))] == [(1520879607789, 11)]
    assert found[("with.dots", (("a.b", "c"),))] == [(NOW, 1)]
    for wrong in (page.replace("# EOF\n", ""), page + "more 1\n", page[: len(page) // 2]):
        with pytest.raises(SourceAnswer):
            read(wrong, OPEN)


def test_labels_of_the_source_win_and_the_pages_own_are_kept() -> None:
    found = read('m{job="inner",a="b"} 1\nn 2\n', job="outer", instance="h:1")
    assert found == {
        ("m", (("a", "b"), ("exported_job", "inner"), ("instance", "h:1"), ("job", "outer"))): [(NOW, 1)],
        ("n", (("instance", "h:1"), ("job", "outer"))): [(NOW, 2)],
    }


@pytest.mark.parametrize(
    "line",
    ["m", "m one", "m 1_000", "m 1 2 3", "m 1 soon", 'm{a="b" 1', 'm{a=b} 1', 'm{a="1",a="2"} 1', "{} 1", "9m 1",
     '{"a","b"} 1', "<html>", 'm{a="b}', "m 1e", "m 1 1.5"],
)  # fmt: skip
def test_a_line_that_cannot_be_read_refuses_the_page_and_is_named(line: str) -> None:
    with pytest.raises(SourceAnswer, match="Line 2"):
        read(f"good 1\n{line}\n")


def test_a_page_that_is_no_text_or_too_large_is_refused() -> None:
    with pytest.raises(SourceAnswer, match="UTF-8"):
        exposition.blocks(b"\x89PNG\xff\xfe", "image/png", NOW, 5)
    page = "".join(f'm{{n="{i}"}} 1\n' for i in range(6))
    with pytest.raises(SourceTooLarge, match="5 series"):
        read(page, most=5)
    assert len(read(page, most=6)) == 6


def test_moments_of_one_series_are_put_in_order() -> None:
    assert read("m 2 2000\nm 1 1000\nm 3 2000\n") == {("m", ()): [(1000, 1), (2000, 3)]}


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), st.text(max_size=12), max_size=4),
    st.floats(),
)
def test_what_is_written_by_the_rules_is_read(labels: dict[str, str], value: float) -> None:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

    inside = ",".join(f'{k}="{escaped(v)}"' for k, v in labels.items())
    [((name, found), samples)] = read(f"m{{{inside}}} {value!r}\n").items()
    assert name == "m" and dict(found) == {k: v for k, v in labels.items() if v}
    assert np.array(samples[0][1]).tobytes() == np.array(value).tobytes() or math.isnan(value)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_noise_is_refused_or_read_but_never_breaks(text: str) -> None:
    try:
        read(text)
    except SourceAnswer:
        return


def test_prometheus_own_page_is_read_as_prometheus_reads_it(tmp_path: Path) -> None:
    """Its own series, scraped by itself, against the page it shows: names and labels are the same."""
    config = (
        "global: {scrape_interval: 500ms, scrape_timeout: 400ms}\nscrape_configs:\n"
        "  - {job_name: itself, static_configs: [{targets: ['{url}']}]}\n"
    )
    with running(tmp_path, config) as url, Reader(Endpoint(url), Limits(), Guard()) as reader:
        until, theirs = time.monotonic() + 20, set()
        while not theirs and time.monotonic() < until:
            for metric in ("go_gc_duration_seconds", "prometheus_http_requests_total", "prometheus_build_info"):
                found = reader.samples(Wanted(metric), Window.last(timedelta(minutes=5), utcnow()))
                theirs |= {(metric, frozenset(b.labels.items())) for b in found}
            time.sleep(0.1)
        for accept in ("text/plain", exposition.ACCEPT):
            request = urllib.request.Request(f"{url}/metrics", headers={"Accept": accept})
            with urllib.request.urlopen(request) as answer:
                kind, page = answer.headers["Content-Type"], answer.read()
            labels = {"job": "itself", "instance": url.removeprefix("http://")}
            ours = {(b.metric, frozenset(b.labels.items())) for b in exposition.blocks(page, kind, NOW, 10_000, labels)}
            assert len(theirs) > 5 and theirs <= ours
