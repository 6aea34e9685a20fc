"""Seeded tables to try suggestions on: variants of real ones, each with one more trouble, and tables made of a rule."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

TARGET = "target"
MADE_ROWS = 2_400
# A straight sum, curves, products of pairs, thresholds, smooth hills, categories, many columns in which rows lie in
# heaps, and few columns in which each patch has a value of its own.
RULES = ("straight", "curved", "pairs", "thresholds", "distances", "categories", "heaps", "patches")
REPEATS = 5


@dataclass(frozen=True)
class Made:
    """base: the table it was made of; hidden: columns that are not known yet when one predicts."""

    base: str
    variant: str
    frame: pd.DataFrame
    task: str
    metric: str
    hidden: tuple[str, ...] = field(default=())


METRICS = {"binary": "roc_auc", "multiclass": "neg_log_loss", "regression": "r2"}


def variants(base: str, frame: pd.DataFrame, task: str, metric: str, rows: int = 3_000) -> Iterator[Made]:
    """The table with more gaps, tails, names of rows, leaks, rarer classes, dates, other scales, fewer rows, and with
    another column to predict."""
    rng = np.random.default_rng(zlib.crc32(base.encode()))
    part = frame.iloc[rng.permutation(len(frame))[:rows]].reset_index(drop=True)
    numbers = [name for name in part if name != TARGET and part[name].dtype.kind in "if" and part[name].nunique() > 10]
    truth = _rank(part[TARGET])

    def made(variant: str, changed: pd.DataFrame, *hidden: str, task: str = task, metric: str = metric) -> Made:
        return Made(base, variant, changed.reset_index(drop=True), task, metric, hidden)

    yield made("few rows", part.iloc[:400])
    yield made("gaps", _gaps(part, rng, 0.2, informative=False))
    yield made("telling gaps", _gaps(part, rng, 0.25, informative=True))
    yield made("identifiers", _identifiers(part, rng))
    yield made("leak", part.assign(settled=_copied(part[TARGET], rng)), "settled")
    yield made("dates", _dated(part, truth, rng))
    if numbers:
        yield made("outliers", _outliers(part, numbers, rng))
        yield made("scales", part.assign(**{name: part[name] * 10.0 ** rng.integers(-4, 5) for name in numbers}))
        yield made("words", _worded(part, numbers, rng))
    if task == "binary":
        yield made("rare class", _rarer(part, 0.04))
    other = max(numbers, key=lambda name: part[name].nunique(), default=None)
    if other is not None:
        asked = part.dropna(subset=[other]).drop(columns=TARGET).rename(columns={other: TARGET})
        if task == "regression":
            thirds = pd.qcut(_rank(part[TARGET]), 4, labels=["a", "b", "c", "d"]).astype(str)
            yield made("four classes", part.assign(target=thirds), task="multiclass", metric="neg_log_loss")
            high = np.where(truth > 0.7, "high", "low")
            yield made("two classes", part.assign(target=high), task="binary", metric="roc_auc")
        else:
            yield made("another target", asked, task="regression", metric="r2")


def ruled() -> Iterator[Made]:
    """Tables made of a rule each."""
    for number, rule in enumerate(RULES):
        for turn, task in enumerate([*METRICS] * REPEATS):
            rng = np.random.default_rng([number, turn])
            rows = int(rng.choice([500, 1_200, MADE_ROWS]))
            frame, value = _by_rule(rule, rows, rng)
            loud = (0.0, 0.05, 0.15) if rule in ("heaps", "patches") else (0.1, 0.4, 1.0)
            value = value + rng.normal(0, rng.choice(loud) * value.std(), rows)
            if task == "regression":
                frame[TARGET] = value
            else:
                parts = 2 if task == "binary" else 4
                frame[TARGET] = pd.qcut(
                    pd.Series(value).rank(method="first"), parts, labels=[f"class {n}" for n in range(parts)]
                ).astype(str)
            yield Made(f"{rule} {task} {turn // len(METRICS) + 1}", "made", frame, task, METRICS[task])


def troubled() -> Iterator[Made]:
    """Half of the tables made of a rule, each with some troubles at once."""
    for number, table in enumerate(ruled()):
        if number % 2:
            continue
        rng = np.random.default_rng([number, 7])
        part, truth = table.frame, _rank(table.frame[TARGET])
        numbers = [name for name in part if name.startswith("x")]
        hit = rng.random(9) < 0.45
        hidden: tuple[str, ...] = ()
        if hit[0]:
            part = _worded(part, numbers, rng)
            numbers = [name for name in numbers if name in part]
        if hit[1]:
            part = _outliers(part, numbers[: max(1, len(numbers) // 2)], rng)
        if hit[2]:
            part = part.assign(**{name: part[name] * 10.0 ** rng.integers(-4, 5) for name in numbers})
        if hit[3]:
            part = _gaps(part, rng, float(rng.choice([0.05, 0.2, 0.4])), informative=bool(rng.random() < 0.5))
        if hit[4]:
            part = _dated(part, truth, rng)
        if hit[5]:
            part = _identifiers(part, rng)
        if hit[6]:
            part = part.assign(site="main", version=np.where(rng.random(len(part)) < 0.999, 3.0, 4.0))
        if hit[7]:
            part = part.assign(note=_noted(truth, rng))
        if rng.random() < 0.3:
            part, hidden = part.assign(settled=_copied(part[TARGET], rng)), ("settled",)
        if part is not table.frame:
            yield Made(table.base, "troubled", part.reset_index(drop=True), table.task, table.metric, hidden)


def _noted(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sentences of which one word goes with the target somewhat."""
    telling = np.array(["calm", "steady", "mixed", "busy", "urgent"], dtype=object)
    places = np.clip((truth + rng.normal(0, rng.choice([0.2, 0.6, 3.0]), len(truth))) * 5, 0, 4).astype(int)
    filler = np.array(["in the morning", "after the call", "as agreed", "without notice"], dtype=object)
    others = filler[rng.integers(0, len(filler), len(truth))]
    return np.array([f"A {telling[a]} day {b}, case {n}" for n, (a, b) in enumerate(zip(places, others, strict=True))])


