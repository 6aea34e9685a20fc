"""Hosts to learn from."""

from tests.hosts import *  # noqa: F403
