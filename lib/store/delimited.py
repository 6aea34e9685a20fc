"""CSV made Parquet by DuckDB, line by line: what could not be read is told."""

from __future__ import annotations

import codecs
from pathlib import Path

import duckdb

from lib.errors import Invalid
from lib.profiling.tables import Rejected
from lib.store.engine import reason, spilling

MEMORY_MB = 260


def convert(source: Path, target: Path, delimiter: str | None, scratch: Path) -> Rejected:
    """Write a CSV file as Parquet, in the order of its lines; what could not be read is counted and told by line.

    delimiter: None to find it out. Raises Invalid for what is no text or no table.
    """
    encoding = _encoding(source)
    given = [f"encoding='{encoding}'", "store_rejects=true", "rejects_limit=1000", "sample_size=100000"]
    if delimiter:
        given.append("delim=?")
    query = f"SELECT * FROM read_csv(?, {', '.join(given)})"  # noqa: S608 (constants)
    parameters = [str(source), *([delimiter] if delimiter else [])]
    with spilling(scratch, MEMORY_MB) as connection:
        try:
            # Parameters do not reach inside COPY: the relation carries them.
            connection.sql(query, params=parameters).write_parquet(str(target), compression="snappy")
        except duckdb.Error as error:
            raise Invalid(
                f"The file cannot be read as a table: {reason(error, source)}. Save it as CSV in UTF-8, one header "
                "line, the same number of fields in each line, and try again."
            ) from None
        rows = connection.execute(
            "SELECT line, lower(min(error_type::VARCHAR)) FROM reject_errors GROUP BY line ORDER BY line LIMIT 5"
        ).fetchall()
        count = connection.execute("SELECT count(DISTINCT line) FROM reject_errors").fetchall()[0][0]
    return Rejected(int(count), tuple((int(line), str(why)) for line, why in rows))


def _encoding(source: Path) -> str:
    """utf-8 or utf-16. Raises Invalid for what holds no text."""
    with source.open("rb") as file:
        start = file.read(64 * 1024)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in start:
        raise Invalid(
            "The file holds bytes that no text has: it is no CSV. Upload CSV or TSV text in UTF-8, or a Parquet file."
        )
    return "utf-8"
