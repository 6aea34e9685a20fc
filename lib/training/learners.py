"""The families of models: each fits within a deadline, on one thread, and hands back plain arrays (`portable`)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lib.training.elsewhere import Fitting
from lib.training.portable import (
    IDENTITY,
    SIGMOID,
    SOFTMAX,
    Kernel,
    Layers,
    Predictor,
    of_booster,
    of_forest,
    of_histogram,
)
from lib.training.schema import Task

MOST_ROUNDS = 3000
# Fewer are no model worth its place.
LEAST_ROUNDS = 8
# Of the rows a fold learns from, the share that says when to stop; never rows the fold is scored on.
STOPPING_SHARE = 0.15
_PATIENCE_TIMES = 3.0


@dataclass(frozen=True)
class Setting:
    """What a fit needs to know beside the rows. left_s: seconds until the fit must be over; threads: cores; elsewhere:
    other machines for large tables."""

    task: Task
    classes: int
    seed: int
    left_s: Callable[[], float]
    threads: int = 1
    elsewhere: Fitting | None = None

    @property
    def width(self) -> int:
        return self.classes if self.task == Task.MULTICLASS else 1

    @property
    def link(self) -> str:
        return {Task.BINARY: SIGMOID, Task.MULTICLASS: SOFTMAX, Task.REGRESSION: IDENTITY}[self.task]


class OutOfTime(Exception):
    """The deadline passed before there was anything worth keeping."""


Fit = Callable[[np.ndarray, np.ndarray, np.ndarray | None, Mapping[str, Any], Setting], tuple[Predictor, int]]


def fit(
    family: str,
    values: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    params: Mapping[str, Any],
    setting: Setting,
) -> tuple[Predictor, int]:
    """A fitted model and how many rounds it took (0 where there are none). `params['rounds']`, when given, is how many
    to take without looking when to stop; with `params['aside']` without the rows that would have said it, so that a
    model which did look can be made again. Raises OutOfTime."""
    if setting.left_s() <= 0:
        raise OutOfTime
    return _FITS[family](values, target, weight, params, setting)


def inner_split(target: np.ndarray, setting: Setting, share: float = STOPPING_SHARE) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows that say when to stop, each class in both where it can be."""
    rng = np.random.default_rng(setting.seed + 1)
    order = rng.permutation(len(target))
    if setting.task != Task.REGRESSION:
        order = order[np.argsort(target[order], kind="stable")]
        held = (np.arange(len(order)) % max(2, round(1 / share))) == 0
        return np.sort(order[~held]), np.sort(order[held])
    count = max(1, round(share * len(order)))
    return np.sort(order[count:]), np.sort(order[:count])


# --- linear ------------------------------------------------------------------------------------


def _linear(
    values: np.ndarray, target: np.ndarray, weight: np.ndarray | None, params: Mapping[str, Any], setting: Setting
) -> tuple[Predictor, int]:
    """Logistic or ridge regression, on columns of one scale."""
    from sklearn.linear_model import LogisticRegression, Ridge

    strength = float(params.get("strength", 1.0))
    if setting.task == Task.REGRESSION:
        ridge = Ridge(alpha=strength).fit(values, target, sample_weight=weight)
        coefficients, bias = np.asarray(ridge.coef_, dtype=float).reshape(-1, 1), np.atleast_1d(ridge.intercept_)
        return Layers((coefficients,), (bias.astype(float),), IDENTITY), 0
    model = LogisticRegression(C=1.0 / strength, max_iter=200, tol=1e-4, solver="lbfgs")
    if len(target) * values.shape[1] > 5_000_000:
        model.set_params(max_iter=60, tol=1e-3)
    model.fit(values, target, sample_weight=weight)
    return Layers((model.coef_.T.copy(),), (model.intercept_.copy(),), setting.link), 0


# --- forests -----------------------------------------------------------------------------------


