"""Settings as an administrator sees them, and the few that may be changed while the app runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import AliasChoices, SecretStr, ValidationError
from sqlalchemy.engine import make_url
from sqlmodel import select

from lib.audit.log import Audit
from lib.auth.actor import Actor, Permission
from lib.db.database import Database
from lib.db.tables import Setting
from lib.errors import Invalid
from lib.log import redact
from lib.settings import Settings

# What takes effect at once when changed. Never a secret: those stay where the host keeps them.
CHANGEABLE = ("llm_mode", "llm_pseudonyms", "guests", "collect_interval_s")


@dataclass(frozen=True)
class Entry:
    """One setting. value: as shown, secrets masked. source: 'default', 'environment' or 'here' (changed in the app)."""

    name: str
    variable: str
    value: str
    source: str
    description: str
    changeable: bool
    secret: bool


class Configuration:
    """Changes live in the database and in the one Settings object that every part holds."""

    def __init__(self, settings: Settings, database: Database, audit: Audit, clock: Callable[[], datetime]) -> None:
        self.settings, self.database, self.audit, self.clock = settings, database, audit, clock
        self._given = settings.model_copy()
        for key, value in self._changed().items():
            setattr(settings, key, _valid(settings, key, value))

    def overview(self, actor: Actor) -> list[Entry]:
        """Every setting with where its value comes from."""
        actor.require(Permission.MANAGE_SETTINGS)
        changed = self._changed()
        return [self._entry(name, changed) for name in Settings.model_fields]

    def change(self, actor: Actor, key: str, value: Any) -> None:
        """At once, for everybody, and kept over restarts. Raises Invalid for what may not be changed here."""
        actor.require(Permission.MANAGE_SETTINGS)
        valid = _valid(self.settings, _changeable(key), value)
        before = getattr(self.settings, key)
        plain = getattr(valid, "value", valid)
        with self.database.exclusive("settings") as session:
            row = session.get(Setting, key) or Setting(key=key)
            row.value, row.changed_at, row.changed_by = plain, self.clock(), actor.name
            session.add(row)
        setattr(self.settings, key, valid)
        self.audit.record(actor, "change setting", key, before=str(before), after=str(valid))

    def reset(self, actor: Actor, key: str) -> None:
        """Back to what the environment says, or the default."""
        actor.require(Permission.MANAGE_SETTINGS)
        given = getattr(self._given, _changeable(key))
        with self.database.exclusive("settings") as session:
            row = session.get(Setting, key)
            if row is not None:
                session.delete(row)
        setattr(self.settings, key, given)
        self.audit.record(actor, "reset setting", key, after=str(given))

    def _changed(self) -> dict[str, Any]:
        with self.database.session() as session:
            return {row.key: row.value for row in session.exec(select(Setting)) if row.key in CHANGEABLE}

    def _entry(self, name: str, changed: dict[str, Any]) -> Entry:
        field = Settings.model_fields[name]
        value = getattr(self.settings, name)
        variables = variables_of(name)
        given = any(variable in os.environ for variable in variables) or name in self._given.model_fields_set
        return Entry(
            name=name,
            variable=variables[0],
            value=_shown(name, value),
            source="here" if name in changed else "environment" if given else "default",
            description=field.description or "",
            changeable=name in CHANGEABLE,
            secret=isinstance(value, SecretStr),
        )


def variables_of(name: str) -> list[str]:
    """The environment variables a setting is read from, the documented one first."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [f"AUTOOPS_{name.upper()}"]


def _changeable(key: str) -> str:
    if key not in CHANGEABLE:
        raise Invalid(f"'{key}' cannot be changed here; set it in the environment and start again.")
    return key


def _valid(settings: Settings, key: str, value: Any) -> Any:
    try:
        trial = settings.model_copy()
        Settings.__pydantic_validator__.validate_assignment(trial, key, value)
    except ValidationError as error:
        reason = "; ".join(problem["msg"] for problem in error.errors())
        raise Invalid(f"{key} cannot be {value!r}: {reason}.") from None
    return getattr(trial, key)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        return "set, hidden" if value.get_secret_value() else "not set"
    if name == "database_url" and value:
        try:
            return make_url(value).render_as_string(hide_password=True)
        except ValueError:
            return "set, hidden"
    return redact(str(getattr(value, "value", value)))
