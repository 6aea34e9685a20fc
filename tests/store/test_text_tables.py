"""Text files of every make: read as a table with its errors told by line, or refused with nothing left."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.datasets.schema import ColumnType
from lib.errors import Invalid
from lib.settings import Settings
from lib.store import encodings, text_tables
from lib.store.dataset_intake import Caps, Taken

CAPS = Caps(10 << 20, 10_000, 50)
Read = Callable[..., Taken]


def quiet(_fraction: float, _words: str) -> None:
    pass


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def take(
        body: bytes,
        *,
        lines: bool = False,
        delimiter: str | None = None,
        encoding: str | None = None,
        caps: Caps = CAPS,
    ) -> Taken:
        source, scratch = tmp_path / "source", tmp_path / "tmp"
        source.write_bytes(body)
        scratch.mkdir(exist_ok=True)
        target = tmp_path / "table.parquet"
        if lines:
            return text_tables.from_json_lines(source, target, encoding, scratch, caps, quiet)
        return text_tables.from_delimited(source, target, delimiter, encoding, scratch, caps, quiet)

    return take


@pytest.fixture
def held(tmp_path: Path) -> Callable[[], list[tuple]]:
    return lambda: duckdb.sql(f"FROM '{tmp_path / 'table.parquet'}'").fetchall()


def test_whole_numbers_too_long_for_a_number_stay_text(read: Read, held: Callable[[], list[tuple]]) -> None:
    rows = [f"{10**30 + i},{2**63 - i},{10**i},{10**20 + i}.5" for i in range(1, 30)]
    taken = read("\n".join(["long,fits,powers,decimal", *rows]).encode())
    kinds = dict(taken.columns)
    assert (kinds["long"], kinds["fits"]) == (ColumnType.TEXT, ColumnType.INTEGER)
    # Nothing is lost of what stays apart as a number, or was written with decimals.
    assert (kinds["powers"], kinds["decimal"]) == (ColumnType.NUMBER, ColumnType.NUMBER)
    assert held()[0][0] == str(10**30 + 1)
    assert any("'long' is text" in note for note in taken.notes)


def test_types_and_dates_are_found_out(read: Read, held: Callable[[], list[tuple]]) -> None:
    body = b"n,x,ok,day,at,code\n1,1.5,true,13/02/2026,2026-01-01T00:00:00+02:00,007\n2,NA,false,01/03/2026,,010\n"
    taken = read(body)
    types = ["integer", "number", "boolean", "date", "moment", "text"]
    assert [str(type_) for _, type_ in taken.columns] == types
    first, second = held()
    assert (str(first[3]), str(first[4]), first[5]) == ("2026-02-13", "2025-12-31 22:00:00", "007")
    assert second[1] is None and second[4] is None
    assert any("%d/%m/%Y" in note for note in taken.notes)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("a;b\n1,5;2\n2,5;3\n", None), ("a\tb\n1,5\t2\n2,5\t3\n", "\t"), ("a|b\n1.5|2\n2.5|3\n", None)],
)
def test_delimiters_and_decimal_signs_are_found_out(
    read: Read, held: Callable[[], list[tuple]], text: str, delimiter: str | None
) -> None:
    read(text.encode(), delimiter=delimiter)
    assert held() == [(1.5, 2), (2.5, 3)]


def test_lines_that_cannot_be_read_are_told_with_their_reason(read: Read) -> None:
    body = b"a,b\n1,2\n2,3,4\n5\n" + b"7,8\n" * 50 + b"x,9\n"
    taken = read(body)
    assert taken.rows == 51 and taken.rejected == 3
    assert [line for line, _ in taken.told] == [3, 4, 55]
    reasons = " | ".join(why for _, why in taken.told)
    assert "too many fields" in reasons and "too few fields" in reasons and '"x"' in reasons


def test_a_column_with_many_words_is_text(read: Read) -> None:
    taken = read(b"a,b\n" + b"1,2\n" * 21_000 + b"x,2\n" * 1_000, caps=Caps(1 << 30, 10**6, 10))
    assert dict(taken.columns)["a"] == "text" and taken.rejected == 0 and taken.rows == 22_000


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "windows-1252"])
def test_encodings_are_found_out(read: Read, held: Callable[[], list[tuple]], encoding: str) -> None:
    read("name,menge\nmüller,1\nstrauß,2\n".encode(encoding))
    assert held() == [("müller", 1), ("strauß", 2)]


def test_an_encoding_can_be_said(read: Read, held: Callable[[], list[tuple]]) -> None:
    read("a,b\n1,東京都\n".encode("shift_jis"), encoding="shift_jis")
    assert held() == [(1, "東京都")]


HEADS = b"a,b\n"
REFUSED = [
    (b"\x89PNG\r\n\x1a\n" + bytes(range(200)), "PNG image"),
    (b"PAR1xxxxPAR1", "Parquet"),
    (gzip.compress(b"a,b\n1,2\n"), "gzip"),
    (b"\x80\x04\x95\x10\x00\x00", "pickle"),
    (b"a,b\n1,x\0y\n", "bytes that no text has"),
    (b"\n\n  \n", "no values"),
    (b"a,b\n", "no rows"),
    (b"a,A,B\nname,x,y\nq,1,2\nr,3,4\ns,5,6\n", "two header lines"),
    (b"t,cpu,mem\ns,percent,MB\n1,2.5,3\n2,2.5,4\n3,2.5,4\n", "two header lines"),
    (b"a,b\na,b\n1,2\n2,3\n", "two header lines"),
    (HEADS + b"1,2\n2,3\n" * 9 + b"a,b\n3,4\n", "further down"),
    (HEADS + "1,für\n".encode("latin-1") + "2,für\n".encode(), "line 2 .*mixes two encodings"),
    ("a,b\n1,日本語\n2,東京都\n".encode("shift_jis"), "no encoding that can be told"),
    (HEADS + b"1,2\n" * 3 + b"1,2,3\n" * 3, "3 of its 6 lines"),
    (HEADS + b"1,2\n" * 10_001, "10,001 rows"),
    (b",".join(b"c%d" % i for i in range(51)) + b"\n" + b",".join([b"1"] * 51) + b"\n", "51 columns"),
]


@pytest.mark.parametrize(("body", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_is_no_table_is_refused_with_the_reason(read: Read, body: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        read(body)


def test_a_file_that_is_not_in_the_encoding_said_is_refused_by_line(read: Read) -> None:
    with pytest.raises(Invalid, match="not UTF-8: line 3"):
        read("a,b\n1,x\n2,für\n".encode("latin-1"), encoding="utf-8")
    with pytest.raises(Invalid, match="not utf-16"):
        read(b"\xff\xfea\0,\0b\0\n\0\x00\xd8", encoding="utf-16")


def test_json_lines_keep_types_and_tell_their_errors(read: Read, held: Callable[[], list[tuple]]) -> None:
    good = b'{"a": 1, "b": "x", "at": "2026-01-01T00:00:00Z"}\n{"a": 2.5, "b": null, "n": {"q": [1, 2]}}\n'
    taken = read(good * 10 + b'not json\n[1]\n{"a": 1,}\n{"a":' + b"[" * 50_000 + b"\n", lines=True)
    assert {name: str(type_) for name, type_ in taken.columns} == {
        "a": "number",
        "b": "text",
        "at": "moment",
        "n": "text",
    }
    assert taken.rows == 20 and [line for line, _ in taken.told] == [21, 22, 23, 24]
    assert held()[1][3] == '{"q":[1,2]}'


def test_no_number_in_json_lines_is_a_missing_value(read: Read, held: Callable[[], list[tuple]]) -> None:
    taken = read(b'{"a": NaN, "b": "x"}\n{"a": 1.5, "b": "NaN"}\n{"a": -Infinity, "b": null}\n', lines=True)
    assert (taken.rows, taken.rejected) == (3, 0) and "2 lines hold NaN" in taken.notes[0]
    assert held() == [(None, "x"), (1.5, "NaN"), (None, None)]


def test_json_lines_of_too_many_keys_are_refused(read: Read) -> None:
    body = b"\n".join(b'{"k%d": 1}' % i for i in range(60))
    with pytest.raises(Invalid, match="more than 50 keys"):
        read(body, lines=True)


def test_the_same_text_has_the_same_digest_whatever_it_was_packed_in(read: Read, tmp_path: Path) -> None:
    body = b"a,b\n1,2\n3,4\n"
    packed, plain = tmp_path / "p.gz", tmp_path / "plain"
    packed.write_bytes(gzip.compress(body[:4]) + gzip.compress(body[4:]))
    encodings.unpack(packed, plain, 1000)
    assert plain.read_bytes() == body
    assert read(body).digest == read(plain.read_bytes()).digest != read(body + b"5,6\n").digest


def test_a_compression_bomb_is_not_unpacked(tmp_path: Path) -> None:
    packed, plain = tmp_path / "bomb.gz", tmp_path / "plain"
    packed.write_bytes(gzip.compress(b"a,b\n" + b"1,1\n" * 25_000_000, 9))
    with pytest.raises(Invalid, match="compression bomb"):
        encodings.unpack(packed, plain, 1 << 30)
    assert plain.stat().st_size <= 65 << 20
    with pytest.raises(Invalid, match="larger than 1 MB"):
        encodings.unpack(packed, plain, 1 << 20)
    packed.write_bytes(packed.read_bytes()[:500])
    with pytest.raises(Invalid, match="ends in the middle"):
        encodings.unpack(packed, plain, 1 << 30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text('a1,";\t\n\r é', max_size=200).map(lambda text: text.encode()))
def test_any_bytes_are_a_table_or_refused_in_words(read: Read, body: bytes) -> None:
    try:
        taken = read(body)
    except Invalid as refused:
        assert refused.message
    else:
        assert taken.rows > 0 and taken.columns


def test_reads_as_many_columns_as_a_dataset_may_have(tmp_path: Path) -> None:
    width = Settings.model_fields["dataset_max_columns"].default
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.normal(size=(300, width)), columns=[f"f{n}" for n in range(width)])
    frame["f1"] = rng.choice(["red", "green"], 300)
    frame.to_csv(tmp_path / "wide.csv", index=False)
    frame.to_json(tmp_path / "wide.jsonl", orient="records", lines=True)
    caps = Caps(200 << 20, 10_000, width)
    for made in (
        text_tables.from_delimited(tmp_path / "wide.csv", tmp_path / "a", None, None, tmp_path, caps, quiet),
        text_tables.from_json_lines(tmp_path / "wide.jsonl", tmp_path / "b", None, tmp_path, caps, quiet),
    ):
        assert (made.rows, len(made.columns), made.rejected) == (300, width, 0)
        assert made.columns[:2] == [("f0", ColumnType.NUMBER), ("f1", ColumnType.TEXT)]
    read = pd.read_parquet(tmp_path / "a")
    assert read["f1"].tolist() == frame["f1"].tolist() and np.allclose(read["f1999"], frame["f1999"])


def test_one_column_more_than_the_cap_is_refused_with_the_cap(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text(",".join(f"f{n}" for n in range(2001)) + "\n" + ",".join(["1"] * 2001) + "\n")
    with pytest.raises(Invalid, match="2,001 columns; a dataset may have 2,000"):
        caps = Caps(20 << 20, 1_000, 2_000)
        text_tables.from_delimited(tmp_path / "wide.csv", tmp_path / "a", None, None, tmp_path, caps, quiet)
