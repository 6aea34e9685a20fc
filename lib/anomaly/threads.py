"""Keeps linear algebra on one core: the matrices here are small, and threads that wait for each other cost more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=2)
def _controller(_trained: bool) -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_core(with_sklearn: bool = False) -> Iterator[None]:
    """Limit BLAS and OpenMP to one thread for a while. with_sklearn: those that scikit-learn brings, too."""
    if with_sklearn:
        import sklearn.decomposition
        import sklearn.ensemble  # noqa: F401 (its libraries must be there to be found)
    with _controller(with_sklearn).limit(limits=1):
        yield
