"""Kill the collector with SIGKILL at random moments: is each acknowledged sample there, once? (--kills N, 1000)"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from benchmarks.report import Figure
from lib import frames
from lib.frames import Block
from lib.store.connection import Store
from lib.store.samples import Samples

_SOURCE, _TARGET = 1, "everything"
_SERIES = 20
# Milliseconds between batches; a batch's samples lie within them.
_SPACING = 10_000
# A fresh file after so many kills, so that looking at it stays quick.
_LIVES = 20


@dataclass(frozen=True)
class Outcome:
    """lost: acknowledged samples that are not there. doubled: samples there more than once. torn: samples of batches
    that are there in part, or beside a watermark that says otherwise."""

    kills: int
    acknowledged: int
    lost: int
    doubled: int
    torn: int


def samples_of(number: int) -> int:
    """How many samples a series gets in a batch: mostly few, sometimes enough to pass by the log into the file."""
    return 2000 if number % 10 == 0 else 100


def batch(number: int) -> list[Block]:
    ts = number * _SPACING + np.arange(samples_of(number), dtype=np.int64)
    value = np.full(ts.size, float(number))
    return [Block("crash_test", {"instance": str(i)}, ts, value) for i in range(_SERIES)]


def collect(path: Path, acknowledged: Path, seed: int) -> None:
    """What the killed process does: go on from the watermark, acknowledging each batch once it is committed."""
    chance = random.Random(seed)
    store = Store(path)
    samples = Samples(store)
    until = samples.watermark(_SOURCE, _TARGET)
    # The last batch once more: what a collector does that cannot know whether its last request was committed.
    first = max(1, frames.to_ms(until) // _SPACING) if until else 1
    with acknowledged.open("ab", buffering=0) as file:
        for number in itertools.count(first):
            samples.append(_SOURCE, batch(number), (_TARGET, frames.from_ms(number * _SPACING)))
            file.write(b"%d\n" % number)
            if chance.random() < 0.15:
                store.checkpoint()


def verify(path: Path, acknowledged: Path) -> tuple[int, int, int, int]:
    """acknowledged, lost, doubled, torn: counts of samples."""
    last = max((int(line) for line in acknowledged.read_bytes().split()), default=0) if acknowledged.exists() else 0
    store = Store(path)
    try:
        until = Samples(store).watermark(_SOURCE, _TARGET)
        reached = frames.to_ms(until) // _SPACING if until else 0
        with store.read() as cursor:
            stored = cursor.execute(
                "SELECT value::INTEGER, count(*), count(DISTINCT (series_id, ts)) FROM samples GROUP BY 1"
            ).fetchall()
        set_aside = len(store.health()["quarantined"])
    finally:
        store.close()
    distinct = {number: unique for number, _, unique in stored}
    wanted = {number: _SERIES * samples_of(number) for number in range(1, reached + 1)}
    acked = sum(_SERIES * samples_of(number) for number in range(1, last + 1))
    lost = sum(max(0, _SERIES * samples_of(number) - distinct.get(number, 0)) for number in range(1, last + 1))
    doubled = sum(count - unique for _, count, unique in stored)
    torn = sum(abs(distinct.get(number, 0) - wanted.get(number, 0)) for number in distinct.keys() | wanted.keys())
    return acked, lost, doubled, torn + set_aside


def _wait_for_more(acknowledged: Path, process: BaseProcess) -> None:
    """Until the collector has acknowledged a batch of its own, or ended."""
    before = acknowledged.stat().st_size if acknowledged.exists() else 0
    while process.is_alive() and (not acknowledged.exists() or acknowledged.stat().st_size == before):
        time.sleep(0.002)


def kill(kills: int, directory: Path, seed: int = 0) -> Outcome:
    """Kill a collector so many times in one directory, looking at the file after about every second time."""
    # A server that has imported everything forks each collector: a life then costs milliseconds, not a second.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["benchmarks.crash"])
    chance = random.Random(seed)
    totals = np.zeros(4, dtype=np.int64)
    for life in range(kills):
        path = directory / f"crash{life // _LIVES}.duckdb"
        acknowledged = path.with_suffix(".acknowledged")
        process = processes.Process(target=collect, args=(path, acknowledged, seed * 1_000_000 + life))
        process.start()
        # One in five dies while opening, the others somewhere among the dozens of batches and checkpoints that follow.
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0, 0.03))
        else:
            _wait_for_more(acknowledged, process)
            time.sleep(chance.uniform(0, 0.2))
        died_early = process.exitcode
        process.kill()
        process.join()
        if died_early is not None:
            raise RuntimeError(f"The collector ended by itself with {died_early}; see its messages above.")
        last = life % _LIVES == _LIVES - 1 or life == kills - 1
        if last or chance.random() < 0.5:
            found = np.array(verify(path, acknowledged))
            totals[1:] += found[1:]
            if last:
                totals[0] += found[0]
    return Outcome(kills, *totals.tolist())


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """lost and doubled samples over all kills; both are to be 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks crash")
    parser.add_argument("--kills", type=int, default=80 if quick else 1000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    options = parser.parse_args(args)
    logging.getLogger("lib").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as directory:
        outcome = kill(options.kills, Path(directory), options.seed)
    yield Figure("crash", "kills", outcome.kills, "kills")
    yield Figure("crash", "acknowledged", outcome.acknowledged, "samples")
    yield Figure("crash", "lost", outcome.lost, "samples")
    yield Figure("crash", "doubled", outcome.doubled, "samples")
    yield Figure("crash", "torn", outcome.torn, "samples")
