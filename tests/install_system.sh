#!/bin/sh
# The real parts tests run against, from Debian's packages. Installs what is missing when root, else says what to install.
set -eu
missing=""
need() { # need <package> <test command...>
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
need prometheus sh -c 'command -v prometheus && command -v promtool'
need prometheus-node-exporter sh -c 'command -v prometheus-node-exporter'
need chromium sh -c 'command -v chromium'
need postgresql sh -c 'ls /usr/lib/postgresql/*/bin/initdb'
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing for the tests:$missing"
    # RUNLEVEL=1: packages are unpacked, their services are not started.
    apt-get update -qq
    # shellcheck disable=SC2086
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing fonts-dejavu-core >/dev/null
    exit 0
fi
echo "The tests run against real programs that are not installed here. On Debian or Ubuntu:" >&2
echo "    sudo apt-get install --no-install-recommends$missing" >&2
exit 1
