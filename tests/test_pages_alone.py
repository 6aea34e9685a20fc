"""Every page by itself, as a cold server would run it for a stranger: it refuses, and shows nothing."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.auth.actor import GUEST, MINIMUM_ROLE, Permission, Role
from lib.ui.shell import PAGES

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "pages").rglob("*.py"))
NEEDED: dict[str, Permission] = {path: permission for entries in PAGES.values() for path, *_, permission in entries}
# What can carry data or start something.
TELLING = (
    "dataframe",
    "markdown",
    "metric",
    "button",
    "text_input",
    "selectbox",
    "chat_input",
    "json",
    "code",
    "caption",
)


def test_no_page_lies_where_a_server_would_serve_it_without_the_shell() -> None:
    assert not list((ROOT / "pages").glob("*.py"))


def test_the_menu_and_the_files_are_the_same() -> None:
    assert sorted(NEEDED) == FILES


@pytest.mark.parametrize("path", FILES)
def test_a_stranger_is_refused_and_sees_nothing(path: str, open_page: Callable) -> None:
    page = open_page(path, role=None)
    assert not page.exception
    assert [error.value for error in page.error] == ["Sign in to see this page."]
    for kind in TELLING:
        assert len(getattr(page, kind, [])) == 0, kind


@pytest.mark.parametrize("who", [*Role, "guest"], ids=str)
@pytest.mark.parametrize("path", FILES)
def test_each_role_sees_the_page_or_the_reason_why_not(path: str, who: Role | str, open_page: Callable) -> None:
    page = open_page(path, role=who)
    assert not page.exception
    permission = NEEDED[path]
    allowed = GUEST.may(permission) if who == "guest" else who >= MINIMUM_ROLE[permission]
    refusals = [error.value for error in page.error if "it takes the role" in error.value]
    assert bool(refusals) is not allowed
    if not allowed:
        assert all(len(getattr(page, kind, [])) == 0 for kind in TELLING)


@pytest.mark.parametrize("path", FILES)
def test_the_guard_is_the_first_statement_after_the_imports(path: str) -> None:
    body = ast.parse((ROOT / path).read_text()).body
    first = next(
        node for node in body if not isinstance(node, ast.Import | ast.ImportFrom) and not isinstance(node, ast.Expr)
    )
    assert isinstance(first, ast.Assign)
    assert ast.unparse(first).startswith("actor = guard.require(")