def _forest(
    values: np.ndarray, target: np.ndarray, weight: np.ndarray | None, params: Mapping[str, Any], setting: Setting
) -> tuple[Predictor, int]:
    """Extra trees or a random forest, grown a few trees at a time until there are enough or time is up."""
    from sklearn import ensemble

    name = ("ExtraTrees" if params.get("extra", True) else "RandomForest") + (
        "Regressor" if setting.task == Task.REGRESSION else "Classifier"
    )
    trees = int(params.get("rounds") or params.get("trees", 200))
    features = params.get("features", "sqrt")
    extra = {"criterion": params["criterion"]} if params.get("criterion") else {}
    model = getattr(ensemble, name)(
        n_estimators=0,
        min_samples_leaf=int(params.get("leaf", 1)),
        max_features=features,
        random_state=setting.seed,
        warm_start=True,
        n_jobs=-1 if setting.elsewhere and len(values) >= setting.elsewhere.forest_rows else setting.threads,
        **extra,
    )
    held, step, began = np.ascontiguousarray(values, dtype=np.float32), 8, setting.left_s()
    grown = 0
    while grown < trees:
        grown = min(trees, grown + step)
        model.set_params(n_estimators=grown)
        model.fit(held, target, sample_weight=weight)
        spent = began - setting.left_s()
        if setting.left_s() < 1.3 * spent * step / grown and grown < trees:
            if grown < 16:
                raise OutOfTime
            break
    return of_forest(model), grown


# --- boosting ----------------------------------------------------------------------------------


