"""Keeps a long-lived process small: what a burst of work took goes back to the system. No-op without glibc."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from functools import cache

# From malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_THRESHOLD_BYTES = 1 << 18


@cache
def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    with suppress(OSError):
        return ctypes.CDLL("libc.so.6")
    return None


def tune() -> None:
    """Call once, early. Threads share two arenas instead of eight a core, and large blocks are mapped, so that
    freeing them shows; Arrow allocates the same way instead of keeping a pool of its own."""
    libc = _libc()
    if libc is None or not hasattr(libc, "mallopt"):
        return
    libc.mallopt(_M_ARENA_MAX, 2)
    libc.mallopt(_M_TRIM_THRESHOLD, _THRESHOLD_BYTES)
    libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())


def give_back() -> None:
    """Call after a burst that made and dropped large arrays: takes a tenth of a second."""
    gc.collect()
    trim()


def trim() -> None:
    """Call now and then: takes a fraction of a millisecond."""
    libc = _libc()
    if libc is not None and hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
