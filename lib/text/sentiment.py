"""How a text sounds: positive, neutral or negative, sentence by sentence, by the VADER lexicon."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from lib.text.words import sentences

# What VADER's makers use to tell the three apart.
NEUTRAL_WITHIN = 0.05
# Words of operations that the lexicon, made from tweets, misses or reads the other way; -4 to 4 like its own.
_OPERATIONS = {
    "degraded": -1.8,
    "down": -1.2,
    "downtime": -2.2,
    "escalated": -1.2,
    "flapping": -1.4,
    "healthy": 1.8,
    "hung": -1.6,
    "leak": -1.6,
    "oom": -2.2,
    "outage": -2.6,
    "overload": -1.7,
    "overloaded": -1.9,
    "recovered": 1.9,
    "regression": -1.6,
    "resolved": 1.9,
    "restored": 1.7,
    "saturated": -1.5,
    "slow": -1.2,
    "spike": -0.9,
    "stable": 1.5,
    "throttled": -1.3,
    "timeout": -1.7,
    "timeouts": -1.7,
    "unreachable": -1.9,
    "unresponsive": -1.9,
    # Neutral here: alert rules and processes are things, not feelings.
    "alert": 0.0,
    "alerts": 0.0,
    "kill": -0.8,
    "killed": -1.2,
    "share": 0.0,
    "like": 0.0,
}


@dataclass(frozen=True)
class Tone:
    """label: positive, neutral or negative. compound: -1 to 1. confidence: 0 to 1, how far from undecided it is."""

    label: str
    compound: float
    confidence: float


@dataclass(frozen=True)
class Sentiment:
    """The whole text's tone, and each sentence with its own."""

    tone: Tone
    sentences: tuple[tuple[str, Tone], ...]


def sentiment(text: str) -> Sentiment:
    """The tone of a text: the mean of what its sentences say, those that say nothing weighing a third."""
    analyzer = _analyzer()
    found = tuple((sentence, _tone(analyzer.polarity_scores(sentence)["compound"])) for sentence in sentences(text))
    if not found:
        return Sentiment(_tone(0.0), ())
    weights = [1.0 if abs(tone.compound) >= NEUTRAL_WITHIN else 1 / 3 for _, tone in found]
    mean = sum(weight * tone.compound for weight, (_, tone) in zip(weights, found, strict=True)) / sum(weights)
    return Sentiment(_tone(mean), found)


def _tone(compound: float) -> Tone:
    if abs(compound) < NEUTRAL_WITHIN:
        return Tone("neutral", round(compound, 4), round(1 - abs(compound) / NEUTRAL_WITHIN / 2, 3))
    label = "positive" if compound > 0 else "negative"
    return Tone(label, round(compound, 4), round(0.5 + abs(compound) / 2, 3))


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    analyzer.lexicon.update(_OPERATIONS)
    return analyzer
