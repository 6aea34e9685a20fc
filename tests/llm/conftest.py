"""The clients' imports take seconds; paid once, outside the deadlines that tests measure."""

from __future__ import annotations

import warnings

import pytest


@pytest.fixture(scope="session", autouse=True)
def imported() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import google.generativeai
        import openai

    assert google.generativeai and openai
