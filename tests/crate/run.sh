#!/usr/bin/env bash
# run.sh PYTHON ENVIRONMENT [PYTEST ARGUMENTS]: outside validators over a package; they get an environment of their own.
#
# The validators bring half of the semantic web along, so they are no requirement of ours: where they cannot be
# installed this says why and succeeds.  What they find is a failure.
set -euo pipefail
python=$1; environment=$2; shift 2
cd "$(dirname "$0")/../.."

skip() { echo "skipped: $1" >&2; exit 0; }

if [ ! "$environment/.done" -nt pyproject.toml ]; then
    "$python" -m venv --clear "$environment"
    said=$(timeout 900 "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
        roc-validator runcrate 2>&1) \
        || skip "pip cannot install roc-validator and runcrate ($(tail -n 1 <<<"$said"))."
    touch "$environment/.done"
fi
NBREWIND_CRATE_PYTHON=$PWD/$environment/bin/python timeout --kill-after=30 900 \
    "$python" -m pytest -p no:cacheprovider tests/crate "$@"
