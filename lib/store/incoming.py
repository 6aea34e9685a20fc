"""Files people bring as rows, piece by piece: never unpacked or loaded as a whole, whatever they claim to be."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lib.errors import Invalid
from lib.intake.convert import Batch
from lib.intake.mapping import MOST_COLUMNS, Kind, Reading, RowError
from lib.store import encodings

# What a file may hold once it is unpacked: ten of the largest uploads. A few kilobytes can claim terabytes.
MOST_BYTES = 2 * 2**30
MOST_ROWS = 50_000_000
LONGEST_LINE = 2**20
# Rows taken together, fewer where they are wide or long.
BATCH_ROWS, BATCH_CELLS, BATCH_CHARS = 20_000, 1_000_000, 16 * 2**20
# What is looked at to find out how a file is read.
HEAD_BYTES, HEAD_CHARS = 256 * 1024, 4 * 2**20
WRONG_WIDTH, NOT_DECODED, NOT_READ = (
    "has another number of fields",
    "holds bytes of another encoding",
    "has a field longer than 131,072 characters; perhaps a quote is not closed",
)
ENCODINGS = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1")
Bad = Callable[[RowError], None]


class Counted(io.RawIOBase):
    """The bytes of a file, unpacked where it is packed, up to a cap. Raises Invalid beyond it, and for a file that
    is damaged. read_bytes: of the file itself, for progress."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._raw: BinaryIO = path.open("rb")
        self.packed = self._raw.read(2) == b"\x1f\x8b"
        self._raw.seek(0)
        self._stream = gzip.GzipFile(fileobj=self._raw) if self.packed else self._raw
        self._left = self._most = most_bytes
        self.size = path.stat().st_size

    def readable(self) -> bool:
        return True

    @property
    def share(self) -> float:
        """How much of the file was read."""
        return min(self._raw.tell() / max(self.size, 1), 1.0)

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._stream.read(len(buffer))
        except (OSError, EOFError, zlib.error):
            raise Invalid("The packed file is damaged or was cut short; pack it again.") from None
        self._left -= len(piece)
        if self._left < 0:
            raise Invalid(
                f"The file holds more than the {self._most / 2**30:.3g} GB one import may bring; split it into parts."
            )
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._raw.close()
        super().close()


def kind_of(path: Path) -> tuple[Kind, str]:
    """Table (as text) or Parquet, by what is in the file and not by its name, and the encoding of text.

    Raises Invalid for what is neither.
    """
    with Counted(path) as file:
        head = _head(file)
    if not head:
        raise Invalid("The file is empty; check the export that made it.")
    if head.startswith(b"PAR1"):
        with path.open("rb") as raw:
            raw.seek(max(path.stat().st_size - 4, 0))
            if raw.read(4) != b"PAR1":
                raise Invalid("The Parquet file was cut short or is packed; export it again.")
        return Kind.PARQUET, ""
    kind = "packed twice" if head.startswith(b"\x1f\x8b") else encodings.kind_of_binary(head)
    if kind is not None or (b"\0" in head and not encodings.wide(head)):
        said = f"It is {kind}" if kind else "It holds bytes that no text has"
        raise Invalid(f"{said}: neither CSV nor Prometheus text. Bring one of these in UTF-8 or UTF-16, or Parquet.")
    return Kind.TABLE, _encoding(head)


@contextmanager
def lines(path: Path, encoding: str) -> Iterator[tuple[Counted, Iterator[tuple[int, str]]]]:
    """The file (for its progress) and its lines with their numbers, from 1. Bytes that do not fit the encoding come
    as lone surrogates; `decoded` tells."""
    _check_encoding(encoding)
    with Counted(path) as file:
        text = io.TextIOWrapper(
            io.BufferedReader(file, 2**18),
            encoding="utf-8-sig" if encoding == "utf-8" else encoding,
            errors="surrogateescape" if encoding == "utf-8" else "replace",
            newline="",
        )

        def numbered() -> Iterator[tuple[int, str]]:
            for number in itertools.count(1):
                line = text.readline(LONGEST_LINE)
                if not line:
                    return
                if len(line) == LONGEST_LINE:
                    raise Invalid(f"Line {number} is longer than {LONGEST_LINE:,} characters; is this a table?")
                if "\0" in line:
                    raise Invalid(f"Line {number} holds bytes that no text has; is this the right file, and encoding?")
                yield number, line

        try:
            yield file, numbered()
        except UnicodeError:
            raise Invalid(f"The file is not text in {encoding}; choose another encoding.") from None


