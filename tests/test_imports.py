"""The direction of imports, and what may not be loaded before it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Each costs seconds or tens of megabytes; pages and services import them where they are used.
HEAVY = (
    *("prophet", "sklearn", "xgboost", "scipy", "shap", "optuna", "dask", "skops", "matplotlib"),
    *("openai", "google.generativeai", "google.api_core", "prometheus_api_client", "streamlit_authenticator"),
)


def test_imports_follow_the_contracts_in_pyproject() -> None:
    result = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def _loaded_after(code: str, tmp_path: Path) -> set[str]:
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AUTOOPS_DATA_DIR": str(tmp_path),
        "AUTOOPS_DEMO": "false",
    }
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, env=environment, check=True
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_nothing_heavy_is_loaded_to_start_the_server(tmp_path: Path) -> None:
    loaded = _loaded_after(
        "import Home\nfrom lib.ui import runtime\nfrom lib.app import build\nbuild().stop()", tmp_path
    )
    assert "lib.services.detection" in loaded
    assert not {name for name in HEAVY if name in loaded}