def _histogram(
    values: np.ndarray, target: np.ndarray, weight: np.ndarray | None, params: Mapping[str, Any], setting: Setting
) -> tuple[Predictor, int]:
    """scikit-learn's HistGradientBoosting: a few rounds to see what one costs, then as many as time allows."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    made = HistGradientBoostingRegressor if setting.task == Task.REGRESSION else HistGradientBoostingClassifier
    options = {
        "learning_rate": float(params.get("rate", 0.08)),
        "max_leaf_nodes": int(params.get("leaves", 31)),
        "min_samples_leaf": int(params.get("leaf", 20)),
        "l2_regularization": float(params.get("l2", 0.0)),
        "max_features": float(params.get("features", 1.0)),
        "random_state": setting.seed,
    }
    fixed = int(params.get("rounds") or 0)
    wanted = fixed or MOST_ROUNDS
    began, probe = setting.left_s(), 8
    rest: dict[str, Any] = {"early_stopping": False}
    if not fixed or params.get("aside"):
        patience = int(params.get("patience", 20))
        rest = {"early_stopping": True, "validation_fraction": STOPPING_SHARE, "n_iter_no_change": patience}
    made(**options, early_stopping=False, max_iter=probe).fit(values, target, sample_weight=weight)
    each = max(1e-4, (began - setting.left_s()) / probe)
    affordable = int(0.7 * setting.left_s() / each)
    if affordable < min(wanted, LEAST_ROUNDS):
        raise OutOfTime
    model = made(**options, **rest, max_iter=min(wanted, affordable)).fit(values, target, sample_weight=weight)
    return of_histogram(model, setting.link), int(model.n_iter_)


def _xgboost(
    values: np.ndarray, target: np.ndarray, weight: np.ndarray | None, params: Mapping[str, Any], setting: Setting
) -> tuple[Predictor, int]:
    import xgboost

    fixed = int(params.get("rounds") or 0)
    objective = {
        Task.BINARY: {"objective": "binary:logistic", "eval_metric": "logloss", "base_score": 0.5},
        Task.MULTICLASS: {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": setting.classes},
        Task.REGRESSION: {"objective": "reg:squarederror", "eval_metric": "rmse", "base_score": 0.0},
    }[setting.task]
    options: dict[str, Any] = {
        **objective,
        "tree_method": "hist",
        "nthread": setting.threads,
        "seed": setting.seed,
        "verbosity": 0,
        "eta": float(params.get("rate", 0.05)),
        "max_depth": int(params.get("depth", 6)),
        "min_child_weight": float(params.get("child", 1.0)),
        "subsample": float(params.get("rows", 0.8)),
        # Of few columns a small share would be one or two: too few to see how they act together.
        "colsample_bytree": min(1.0, max(float(params.get("features", 0.8)), 5.0 / values.shape[1])),
        "lambda": float(params.get("l2", 1.0)),
        "alpha": float(params.get("l1", 0.0)),
        "max_bin": int(params.get("bins", 256)),
    }
    if params.get("leaves"):
        options |= {"grow_policy": "lossguide", "max_leaves": int(params["leaves"]), "max_depth": 0}
    if setting.task == Task.MULTICLASS:
        options["base_score"] = 0.0

    class Deadline(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return setting.left_s() < 0.05

    held = np.ascontiguousarray(values, dtype=np.float32)

    def matrix(rows: np.ndarray | None, ref: Any = None) -> Any:
        w = weight if rows is None or weight is None else weight[rows]
        picked = held if rows is None else held[rows]
        y = target if rows is None else target[rows]
        return xgboost.QuantileDMatrix(
            picked, y, weight=w, nthread=setting.threads, max_bin=options["max_bin"], ref=ref
        )

    spread = setting.elsewhere if setting.elsewhere and len(held) > setting.elsewhere.rows else None
    if fixed:
        if spread:
            booster, done = spread.boost(options, (held, target, weight), fixed, setting.left_s)
        else:
            rows = inner_split(target, setting)[0] if params.get("aside") else None
            booster = xgboost.train(options, matrix(rows), fixed, callbacks=[Deadline()])
            done = booster.num_boosted_rounds()
        if done < 0.3 * fixed:
            raise OutOfTime
        return of_booster(booster, setting.width, 0.0, setting.link), done
    train, held_out = inner_split(target, setting)
    patience = int(params.get("patience") or min(100, max(15, _PATIENCE_TIMES / options["eta"])))
    if spread:
        sides = [(held[r], target[r], None if weight is None else weight[r]) for r in (train, held_out)]
        booster, rounds = spread.boost(options, sides[0], MOST_ROUNDS, setting.left_s, sides[1], patience)
        return of_booster(booster, setting.width, 0.0, setting.link), rounds
    learn = matrix(train)
    booster = xgboost.train(
        options,
        learn,
        MOST_ROUNDS,
        evals=[(matrix(held_out, learn), "held")],
        early_stopping_rounds=patience,
        callbacks=[Deadline()],
        verbose_eval=False,
    )
    if setting.left_s() < 0.05 and booster.num_boosted_rounds() < LEAST_ROUNDS:
        raise OutOfTime
    rounds = booster.best_iteration + 1
    return of_booster(booster[:rounds], setting.width, 0.0, setting.link), rounds


# --- network -----------------------------------------------------------------------------------


def _network(
    values: np.ndarray, target: np.ndarray, weight: np.ndarray | None, params: Mapping[str, Any], setting: Setting
) -> tuple[Predictor, int]:
    """A multilayer perceptron, an epoch at a time; kept is the epoch that did best on the rows held back."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    size = int(params.get("size", 96))
    made = MLPRegressor if setting.task == Task.REGRESSION else MLPClassifier
    fixed = int(params.get("rounds") or 0)
    whole = fixed and not params.get("aside")
    train, held_out = (np.arange(len(target)), np.arange(0)) if whole else inner_split(target, setting)
    batch = int(np.clip(2 ** int(np.log2(max(8, len(train) / 40))), 16, 256))
    model = made(
        hidden_layer_sizes=(size,) * int(params.get("layers", 2)),
        alpha=float(params.get("l2", 1e-3)),
        learning_rate_init=float(params.get("rate", 2e-3)),
        batch_size=min(batch, len(train)),
        random_state=setting.seed,
    )
    held = np.clip(values, -8, 8)
    classes = {} if setting.task == Task.REGRESSION else {"classes": np.arange(setting.classes)}
    patience, most = int(params.get("patience", 12)), fixed or int(params.get("epochs", 120))
    best, best_loss, best_epoch, first = None, np.inf, 0, setting.left_s()
    for epoch in range(1, most + 1):
        w = None if weight is None else weight[train]
        model.partial_fit(held[train], target[train], **(classes if epoch == 1 else {}), sample_weight=w)
        each = (first - setting.left_s()) / epoch
        late = setting.left_s() < 1.5 * each
        if fixed:
            best, best_epoch = model, epoch
            if late and epoch < 0.6 * most:
                raise OutOfTime
        else:
            loss = _loss(model, held[held_out], target[held_out], setting)
            if loss < best_loss:
                best_loss, best_epoch = loss, epoch
                best = _layers(model, setting)
            if epoch - best_epoch >= patience:
                break
        if late:
            if epoch < 5:
                raise OutOfTime
            break
    if best is None:
        raise OutOfTime
    return (best if isinstance(best, Layers) else _layers(model, setting)), best_epoch


