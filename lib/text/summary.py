"""What a text comes to: its most central sentences (TextRank) and its key phrases (RAKE), in its own words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lib.text.words import STOP_WORDS, sentences, words

# Beyond it sentences are compared with the most telling of the text only: comparing is quadratic.
_MOST_SENTENCES = 400
_LONGEST = 3  # words of a phrase
_DAMPING, _ROUNDS = 0.85, 50


@dataclass(frozen=True)
class Ranked:
    """A piece of the text with how much it stands for, 0 to 1 (1: the most of this text)."""

    text: str
    score: float


def summary(text: str, most: int = 3) -> list[Ranked]:
    """Up to `most` sentences that share most with the others, in the order of the text."""
    pieces = sentences(text)
    if len(pieces) <= most:
        return [Ranked(piece, 1.0) for piece in pieces]
    kept = _telling(pieces)
    scores = _central([pieces[i] for i in kept])
    best = sorted(sorted(range(len(kept)), key=lambda i: (-scores[i], i))[:most])
    top = max(float(scores.max()), 1e-12)
    return [Ranked(pieces[kept[i]], round(float(scores[i]) / top, 3)) for i in best]


def key_phrases(text: str, most: int = 10) -> list[Ranked]:
    """Runs of up to three words between stop words, by how often they come and what company their words keep."""
    runs = [run for sentence in sentences(text) for run in _runs(words(sentence))]
    frequency = Counter(word for run in runs for word in run)
    degree: Counter[str] = Counter()
    phrases: Counter[tuple[str, ...]] = Counter()
    for run in runs:
        for at, word in enumerate(run):
            degree[word] += min(len(run), _LONGEST)
            phrases.update(tuple(run[at : at + size]) for size in range(1, min(_LONGEST, len(run) - at) + 1))
    # The mean over its words: a sum would prefer the longest phrase, not the one that comes back.
    scores = {
        phrase: count * sum(degree[word] / frequency[word] ** 0.5 for word in phrase) / len(phrase) ** 0.5
        for phrase, count in phrases.items()
    }
    ordered = sorted(scores, key=lambda phrase: (-scores[phrase], phrase))
    top = scores[ordered[0]] if ordered else 1.0
    chosen: list[Ranked] = []
    covered: set[str] = set()
    for phrase in ordered:
        # A phrase that shares a word with a better one is a piece of it, or its neighbour.
        if covered.isdisjoint(phrase):
            covered |= set(phrase)
            chosen.append(Ranked(" ".join(phrase), round(scores[phrase] / top, 3)))
        if len(chosen) == most:
            break
    return chosen


def _runs(found: list[str]) -> Iterator[list[str]]:
    run: list[str] = []
    for word in found:
        if word not in STOP_WORDS and len(word) > 2:
            run.append(word)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _telling(pieces: list[str]) -> list[int]:
    if len(pieces) <= _MOST_SENTENCES:
        return list(range(len(pieces)))
    common = Counter(word for piece in pieces for word in set(words(piece)) - STOP_WORDS)
    weight = [sum(common[word] for word in set(words(piece)) - STOP_WORDS) for piece in pieces]
    return sorted(sorted(range(len(pieces)), key=lambda i: (-weight[i], i))[:_MOST_SENTENCES])


def _central(pieces: list[str]) -> np.ndarray:
    """PageRank over how many telling words two sentences share, each by the logarithm of its length."""
    bags = [set(words(piece)) - STOP_WORDS for piece in pieces]
    known = {word: column for column, word in enumerate(sorted(set().union(*bags)))}
    has = np.zeros((len(pieces), max(1, len(known))), dtype=np.float32)
    for row, bag in enumerate(bags):
        has[row, [known[word] for word in bag]] = 1
    length = np.log(np.maximum(has.sum(axis=1), 1) + 1)
    alike = has @ has.T / (length[:, None] + length[None, :])
    np.fill_diagonal(alike, 0)
    total = alike.sum(axis=1, keepdims=True)
    step = np.divide(alike, total, out=np.full_like(alike, 1 / len(pieces)), where=total > 0)
    rank = np.full(len(pieces), 1 / len(pieces))
    for _ in range(_ROUNDS):
        moved = (1 - _DAMPING) / len(pieces) + _DAMPING * (step.T @ rank)
        if float(np.abs(moved - rank).max()) < 1e-7:
            break
        rank = moved
    # A heading of two words agrees with everything and tells nothing.
    return np.asarray(rank * np.log1p(has.sum(axis=1)))
