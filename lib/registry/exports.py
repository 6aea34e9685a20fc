"""A model version as a folder that runs by itself: its files, the few modules that answer for it, and what builds it.

The modules are copied as they are (only `lib.` becomes `served.`), found by following their imports from the API on, so
that what answers there is what answers here. Nothing of the app's settings or data gets in.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shutil
import string
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.disk import sha256
from lib.errors import Invalid, Unavailable
from lib.registry.schema import ModelSchema
from lib.settings import ROOT

PACKAGE = "served"
_API = "lib.api.exported"
_TEMPLATES = Path(__file__).parent / "exported"
# format -> what else it takes: modules that are imported by name, libraries.
_MODULES = {"bundle": ("lib.registry.bundled", "lib.registry.bundles")}
_LIBRARIES = {
    "bundle": (),
    "onnx": ("onnxruntime",),
    "xgboost": ("xgboost",),
    "skops": ("skops", "scikit-learn"),
}
_BASE = ("fastapi", "uvicorn", "numpy", "pandas")
_PROJECT = re.compile(r"(?<![\w.])lib\.(?=[a-z])")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_GUARDED = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,120}/)*[A-Za-z0-9_.][A-Za-z0-9._-]{0,120}")


@dataclass(frozen=True)
class Export:
    """What is exported. sha256: of the model's packed files. files: where they lie, unpacked. answer: what the app
    itself said to `request`. exported_from: the app's version."""

    name: str
    version: int
    format: str
    sha256: str
    schema: ModelSchema
    files: Path
    request: Mapping[str, Any]
    answer: Mapping[str, Any]
    exported_from: str
    metrics: Mapping[str, Any]
    card: str = ""


def write_folder(export: Export, folder: Path) -> list[str]:
    """Write the folder, which must not be there yet; the names of its files. Raises Invalid for an unknown format."""
    if export.format not in _LIBRARIES:
        raise Invalid(f"Versions of the format {export.format!r} cannot be exported; use {', '.join(_LIBRARIES)}.")
    folder.mkdir(parents=True)
    vendor(folder, (_API, *_MODULES.get(export.format, ())))
    shutil.copytree(export.files, folder / "model")
    pins = requirements((*_BASE, *_LIBRARIES[export.format]))
    known = {
        "name": export.name,
        "version": str(export.version),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "code": export.exported_from,
        "sha256": export.sha256,
        "predicts": _predicts(export.schema),
    }
    for source, target in (("app", "app.py"), ("Dockerfile", "Dockerfile"), ("README", "README.md")):
        text = (_TEMPLATES / f"{source}.txt").read_text(encoding="utf-8")
        _write(folder / target, text if target == "app.py" else string.Template(text).substitute(known))
    shutil.copyfile(_TEMPLATES / "smoke_test.py", folder / "smoke_test.py")
    _write(folder / "requirements.txt", "".join(f"{line}\n" for line in pins))
    _write(folder / ".dockerignore", ".git\n.gitattributes\n.venv\n__pycache__\n*.pyc\n")
    _write(folder / "NOTICE.md", _notice(export.exported_from, pins))
    if export.card:
        _write(folder / "CARD.md", export.card)
    about = {
        "name": export.name,
        "version": export.version,
        "format": export.format,
        "sha256": export.sha256,
        "exported_from": export.exported_from,
        "metrics": dict(export.metrics),
        "schema": export.schema.to_json(),
    }
    for target, value in (("model", about), ("request", export.request), ("answer", export.answer)):
        _write(folder / f"{target}.json", json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n")
    _write(folder / "ecs-task.json", json.dumps(_ecs_task(export), indent=1) + "\n")
    names = [one.relative_to(folder).as_posix() for one in sorted(folder.rglob("*")) if one.is_file()]
    digests = {name: sha256(folder / name) for name in names}
    _write(folder / "MANIFEST.json", json.dumps({"files": digests}, indent=1) + "\n")
    return [*names, "MANIFEST.json"]


def pack(folder: Path, target: Path) -> str:
    """The folder as a zip with itself as its root, the same bytes for the same files; its SHA-256."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            name = path.relative_to(folder).as_posix()
            if not _GUARDED.fullmatch(name) or ".." in name.split("/"):
                raise Invalid(f"{name[:80]!r} is no name for a file to be exported.")
            entry = zipfile.ZipInfo(f"{folder.name}/{name}", _EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with path.open("rb") as source, archive.open(entry, "w") as member:
                shutil.copyfileobj(source, member, 1 << 20)
    return sha256(target)


def vendor(folder: Path, seeds: Iterable[str]) -> list[str]:
    """Copy modules of the project, and all they import of it, into `folder` as the package `served`; which ones."""
    waiting, found = list(seeds), {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _source(name)
        if path is None:
            continue  # a name inside a module, not a module
        found[name] = path
        waiting += _imports(path)
        waiting += [name.rpartition(".")[0]] if name.count(".") > 1 else []
    for path in sorted(found.values()):
        inside = path.relative_to(ROOT / "lib")
        target = folder / PACKAGE / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, _PROJECT.sub(f"{PACKAGE}.", path.read_text(encoding="utf-8")))
    _write(folder / PACKAGE / "__init__.py", '"""Modules of AutoOps as they were at the export; see NOTICE.md."""\n')
    return sorted(found)


def requirements(names: Iterable[str]) -> list[str]:
    """Everything these libraries need, pinned to what is installed here. Raises Unavailable when one is not there."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        distribution = _installed(name)
        found[name] = distribution.version
        for line in distribution.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)
    return [line for name, version in sorted(found.items()) for line in _pins(name, version)]


