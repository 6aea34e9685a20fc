"""Which of some given labels a text is about, without a model: by the words they share, whole and in pieces."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.text.words import STOP_WORDS, words

# A text that is about none of the labels: nothing shared beyond what chance shares.
_LEAST = 0.06
_SHARPNESS = 10.0
# One telling word is not sure, however short the text.
_CAUTION = 2.0
# What labels of operations are about, so that "network" is found in "packets dropped".
_KIN: tuple[frozenset[str], ...] = tuple(
    frozenset(group.split())
    for group in (
        "network connection packet packets latency dns socket tcp bandwidth interface timeout unreachable routing",
        "disk storage volume filesystem inode inodes space io iops partition full mount",
        "memory oom ram swap heap leak allocation gc",
        "cpu processor load throttled core cores compute saturation saturated",
        "database sql query queries postgres mysql replication replica lock deadlock transaction index",
        "security login password breach attack vulnerability unauthorized unauthorised certificate tls token access",
        "deploy deployment release rollout rollback version upgrade update config configuration",
        "billing invoice payment price refund charge charged subscription cost",
        "bug error exception crash crashed failure failed broken defect stacktrace",
        "performance slow latency sluggish degraded speed throughput",
        "hardware fan power temperature psu battery raid sensor",
        "praise thanks thank great excellent love happy good",
        "complaint angry unhappy bad terrible disappointed unacceptable",
        "question how what why help please could",
    )
)


@dataclass(frozen=True)
class Choice:
    """A label with how likely it is meant, 0 to 1, and the words of the text that spoke for it."""

    label: str
    confidence: float
    because: tuple[str, ...]


def classify(text: str, labels: Sequence[str]) -> list[Choice]:
    """All labels, the likeliest first; confidences sum to at most 1, the rest stands for none of them.

    A label may bring words of its own: "network: packets, dns, timeouts".
    """
    said = Counter(word for word in words(text) if word not in STOP_WORDS)
    rarity = {word: 1 + math.log(1 + 1 / count) for word, count in said.items()}
    norm = math.sqrt(sum((1 + math.log(count)) ** 2 for count in said.values())) or 1.0
    norm += _CAUTION
    found = []
    for label in labels:
        meant = _meant(label)
        score, because = 0.0, []
        for word, count in said.items():
            alike = max((_alike(word, own) * weight for own, weight in meant.items()), default=0.0)
            if alike > 0:
                score += alike * (1 + math.log(count)) * rarity[word]
                because.append((alike, word))
        because.sort(key=lambda pair: (-pair[0], pair[1]))
        found.append((label, score / norm, tuple(word for _, word in because[:5])))
    weights = [math.exp(_SHARPNESS * score) - 1 if score >= _LEAST else 0.0 for _, score, _ in found]
    # What no label explains weighs as much as a label that shares a little more than chance.
    total = sum(weights) + math.exp(_SHARPNESS * _LEAST * 1.5) - 1
    made = [Choice(one[0], round(weight / total, 3), one[2]) for one, weight in zip(found, weights, strict=True)]
    return sorted(made, key=lambda one: (-one.confidence, one.label))


def _meant(label: str) -> dict[str, float]:
    """Words of the label with their weight: its own and those given with it 1, their kin less."""
    own = [word for word in words(label) if word not in STOP_WORDS] or words(label)
    meant = dict.fromkeys(own, 1.0)
    for word in own:
        for group in _KIN:
            if word in group or any(_alike(word, other) >= 0.85 for other in group):
                for kin in group:
                    meant.setdefault(kin, 0.6)
    return meant


def _alike(one: str, other: str) -> float:
    """1 for the same word, less for another form of it (disk, disks; deploy, deployed), else 0."""
    if one == other:
        return 1.0
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) >= 4 and longer.startswith(shorter) and len(longer) - len(shorter) <= 4:
        return 0.85
    common = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        common += 1
    return 0.7 if common >= 5 and common >= 0.75 * len(longer) else 0.0
