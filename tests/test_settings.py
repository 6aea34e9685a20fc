"""Settings: each documented where a reader looks, each read under the name that is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import AliasChoices, SecretStr

from lib.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def _variable(name: str) -> str:
    alias = Settings.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"AUTOOPS_{name.upper()}"


def _row(name: str) -> str:
    """The line the README must hold for a setting."""
    field = Settings.model_fields[name]
    default = field.get_default()
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, Path):
        default = f"{default.name}/"
    return f"| `{_variable(name)}` | {f'`{default}`' if default != '' else ''} | {field.description} |"


def test_every_setting_is_documented_with_its_default() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [_row(name) for name in Settings.model_fields if _row(name) not in readme]
    assert not missing, "README.md lacks these lines under Configure:\n" + "\n".join(missing)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {_variable(name) for name in Settings.model_fields}
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert documented == known


@pytest.mark.parametrize("url", ["postgres://u:p@h/n", "postgresql://u:p@h/n"])
def test_both_spellings_of_a_postgresql_url_reach_the_installed_driver(url: str) -> None:
    assert Settings(database_url=url).resolved_database_url == "postgresql+psycopg://u:p@h/n"


def test_a_setting_is_read_from_its_documented_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOOPS_COLLECT_INTERVAL_S", "7")
    monkeypatch.setenv("GEMINI_API_KEY", "secret")
    settings = Settings()
    assert settings.collect_interval_s == 7
    assert settings.gemini_api_key.get_secret_value() == "secret"


def test_a_secret_does_not_show_in_a_printed_setting() -> None:
    assert "hunter2" not in repr(Settings(admin_password="hunter2"))
