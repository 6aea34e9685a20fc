"""How much each trait counts when tables are said to be alike: what foretells best what happened on tables left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lib.training.learners import FAMILIES
from lib.training.suggestions import DOUBT, Reference, Tried
from lib.training.traits import MODELS, TRAITS

AS_IS = "as it is"
# Variants of real tables count for more than tables made of a rule, which are not what people bring.
MADE, REAL = ("made", "troubled"), 3.0
ROUNDS, FACTORS = 3, (0.0, 0.5, 0.7, 0.85, 1.2, 1.4, 2.0)


def pairs_of(reference: Reference, tried: Tried) -> list[tuple[float, float]]:
    """What would be said of a table, and what came true."""
    found = []
    for family in tried.scores:
        found.append((reference.model(family, tried.traits)[0], float(tried.close(family) or 0.0)))
    for key, (cause, helped) in tried.steps.items():
        found.append((reference.step(key, tried.traits, cause)[0], helped))
    return found


def weighed(reference: Reference) -> Reference:
    """The reference with weights found. Tables as they are, on which suggestions are judged, have no say in it."""
    return replace(reference, weights={"models": _of_models(reference), "steps": _of_steps(reference)})


def _of_models(reference: Reference) -> dict[str, float]:
    tried = reference.tried
    came = np.array([[np.nan if (c := one.close(family)) is None else c for family in FAMILIES] for one in tried])
    start = {name: 6.0 if name in MODELS else 0.6 for name in TRAITS}
    return _search(tried, came, np.zeros_like(came), start)


def _of_steps(reference: Reference) -> dict[str, float]:
    tried = reference.tried
    keys = sorted({key for one in tried for key in one.steps})
    came = np.array([[one.steps[key][1] if key in one.steps else np.nan for key in keys] for one in tried])
    cause = np.array([[one.steps[key][0] if key in one.steps else 0.0 for key in keys] for one in tried])
    return _search(tried, came, cause, dict.fromkeys((*TRAITS, "cause"), 1.0))


def _search(
    tried: tuple[Tried, ...], came: np.ndarray, cause: np.ndarray, start: Mapping[str, float]
) -> dict[str, float]:
    """One weight after another, made larger or smaller while that foretells better (Brier) what came, each table by
    those of other bases alone."""
    bases = np.array([one.base for one in tried])
    judged = np.array([one.variant != AS_IS for one in tried])
    counted = np.array([1.0 if one.variant in MADE else REAL for one in tried])
    counts = Counter(bases.tolist())
    even = np.array([1 / np.sqrt(counts[base]) for base in bases])
    others = (bases[:, None] != bases) * even
    known, held = ~np.isnan(came), np.nan_to_num(came)
    overall = (others @ held + 0.5) / (others @ known + 1)
    gaps = {n: np.array([one.traits[n] for one in tried]) for n in TRAITS}
    squares = {name: (x[:, None] - x) ** 2 for name, x in gaps.items()}
    causes = [(cause[:, None, place] - cause[:, place]) ** 2 for place in range(came.shape[1])]

    def loss(weights: Mapping[str, float]) -> float:
        apart = np.zeros((len(tried), len(tried)))
        for name, square in squares.items():
            if weights[name]:
                apart += weights[name] ** 2 * square
        pull = weights.get("cause", 0.0)
        if not pull:
            like = np.exp(-apart / 2) * others
            said = (like @ held + DOUBT * overall) / (like @ known + DOUBT)
        else:
            said = np.empty_like(held)
            for place, square in enumerate(causes):
                like = np.exp(-(apart + pull**2 * square) / 2) * others
                up, down = like @ held[:, place], like @ known[:, place]
                said[:, place] = (up + DOUBT * overall[:, place]) / (down + DOUBT)
        wrong = ((said - held) ** 2 * counted[:, None])[judged]
        return float(wrong[known[judged]].mean())

    rng = np.random.default_rng(0)
    weights, best = dict(start), loss(start)
    for _ in range(ROUNDS):
        for name in rng.permutation(sorted(weights)):
            for factor in FACTORS:
                now = (weights[name] or start[name]) * factor
                found = loss({**weights, str(name): now})
                if found < best - 1e-6:
                    best, weights[str(name)] = found, now
    return {name: round(float(one), 3) for name, one in weights.items()}
