#!/bin/sh
# Installs the Node tools of tests/conformance/package-lock.json (by hash) into node_modules, once per lock.
set -eu
cd "$(dirname "$0")"
stamp=node_modules/.stamp
if [ -f "$stamp" ] && [ "$stamp" -nt package-lock.json ]; then
    exit 0
fi
command -v npm >/dev/null || { echo "install.sh: npm is not installed; the conformance suite needs it" >&2; exit 1; }
npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
touch "$stamp"