def _pins(name: str, version: str) -> list[str]:
    if name != "xgboost":
        return [f"{name}=={version}"]
    # The same project's two builds; the one for processors alone spares 400 MB where there is one.
    small = 'sys_platform == "linux" and platform_machine == "x86_64"'
    other = 'sys_platform != "linux" or platform_machine != "x86_64"'
    return [f"xgboost-cpu=={version} ; {small}", f"xgboost=={version} ; {other}"]


def _installed(name: str) -> importlib.metadata.Distribution:
    for one in (name, "xgboost-cpu") if name == "xgboost" else (name,):
        try:
            return importlib.metadata.distribution(one)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise Unavailable(f"{name} is not installed here, so its version cannot be pinned; install the requirements.")


def _source(module: str) -> Path | None:
    path = ROOT / Path(*module.split("."))
    for one in (path.with_suffix(".py"), path / "__init__.py"):
        if one.is_file():
            return one
    return None


def _imports(path: Path) -> list[str]:
    """Modules of the project a file imports, anywhere in it; of `from a import b` both a and a.b."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
        elif isinstance(node, ast.Import):
            found += [one.name for one in node.names]
    return [one for one in found if one.startswith("lib.")]


def _notice(code: str, pins: Iterable[str]) -> str:
    """Whose work is in the folder, and under which licence each library says it is."""
    lines = []
    for pin in pins:
        name = pin.partition("==")[0]
        try:
            about = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        said = [*(about.get_all("License-Expression") or ()), *(about.get_all("License") or ())]
        said += [one.rpartition(" :: ")[2] for one in about.get_all("Classifier") or () if "License ::" in one]
        # Some put the whole text there; its first line says which it is.
        first = said[0].strip().splitlines()[0][:60] if said and said[0].strip() else "see the package"
        lines.append(f"| {name} | {first} |\n")
    text = (
        f"# Notice\n\n`served/`, `app.py` and `smoke_test.py` are modules of AutoOps {code}, unchanged but for the "
        "name of their package; they are under the licence of AutoOps, and whoever passes this folder on passes that "
        "on with it. The model in `model/` belongs to whoever made it.\n\n`requirements.txt` installs these libraries, "
        f"which are not in this folder:\n\n| library | licence |\n| --- | --- |\n{''.join(lines)}"
    )
    own = ROOT / "LICENSE"
    return f"{text}\n## Licence of AutoOps\n\n{own.read_text(encoding='utf-8')}" if own.is_file() else text


def _predicts(schema: ModelSchema) -> str:
    # Somebody's words in Markdown: nothing that could become a link, HTML or a line of the head.
    target = re.sub(r"[^\w .,%()-]", " ", schema.target)[:80].strip()
    if schema.classes:
        return f"Predicts {f'`{target}`' if target else 'a class'}, one of {len(schema.classes)} classes."
    return f"Predicts {f'`{target}`' if target else 'a number'}."


def _ecs_task(export: Export) -> dict[str, Any]:
    image = f"ACCOUNT.dkr.ecr.REGION.amazonaws.com/{export.name}:{export.version}"
    return {
        "family": export.name,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "512",
        "memory": "1024",
        "executionRoleArn": "arn:aws:iam::ACCOUNT:role/ecsTaskExecutionRole",
        "containerDefinitions": [
            {
                "name": export.name,
                "image": image,
                "essential": True,
                "readonlyRootFilesystem": True,
                "portMappings": [{"containerPort": 8080}],
                "healthCheck": {"command": ["CMD", "python", "smoke_test.py", "--health"], "startPeriod": 60},
            }
        ],
    }


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
