"""The files of the archive: a day's samples, and its tiers, as Parquet of packed integers. For child processes and the
command line: pyarrow's writer is large."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.disk import sha256
from lib.store import encode, tiers
from lib.store.tiers import TIERS, VALUES

if TYPE_CHECKING:
    import pyarrow as pa

# One of these is read for a series: half as many would be read half a millisecond a day faster, and take 1% more room;
# what two series have in common is found within one.
_GROUP_ROWS = 245_760
# A page a group: what is packed together is found to be alike, and twenty thousand a page (arrow's own) cost 1%.
_PAGE_ROWS, _PAGE_BYTES = _GROUP_ROWS, 64 * 2**20
# The highest: packing a million samples takes a third of a second all the same, and reading no longer.
_ZSTD_LEVEL = 19
_ABOUT = b"autoops"


def write_day(
    exported: Path, folder: Path, day: int, counters: set[int], before: Mapping[int, float]
) -> dict[str, Any]:
    """Pack what was exported of a day: `raw.parquet`, `5m.parquet`, `1h.parquet` and `spans.parquet` in `folder`.

    exported: files of series_id, t (Unix ms) and value, sorted by both, a series in one file. Each written file is read
    again and compared bit by bit. Returns rows, series, size_bytes, sha256 and digest of each tier.
    """
    names = ["raw", *TIERS]
    writers = {name: _Writer(folder / f"{name}.parquet", name, day) for name in names}
    spans: list[tuple[np.ndarray, ...]] = []
    digest = 0
    try:
        for file in sorted(exported.glob("*.parquet")):
            series_id, ts_ms, value = _plain(file)
            if not value.size:
                continue
            digest += encode.digest(series_id, ts_ms, value)
            starts = _starts(series_id)
            writers["raw"].add(series_id, ts_ms, {"value": value})
            ends = np.append(starts[1:], value.size)
            spans.append((series_id[starts], ends - starts, ts_ms[starts], ts_ms[ends - 1]))
            for name, step_ms in TIERS.items():
                tier = tiers.downsample(series_id, ts_ms, value, step_ms, counters, before)
                columns = {one: getattr(tier, one) for one in VALUES}
                writers[name].add(tier.series_id, tier.ts_ms, columns, tier.count)
    finally:
        for writer in writers.values():
            writer.close()
    _write_spans(folder / "spans.parquet", spans)
    found = {name: about(writers[name].path) for name in names}
    found["raw"]["digest"] = str(digest % 2**64)
    if (again := check(folder / "raw.parquet")) != (found["raw"]["rows"], found["raw"]["digest"]):
        raise ValueError(f"Packing changed samples: {found['raw']} came back as {again}; nothing was archived.")
    return found


def check(path: Path) -> tuple[int, str]:
    """Rows and digest of a file of samples, every one of them decoded. Raises what pyarrow raises for damage."""
    rows, digest = 0, 0
    for series_id, ts_ms, value in samples(path):
        rows += value.size
        digest += encode.digest(series_id, ts_ms, value)
    return rows, str(digest % 2**64)


def samples(
    path: Path, lost: Callable[[Exception], None] | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """series_id, ts_ms and value of a file of samples, group by group. lost: is told of groups that cannot be read,
    which are left out; without it they raise."""
    from pyarrow import parquet

    with parquet.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            try:
                table = file.read_row_group(group, use_threads=False)
            except (OSError, ValueError) as error:  # both are what arrow raises for damage
                if lost is None:
                    raise
                lost(error)
                continue
            series_id = table["series_id"].to_numpy()
            exact = table["value"].is_valid().to_numpy()
            value = encode.decode(
                table["value"].fill_null(0).to_numpy(),
                exact,
                table["value_divisor"].to_numpy(),
                # Not fill_null: arrow's kernels may give NaN other bits.
                np.where(exact, 0.0, table["value_raw"].to_numpy()),
            )
            yield series_id, table["ts"].to_numpy().astype("datetime64[ms]").astype(np.int64), value


def about(path: Path) -> dict[str, Any]:
    """rows, size_bytes and sha256 of a file."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        rows = file.metadata.num_rows
    return {"rows": rows, "size_bytes": path.stat().st_size, "sha256": sha256(path), "digest": ""}


