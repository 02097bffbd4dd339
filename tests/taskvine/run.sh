#!/usr/bin/env bash
# run.sh PYTHON [PYTEST ARGUMENTS]: the tests of the TaskVine adapter, with the real TaskVine.
#
# No wheel of TaskVine exists; Debian 13 ships it for its own Python.  So a second Debian is made in a folder (300 MB,
# kept for the next time), the requirements are put beside it by PYTHON's pip, and the tests run inside, in a network
# namespace of their own: managers listen on all addresses.
set -euo pipefail
python=$1; shift
here=$(cd "$(dirname "$0")/../.." && pwd)
root=${TASKVINE_ROOT:-$here/.taskvine-root}

skip() { echo "skipped: $1" >&2; exit 0; }
[ "$(id -u)" = 0 ] || skip "making a second Debian needs root."
command -v mmdebstrap >/dev/null || skip "mmdebstrap is not installed (Debian: apt install mmdebstrap)."
unshare -nmp --fork true 2>/dev/null || skip "this machine allows no namespaces."

packages=python3,coop-computing-tools,python3-workqueue,python3-cloudpickle,python3-numpy,python3-threadpoolctl
packages=$packages,iproute2,ca-certificates
if [ ! -e "$root/.done" ]; then
    rm -rf "$root"
    timeout --kill-after=30 900 mmdebstrap --quiet --variant=minbase --include="$packages" trixie "$root" \
        || skip "Debian 13 cannot be fetched."
    touch "$root/.done"
fi
version=$(chroot "$root" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ ! -e "$root/opt/site/.done" ]; then
    "$python" - "$here/pyproject.toml" > "$root/opt/requirements.txt" <<'PY'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["project"]["dependencies"], "pytest>=8.3", "pytest-timeout>=2.3", sep="\n")
PY
    platforms=()
    for libc in 17 24 26 27 28 31 34; do platforms+=(--platform "manylinux_2_${libc}_$(uname -m)"); done
    rm -rf "$root/opt/site"
    said=$(timeout --kill-after=30 900 "$python" -m pip install --quiet --disable-pip-version-check \
        --target "$root/opt/site" --only-binary=:all: --python-version "$version" --implementation cp \
        "${platforms[@]}" --platform "manylinux2014_$(uname -m)" -r "$root/opt/requirements.txt" 2>&1) \
        || skip "pip cannot fetch what the tests need ($(tail -n 1 <<<"$said"))."
    touch "$root/opt/site/.done"
fi

mkdir -p "$root/src"
# Processes have a namespace too: whatever a test leaves, and all of them where time is up, ends with it.
exec timeout --kill-after=30 "${TASKVINE_SECONDS:-2400}" \
    unshare -nmp --fork --kill-child --propagation private -- bash -c '
    set -e
    root=$1; here=$2; shift 2
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --bind "$here" "$root/src"
    ip link set lo up
    # Names are looked up only where there is another interface than lo; this one leads nowhere.
    ip link add nowhere0 type veth peer name nowhere1
    ip addr add 10.99.99.1/32 dev nowhere0
    ip link set nowhere0 up
    ip link set nowhere1 up
    exec chroot "$root" env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin PYTHONHASHSEED=0 \
        PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/src/src:/src/tests:/opt/site \
        sh -c "cd /src && exec python3 -m pytest -p no:cacheprovider -o addopts= -o filterwarnings= \
            --import-mode=importlib tests/taskvine \"\$@\"" sh "$@"
' _ "$root" "$here" "$@"
