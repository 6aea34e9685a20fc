import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import AppError, SourceAnswer
from lib.prometheus.parse import Matrix, answer, printable


def body_of(result: list, indent: int | None = None, **extra: object) -> bytes:
    separators = (",", ":") if indent is None else None
    data = {"resultType": "matrix", "result": result}
    return json.dumps({"status": "success", "data": data, **extra}, separators=separators, indent=indent).encode()


def matrix(body: bytes) -> Matrix:
    return answer(body)["data"]["result"]


def test_series_and_samples_come_out_as_they_went_in() -> None:
    found = matrix(
        body_of(
            [
                {"metric": {"__name__": "m", "a": "1"}, "values": [[1700000000, "1"], [1700000015.123, "-2.5"]]},
                {"metric": {"__name__": "m", "a": "2"}, "values": [[1700000001.5, "1e-7"]]},
            ]
        )
    )
    assert [(b.metric, dict(b.labels)) for b in found] == [("m", {"a": "1"}), ("m", {"a": "2"})]
    assert found[0].ts_ms.tolist() == [1700000000000, 1700000015123] and found[0].ts_ms.dtype == np.int64
    assert found[0].value.tolist() == [1, -2.5] and found[1].value.tolist() == [1e-7]
    assert found.samples == 3 and not found.partial


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50), st.integers(0, 4_000_000_000_000))
def test_values_and_times_are_exact_to_the_bit(values: list[float], start_ms: int) -> None:
    def said(value: float) -> str:
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, repr(value))

    times = [start_ms + i for i in range(len(values))]
    text = ",".join(f'[{t // 1000}.{t % 1000:03d},"{said(v)}"]' for t, v in zip(times, values, strict=True))
    body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{text}]}}]}}}}'
    for shape in (body, body.replace('"values":[[', '"values": [[')):  # the fast way, and the other
        [block] = matrix(shape.encode())
        assert block.ts_ms.tolist() == times
        assert [bits(v) for v in block.value] == [bits(v) for v in values]


@pytest.mark.parametrize(
    "written", ["NaN", "+Inf", "-Inf", "Inf", "0", "-0", "1e+21", "5e-324", "1.7976931348623157e+308"]
)
def test_spellings_of_numbers_agree_with_python(written: str) -> None:
    [block] = matrix(body_of([{"metric": {}, "values": [[1, written]]}]))
    assert bits(block.value[0]) == bits(float(written)) or (math.isnan(block.value[0]) and written == "NaN")


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=5))
def test_any_label_survives(labels: dict[str, str]) -> None:
    labels.pop("__name__", None)
    found = matrix(body_of([{"metric": labels, "values": [[1, "2"]]}, {"metric": {"b": "c"}, "values": [[3, "4"]]}]))
    assert [dict(b.labels) for b in found] == [labels, {"b": "c"}]
    assert [b.value.tolist() for b in found] == [[2], [4]]


def test_label_that_looks_like_samples_is_only_a_label() -> None:
    nasty = '"values":[[1,"2"]],"}]]\\"values":[['
    found = matrix(body_of([{"metric": {"x": nasty, "values": nasty}, "values": [[1, "2"]]}]))
    assert dict(found[0].labels) == {"x": nasty, "values": nasty} and found[0].value.tolist() == [2]


@pytest.mark.parametrize("indent", [1, 4])
def test_white_space_and_other_orders_give_the_same(indent: int) -> None:
    result = [{"values": [[1.5, "2"], [2.5, "NaN"]], "metric": {"__name__": "m", "a": "b"}}]
    [loose], [tight] = matrix(body_of(result, indent)), matrix(body_of(result))
    assert loose.labels == tight.labels == {"a": "b"}
    assert loose.ts_ms.tolist() == tight.ts_ms.tolist() == [1500, 2500]


def test_native_histograms_are_left_out() -> None:
    rows = [{"metric": {"h": "1"}, "histograms": [[1, {"count": "2"}]]}, {"metric": {"h": "2"}, "values": [[1, "2"]]}]
    assert [dict(b.labels) for b in matrix(body_of(rows))] == [{"h": "2"}]


def test_every_truncation_is_refused() -> None:
    whole = body_of(
        [{"metric": {"__name__": "m", "i": str(i)}, "values": [[t, str(t)] for t in range(4)]} for i in range(3)]
    )
    for length in range(len(whole)):
        with pytest.raises(SourceAnswer):
            answer(whole[:length])


@pytest.mark.parametrize(
    "values",
    [
        '[[1,"x"]]',
        '[[1,""]]',
        "[[1]]",
        '[[1,"2",3]]',
        '[["a","2"]]',
        '[[1e300,"2"]]',
        '[[NaN,"2"]]',
        '[[null,"2"]]',
        "[7]",
    ],
)
def test_samples_that_cannot_be_read_are_refused(values: str) -> None:
    body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":{values}}}]}}}}'
    with pytest.raises(SourceAnswer):
        answer(body.encode())


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer_or_our_error(body: bytes) -> None:
    try:
        answer(body)
    except AppError as error:
        assert error.message


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_flipped_bytes_never_raise_anything_else(at: int, put: bytes) -> None:
    whole = bytearray(body_of([{"metric": {"__name__": "m"}, "values": [[t, str(t / 3)] for t in range(12)]}]))
    whole[at % len(whole) : at % len(whole) + len(put)] = put
    try:
        answer(bytes(whole))
    except AppError as error:
        assert error.message


def test_server_error_is_said_without_its_secrets() -> None:
    body = json.dumps({"status": "error", "error": "denied: Bearer abc.def\nsecond line " + "x" * 5000}).encode()
    with pytest.raises(SourceAnswer) as refused:
        answer(body)
    assert "abc.def" not in refused.value.message and "\n" not in refused.value.message
    assert len(refused.value.message) < 400


def test_partial_answers_are_marked() -> None:
    assert matrix(body_of([], warnings=["half"])).warnings == ("half",)
    assert matrix(body_of([], isPartial=True)).partial
    assert not matrix(body_of([], isPartial=False)).partial


def test_printable_is_one_bounded_line() -> None:
    assert printable("a\x00b\n\tc\u202e") == "a b c"
    assert len(printable("y" * 1000, 50)) == 50
