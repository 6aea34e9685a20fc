"""Quantiles as people write them: "p95", "the 99th percentile", "0.9 quantile"."""

from __future__ import annotations

import re

from lib.chat.masked import Masked

_QUANTILES = (
    (re.compile(r"\b(0?\.\d+)[- ]quantile\b"), 1.0),
    (re.compile(r"\bquantile (?:of )?(0?\.\d+)\b"), 1.0),
    (re.compile(r"\bp(\d{1,2}(?:\.\d+)?)\b"), 100.0),
    (re.compile(r"\b(\d{1,2}(?:\.\d+)?)(?:st|nd|rd|th)? ?%?[- ]?(?:percentile|quantile)\b"), 100.0),
    (re.compile(r"\b(?:percentile|quantile) (\d{1,2}(?:\.\d+)?)\b"), 100.0),
)


def find(masked: Masked) -> float | None:
    """Between 0 and 1; taken out of the text. None where no quantile is named."""
    for pattern, whole in _QUANTILES:
        for match in masked.take(pattern):
            return float(match[1]) / whole
    return None
