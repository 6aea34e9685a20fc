"""What the SQL page offers to complete: tables, columns, functions that may be used, and names that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lib.sql.allowed import FUNCTIONS
from lib.sql.tables import Table
from lib.ui.completion import Where, Word

_KEYWORDS = """
    SELECT FROM WHERE JOIN LEFT ON USING WITH VALUES DISTINCT HAVING QUALIFY WINDOW OVER LIMIT OFFSET UNION INTERSECT
    EXCEPT CASE WHEN THEN ELSE END AND OR NOT IN LIKE ILIKE BETWEEN IS NULL ASC DESC CAST INTERVAL EXCLUDE FILTER ROLLUP
"""
KEYWORDS = (*_KEYWORDS.split(), "GROUP BY ALL", "ORDER BY", "PARTITION BY", "NULLS LAST", "ASOF JOIN")
# A list longer than this is typed into, not looked through, and each of them goes to the browser.
MOST_VALUES = 1000


def words(tables: Sequence[Table], values: Mapping[str, Iterable[str]]) -> Iterator[Word]:
    """values: column -> what it can be, offered between quotes behind it."""
    columns: dict[str, list[str]] = {}
    about: dict[str, str] = {}
    for table in tables:
        yield Word(table.name, "table", table.about)
        for column in table.columns:
            columns.setdefault(column.name, []).append(table.name)
            about.setdefault(column.name, f"{column.type.lower()} – {column.about}")
    for name, of in columns.items():
        yield Word(name, "column", about[name] if len(of) == 1 else f"of {', '.join(of)}", tuple(of))
    for name in sorted(FUNCTIONS):
        if name[0].isalpha():
            yield Word(name, "function")
    for name in KEYWORDS:
        yield Word(name, "keyword")
    for kind, several in values.items():
        for number, text in enumerate(several):
            if number < MOST_VALUES:
                yield Word(text, kind, where=Where.QUOTES)