def _by_rule(rule: str, rows: int, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    count = int(rng.integers(5, 16))
    x = rng.normal(size=(rows, count))
    if rule == "straight":
        value = x @ rng.normal(size=count)
    elif rule == "curved":
        value = np.sin(2 * x[:, 0]) * 2 + np.abs(x[:, 1]) + x[:, 2] ** 2 - x[:, 3]
    elif rule == "pairs":
        value = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] + 0.5 * x[:, 4]
    elif rule == "thresholds":
        value = 2.0 * (x[:, 0] > 0.3) * (x[:, 1] < 0.5) + (x[:, 2] > 0) * 1.0 - 1.5 * (x[:, 3] > 1) * (x[:, 4] > -0.5)
    elif rule == "heaps":
        x = rng.normal(size=(rows, int(rng.integers(20, 60))))
        middles = rng.normal(0, rng.choice([0.7, 1.0, 1.4]), size=(24, x.shape[1]))
        heap = rng.integers(0, 24, rows)
        x, value = x + middles[heap], rng.permutation(24)[heap] / 6.0
    elif rule == "patches":
        x = rng.normal(size=(rows, int(rng.integers(3, 7))))
        middles = rng.normal(size=(int(rng.integers(40, 120)), x.shape[1]))
        apart = ((x[:, None, :] - middles) ** 2).sum(axis=2)
        value = rng.normal(size=len(middles))[apart.argmin(axis=1)]
    elif rule == "distances":
        middles = rng.normal(size=(8, count))
        apart = ((x[:, None, :] - middles) ** 2).sum(axis=2)
        value = np.exp(-apart / count) @ rng.normal(size=8) * 10
    else:
        value = np.zeros(rows)
    frame = pd.DataFrame(x, columns=[f"x{n}" for n in range(x.shape[1])])
    if rule == "categories":
        for n, size in enumerate((3, 6, 12, 60)):
            codes = rng.integers(0, size, rows)
            frame[f"kind {n}"] = [f"k{code}" for code in codes]
            value = value + rng.normal(size=size)[codes]
        value = value + 0.5 * x[:, 0]
    return frame, value


