"""What the PromQL editor offers to complete: functions, words of the language, and metrics that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lib.ui.completion import Word

_FUNCTIONS = """
    abs absent absent_over_time avg avg_over_time bottomk ceil changes clamp clamp_max clamp_min count count_over_time
    count_values day_of_month day_of_week day_of_year days_in_month delta deriv exp floor group histogram_avg
    histogram_count histogram_fraction histogram_quantile histogram_stddev histogram_sum hour idelta increase irate
    label_join label_replace last_over_time ln log10 log2 max max_over_time min min_over_time minute month
    predict_linear present_over_time quantile quantile_over_time rate resets round scalar sgn sort sort_desc sqrt stddev
    stddev_over_time stdvar stdvar_over_time sum sum_over_time time timestamp topk vector year
"""
_KEYWORDS = ("and", "bool", "by", "group_left", "group_right", "ignoring", "offset", "on", "or", "unless", "without")


def words(metrics: Iterable[tuple[str, str]]) -> Iterator[Word]:
    """metrics: name and what is said of it."""
    for name, about in metrics:
        yield Word(name, "metric", about)
    for name in _FUNCTIONS.split():
        yield Word(name, "function")
    for name in _KEYWORDS:
        yield Word(name, "keyword")
