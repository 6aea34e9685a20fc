"""A trained model as a folder: JSON and plain arrays, no code and no pickle, the same predictions after a reload.

plan.json, schema.json, model.json (members, calibration, scores), preparations.json and arrays.npz. Checksums are the
registry's matter: it seals the folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from lib.errors import ArtefactRefused, Invalid
from lib.training import portable
from lib.training.model import Fitted, Member, Model, Part, Shift
from lib.training.plan import Plan
from lib.training.preparation import Preparation
from lib.training.schema import Schema

PLAN, SCHEMA, MODEL, PREPARATIONS, ARRAYS = "plan.json", "schema.json", "model.json", "preparations.json", "arrays.npz"
FILES = (PLAN, SCHEMA, MODEL, PREPARATIONS, ARRAYS)
LAYOUT = 1


def save_bundle(model: Model, folder: Path) -> list[Path]:
    """Write a model's files into a folder; which ones."""
    folder.mkdir(parents=True, exist_ok=True)
    preparations: dict[int, int] = {}
    states: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    members = []
    for place, member in enumerate(model.members):
        parts = []
        for number, part in enumerate(member.parts):
            key = id(part.preparation)
            if key not in preparations:
                preparations[key] = len(states)
                states.append(part.preparation.state())
            prefix = f"m{place}p{number}"
            arrays |= {f"{prefix}/{name}": array for name, array in part.predictor.arrays().items()}
            parts.append(
                {
                    "preparation": preparations[key],
                    "about": part.predictor.about(),
                    "shift": asdict(part.shift) if part.shift else None,
                }
            )
        about = {name: getattr(member, name) for name in ("name", "family", "weight", "log", "rounds")}
        members.append({**about, "params": dict(member.params), "parts": parts, "fits": list(member.fits)})
    held = {
        "layout": LAYOUT,
        "members": members,
        **{name: getattr(model, name) for name in ("slope", "shift", "threshold")},
        "scores": dict(model.scores),
        "about": dict(model.about),
    }
    for name, value in (
        (PLAN, model.plan.to_json()),
        (SCHEMA, model.schema.to_json()),
        (MODEL, held),
        (PREPARATIONS, states),
    ):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False))
    with (folder / ARRAYS).open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return [folder / name for name in FILES]


def load_bundle(folder: Path) -> Model:
    """The model in a folder, ready to predict. Raises ArtefactRefused for files that are none or do not fit."""
    try:
        plan, schema, held, states = (
            json.loads((folder / name).read_text()) for name in (PLAN, SCHEMA, MODEL, PREPARATIONS)
        )
        if held["layout"] != LAYOUT:
            raise ArtefactRefused(
                f"{folder.name} is of layout {held['layout']}; this version reads {LAYOUT}. Train it again."
            )
        preparations = [Preparation.from_state(state) for state in states]
        arrays: dict[str, dict[str, np.ndarray]] = {}
        with np.load(folder / ARRAYS, allow_pickle=False) as stored:
            for key in stored.files:
                prefix, name = key.split("/", 1)
                arrays.setdefault(prefix, {})[name] = stored[key]
        members = tuple(
            Member(
                name=str(one["name"]),
                family=str(one["family"]),
                params=dict(one["params"]),
                weight=float(one["weight"]),
                log=bool(one["log"]),
                rounds=int(one["rounds"]),
                fits=tuple(Fitted(int(rounds), bool(aside)) for rounds, aside in one.get("fits", ())),
                parts=tuple(
                    Part(
                        preparations[part["preparation"]],
                        portable.rebuild(part["about"], arrays[f"m{place}p{number}"]),
                        Shift(**part["shift"]) if part["shift"] else None,
                    )
                    for number, part in enumerate(one["parts"])
                ),
            )
            for place, one in enumerate(held["members"])
        )
        rest = {name: float(held[name]) for name in ("slope", "shift", "threshold")}
        return Model(
            Plan.from_json(plan),
            Schema.from_json(schema),
            members,
            **rest,
            scores=dict(held["scores"]),
            about=dict(held["about"]),
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        EOFError,
        BadZipFile,
        Invalid,
    ) as error:
        raise ArtefactRefused(f"{folder.name} is no readable model: {error}. Train it again.") from error
