from __future__ import annotations

import numpy as np
import pytest

from lib.anomaly.presence import ALONE, ECHO, TO_OPEN, by_itself

NOTHING = np.empty((2, 0))


def present(
    strongest: list[float],
    picture: list[float],
    together: list[float] | None = None,
    company: list[float] | None = None,
) -> list[float]:
    strong, none = np.array(strongest, dtype=float), [0.0] * len(strongest)
    rows = np.array(picture, dtype=float), np.array(together or none), np.array(company or none)
    return by_itself(strong, *rows, NOTHING, single=False)[0].tolist()


def test_what_the_picture_remembers_of_a_fault_is_no_part_of_it() -> None:
    found = present([0.3, 9, 9, 9, 4.5, 0.4, 0.4, 0.4], [0.3, 12, 12, 12, 12, 12, 12, 12])
    assert [one >= ALONE for one in found] == [False, True, True, True, False, False, False, False]


def test_what_the_relations_average_over_a_fault_is_no_part_of_it() -> None:
    found = present([8, 8, 0.5, 0.5], [0.2] * 4, [15, 15, 14, 12])
    assert [one >= ALONE for one in found] == [True, True, False, False]


def test_a_pattern_no_value_shows_by_itself_counts_for_as_long_as_it_lasts() -> None:
    assert all(one >= TO_OPEN for one in present([0.4] * 30, [5.0] * 30))
    assert all(one >= TO_OPEN for one in present([0.4] * 30, [0.1] * 30, [4.0] * 30))


def test_who_leaves_its_company_counts_from_one_in_a_million() -> None:
    found = present([0.4] * 4, [0.1] * 4, company=[4.0, 5.9, 6.0, 9.0])
    assert [one >= TO_OPEN for one in found] == [False, False, True, True]


def test_that_values_far_out_left_their_company_is_no_news_for_as_long_as_windows_remember() -> None:
    found = present([5.0, *([0.4] * ECHO)], [0.1] * (ECHO + 1), company=[12.0] * (ECHO + 1))
    assert [one >= ALONE for one in found] == [True, *([False] * (ECHO - 1)), True]


def test_an_echo_of_a_grave_fault_neither_goes_on_with_it_nor_opens_another() -> None:
    quiet = [0.5] * 20
    found = present([10, *quiet, 2.5, 3.5, 9, *([0.5] * ECHO), 2.5], [0.1] * (25 + ECHO))
    assert found[21] < ALONE  # less than three tenths of it
    assert ALONE <= found[22] < TO_OPEN
    assert found[23] >= TO_OPEN
    assert found[-1] >= TO_OPEN  # by then it is over and done with


def test_one_series_is_left_as_it_is() -> None:
    strong = np.array([9.0, 0.5])
    found, kept = by_itself(strong, np.array([9.0, 9.0]), np.zeros(2), np.zeros(2), NOTHING, single=True)
    assert found.tolist() == [9.0, 9.0]
    assert kept is NOTHING


def test_gaps_are_nothing_strange() -> None:
    assert present([np.nan, 5.0, np.nan], [np.nan, 5.0, np.nan]) == pytest.approx([0.0, 5.0, 0.0])


@pytest.mark.parametrize("cut", [1, 7, 60, 199])
def test_in_pieces_it_is_what_it_is_as_a_whole(cut: int) -> None:
    rng = np.random.default_rng(3)
    rows = rng.exponential(1.0, (4, 200)) * np.where(rng.random((4, 200)) < 0.05, 8.0, 1.0)
    whole, _ = by_itself(*rows, NOTHING, single=False)
    first, kept = by_itself(*rows[:, :cut], NOTHING, single=False)
    second, _ = by_itself(*rows[:, cut:], kept, single=False)
    assert np.array_equal(np.concatenate([first, second]), whole)
