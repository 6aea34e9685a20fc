"""What a training asks of other machines, when there are some: see `lib.services.training_cluster`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from lib.training.portfolio import Candidate

Arrays = dict[str, np.ndarray]
# Values, targets and weights.
Rows = tuple[np.ndarray, np.ndarray, np.ndarray | None]


class Fitting(Protocol):
    """Machines that fit what is large. rows: more than these are boosted there; forest_rows: of so many on the trees of
    a forest are grown there, through joblib."""

    rows: int
    forest_rows: int

    def boost(
        self,
        options: Mapping[str, Any],
        learn: Rows,
        rounds: int,
        left_s: Callable[[], float],
        held: Rows | None = None,
        patience: int = 0,
    ) -> tuple[Any, int]:
        """An XGBoost model of its best round, by the rows held back, and how many rounds that took."""


class Folds(Protocol):
    """Finished folds by name, as `Restored`; asking for one may wait for another machine."""

    def get(self, name: str, /) -> tuple[Mapping[str, Any], Arrays] | None: ...

    def values(self) -> Collection[tuple[Mapping[str, Any], Arrays]]: ...


class Elsewhere(Fitting, Folds, Protocol):
    """Other machines."""

    def ahead(self, candidates: Sequence[Candidate], rows: int, left_s: float) -> None:
        """Told what will be fitted first, so that they may begin."""

    def enough(self) -> None:
        """Told that nothing more of it is waited for."""