def _rank(target: pd.Series) -> np.ndarray:
    codes = target if target.dtype.kind in "if" else pd.Series(pd.factorize(target, sort=True)[0])
    return codes.rank(pct=True).to_numpy()


def _gaps(part: pd.DataFrame, rng: np.random.Generator, share: float, *, informative: bool) -> pd.DataFrame:
    """Holes in half the columns; informative: where values are large rather than by chance."""
    changed = part.copy()
    names = [name for name in part if name != TARGET]
    for name in rng.permutation(names)[: max(1, len(names) // 2)]:
        chance = rng.random(len(part))
        if informative and part[name].dtype.kind in "if":
            chance = 0.3 * chance + 0.7 * (1 - part[name].rank(pct=True).fillna(0.5).to_numpy())
        hit = chance <= np.quantile(chance, share)
        changed[name] = changed[name].astype(float).mask(hit) if part[name].dtype.kind in "if" else part[name].mask(hit)
    return changed


def _outliers(part: pd.DataFrame, numbers: list[str], rng: np.random.Generator) -> pd.DataFrame:
    changed = part.copy()
    for name in numbers:
        hit = rng.random(len(part)) < 0.01
        far = part[name].std() * rng.choice([-60.0, 40.0, 200.0], len(part))
        changed[name] = part[name].astype(float) + np.where(hit, far, 0.0)
    return changed


def _identifiers(part: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    codes = [f"{a:04x}-{n:05d}" for n, a in enumerate(rng.integers(0, 65_536, len(part)))]
    return part.assign(row_id=np.arange(len(part)) + 1_000, code=codes)


def _copied(target: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """The target in other words, as something written down after the fact would have it."""
    if target.dtype.kind == "f" or target.nunique() > 20:
        return target.to_numpy() * 1.7 + rng.normal(0, 1e-4 * float(target.std()), len(target))
    codes = pd.factorize(target, sort=True)[0]
    return np.array([f"outcome {code}" for code in codes], dtype=object)


def _dated(part: pd.DataFrame, truth: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """A date whose season goes with the target somewhat, and one that says nothing."""
    season = (truth * 200 + rng.normal(0, 60, len(part))).clip(0, 364).astype(int)
    start = np.datetime64("2024-01-01")
    said = start + season.astype("timedelta64[D]") + (365 * rng.integers(0, 2, len(part))).astype("timedelta64[D]")
    other = start + rng.integers(0, 700, len(part)).astype("timedelta64[D]")
    return part.assign(opened=said.astype("datetime64[s]"), printed=other.astype("datetime64[s]"))


def _worded(part: pd.DataFrame, numbers: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """A number column told only as one of many names."""
    name = str(rng.choice(numbers))
    places = (part[name].rank(pct=True).fillna(0.5) * 89).astype(int)
    names = np.array([f"town {code}" for code in rng.permutation(90)], dtype=object)
    return part.drop(columns=name).assign(town=names[places])


def _rarer(part: pd.DataFrame, share: float) -> pd.DataFrame:
    """Rows of the smaller class left out until it is rare."""
    counts = part[TARGET].value_counts()
    rest, few = part[part[TARGET] == counts.index[0]], part[part[TARGET] == counts.index[-1]]
    kept = few.iloc[: max(12, round(share * len(rest)))]
    return pd.concat([rest, kept]).sample(frac=1, random_state=0)
