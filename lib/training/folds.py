"""Which rows are learnt from and which are predicted, so that no score is of rows a model has seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.errors import NotEnoughData
from lib.training.schema import Task


@dataclass(frozen=True)
class Fold:
    """train, test: places of rows."""

    number: int
    train: np.ndarray
    test: np.ndarray


def held_out(
    target: np.ndarray, task: Task, keys: np.ndarray, by: str, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Places of rows to train with and of those kept for the last scores, a `share` of all.

    keys: what orders (`by` "time") or groups ("group") the rows; `by` "": neither.
    """
    everything = np.arange(len(target))
    if not share:
        return everything, everything[:0]
    if by == "time":
        order = np.argsort(keys, kind="stable")
        cut = round(len(order) * (1 - share))
        return np.sort(order[:cut]), np.sort(order[cut:])
    count = max(2, round(1 / share))
    apart = grouped(keys, count, seed + 1) if by == "group" else shuffled(target, task, count, seed + 1)
    return apart[0].train, apart[0].test


def split(
    target: np.ndarray, task: Task, keys: np.ndarray, by: str, rows: np.ndarray, count: int, seed: int
) -> list[Fold]:
    """The folds of `rows`, by time, by group or shuffled (see `held_out`); count: 0 for what suits their number."""
    held = target[rows]
    many = count or (8 if len(held) <= 20_000 else 5 if len(held) <= 200_000 else 3)
    if task != Task.REGRESSION:
        many = max(2, min(many, int(np.bincount(held)[np.unique(held)].min())))
    if by == "time":
        made = forward(keys[rows], count or 4)
    elif by == "group":
        made = grouped(keys[rows], many, seed)
    else:
        made = shuffled(held, task, many, seed)
    return [Fold(one.number, rows[one.train], rows[one.test]) for one in made]


def shuffled(target: np.ndarray, task: Task, count: int, seed: int) -> list[Fold]:
    """Folds with each class (or each stretch of a number) in like shares."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(target))
    # Sorted by target, then dealt round: each fold gets its share of every class and of every size.
    order = order[np.argsort(target[order], kind="stable")]
    if task == Task.REGRESSION:
        # Within each run of `count` neighbours the order is left to chance.
        whole = len(order) // count * count
        runs = order[:whole].reshape(-1, count)
        order[:whole] = rng.permuted(runs, axis=1).ravel()
    number = np.empty(len(target), dtype=np.int64)
    number[order] = np.arange(len(target)) % count
    return _of(number, count)


def grouped(groups: np.ndarray, count: int, seed: int) -> list[Fold]:
    """Folds in which no group is on both sides, of about equal size. Raises NotEnoughData for a single group."""
    names, codes = np.unique(groups.astype(str), return_inverse=True)
    count = min(count, len(names))
    if count < 2:
        raise NotEnoughData("All rows are of one group; groups can only be kept apart when there are at least two.")
    sizes = np.bincount(codes)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled, place = np.zeros(count), np.empty(len(names), dtype=np.int64)
    for group in order:
        place[group] = int(filled.argmin())
        filled[place[group]] += sizes[group]
    return _of(place[codes], count)


def forward(moments: np.ndarray, count: int) -> list[Fold]:
    """The last half in `count` stretches, each predicted from all rows before it. Rows of one moment stay together.

    moments: sortable, one a row. Raises NotEnoughData when there are too few different ones.
    """
    order = np.argsort(moments, kind="stable")
    held = moments[order]
    starts = np.flatnonzero(np.concatenate([[True], held[1:] != held[:-1]]))
    if len(starts) < count + 1:
        raise NotEnoughData(
            f"The time column has {len(starts)} different moments; splitting by time takes at least {count + 1}."
        )
    wanted = np.linspace(len(order) // 2, len(order), count + 1).astype(int)
    inner = [int(starts[min(np.searchsorted(starts, at), len(starts) - 1)]) for at in wanted[:-1]]
    edges = [*sorted({max(edge, int(starts[1])) for edge in inner}), len(order)]
    made: list[Fold] = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        if last > first:
            made.append(Fold(len(made), np.sort(order[:first]), np.sort(order[first:last])))
    return made


def number_of(folds: list[Fold], rows: int) -> np.ndarray:
    """The fold each row is predicted in, -1 for rows that only are learnt from."""
    made = np.full(rows, -1, dtype=np.int64)
    for fold in folds:
        made[fold.test] = fold.number
    return made


def _of(number: np.ndarray, count: int) -> list[Fold]:
    return [Fold(n, np.nonzero(number != n)[0], np.nonzero(number == n)[0]) for n in range(count)]
