#!/bin/sh
# Installs the identity provider of tests/oidc/package-lock.json (by hash) into node_modules, once per lock. It runs on the
# Node of tests/conformance, or on the machine's own.
set -eu
cd "$(dirname "$0")"
stamp=node_modules/.stamp
if [ -f "$stamp" ] && [ "$stamp" -nt package-lock.json ]; then
    exit 0
fi
command -v npm >/dev/null || { echo "install.sh: npm is not installed; the tests of signing in need it" >&2; exit 1; }
npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
touch "$stamp"
