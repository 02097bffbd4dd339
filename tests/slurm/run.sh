#!/usr/bin/env bash
# run.sh PYTHON [PYTEST ARGUMENTS]: Dask and Parsl on a real Slurm, which is installed, started and stopped here.
# run.sh check: whether that may be tried here, before anybody makes a large environment for it.
set -euo pipefail
python=$1; shift
here=$(cd "$(dirname "$0")" && pwd)

skip() { echo "skipped: $1" >&2; [ "$python" != check ] || exit 1; exit 0; }
[ "$(id -u)" = 0 ] || skip "a Slurm of one's own needs root."
if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
    command -v apt-get >/dev/null || skip "Slurm is not installed, and there is no apt to install it with."
    [ "$python" != check ] || exit 0
    { timeout 300 apt-get -qq update && DEBIAN_FRONTEND=noninteractive timeout 900 apt-get -qq \
        -o DPkg::Lock::Timeout=300 install -y --no-install-recommends slurm-wlm munge; } >/dev/null \
        || skip "apt cannot install slurm-wlm and munge."
fi
[ "$python" != check ] || exit 0

folder=$(mktemp -d)
trap '"$here/cluster.sh" stop "$folder" && rm -rf "$folder"' EXIT
SLURM_CONF=$("$here/cluster.sh" start "$folder")
export SLURM_CONF
cd "$here/../.."
# Time that is up ends the tests here, so that Slurm is stopped as ever.
timeout --kill-after=30 "${SLURM_SECONDS:-2400}" "$python" -m pytest -p no:cacheprovider -m engines tests/slurm "$@"
