"""Take away from this process what a query never needs, so that a hole in the guard leads nowhere.

Limits hold wherever there are POSIX limits; Landlock (Linux 5.13 and later) closes the file system but for the
snapshots, and TCP (Linux 6.7 and later). What the kernel does not offer is left out: the guard does not rely on it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from pathlib import Path

# From linux/landlock.h and the syscall tables, the same on every architecture.
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# Version of Landlock -> rights of files it can take away: execute … make_sym, refer, truncate, ioctl.
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_BIND_TCP, _CONNECT_TCP, _WITH_NETWORK = 1 << 0, 1 << 1, 4
_NO_NEW_PRIVILEGES = 38


def limit(memory_mb: int) -> None:
    """Cap the address space, forbid writing files and core dumps, give way to the app."""
    import resource

    size = memory_mb * 2**20
    for what, value in ((resource.RLIMIT_AS, size), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (value, value))
    with contextlib.suppress(OSError):
        os.nice(5)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900")


def lock(*folders: Path) -> bool:
    """From now on this process opens nothing but what lies in `folders`, and only for reading. Whether the kernel
    agreed. Call once everything is imported, or name where it is imported from."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    if version < 1:
        return False
    rights = _RIGHTS[min(version, max(_RIGHTS))]
    network = _BIND_TCP | _CONNECT_TCP if version >= _WITH_NETWORK else 0
    attributes = struct.pack("QQ", rights, network) if network else struct.pack("Q", rights)
    rules = libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        for folder in folders:
            place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            try:
                # Of a file the kernel takes no rights that only folders have.
                reading = _READ_FILE | (_READ_DIR if folder.is_dir() else 0)
                beneath = struct.pack("=Qi", reading, place)
                if libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, beneath, ctypes.c_uint32(0)) != 0:
                    return False
            finally:
                os.close(place)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return libc.syscall(_RESTRICT, rules, ctypes.c_uint32(0)) == 0
    finally:
        os.close(rules)
