"""The command line's `export`: samples as CSV or Parquet, day by day, so that months fit into little memory."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lib.auth.actor import SYSTEM
from lib.errors import AppError, Invalid, NotFound
from lib.frames import Window

if TYPE_CHECKING:
    from lib.app import App

Say = Callable[[bool, dict[str, Any], str], None]
EXAMPLES = """\
examples:
  python -m lib export --metric node_load1 --last 7d --to load.csv
  python -m lib export --host db-01 --last 2026-03-01/2026-04-01 --format parquet --to march.parquet
  python -m lib export --metric up --last 1h | head
"""


class Unwritable(AppError):
    """The file that was named cannot be written."""

    code = "unwritable"


def add_to(commands: Any, shared: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The command's own options; the caller sets what runs."""
    command: argparse.ArgumentParser = commands.add_parser(
        "export",
        parents=[shared],
        help="write samples to a CSV or Parquet file",
        description="Write samples as they are stored (counters are not turned into rates), sorted by day.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--series", type=int, action="append", default=[], metavar="ID", help="a series; repeatable")
    command.add_argument("--metric", help="all series of a metric")
    command.add_argument("--host", help="only of this host")
    command.add_argument("--last", default="24h", metavar="SPAN", help="24h, 7d, or START/END (default: 24h)")
    command.add_argument("--format", choices=("csv", "parquet"), default="csv", help="default: csv")
    command.add_argument("--to", type=Path, metavar="FILE", help="where to (default: standard output, CSV only)")
    return command


def run(app: App, options: argparse.Namespace, say: Say) -> int:
    """Raises AppError; what was written of a file by then is removed."""
    if options.to is None and (options.format == "parquet" or options.json):
        raise Invalid("Name a file with --to: standard output takes CSV alone, without --json.")
    if not (options.series or options.metric or options.host):
        raise Invalid("Name what to export: --metric, --host or --series.")
    found = app.samples.find(metric=options.metric, host=options.host, ids=options.series or None)
    if not found:
        raise NotFound("Nothing is stored of what was asked for; the Explore page lists what is.")
    window = Window.parse(options.last, app.clock())
    ids = [one.id for one in found]
    gone = app.exploration.expired_until(SYSTEM, window)
    if gone:
        print(f"Samples before {gone:%Y-%m-%d} UTC have expired; those after are written.", file=sys.stderr)
    held = app.exploration.readings.extent(ids, window)
    if len(held):  # months of which a day is stored are a day
        newest = held["last"].max().to_pydatetime() + timedelta(milliseconds=1)
        window = Window(held["first"].min().to_pydatetime(), newest)
    if options.to is None:
        _csv(app, ids, window, sys.stdout.buffer)
        return 0
    part = options.to.with_name(options.to.name + ".part")
    try:
        with part.open("wb") as file:
            rows = (_csv if options.format == "csv" else _parquet)(app, ids, window, file)
        part.replace(options.to)
    except OSError as error:
        raise Unwritable(f"{options.to} cannot be written ({error.strerror or error}); name another file.") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    row = {"file": str(options.to), "series": len(ids), "samples": rows, "size_bytes": options.to.stat().st_size}
    say(options.json, row, f"{options.to}: {rows:,} samples of {len(ids):,} series")
    return 0


def _csv(app: App, ids: list[int], window: Window, file: BinaryIO) -> int:
    rows = 0
    for number, data in enumerate(_days(app, ids, window, "csv")):
        head, _, body = data.partition(b"\n")
        file.write(data if number == 0 else body)
        rows += body.count(b"\n")
    return rows


def _parquet(app: App, ids: list[int], window: Window, file: BinaryIO) -> int:
    from pyarrow import parquet

    rows, writer = 0, None
    for data in _days(app, ids, window, "parquet"):
        table = parquet.read_table(io.BytesIO(data))
        writer = writer or parquet.ParquetWriter(file, table.schema, compression="zstd")
        writer.write_table(table)
        rows += table.num_rows
    if writer:
        writer.close()
    return rows


def _days(app: App, ids: list[int], window: Window, kind: str) -> Iterator[bytes]:
    """A file's bytes for each part of the window, none longer than a day nor larger than one export takes."""
    from lib.auth.actor import SYSTEM

    start = window.start
    while start < window.end:
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        end = min(midnight + timedelta(days=1), window.end)
        yield from _part(app, ids, Window(start, end), kind, SYSTEM)
        start = end


def _part(app: App, ids: list[int], window: Window, kind: str, actor: Any) -> Iterator[bytes]:
    """One export, or its halves where it is more than one takes."""
    try:
        yield app.exploration.export(actor, ids, window, kind)
    except Invalid as error:
        if "rows" not in error.values or (len(ids) == 1 and window.span < timedelta(seconds=2)):
            raise
        if len(ids) > 1:
            for some in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
                yield from _part(app, some, window, kind, actor)
            return
        middle = window.start + (window.span / 2)
        for half in (Window(window.start, middle), Window(middle, window.end)):
            yield from _part(app, ids, half, kind, actor)
