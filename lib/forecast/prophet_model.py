"""Prophet as one of the models. Imported where it is used: only a job's own process ever pays for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lib.forecast.history import DAY_S, History
from lib.forecast.models import nanmean

# What it learns from, longer histories in coarser steps: its curves are smooth, and its fit takes longer with each row.
MOST_ROWS = 1000
CHANGEPOINTS = 8
# One fit takes 0.1 s; one that does not end is ended.
FIT_WITHIN_S = 20
# Of its optimiser; a series without a pattern would keep it searching.
MOST_TURNS = 300


@dataclass(frozen=True)
class ProphetModel:
    """country: ISO code whose holidays are modelled, "" for none."""

    country: str = ""
    name: str = "Prophet"

    def fits(self, history: History, tested: int) -> bool:
        return len(history) >= max(2 * tested, 48)

    def path(self, history: History, steps: int, tested: int) -> np.ndarray:
        """Raises RuntimeError or TimeoutError when Stan does not come to an end."""
        for name in ("prophet", "prophet.plot"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        import cmdstanpy  # it sets its own level when it is imported
        from prophet import Prophet

        cmdstanpy.utils.get_logger().setLevel(logging.CRITICAL)
        at, values = _coarsened(history)
        known = np.isfinite(values)
        scale = float(np.abs(values[known]).max()) or 1.0
        daily = history.has_day and history.step_s * 4 <= DAY_S
        model = Prophet(
            n_changepoints=min(CHANGEPOINTS, max(1, len(values) // 10)),
            daily_seasonality=daily,
            weekly_seasonality=history.has_week,
            yearly_seasonality=False,
            uncertainty_samples=0,
        )
        if self.country:
            model.add_country_holidays(self.country)
        model.fit(
            pd.DataFrame({"ds": _moments(at[known]), "y": values[known] / scale}),
            timeout=FIT_WITHIN_S,
            iter=MOST_TURNS,
            seed=0,
        )
        coming = pd.DataFrame(
            {"ds": _moments((history.first + len(history) + np.arange(steps) + 0.5) * history.step_s)}
        )
        return np.asarray(model.predict(coming)["yhat"], dtype=np.float64) * scale


def _coarsened(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Unix seconds and means of at most so many steps."""
    wide = -(-len(history) // MOST_ROWS)
    whole = len(history) // wide * wide
    values = history.values[len(history) - whole :].reshape(-1, wide)
    first = history.first + len(history) - whole
    return (first + (np.arange(len(values)) + 0.5) * wide) * history.step_s, nanmean(values)


def _moments(at_s: np.ndarray) -> Any:
    return pd.to_datetime(at_s, unit="s")
