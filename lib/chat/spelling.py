"""Slips of the finger put right: what was meant is one slip away, two in a long word, and nothing else is as near."""

from __future__ import annotations

# Words the grammar turns on. Those of metrics and hosts are left alone; a wrong guess there would be a wrong number.
SPELT = frozenset(
    """
    anomaly anomalies average averages maximum minimum median percentile latest current currently highest lowest
    metrics metric hosts machines servers server explain worst biggest longest incidents incident problems summary
    compare statistics caused yesterday today tomorrow usage memory network received traffic processor utilization
    monday tuesday wednesday thursday friday saturday sunday morning afternoon evening night hours minutes filesystem
    between correlation duplicates constant forecast predict difference changed detectors detector requests latency
    interval resets deviation increase alerts load loads peak mean queue depth queries query cache errors error reads
    writes disk disks space which what where when highest before after since during against higher lower above below
    exceed exceeded month march february january april deploy deployment status series samples scrape database
    missing stale response available anything happened number total week weeks days hour since last most least bytes
    sent completed jobs percent percentage critical major minor warning severity compared different
    """.split()  # noqa: SIM905
)
_LETTERS_FOR_ONE, _LETTERS_FOR_TWO = 5, 8


def corrected(word: str) -> str:
    """The word that was meant; the same where none is near, or two are. word: lower case letters."""
    if len(word) < 4 or word in SPELT:
        return word
    allowed = 2 if len(word) >= _LETTERS_FOR_TWO else 1
    best, least = list[str](), allowed + 1
    for one in SPELT:
        if abs(len(one) - len(word)) > allowed or one[:1] not in word[:2]:
            continue
        if len(word) < _LETTERS_FOR_ONE and sorted(word) != sorted(one):
            continue  # of four letters only two may have changed places
        slips = _slips(word, one, least)
        if slips < least:
            best, least = [one], slips
        elif slips == least and least <= allowed:
            best.append(one)
    stems = {one.removesuffix("s") for one in best}
    return min(best, key=len) if best and len(stems) == 1 else word


def _slips(a: str, b: str, enough: int) -> int:
    """Letters left out, put in, changed, or swapped with their neighbour."""
    before, last = list[int](), list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        row = [i]
        for j, right in enumerate(b, 1):
            slips = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                slips = min(slips, before[j - 2] + 1)
            row.append(slips)
        if min(row) > enough:
            return enough + 1
        before, last = last, row
    return last[-1]
