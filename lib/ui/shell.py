"""What surrounds every page: sign-in, navigation by role, the account menu."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from lib.auth.actor import Actor, ActorKind, Permission
from lib.ui import guard, runtime, sign_in, state
from lib.ui.text import plain

NAME = "AutoOps"
ICON = str(Path(__file__).parent / "assets" / "icon.svg")
GAP = "\u2002"
# A revoked session or a changed role shows in an idle tab within this time.
WATCH_EVERY_S = 4
ACCOUNT = "account"

# section -> (file, title, icon, url path, what it takes to see it)
PAGES: dict[str, list[tuple[str, str, str, str, Permission]]] = {
    "Observe": [
        ("pages/observe/overview.py", "Overview", ":material/dashboard:", "overview", Permission.VIEW),
        ("pages/observe/anomalies.py", "Anomalies", ":material/warning:", "anomalies", Permission.VIEW),
        ("pages/observe/changes.py", "What changed?", ":material/difference:", "changes", Permission.VIEW),
        ("pages/observe/explore.py", "Explore", ":material/monitoring:", "explore", Permission.VIEW),
        ("pages/observe/profile.py", "Profile", ":material/query_stats:", "profile", Permission.VIEW),
        ("pages/observe/forecast.py", "Forecast", ":material/trending_up:", "forecast", Permission.VIEW),
        ("pages/observe/sql.py", "SQL", ":material/code:", "sql", Permission.VIEW),
    ],
    "Learn": [
        ("pages/learn/datasets.py", "Datasets", ":material/dataset:", "datasets", Permission.DATASETS),
        ("pages/learn/pipelines.py", "Pipelines", ":material/account_tree:", "pipelines", Permission.DATASETS),
        ("pages/learn/training.py", "Training", ":material/exercise:", "training", Permission.TABLES),
        ("pages/learn/detectors.py", "Detectors", ":material/model_training:", "detectors", Permission.VIEW),
        ("pages/learn/models.py", "Models", ":material/deployed_code:", "models", Permission.MODELS),
        ("pages/learn/predict.py", "Predict", ":material/online_prediction:", "predict", Permission.MODELS),
        ("pages/learn/drift.py", "Drift", ":material/moving:", "drift", Permission.MODELS),
    ],
    "Act": [
        ("pages/act/chat.py", "Chat", ":material/chat:", "chat", Permission.CHAT),
        ("pages/act/text.py", "Text", ":material/article:", "text", Permission.CHAT),
    ],
    "Operate": [
        ("pages/operate/sources.py", "Sources", ":material/database:", "sources", Permission.VIEW),
        ("pages/operate/imports.py", "Import", ":material/upload_file:", "imports", Permission.MANAGE_SOURCES),
        ("pages/operate/tasks.py", "Tasks", ":material/task:", "tasks", Permission.VIEW),
        ("pages/operate/users.py", "Users", ":material/group:", "users", Permission.MANAGE_USERS),
        ("pages/operate/audit.py", "Audit log", ":material/history:", "audit", Permission.READ_AUDIT),
        ("pages/operate/settings.py", "Settings", ":material/settings:", "settings", Permission.MANAGE_SETTINGS),
        ("pages/operate/account.py", "Account", ":material/person:", ACCOUNT, Permission.VIEW),
        ("pages/operate/about.py", "About", ":material/info:", "about", Permission.VIEW),
    ],
}


def draw() -> None:
    """Sign-in for strangers; for everybody else the navigation, the account menu and the page they chose."""
    st.set_page_config(page_title=NAME, layout="wide")
    st.logo(ICON, size="large")
    refusal = sign_in.redeem_link()
    who = guard.actor()
    pages = _pages(who)
    if who is None:
        # Declared though not shown: otherwise the browser forgets which page it was asked for.
        st.navigation(pages, position="hidden")
        st.set_page_config(page_title=NAME, page_icon=ICON)
        sign_in.draw(refusal)
        st.stop()
    page = st.navigation(pages, expanded=True)
    st.set_page_config(page_title=f"{page.title.split(GAP)[-1]} · {NAME}", page_icon=ICON)
    with st.sidebar:
        _account(who, pages)
    _watch(who)
    if who.kind is not ActorKind.GUEST and page.url_path != ACCOUNT:
        _password(who, pages)
    page.run()


def _pages(who: Actor | None) -> dict[str, list[StreamlitPage]]:
    """All of them, those the role may not see out of the menu: their address answers with the reason."""
    return {
        section: [
            st.Page(
                path,
                # In the title, since the browser would fetch a page's `icon` from Google for its tab.
                title=f"{icon}{GAP}{title}",
                icon="",
                url_path=url,
                default=url == "overview",
                visibility="visible" if who and who.may(permission) and url != ACCOUNT else "hidden",
            )
            for path, title, icon, url, permission in entries
        ]
        for section, entries in PAGES.items()
    }


def _account(who: Actor, pages: dict[str, list[StreamlitPage]]) -> None:
    with st.container(key="account"):
        if who.kind is ActorKind.GUEST:
            st.caption(":material/visibility: Looking around as a guest: everything can be seen, nothing changed.")
            st.button(
                "Sign in", icon=":material/login:", key="guest_sign_in", on_click=state.stop_looking, width="stretch"
            )
            return
        choice = st.menu_button(
            plain(who.name),
            ["Account", "Sign out"],
            icon=":material/account_circle:",
            key="account_menu",
            width="stretch",
            help=f"Signed in with the role {who.role.name.lower()}",
        )
        st.caption(f"Role: {who.role.name.lower()}")
        sign_in.keep_in_cookie()
    if choice == "Account":
        st.switch_page(_account_page(pages))
    elif choice == "Sign out":
        sign_in.leave()


def _password(who: Actor, pages: dict[str, list[StreamlitPage]]) -> None:
    """Who came by a one-time link is told, where nobody has to scroll or open a menu, that it opens only once."""
    if not runtime.app().administration.has_password(who):
        with st.container(horizontal=True, vertical_alignment="center", key="no_password"):
            st.warning(
                "You have no password yet: choose one before this session ends, or you cannot come back.",
                icon=":material/key:",
            )
            st.page_link(_account_page(pages), label="Choose a password", icon=":material/arrow_forward:")


def _account_page(pages: dict[str, list[StreamlitPage]]) -> StreamlitPage:
    return next(page for page in pages["Operate"] if page.url_path == ACCOUNT)


@st.fragment(run_every=WATCH_EVERY_S)
def _watch(who: Actor) -> None:
    """Ends what an idle tab shows once its session was revoked, its user disabled or their role changed."""
    if guard.actor() != who:
        st.rerun(scope="app")
