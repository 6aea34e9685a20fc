from __future__ import annotations

import threading

import pytest

from lib.services.timings import BOUNDS_S, Timings


def test_each_duration_falls_into_the_first_bucket_that_holds_it() -> None:
    timings = Timings()
    for seconds in (0.0, BOUNDS_S[0], BOUNDS_S[0] + 1e-9, BOUNDS_S[-1], BOUNDS_S[-1] + 1):
        timings.observe(seconds)
    found = timings.distribution()
    assert found.counts[0] == 2 and found.counts[1] == 1 and found.counts[-2:] == (1, 1)
    assert found.count == 5


def test_what_raises_is_timed_too() -> None:
    timings = Timings()
    with pytest.raises(RuntimeError), timings.measured():
        raise RuntimeError
    assert timings.distribution().count == 1


def test_threads_lose_nothing() -> None:
    timings = Timings()
    threads = [threading.Thread(target=lambda: [timings.observe(0.5) for _ in range(1000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = timings.distribution()
    assert found.count == 8000 and found.sum_s == 4000.0
