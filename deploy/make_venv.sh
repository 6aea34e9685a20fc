#!/bin/sh
# Make .venv with the newest Python between 3.11 and 3.13 that really starts.
set -eu
for candidate in ${AUTOOPS_PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
    if "$candidate" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))' 2>/dev/null; then
        if ! "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
            echo "$candidate has no venv module. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2
            exit 1
        fi
        echo "Making .venv with $("$candidate" --version)"
        exec "$candidate" -m venv .venv
    fi
done
echo "AutoOps needs Python 3.11, 3.12 or 3.13 and found none. Install one, or name it: AUTOOPS_PYTHON=/path/to/python3.12 make run" >&2
exit 1
