"""Parts of a page with a script of their own, from `lib/ui/assets`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest

ASSETS = Path(__file__).parent / "assets"


def component(package: str, name: str, folder: str, *, html: str, css: str | None = None, js: str) -> Any:
    """What draws the part `js` of `assets/<folder>` makes.

    Its script is a file the server hands out: the content policy lets no inline script run. Streamlit looks for such
    files in installed packages, which this is not, so the folder is named to each runtime.
    """
    manager = get_bidi_component_manager()
    if manager.get_component_asset_root(f"{package}.{name}") is None:
        manager.register_from_manifest(
            ComponentManifest(package, "1", [ComponentConfig(name, folder)]), package_root=ASSETS
        )
    return _renderer(f"{package}.{name}", html, css, js)


@cache
def _renderer(name: str, html: str, css: str | None, js: str) -> Any:
    return st.components.v2.component(name, html=html, css=css, js=js)
