"""Long spans of several targets, piece by piece: several questions under way while the caller stores an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from queue import SimpleQueue

from lib.errors import SourceAnswer, SourceTooLarge
from lib.frames import Window
from lib.prometheus.parse import Matrix
from lib.prometheus.query import DAY, Wanted, days
from lib.prometheus.read import Reader

GOOD_SIZE = 500_000  # samples an answer: fewer cost more in trips than in bytes, more only memory
_MOST_DAYS = 31
_GROWTH = 8  # a piece has at most so many times the days of the one before: the first may have been an empty one

Refused = SourceAnswer | SourceTooLarge


@dataclass(frozen=True)
class Part:
    """A piece of history: what was asked for, and what came."""

    wanted: Wanted
    window: Window
    matrix: Matrix


def history(
    reader: Reader,
    asked: Iterable[tuple[Wanted, Window]],
    step_s: float = 15.0,
    at_once: int = 1,
    refused: Callable[[Wanted, Refused], None] | None = None,
    series: Mapping[str, int] | None = None,
) -> Iterator[Part]:
    """Every target's pieces, each target's in the order of time: a day or, where days are small, some days at a time.

    at_once: questions under way at a time. refused: told when the source does not answer one target as it should;
    the rest of that target is left out, the others go on. Without it such an error ends everything, as any other does.
    series: how many a target has, if known: with `step_s` it tells how many days to ask for before the first came.
    """
    a_series = DAY / timedelta(seconds=step_s)
    known = {name: count * a_series for name, count in (series or {}).items() if count}
    plan = _Plan([_Target(wanted, days(window), _days_at_once(known.get(wanted.name))) for wanted, window in asked])
    with ExitStack() as stack:
        readers = [reader, *(stack.enter_context(reader.another()) for _ in range(at_once - 1))]
        free: SimpleQueue[Reader] = SimpleQueue()
        for one in readers:
            free.put(one)
        pool = stack.enter_context(ThreadPoolExecutor(at_once, thread_name_prefix="source-ahead"))

        def fetch(wanted: Wanted, window: Window) -> Part:
            taken = free.get()
            try:
                return Part(wanted, window, taken.whole(wanted, window, step_s, stored=True))
            finally:
                free.put(taken)

        under_way: list[tuple[_Target, Future[Part]]] = []

        def ask_ahead() -> None:
            while len(under_way) < at_once and (piece := plan.next()):
                target, window = piece
                under_way.append((target, pool.submit(fetch, target.wanted, window)))

        try:
            ask_ahead()
            while under_way:
                target, future = _next_done(under_way)
                try:
                    part = future.result()
                except (SourceAnswer, SourceTooLarge) as error:
                    if refused is None:
                        raise
                    if not target.given_up:
                        target.given_up = True
                        refused(target.wanted, error)
                    ask_ahead()
                    continue
                target.learn(part)
                ask_ahead()
                if not target.given_up:
                    yield part
        except BaseException:
            for one in readers:
                one.session.abort()  # nobody wants the pieces under way any more
            for _, future in under_way:
                future.cancel()
            raise


def _next_done(under_way: list[tuple[_Target, Future[Part]]]) -> tuple[_Target, Future[Part]]:
    """Take out the first piece that is there and whose target has none before it."""
    heads = {id(target): (target, future) for target, future in reversed(under_way)}
    wait([future for _, future in heads.values()], return_when=FIRST_COMPLETED)
    done = next(one for one in under_way if one[1].done() and heads[id(one[0])][1] is one[1])
    under_way.remove(done)
    return done


@dataclass(eq=False)
class _Target:
    wanted: Wanted
    left: list[Window]
    at_once: int | None  # days a piece; None before anything is known
    begun: bool = False
    given_up: bool = False

    def next(self) -> Window | None:
        if not self.left or self.given_up or (self.begun and self.at_once is None):
            return None
        self.begun = True
        size = self.at_once or 1
        piece, self.left = self.left[:size], self.left[size:]
        return Window(piece[0].start, piece[-1].end)

    def learn(self, part: Part) -> None:
        found = _days_at_once(part.matrix.samples / (part.window.span / DAY)) or 1
        self.at_once = min(found, _GROWTH * (self.at_once or 1))


def _days_at_once(samples_a_day: float | None) -> int | None:
    if samples_a_day is None:
        return None
    return max(1, min(_MOST_DAYS, round(GOOD_SIZE / max(samples_a_day, 1.0))))


class _Plan:
    """What to ask next. Where nothing is known a target's first day tells how many days make a good size; until it is
    here the next target's first day can be asked for."""

    def __init__(self, targets: list[_Target]) -> None:
        self.targets = targets

    def next(self) -> tuple[_Target, Window] | None:
        self.targets = [t for t in self.targets if t.left and not t.given_up]
        for target in self.targets:
            window = target.next()
            if window:
                return target, window
        return None