class _Writer:
    """Collects rows until they fill a row group. Columns: series_id, ts, of tiers count, and three a value."""

    def __init__(self, path: Path, tier: str, day: int) -> None:
        self.path, self.tier, self.day = path, tier, day
        self.values: tuple[str, ...] = VALUES if tier in TIERS else ("value",)
        self._waiting: list[tuple[Any, ...]] = []
        self._waiting_rows = 0
        self._writer: Any = None

    def add(
        self,
        series_id: np.ndarray,
        ts_ms: np.ndarray,
        values: Mapping[str, np.ndarray],
        count: np.ndarray | None = None,
    ) -> None:
        self._waiting.append((series_id, ts_ms, count, *(values[name] for name in self.values)))
        self._waiting_rows += series_id.size
        if self._waiting_rows >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush(last=True)
        self._writer.close()

    def _flush(self, last: bool = False) -> None:
        """Write whole groups and keep the rest waiting; the last time, write all."""
        if not self._waiting_rows and not (last and self._writer is None):
            return
        parts = self._waiting or [(np.empty(0, np.int32), *[np.empty(0)] * (len(self.values) + 2))]
        columns = [None if column[0] is None else np.concatenate(column) for column in zip(*parts, strict=True)]
        rows = self._waiting_rows if last else self._waiting_rows // _GROUP_ROWS * _GROUP_ROWS
        table = self._table([None if column is None else column[:rows] for column in columns])
        if self._writer is None:
            self._writer = self._open(table.schema)
        self._writer.write_table(table, row_group_size=_GROUP_ROWS)
        # Copies: a view would keep the whole.
        left = tuple(None if column is None else column[rows:].copy() for column in columns)
        self._waiting_rows -= rows
        self._waiting = [left] if self._waiting_rows else []

    def _table(self, columns: list[np.ndarray | None]) -> pa.Table:
        import pyarrow as pa

        series_id, ts_ms, count = columns[:3]
        assert series_id is not None and ts_ms is not None
        starts = _starts(series_id)
        made: dict[str, Any] = {
            "series_id": pa.array(series_id, pa.int32()),
            "ts": pa.array(ts_ms.astype("datetime64[ms]")),
        }
        if self.tier in TIERS:
            assert count is not None
            made["count"] = pa.array(count.astype(np.int64))
        for name, value in zip(self.values, columns[3:], strict=True):
            assert value is not None
            packed = encode.encode(value, starts)
            made[name] = pa.array(packed.scaled, mask=~packed.exact)
            made[f"{name}_divisor"] = pa.array(packed.divisor)
            made[f"{name}_raw"] = pa.array(packed.raw, mask=packed.exact)
        return pa.table(made)

    def _open(self, schema: pa.Schema) -> Any:
        from pyarrow import parquet

        about = json.dumps({"version": 1, "tier": self.tier, "day": self.day}).encode()
        repeated = ["series_id", *(f"{name}_divisor" for name in self.values)]
        encodings = {name: "DELTA_BINARY_PACKED" for name in ("ts", "count", *self.values) if name in schema.names}
        encodings |= {f"{name}_raw": "BYTE_STREAM_SPLIT" for name in self.values}
        return parquet.ParquetWriter(
            self.path,
            schema.with_metadata({_ABOUT: about}),
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            use_dictionary=repeated,
            column_encoding=encodings,
            write_statistics=["series_id", "ts"],
            write_page_checksum=True,
            max_rows_per_page=_PAGE_ROWS,
            data_page_size=_PAGE_BYTES,
            store_schema=False,
        )


def _plain(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        table = opened.read(use_threads=False)
    return table["series_id"].to_numpy(), table["t"].to_numpy(), table["value"].to_numpy()


def _starts(series_id: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.append(True, np.diff(series_id) != 0)[: series_id.size])


def _write_spans(path: Path, spans: list[tuple[np.ndarray, ...]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = [np.concatenate(column) for column in zip(*spans, strict=True)] if spans else [np.empty(0, np.int64)] * 4
    names = ("series_id", "count", "first_ms", "last_ms")
    parquet.write_table(pa.table({n: c.astype(np.int64) for n, c in zip(names, columns, strict=True)}), path)
