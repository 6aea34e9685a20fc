"""A pipeline as somebody is changing it: the one plan that cards and graph show, until it is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lib.errors import AppError
from lib.services.pipelines import Opened
from lib.training import editing
from lib.training.plan import Plan, Step
from lib.training.review import DATA

MOST_UNDONE = 50


@dataclass
class Draft:
    """base: the version it was made from; selected: the card that is open; tick: counts changes made elsewhere
    than in a card's own widgets, which begin anew then."""

    plan: Plan
    dataset_id: int
    dataset: str
    version: str
    id: int | None = None
    name: str = ""
    base: str | None = None
    selected: str = DATA
    tick: int = 0
    past: list[tuple[Plan, str]] = field(default_factory=list)
    saved: tuple[Plan, str] | None = None
    refused: str = ""  # why the last click did nothing, until it was shown
    asked: tuple[int, str, str] | None = None  # what suggestions were asked for: dataset, version, target

    @classmethod
    def of(cls, opened: Opened) -> Draft:
        held = opened.version
        made = cls(opened.plan, held.dataset_id, held.dataset, held.dataset_hash, opened.id, opened.name, held.hash)
        made.saved = (made.plan, made.version)
        return made

    @property
    def changed(self) -> bool:
        return self.saved != (self.plan, self.version)

    def edit(self, plan: Plan, *, outside: bool = True, version: str | None = None) -> None:
        """Take another plan. outside: the open card's widgets do not show it yet."""
        if (plan, version or self.version) == (self.plan, self.version):
            return
        self.past = [*self.past[-MOST_UNDONE + 1 :], (self.plan, self.version)]
        self.plan, self.version = plan, version or self.version
        self.tick += outside
        self._settle()

    def undo(self) -> None:
        if self.past:
            self.plan, self.version = self.past.pop()
            self.tick += 1
            self._settle()

    def move(self, at: int, to: int) -> None:
        """A step brought to another place, its card open there."""
        if not self.change(lambda: editing.moved(self.plan, at, to)):
            return
        self.selected = f"step-{max(0, min(to, len(self.plan.steps) - 1))}"

    def add(self, step: Step) -> None:
        """A step where such steps usually stand, its card open."""
        before = self.plan.steps
        if not self.change(lambda: editing.added(self.plan, step)):
            return
        at = next((n for n, one in enumerate(self.plan.steps) if n >= len(before) or one is not before[n]), 0)
        self.selected = f"step-{at}"

    def remove(self, at: int) -> None:
        self.change(lambda: editing.removed(self.plan, at))

    def change(self, made: Callable[[], Plan], *, outside: bool = True) -> bool:
        """A second click on a button whose step is gone by then must not take the page away."""
        try:
            self.edit(made(), outside=outside)
        except AppError as error:
            self.refused = error.message
            return False
        return True

    def select(self, card: str) -> None:
        """Open a card, or close it when it is open."""
        self.selected = "" if self.selected == card else card
        self.tick += 1

    def _settle(self) -> None:
        # What was open may be gone.
        if self.selected.startswith("step-") and int(self.selected[5:]) >= len(self.plan.steps):
            self.selected = f"step-{len(self.plan.steps) - 1}" if self.plan.steps else DATA
