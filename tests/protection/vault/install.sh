#!/bin/sh
# Installs the software TPM and the commands that speak to a TPM, which the tests of vault.key=tpm need, where they are
# not there: packages of Debian and Ubuntu, as root.
set -eu
if command -v swtpm >/dev/null && command -v tpm2_unseal >/dev/null; then
    exit 0
fi
apt-get install -y -q swtpm tpm2-tools >/dev/null || {
    echo "install.sh: swtpm and tpm2-tools are not installed; the tests of vault.key=tpm need them" >&2
    exit 1
}
