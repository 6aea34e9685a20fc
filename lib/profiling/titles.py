"""Short names for series shown together: only what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

from lib.frames import Series


def short_titles(series: Sequence[Series]) -> dict[int, str]:
    """Series id -> a name without what all of them share, or what follows from the host; no two are the same.

    One series, or nothing that differs: metric and host. Several: the host first and bare, then the differing labels.
    """
    several_metrics = len({one.metric for one in series}) > 1
    several_hosts = len({one.host for one in series}) > 1
    differing = _differing(series)
    by_host: dict[tuple[str, str], list[Series]] = {}
    for one in series:
        by_host.setdefault((one.metric, one.host), []).append(one)
    within = {name for group in by_host.values() for name in _differing(group)}
    alone = not differing and not several_hosts
    titles: dict[int, str] = {}
    taken: set[str] = set()
    for one in series:
        start = [one.metric] if several_metrics or alone else []
        if one.host and (several_hosts or alone):
            start.append(one.host)
        title = " ".join(start + _pairs(one, [name for name in differing if name in within])) or one.metric
        if title in taken:
            title = " ".join(start + _pairs(one, differing))
        if title in taken or not title:
            # Two sources may collect series of the very same labels.
            title = f"{title or one.metric} #{one.id}"
        titles[one.id] = title
        taken.add(title)
    return titles


def _differing(series: Sequence[Series]) -> list[str]:
    names = sorted({name for one in series for name in one.labels})
    return [name for name in names if len({one.labels.get(name, "") for one in series}) > 1]


def _pairs(one: Series, names: Sequence[str]) -> list[str]:
    return [f"{name}={one.labels[name]}" for name in names if one.labels.get(name)]
