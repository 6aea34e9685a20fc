"""What a dataset's columns are called, hold and are for, and which of such descriptions make sense."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from lib.errors import Invalid

MOST_NAME = 120
# Of what is wrong with columns: so much is said in a sentence, and so much listed.
_TOLD, _MOST_FIELDS = 3, 100
_TIME_WORDS = ("ts", "time", "timestamp", "date", "datetime", "day", "moment", "when")


class ColumnType(StrEnum):
    """What the values of a column are; the Parquet file has exactly these."""

    INTEGER = "integer"  # 64 bits
    NUMBER = "number"  # a double
    BOOLEAN = "boolean"
    TEXT = "text"
    DATE = "date"
    MOMENT = "moment"  # a timestamp in microseconds, UTC


class Role(StrEnum):
    """What a column is for when something is learnt from the dataset."""

    FEATURE = "feature"  # what is learnt from
    TARGET = "target"  # what is to be told
    IDENTIFIER = "identifier"  # names the row; nothing is learnt from it
    TIME = "time"  # when everything else in the row was known; splits by time go by it
    IGNORE = "ignore"  # kept, and left alone


@dataclass(frozen=True)
class Column:
    """origin: what the column was called in the data that was brought, whatever it was renamed to."""

    name: str
    type: ColumnType
    role: Role = Role.FEATURE
    origin: str = ""

    def __post_init__(self) -> None:
        if not self.origin:
            object.__setattr__(self, "origin", self.name)

    def as_json(self) -> dict[str, str]:
        return {"name": self.name, "type": self.type.value, "role": self.role.value, "origin": self.origin}


@dataclass(frozen=True)
class DatasetVersion:
    """A version that can be read: `path` is Parquet with exactly the columns of `schema`, in their order.

    hash: 64 hex digits over the data and the schema; the same content has the same one.
    """

    dataset_id: int
    name: str
    hash: str
    path: Path
    schema: list[Column]
    rows: int

    def with_role(self, role: Role) -> list[str]:
        """Names of the columns with this role."""
        return [column.name for column in self.schema if column.role is role]


def from_json(columns: Iterable[dict[str, Any]]) -> list[Column]:
    """Columns as `as_json` wrote them. Raises Invalid for what is none."""
    found = []
    for number, one in enumerate(columns, 1):
        try:
            name, origin = str(one["name"]), str(one.get("origin") or one["name"])
            type_, role = ColumnType(one["type"]), Role(one.get("role") or Role.FEATURE)
        except (KeyError, ValueError, TypeError) as error:
            raise Invalid(
                f"Column {number} cannot be understood ({error}). A column has a name, a type of "
                f"{', '.join(ColumnType)} and a role of {', '.join(Role)}."
            ) from None
        found.append(Column(name, type_, role, origin))
    return found


@dataclass(frozen=True)
class Change:
    """What is to become of a column; None leaves it as it is. type, role: as people write them."""

    name: str | None = None
    type: str | None = None
    role: str | None = None
    keep: bool = True


class Fault(NamedTuple):
    """What is wrong with a column. field: its name, type or role."""

    place: int
    field: str
    message: str


def checked(columns: Sequence[Column]) -> list[Column]:
    """The columns, names trimmed. Raises Invalid for names that are empty, too long or there twice, for two targets,
    two time columns, and a time column that holds no times."""
    cleaned = [Column(one.name.strip(), one.type, one.role, one.origin) for one in columns]
    if not cleaned:
        raise Invalid("A dataset has at least one column.")
    _refuse([one.origin for one in cleaned], _faults(cleaned))
    return cleaned


def changed(columns: Sequence[Column], changes: Mapping[str, Change]) -> list[Column]:
    """The columns with changes, told by the names they have now. Raises Invalid, naming each column and field that is
    wrong: none of such a name, a type or role there is not, and what `checked` refuses."""
    known = {one.name: one for one in columns}
    strange = [name for name in changes if name not in known]
    if strange:
        names = [name[:MOST_NAME] for name in strange]
        _refuse(names, [Fault(n, "", f"There is no column {name!r}.") for n, name in enumerate(names)])
    kept = [one for one in columns if changes.get(one.name, Change()).keep]
    if not kept:
        raise Invalid("A dataset has at least one column.")
    made: list[Column] = []
    faults: list[Fault] = []
    for place, one in enumerate(kept):
        change = changes.get(one.name, Change())
        held: dict[str, Any] = {"name": one.name if change.name is None else change.name.strip()}
        for field, choices in (("type", ColumnType), ("role", Role)):
            said = getattr(change, field)
            try:
                held[field] = getattr(one, field) if said is None else choices(said)
            except ValueError:
                held[field] = getattr(one, field)
                there = ", ".join(choices)
                faults.append(Fault(place, field, f"{one.name!r} cannot have the {field} {said[:40]!r}; use {there}."))
        made.append(Column(origin=one.origin, **held))
    _refuse([one.name for one in kept], [*faults, *_faults(made)])
    return made


def _faults(columns: Sequence[Column]) -> list[Fault]:
    faults: list[Fault] = []
    seen: dict[str, str] = {}
    for place, one in enumerate(columns):
        if not one.name or len(one.name) > MOST_NAME:
            said = f"A column's name has 1 to {MOST_NAME} characters, not {len(one.name)}: {one.name[:40]!r}."
            faults.append(Fault(place, "name", said))
            continue
        # SQL tells names apart without regard to case.
        before = seen.setdefault(one.name.casefold(), one.name)
        if before is not one.name:
            said = f"Two columns are called {before!r} and {one.name!r}; give one of them another name."
            faults.append(Fault(place, "name", said))
    for role in (Role.TARGET, Role.TIME):
        places = [place for place, one in enumerate(columns) if one.role is role]
        named = ", ".join(columns[place].name for place in places[:5])
        said = f"Only one column can be the {role}, not {named}; choose one of them."
        faults += [Fault(place, "role", said) for place in places[1:]]
    for place, one in enumerate(columns):
        if one.role is Role.TIME and one.type not in (ColumnType.DATE, ColumnType.MOMENT, ColumnType.INTEGER):
            said = f"{one.name!r} holds {one.type}, which is no time; make its type moment or date first."
            faults.append(Fault(place, "role", said))
    return faults


def _refuse(names: Sequence[str], faults: Sequence[Fault]) -> None:
    """names: what the columns are called by whoever asked."""
    if faults:
        told = list(dict.fromkeys(one.message for one in faults))
        more = f" And {len(told) - _TOLD} more." if len(told) > _TOLD else ""
        fields = [{"column": names[one.place], "field": one.field, "message": one.message} for one in faults]
        raise Invalid(" ".join(told[:_TOLD]) + more, fields=fields[:_MOST_FIELDS])


def unique(names: Sequence[str], most: int) -> tuple[list[str], list[str]]:
    """Names every part of the app can use (not empty, not twice, not too long), and what was changed, in words."""
    if len(names) > most:
        raise Invalid(f"It has {len(names):,} columns; a dataset may have {most:,}. Leave some out.")
    made: list[str] = []
    taken: set[str] = set()
    notes: list[str] = []
    for number, name in enumerate(names, 1):
        clean = " ".join(name.replace("\0", "").split())[:MOST_NAME] or f"column {number}"
        best, n = clean, 2
        while best.casefold() in taken:
            best, n = f"{clean[: MOST_NAME - 6]} {n}", n + 1
        if best != name and len(notes) < 20:
            notes.append(f"Column {number}, {name[:60]!r}, is called {best!r}.")
        taken.add(best.casefold())
        made.append(best)
    return made, notes


def guessed(columns: Sequence[tuple[str, ColumnType]]) -> list[Column]:
    """Columns with their first roles: the time, when one column is clearly it; everything else is a feature."""
    moments = [name for name, type_ in columns if type_ in (ColumnType.MOMENT, ColumnType.DATE)]
    named = [name for name in moments if name.casefold() in _TIME_WORDS]
    time = next(iter(named), moments[0] if len(moments) == 1 else None)
    return [Column(name, type_, Role.TIME if name == time else Role.FEATURE) for name, type_ in columns]


def version_hash(content: str, columns: Sequence[Column]) -> str:
    """Names a version by what it holds. content: digest of the data as it was brought."""
    said = json.dumps([content, [one.as_json() for one in columns]], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
