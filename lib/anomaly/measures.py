"""How good scores are where the truth is known. Nothing here adjusts points: with that, random scores look good."""

from __future__ import annotations

import numpy as np

THRESHOLDS = 250


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(first, last) of each run of true values, inclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.asarray(flags, dtype=bool).view(np.int8), [0]))))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def window_of(labels: np.ndarray) -> int:
    """The buffer VUS-PR is usually taken with where nothing else is known: the median length of an anomaly."""
    lengths = [last - first + 1 for first, last in runs(labels)]
    return int(np.median(lengths)) if lengths else 0


def vus_pr(labels: np.ndarray, scores: np.ndarray, window: int, thresholds: int = THRESHOLDS) -> float:
    """Volume under the surface of precision, recall and buffer 0 to `window`; NaN without an anomaly.

    Source: Paparrizos et al., Volume Under the Surface, VLDB 2022.
    """
    return _volume(labels, scores, window, thresholds)[1]


def vus_roc(labels: np.ndarray, scores: np.ndarray, window: int, thresholds: int = THRESHOLDS) -> float:
    """The same of true and false positive rates."""
    return _volume(labels, scores, window, thresholds)[0]


def _volume(labels: np.ndarray, scores: np.ndarray, window: int, thresholds: int) -> tuple[float, float]:
    labels = np.asarray(labels, dtype=float)
    scores = np.nan_to_num(np.asarray(scores, dtype=float), nan=-np.inf)
    if not labels.any():
        return float("nan"), float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked = -scores[order]
    # Ties are called together: how many rows score at least as high as the one at each threshold.
    at = np.linspace(0, len(scores) - 1, thresholds).astype(int)
    called = np.searchsorted(ranked, ranked[at], side="right")
    positives, roc, pr = labels.sum(), [], []
    certain = np.cumsum(labels[order])[called - 1]
    segments = runs(labels > 0)
    for buffer in range(window + 1):
        soft = _buffered(labels, segments, buffer)
        found = np.cumsum(soft[order])[called - 1]
        highest = np.sort([-scores[a : b + 1].max() for a, b in _joined(segments, buffer // 2, len(labels))])
        existence = np.searchsorted(highest, ranked[at], side="right") / len(highest)
        # What lies in a buffer is owed only where it is called.
        expected = positives + (found - certain) / 2
        recall = np.minimum(found / expected, 1.0) * existence
        false = (called - found) / (len(labels) - expected)
        precision = found / called
        pr.append(float(np.diff(np.append(0.0, recall)) @ precision))
        x, y = np.concatenate(([0.0], false, [1.0])), np.concatenate(([0.0], recall, [1.0]))
        roc.append(float(np.diff(x) @ (y[1:] + y[:-1]) / 2))
    return float(np.mean(roc)), float(np.mean(pr))


def _buffered(labels: np.ndarray, segments: list[tuple[int, int]], window: int) -> np.ndarray:
    """Labels that fade out on both sides of an anomaly, over half the window."""
    soft, n = labels.copy(), len(labels)
    for first, last in segments:
        after = np.arange(last + 1, min(last + window // 2 + 1, n))
        before = np.arange(max(first - window // 2, 0), first)
        soft[after] += np.sqrt(1 - (after - last) / max(window, 1))
        soft[before] += np.sqrt(1 - (first - before) / max(window, 1))
    return np.minimum(soft, 1.0)


def _joined(segments: list[tuple[int, int]], reach: int, n: int) -> list[tuple[int, int]]:
    """Segments with their buffers; those whose buffers meet are one."""
    out = [(max(segments[0][0] - reach, 0), segments[0][1])]
    for first, last in segments[1:]:
        if out[-1][1] + reach < first - reach:
            out[-1] = out[-1][0], out[-1][1] + reach
            out.append((first - reach, last))
        else:
            out[-1] = out[-1][0], last
    out[-1] = out[-1][0], min(out[-1][1] + reach, n - 1)
    return out


def auc_pr(labels: np.ndarray, scores: np.ndarray) -> float:
    """Average precision, ties called together; NaN without an anomaly."""
    found, called = _called(labels, scores)
    if not found.size or not found[-1]:
        return float("nan")
    return float(np.diff(np.append(0, found)) @ (found / called) / found[-1])


def best_f1(labels: np.ndarray, scores: np.ndarray) -> float:
    """F1 at the threshold one would choose knowing the labels: an upper bound, not what anybody gets."""
    found, called = _called(labels, scores)
    if not found.size or not found[-1]:
        return float("nan")
    return float((2 * found / (called + found[-1])).max())


def _called(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True ones and all called, at each distinct score from the highest down."""
    scores = np.nan_to_num(np.asarray(scores, dtype=float), nan=-np.inf)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    return np.cumsum(np.asarray(labels, dtype=float)[order])[last], (np.arange(len(order)) + 1)[last]


def f1(labels: np.ndarray, flags: np.ndarray) -> float:
    """Of points: what was flagged against what is labelled; NaN without an anomaly."""
    labels, flags = np.asarray(labels, dtype=bool), np.asarray(flags, dtype=bool)
    if not labels.any():
        return float("nan")
    return float(2 * (labels & flags).sum() / (labels.sum() + flags.sum()))


def alerts(labels: np.ndarray, spans: list[tuple[int, int]], tolerance: int = 0) -> tuple[int, int, int]:
    """(incidents, incidents some alert overlaps, alerts that overlap none); tolerance: rows an alert may come late."""
    incidents = [(a, b + tolerance) for a, b in runs(labels)]
    met = sum(any(first <= b and last >= a for first, last in spans) for a, b in incidents)
    false = sum(not any(first <= b and last >= a for a, b in incidents) for first, last in spans)
    return len(incidents), met, false


def alert_f1(labels: np.ndarray, spans: list[tuple[int, int]], tolerance: int = 0) -> float:
    """Of alerts: recall over incidents, precision over alerts; NaN without an incident."""
    incidents, met, false = alerts(labels, spans, tolerance)
    if not incidents:
        return float("nan")
    if not met:
        return 0.0
    precision, recall = (len(spans) - false) / len(spans), met / incidents
    return 2 * precision * recall / (precision + recall)


def calibration_error(claimed: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: how far claims are from how often they hold, weighted by how often they are made."""
    claimed, right = np.asarray(claimed, dtype=float), np.asarray(right, dtype=float)
    if not claimed.size:
        return float("nan")
    which = np.minimum((claimed * bins).astype(int), bins - 1)
    error = 0.0
    for number in range(bins):
        inside = which == number
        if inside.any():
            error += inside.mean() * abs(claimed[inside].mean() - right[inside].mean())
    return float(error)
