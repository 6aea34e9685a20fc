"""Small seeded tables to learn from, and a clock that moves when it is read."""

import numpy as np
import pandas as pd


class Clock:
    def __init__(self, step=0.0):
        self.at, self.step = 100.0, step

    def __call__(self):
        self.at += self.step
        return self.at


def churn(rows, seed=0, rare=False):
    """Two classes by a number, a category and noise; gaps in one column."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, rows).astype(float),
            "income": rng.lognormal(10, 0.5, rows),
            "plan": rng.choice(["basic", "plus", "pro"], rows, p=[0.5, 0.3, 0.2]),
            "visits": rng.poisson(4, rows),
        }
    )
    pull = (frame.age - 45) / 8 + frame.plan.map({"basic": 1.0, "plus": 0.0, "pro": -1.5}) - 0.4 * (frame.visits - 4)
    frame["left"] = np.where(pull - (4.0 if rare else 0.0) + rng.logistic(0, 0.7, rows) > 0, "yes", "no")
    frame.loc[rng.random(rows) < 0.1, "age"] = np.nan
    return frame


def prices(rows, seed=0):
    """A skewed price of size, place, day and the words of an advertisement."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(20, 200, rows)
    place = rng.choice(["north", "south", "old town"], rows)
    day = pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 365, rows), unit="D")
    word = rng.choice(["garden", "balcony", "none", "lake view"], rows)
    log = 7 + 0.012 * size + pd.Series(place).map({"north": 0, "south": 0.3, "old town": 0.7}).to_numpy()
    log = log + 0.001 * (day - pd.Timestamp("2025-01-01")).days + 0.5 * (word == "lake view") + rng.normal(0, 0.1, rows)
    text = [f"Flat {n} with {w}, near the {rng.choice(['park', 'school', 'station'])}" for n, w in enumerate(word)]
    frame = pd.DataFrame({"size": size, "place": place, "day": day, "text": text, "price": np.exp(log)})
    frame.loc[rng.random(rows) < 0.05, "size"] = np.nan
    return frame