def _layers(model: Any, setting: Setting) -> Layers:
    weights = tuple(one.copy() for one in model.coefs_)
    return Layers(weights, tuple(one.copy() for one in model.intercepts_), setting.link)


def _loss(model: Any, values: np.ndarray, target: np.ndarray, setting: Setting) -> float:
    if setting.task == Task.REGRESSION:
        return float(np.mean((model.predict(values) - target) ** 2))
    chance = np.clip(model.predict_proba(values), 1e-7, 1)
    return float(-np.log(chance[np.arange(len(target)), target]).mean())


# --- kernel ------------------------------------------------------------------------------------


def _kernel(
    values: np.ndarray, target: np.ndarray, weight: np.ndarray | None, params: Mapping[str, Any], setting: Setting
) -> tuple[Predictor, int]:
    """Kernel ridge or logistic regression over radial similarities; small tables only."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(setting.seed)
    held = np.clip(values, -6, 6)
    most = int(params.get("landmarks", 1500))
    rows = held if len(held) <= most else held[np.sort(rng.choice(len(held), most, replace=False))]
    sample = held[rng.choice(len(held), min(500, len(held)), replace=False)]
    apart = (sample**2).sum(axis=1)[:, None] + (sample**2).sum(axis=1) - 2 * sample @ sample.T
    gamma = float(params.get("width", 0.3)) / max(1e-9, float(np.median(apart)))
    square = _similar(rows, rows, gamma)
    strength = float(params.get("strength", 1.0))
    # Coordinates whose inner product is the similarity: a linear model over them is a kernel model.
    lengths, axes = np.linalg.eigh(square)
    kept = lengths > 1e-6 * lengths.max()
    to_axes = axes[:, kept] / np.sqrt(lengths[kept])
    places = (square if rows is held else _similar(held, rows, gamma)) @ to_axes
    if setting.task == Task.REGRESSION:
        from sklearn.linear_model import Ridge

        ridge = Ridge(alpha=strength).fit(places, target, sample_weight=weight)
        weights, bias = ridge.coef_.reshape(-1, 1), np.atleast_1d(float(ridge.intercept_))
    else:
        model = LogisticRegression(C=1.0 / strength, max_iter=100, tol=1e-3).fit(places, target, sample_weight=weight)
        weights, bias = model.coef_.T, model.intercept_
    return Kernel(rows, to_axes @ weights, bias.astype(float), gamma, setting.link), 0


def _similar(left: np.ndarray, right: np.ndarray, gamma: float) -> np.ndarray:
    apart = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.exp(-gamma * np.maximum(apart, 0))


_FITS: dict[str, Fit] = {
    "linear": _linear,
    "forest": _forest,
    "histogram": _histogram,
    "xgboost": _xgboost,
    "network": _network,
    "kernel": _kernel,
}
FAMILIES = tuple(_FITS)


@contextlib.contextmanager
def threads_held(count: int) -> Iterator[None]:
    """Hold numerical libraries to so many threads; loaded first, or their limits would not be seen."""
    import sklearn.ensemble  # noqa: F401
    import xgboost  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=count):
        yield
