"""What surrounds every page: sign-in, navigation by role, the account menu."""

from __future__ import annotations

import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.ui import guard

# section -> (file, title, icon, url path, what it takes to see it)
PAGES: dict[str, list[tuple[str, str, str, str, Permission]]] = {
    "Observe": [
        ("pages/observe/overview.py", "Overview", ":material/dashboard:", "overview", Permission.VIEW),
        ("pages/observe/explore.py", "Explore", ":material/monitoring:", "explore", Permission.VIEW),
        ("pages/observe/profile.py", "Profile", ":material/query_stats:", "profile", Permission.VIEW),
        ("pages/observe/anomalies.py", "Anomalies", ":material/warning:", "anomalies", Permission.VIEW),
    ],
    "Act": [
        ("pages/act/chat.py", "Chat", ":material/chat:", "chat", Permission.CHAT),
    ],
    "Operate": [
        ("pages/operate/sources.py", "Sources", ":material/database:", "sources", Permission.VIEW),
        ("pages/operate/tasks.py", "Tasks", ":material/task:", "tasks", Permission.VIEW),
        ("pages/operate/users.py", "Users", ":material/group:", "users", Permission.MANAGE_USERS),
        ("pages/operate/audit.py", "Audit log", ":material/history:", "audit", Permission.READ_AUDIT),
        ("pages/operate/settings.py", "Settings", ":material/settings:", "settings", Permission.MANAGE_SETTINGS),
        ("pages/operate/about.py", "About", ":material/info:", "about", Permission.VIEW),
    ],
}
