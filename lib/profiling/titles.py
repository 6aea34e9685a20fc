"""Short names for series shown together: only what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

from lib.frames import Series


def short_titles(series: Sequence[Series]) -> dict[int, str]:
    """Series id -> a name without what all of them share.

    One series, or nothing that differs: metric and host. Several: the differing labels, the host first and bare.
    """
    metrics = {one.metric for one in series}
    names = sorted({name for one in series for name in one.labels})
    differing = [name for name in names if len({one.labels.get(name, "") for one in series}) > 1]
    several_hosts = len({one.host for one in series}) > 1
    titles = {}
    for one in series:
        parts = [one.metric] if len(metrics) > 1 or not differing else []
        if one.host and (several_hosts or not differing):
            parts.append(one.host)
        parts += [
            f"{name}={one.labels[name]}"
            for name in differing
            if one.labels.get(name) and not (several_hosts and one.labels[name] == one.host)
        ]
        titles[one.id] = " ".join(parts) or one.metric
    return titles
