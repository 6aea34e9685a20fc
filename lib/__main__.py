"""`python -m lib`: the command line."""

import os
import sys
import threading

from lib.cli import main


def leave(code: int) -> None:
    """Work that did not end in time is left in threads of native code, and Python's own way out aborts the process
    when such a thread asks for it: all is closed by now, so it is left at once."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


leave(main())
