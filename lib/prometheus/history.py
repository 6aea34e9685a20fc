"""Long spans of several targets, piece by piece: several questions under way while the caller stores an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
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
) -> Iterator[Part]:
    """Every target's pieces, each target's in the order of time: a day or, where days are small, some days at a time.

    at_once: questions under way at a time. refused: told when the source does not answer one target as it should;
    the rest of that target is left out, the others go on. Without it such an error ends everything, as any other does.
    """
    plan = _Plan(asked)
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

        under_way: deque[tuple[_Target, Future[Part]]] = deque()

        def ask_ahead() -> None:
            while len(under_way) < at_once and (piece := plan.next()):
                target, window = piece
                under_way.append((target, pool.submit(fetch, target.wanted, window)))

        try:
            ask_ahead()
            while under_way:
                target, future = under_way.popleft()
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


@dataclass
class _Target:
    wanted: Wanted
    left: list[Window]
    at_once: int | None = None  # days a piece; None before the first day came
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
        a_day = part.matrix.samples / (part.window.span / DAY)
        most = min(_MOST_DAYS, _GROWTH * (self.at_once or 1))
        self.at_once = max(1, min(most, round(GOOD_SIZE / max(a_day, 1.0))))


class _Plan:
    """What to ask next. A target's first day tells how many days make a good size; until it is here the next
    target's first day can be asked for."""

    def __init__(self, asked: Iterable[tuple[Wanted, Window]]) -> None:
        self.targets = [_Target(wanted, days(window)) for wanted, window in asked]

    def next(self) -> tuple[_Target, Window] | None:
        self.targets = [t for t in self.targets if t.left and not t.given_up]
        for target in self.targets:
            window = target.next()
            if window:
                return target, window
        return None
