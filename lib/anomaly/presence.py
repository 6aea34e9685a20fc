"""How strange a moment is by itself, without what rolling features, pictures and averages remember of earlier ones."""

from __future__ import annotations

import numpy as np

from lib.features.kernels import move

# A moment takes part in an event itself while its own values, or the picture of the last ten steps, are as strange as
# one in twenty; to open one takes one in a hundred.
ALONE, TO_OPEN = 1.3, 2.0
# The relations between channels, averaged over a few steps, count from one in 1,000, and then as much as this; that one
# has left its company from one in a million: a batch job that takes another course now and then gets near it.
_TOGETHER, _LEFT, _FAR = 3.0, 6.0, 9.0
# The picture and the relations go on for so many steps after values came back. Where values alone were that strange,
# and are by now less than this share of it, they are what is remembered.
FADING = 14
_VISIBLE, _FADED = 3.0, 0.4
# Scores are averaged over two steps: what is over leaves half of it to the step after.
_HALVED = 0.65
# Windows remember an incident for so many steps. For as long, a moment takes part only if it is more than an echo of
# the strangest; and after a grave one it takes one in 10,000 to open another.
ECHO = 48
_ECHO, _MOST, _GRAVE, _ANEW = 0.3, 12.0, 6.0, 4.0


def by_itself(
    strongest: np.ndarray,
    picture: np.ndarray,
    together: np.ndarray,
    company: np.ndarray,
    before: np.ndarray,
    single: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Shape (n,), and shape (2, ECHO) of what it takes to go on. strongest, picture, together, company: -log10 of those
    parts' probabilities. before: of earlier moments, as returned. single: one series, whose score adds up over time
    anyway."""
    n = strongest.size
    own = np.concatenate([before[0], np.nan_to_num(strongest)])
    # What has been far out by itself has left its company, too, and for as long as windows remember that is no news.
    company = np.where(move("max", own, ECHO, last=n) >= _VISIBLE, 0.0, company)
    alone = np.maximum(strongest, picture)
    with np.errstate(invalid="ignore"):
        alone = np.nan_to_num(np.where((together >= _TOGETHER) | (company >= _LEFT), np.maximum(alone, _FAR), alone))
    if single:
        return alone, before
    now, last = own[own.size - n :], np.append(np.zeros(1), own)[own.size - n : -1]
    most = move("max", own, FADING, last=n)
    faded = (most >= _VISIBLE) & ((now < _FADED * most) | (now < _HALVED * last))
    alone = np.where(faded, np.minimum(now, ALONE - 0.1), alone)
    known = np.concatenate([before[1], alone])
    most = move("max", known, ECHO, last=n)
    alone = np.where(alone < _ECHO * np.minimum(most, _MOST), np.minimum(alone, ALONE - 0.1), alone)
    alone = np.where((most >= _GRAVE) & (alone < _ANEW), np.minimum(alone, TO_OPEN - 0.1), alone)
    return alone, np.stack([own, known])[:, max(0, own.size - ECHO) :].copy()
