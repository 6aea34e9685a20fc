"""What people and tuning may choose about a detector; everything else is learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lib.errors import Invalid

DIRECTIONS = ("both", "above", "below")
MISSING = ("ignore", "signal")


@dataclass(frozen=True)
class Options:
    """trees, tree_rows, components: of the forest and the whitening before it. smooth: steps scores are averaged over.
    forest: the forest's weight among the parts.

    direction: which side of the expected band counts. least: by metric, in its own unit, what must be missing to the
    expected value for it to count at all. missing: whether samples that do not come are themselves a sign.
    """

    trees: int = 100
    tree_rows: int = 2048
    components: int = 40
    smooth: int = 2
    forest: float = 0.3
    direction: str = "both"
    least: Mapping[str, float] = field(default_factory=dict)
    missing: str = "ignore"

    def __post_init__(self) -> None:
        limits = {"trees": (10, 500), "tree_rows": (64, 8192), "components": (2, 100), "smooth": (1, 60)}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise Invalid(f"{name} is {getattr(self, name)}; choose {least} to {most}.")
        if not 0.05 <= self.forest <= 0.9:
            raise Invalid(f"The forest's weight is {self.forest}; choose 0.05 to 0.9.")
        if self.direction not in DIRECTIONS:
            raise Invalid(f"The direction {self.direction!r} is none of {', '.join(DIRECTIONS)}.")
        if self.missing not in MISSING:
            raise Invalid(f"Missing samples are {self.missing!r}; choose {' or '.join(MISSING)}.")
        if any(not amount >= 0 for amount in self.least.values()):
            raise Invalid("A least deviation is a number of at least 0, in the metric's own unit.")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Options:
        """Raises Invalid for names or values that mean nothing."""
        try:
            return cls(**given)
        except TypeError as error:
            raise Invalid(f"Unknown options: {error}.") from None
