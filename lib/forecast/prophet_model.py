"""Prophet as one of the models. Imported where it is used: only a job's own process ever pays for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lib.forecast.history import DAY_S, History

# What it learns from: its fit grows with it, and changes of months ago matter little to the next week.
MOST_ROWS = 3000
CHANGEPOINTS = 8
# One fit takes 0.1 s; one that does not end is ended.
FIT_WITHIN_S = 20


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
        values = history.values[-MOST_ROWS:]
        first = history.first + len(history) - len(values)
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
            pd.DataFrame({"ds": _moments(first, len(values), history.step_s)[known], "y": values[known] / scale}),
            timeout=FIT_WITHIN_S,
            seed=0,
        )
        coming = pd.DataFrame({"ds": _moments(history.first + len(history), steps, history.step_s)})
        return np.asarray(model.predict(coming)["yhat"], dtype=np.float64) * scale


def _moments(first: int, n: int, step_s: int) -> Any:
    return pd.to_datetime((first + np.arange(n, dtype=np.int64)) * step_s, unit="s")