def decoded(line: str) -> bool:
    if line.isascii():
        return True
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def first_rows(path: Path, encoding: str, delimiter: str, count: int) -> list[list[str]]:
    """The first rows as they are, an empty one as an empty list; a row that runs over several lines counts as one."""
    rows: list[list[str]] = []
    with lines(path, encoding) as (_, numbered):
        reader = csv.reader((line for _, line in _begin(numbered)), delimiter=delimiter or ",")
        while len(rows) < count:
            try:
                rows.append(next(reader))
            except StopIteration:
                break
            except csv.Error:
                rows.append([])
    return rows


def first_lines(path: Path, encoding: str, count: int) -> list[str]:
    with lines(path, encoding) as (_, numbered):
        return [line.rstrip("\r\n") for _, line in itertools.islice(_begin(numbered), count)]


def _begin(numbered: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines until there are enough of them to look at, at least one; what is not of the encoding as question marks."""
    seen = 0
    for number, line in numbered:
        yield number, line if decoded(line) else line.encode("utf-8", "replace").decode()
        seen += len(line)
        if seen > HEAD_CHARS:
            return


def table(path: Path, reading: Reading, width: int, bad: Bad) -> Iterator[tuple[float, Batch]]:
    """Rows of delimited text with the line each begins at, and how far in the file that is. bad: is told of rows that
    cannot be taken apart. Raises Invalid beyond the caps."""
    with lines(path, reading.encoding) as (file, numbered):
        yield from _batches(file, numbered, reading, width, bad)


def _batches(
    file: Counted, numbered: Iterator[tuple[int, str]], reading: Reading, width: int, bad: Bad
) -> Iterator[tuple[float, Batch]]:
    reader = csv.reader((line for _, line in numbered), delimiter=reading.delimiter or ",")
    rows: list[list[str]] = []
    places: list[int] = []
    done = seen = chars = 0
    most = max(1, min(BATCH_ROWS, BATCH_CELLS // width))
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error:
            bad(RowError(start, "", "", NOT_READ))
            continue
        seen += 1
        if seen < reading.first or not row:
            continue
        if len(row) != width:
            # Spreadsheets end short rows early, and some writers end each row with a delimiter.
            if len(row) > width and not any(row[width:]):
                row = row[:width]
            else:
                bad(RowError(start, "", f"{len(row)} fields instead of {width}", WRONG_WIDTH))
                continue
        text = "".join(row)
        if not decoded(text):
            column = next(i for i, cell in enumerate(row) if not decoded(cell))
            bad(RowError(start, f"field {column + 1}", row[column].encode("utf-8", "replace").decode(), NOT_DECODED))
            continue
        rows.append(row)
        places.append(start)
        chars += len(text)
        if len(rows) >= most or chars >= BATCH_CHARS:
            done, chars = done + len(rows), 0
            _check_rows(done)
            yield file.share, Batch(np.array(places, np.int64), list(zip(*rows, strict=True)))
            rows, places = [], []
    if rows:
        _check_rows(done + len(rows))
        yield 1.0, Batch(np.array(places, np.int64), list(zip(*rows, strict=True)))


def line_batches(path: Path, encoding: str, bad: Bad, ends: bool) -> Iterator[tuple[float, list[tuple[int, str]]]]:
    """Lines of the text format. ends: it must end with `# EOF`. Raises Invalid when it does not."""
    ended = False
    batch: list[tuple[int, str]] = []
    chars = 0
    with lines(path, encoding) as (file, numbered):
        for number, line in numbered:
            if number > MOST_ROWS:
                _check_rows(number)
            said = line.strip()
            if said == "# EOF":
                ended = True
                continue
            if ends and ended and said:
                raise Invalid(f"The file goes on after its end, # EOF (line {number}); it may be two files in one.")
            if not decoded(line):
                bad(RowError(number, "", line.encode("utf-8", "replace").decode().strip(), NOT_DECODED))
                continue
            batch.append((number, line))
            chars += len(line)
            if len(batch) >= BATCH_ROWS or chars >= BATCH_CHARS:
                yield file.share, batch
                batch, chars = [], 0
    if ends and not ended:
        raise Invalid(
            "The file breaks off before its end: OpenMetrics ends with a line “# EOF”. Export it again, or add that "
            "line if you know that it is whole."
        )
    if batch:
        yield 1.0, batch


# --- Parquet --------------------------------------------------------------------------------------


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, memory_map=False) as file:
            rows, width = file.metadata.num_rows, len(file.schema_arrow)
            _check_rows(rows)
            if width > MOST_COLUMNS:
                raise Invalid(f"The file has {width:,} columns, more than the {MOST_COLUMNS:,} one import may bring.")
            yield file
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError) as error:
        raise Invalid(
            f"The Parquet file cannot be read: {str(error).splitlines()[0][:200].rstrip('.')}. Export it again."
        ) from None


def parquet_columns(path: Path) -> tuple[list[str], list[str], int]:
    """Names and types of the columns, and the number of rows the file claims."""
    with _parquet(path) as file:
        schema = file.schema_arrow
        return list(schema.names), [str(field.type) for field in schema], int(file.metadata.num_rows)


def parquet(path: Path, wanted: list[int]) -> Iterator[tuple[float, Batch]]:
    """Rows of a Parquet file. wanted: positions of the columns that are read; the others come as empty."""
    with _parquet(path) as file:
        every = file.schema_arrow.names
        # By name where that surely means one column; two of one name, or parts of a nested one, are told by position.
        plain = len(set(every)) == len(every) == len(file.schema.names) and not any("." in name for name in every)
        names, taken = ([every[i] for i in wanted], range(len(wanted))) if plain else (None, wanted)
        rows = max(int(file.metadata.num_rows), 1)
        done = 0
        width = len(file.schema_arrow)
        most = max(1, min(BATCH_ROWS, BATCH_CELLS // max(len(wanted), 1)))
        for piece in file.iter_batches(most, columns=names, use_threads=False):
            columns: list[Any] = [()] * width
            local = set()
            for position, at in zip(wanted, taken, strict=True):
                columns[position], is_local = _as_cells(piece.column(at))
                if is_local:
                    local.add(position)
            count = piece.num_rows
            _check_rows(done + count)
            yield done / rows, Batch(np.arange(done + 1, done + count + 1, dtype=np.int64), columns, frozenset(local))
            done += count


def _as_cells(column: Any) -> tuple[Any, bool]:
    """An Arrow column as a masked array or texts, and whether it is datetimes without a zone."""
    import pyarrow as pa
    from pyarrow import compute

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        local = not (pa.types.is_timestamp(kind) and kind.tz)
        # Floored, not rounded: a moment belongs to the millisecond it lies in.
        whole = column.cast(pa.timestamp("ms", None if local else "UTC"), safe=False)
        return _masked(whole.cast(pa.int64(), safe=False), "datetime64[ms]"), local
    if pa.types.is_decimal(kind) or pa.types.is_boolean(kind) or pa.types.is_float16(kind):
        return _masked(column.cast(pa.float64(), safe=False)), False
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _masked(column), False
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return ["" if one is None else one for one in column.to_pylist()], False
    if pa.types.is_null(kind):
        return np.ma.masked_all(len(column), dtype=np.float64), False
    try:
        text = compute.cast(column, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return ["" if one is None else str(one) for one in column.to_pylist()], False
    return ["" if one is None else one for one in text.to_pylist()], False


def _masked(column: Any, as_type: str = "") -> np.ma.MaskedArray:
    missing = column.is_null().to_numpy(zero_copy_only=False)
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    return np.ma.MaskedArray(values.view(as_type) if as_type else values, mask=missing)


def _check_rows(rows: int) -> None:
    if rows > MOST_ROWS:
        raise Invalid(f"The file has more than the {MOST_ROWS:,} rows one import may bring; import it in parts.")


def _check_encoding(encoding: str) -> None:
    if encoding not in ENCODINGS:
        raise Invalid(f"There is no encoding {encoding[:40]!r} here; choose {', '.join(ENCODINGS)}.")


def _head(file: Counted) -> bytes:
    head = b""
    while len(head) < HEAD_BYTES and (piece := file.read(HEAD_BYTES - len(head))):
        head += piece
    return head


def _encoding(head: bytes) -> str:
    if wide := encodings.wide(head):
        return wide
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def as_text(batch: Batch, count: int) -> list[list[str]]:
    """The first rows of typed columns as text that reads back as the same."""
    columns = [_column_text(column, count, i in batch.local) for i, column in enumerate(batch.columns)]
    return [list(row) for row in zip(*columns, strict=True)]


def _column_text(column: Any, count: int, local: bool) -> list[str]:
    if not isinstance(column, np.ma.MaskedArray):
        return list(column[:count])
    missing = np.ma.getmaskarray(column)[:count].tolist()
    data = column.data[:count]
    if data.dtype.kind == "M":
        texts = [str(one) + ("" if local else "+00:00") for one in data.astype("datetime64[ms]")]
    else:
        texts = [repr(one) for one in data.tolist()]
    return ["" if gone else text for gone, text in zip(missing, texts, strict=True)]
