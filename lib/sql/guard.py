"""Whether a query may run: its syntax tree, as DuckDB's own parser gives it, walked against lists of what is allowed.

Pure, and run in the child: the parser itself never sees a stranger's text in the app's process.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NoReturn

from lib.sql import allowed

MAX_CHARACTERS = 20_000
# A name of WITH can reach the catalogue or a file wherever it is out of scope; plain ones can at most miss.
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NOWHERE = 2**64 - 1
# Tables people look for in vain, and what there is instead.
_ELSEWHERE = {"alerts": "This app has no alert rules, so no alerts are kept; what was found is in anomalies."}
_ONE_SELECT = "One query that begins with SELECT, WITH, FROM or VALUES can be run here; nothing can be changed."


class Refused(Exception):
    """Why a query may not run. position: byte in its text where it goes wrong, if known. hint: what to try."""

    def __init__(self, message: str, position: int | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.position, self.hint = message, position, hint


def readable(sql: str) -> None:
    """Raises Refused for text no parser should get."""
    if not sql.strip():
        raise Refused("There is no query yet.", hint="Write one, or choose an example.")
    if len(sql) > MAX_CHARACTERS:
        raise Refused(f"The query has {len(sql):,} characters; {MAX_CHARACTERS:,} are the limit.", hint="Shorten it.")
    if "\x00" in sql or any("\ud800" <= letter <= "\udfff" for letter in sql):
        raise Refused("The query holds characters that are no text.", hint="Type it anew, without what was pasted.")


def check(serialized: str, tables: Collection[str]) -> frozenset[str]:
    """The published tables a query reads, after looking at every node of it. Raises Refused.

    serialized: what `json_serialize_sql` answers. tables: lower-case names that may be read.
    """
    try:
        answer = json.loads(serialized)
    except RecursionError:
        raise Refused("The query is nested too deeply.", hint="Split it with WITH.") from None
    if answer.get("error"):
        _refuse_answer(answer)
    statements = answer.get("statements")
    if not statements:
        raise Refused("There is no query in this text.", hint=_ONE_SELECT)
    if not isinstance(statements, list) or len(statements) != 1:
        raise Refused(f"There are {len(statements)} queries in one.", hint=_ONE_SELECT)
    walk = _Walk(frozenset(tables))
    try:
        walk.part(statements[0], "", frozenset())
    except RecursionError:
        raise Refused("The query is nested too deeply.", hint="Split it with WITH.") from None
    return frozenset(walk.read)


def _refuse_answer(answer: dict[str, Any]) -> NoReturn:
    if answer.get("error_type") == "not implemented":
        raise Refused("Only reading is possible here.", hint=_ONE_SELECT)
    position = str(answer.get("position", ""))
    message = str(answer.get("error_message") or "It is no SQL").split("\n")[0]
    raise Refused(f"{message[:1].upper()}{message[1:]}.", int(position) if position.isdigit() else None)


@dataclass
class _Walk:
    """Goes through the tree once. scope: names of WITH that are visible at a node."""

    tables: frozenset[str]
    read: set[str] = field(default_factory=set)

    def value(self, value: Any, place: str, scope: frozenset[str]) -> None:
        if isinstance(value, list):
            for one in value:
                self.value(one, place, scope)
        elif isinstance(value, dict):
            if "class" in value:
                self.expression(value, scope)
            elif isinstance(value.get("type"), str):
                self.node(value, scope)
            else:
                self.part(value, place, scope)

    def fields(self, node: dict[str, Any], known: frozenset[str], scope: frozenset[str]) -> None:
        unknown = set(node) - known
        if unknown:
            raise Refused(f"This form of SQL is not available here ({', '.join(sorted(unknown))}).", _position(node))
        for name, value in node.items():
            if isinstance(value, dict | list):
                self.value(value, name, scope)

    def part(self, node: dict[str, Any], place: str, scope: frozenset[str]) -> None:
        if place not in allowed.PARTS:
            raise Refused(f"This form of SQL is not available here ({place}).", _position(node))
        if node.get("named_param_map") or node.get("type_info") or node.get("pivot_enum"):
            raise Refused("This form of SQL is not available here.", _position(node), "Write values and types out.")
        self.fields(node, allowed.PARTS[place], scope)

    def expression(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        kind, type_ = node["class"], node.get("type")
        if kind == "PARAMETER":
            raise Refused("Placeholders have no value here.", _position(node), "Write the value itself.")
        if kind not in allowed.EXPRESSIONS or type_ not in allowed.EXPRESSIONS[kind][0]:
            raise Refused(f"This form of SQL is not available here ({str(type_).lower()}).", _position(node))
        if kind in ("FUNCTION", "WINDOW"):
            self.call(node, allowed.FUNCTIONS)
        elif kind == "TYPE":
            _unqualified(node, "type_name", ("schema", "catalog"), "type")
            name = str(node["type_name"])
            if name.lower() not in allowed.TYPES:
                hint = _nearest(name, allowed.TYPES)
                raise Refused(f"There is no type {name!r} here.", _position(node), hint)
        elif kind == "COLUMN_REF":
            names = node["column_names"]
            if len(names) == 1 and str(names[0]).lower() in allowed.TELLING_NAMES:
                raise Refused(f"{names[0]} is not available here.", _position(node))
        self.fields(node, allowed.EXPRESSIONS[kind][1], scope)

    def call(self, node: dict[str, Any], functions: frozenset[str], position: int | None = None) -> None:
        place = _position(node) if position is None else position
        _unqualified(node, "function_name", ("schema", "catalog"), "function")
        name = str(node["function_name"])
        if name.lower() not in functions:
            raise Refused(f"There is no function {name!r} here.", place, _nearest(name, functions))

    def node(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        kind = node["type"]
        if kind not in allowed.NODES:
            if kind.endswith("_QUERY_NODE"):
                raise Refused("Only reading is possible here.", _position(node), _ONE_SELECT)
            hint = "The tables and their columns are listed beside the editor." if kind == "SHOW_REF" else ""
            raise Refused(f"This form of SQL is not available here ({kind.lower()}).", _position(node), hint)
        if kind in ("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"):
            scope = self.named(node, scope)
        elif kind == "BASE_TABLE":
            self.table(node, scope)
        elif kind == "TABLE_FUNCTION":
            function = node["function"]
            if function.get("class") != "FUNCTION":
                raise Refused("This form of SQL is not available here.", _position(node))
            self.call(function, allowed.TABLE_FUNCTIONS, _position(node))
        rest = {name: value for name, value in node.items() if name != "cte_map"}
        self.fields(rest, allowed.NODES[kind], scope)

    def named(self, node: dict[str, Any], scope: frozenset[str]) -> frozenset[str]:
        """Check the parts of WITH; the scope with their names. A part sees those before it, itself if recursive."""
        if set(node.get("cte_map", {})) - {"map"}:
            raise Refused("This form of SQL is not available here (with).", _position(node))
        for entry in node.get("cte_map", {}).get("map", []):
            name, part = str(entry["key"]), entry["value"]
            if not _PLAIN_NAME.match(name):
                raise Refused(f"{name!r} cannot name a part of WITH.", hint="Use letters, digits and _.")
            if set(part) - allowed.CTE:
                raise Refused("This form of SQL is not available here (with).")
            query = part["query_node"]
            inner = scope
            if query.get("type") == "RECURSIVE_CTE_NODE":
                if query.get("cte_name") != name:
                    raise Refused("This form of SQL is not available here (with).")
                inner = scope | {name.lower()}
            for field_name, value in part.items():
                self.value(value, field_name, inner)
            scope |= {name.lower()}
        return scope

    def table(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        _unqualified(node, "table_name", ("schema_name", "catalog_name"), "table")
        name = str(node["table_name"])
        if node.get("at_clause") is not None:
            raise Refused("AT is not available here: there is one snapshot.", _position(node))
        if name.lower() in scope:
            return
        if name.lower() not in self.tables:
            hint = _ELSEWHERE.get(name.lower()) or _nearest(name, self.tables | scope, every=True)
            raise Refused(f"There is no table {name!r} here.", _position(node), hint)
        self.read.add(name.lower())


def _unqualified(node: dict[str, Any], name: str, qualifiers: tuple[str, ...], what: str) -> None:
    path = node.get("qualified_name", {}).get("path")
    if any(node.get(one) for one in qualifiers) or path != [node.get(name)]:
        full = ".".join(map(str, path or [node.get(name)]))
        raise Refused(f"{full!r} has a prefix.", _position(node), f"Write the name of the {what} alone.")


def _position(node: dict[str, Any]) -> int | None:
    place = node.get("query_location")
    return place if isinstance(place, int) and place < _NOWHERE else None


def _nearest(name: str, names: Collection[str], *, every: bool = False) -> str:
    close = difflib.get_close_matches(name.lower(), sorted(names), 1, 0.7)
    if close:
        return f"Did you mean {close[0]}?"
    return f"There are {', '.join(sorted(names))}." if every else ""
