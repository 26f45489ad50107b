# Sourced by scripts/demo and scripts/test: makes a virtual environment once and leaves its path in $env.
#   make_environment NAME PIP-ARGUMENTS...     NAME: the folder; what it was made from is kept in NAME/made-from
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    local candidate
    for candidate in python3.11 python3 python3.12 python3.13 python3.14 python; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "sleepsearch needs Python 3.11 or newer and found none; on Debian: apt install python3 python3-venv" >&2
    exit 1
}

# One of two exclusive builds of FAISS, by looking for an NVIDIA driver: without one the GPU build is 1.4 GB for nothing.
faiss_extra() {
    if [ -e /proc/driver/nvidia/version ] && [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then echo gpu; else echo cpu; fi
}

make_environment() {
    env="$PWD/$1"
    shift
    local wanted
    wanted="$* $(cat pyproject.toml scripts/constraints.txt | sha256sum)"
    if [ -f "$env/made-from" ] && [ "$(cat "$env/made-from")" = "$wanted" ]; then return; fi
    local python
    python=$(find_python)
    rm -rf "$env"
    # Debian splits ensurepip off; with root at hand we can mend that, otherwise we say how.
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
        else
            echo "Python's venv module is incomplete here; on Debian: sudo apt install python3-venv" >&2
            exit 1
        fi
    fi
    echo "making the environment $(basename "$env") (a few minutes, once)" >&2
    "$python" -m venv "$env"
    "$env/bin/python" -m pip install -qq --disable-pip-version-check --upgrade 'pip>=25.1' >&2
    "$env/bin/python" -m pip install -qq --disable-pip-version-check -c scripts/constraints.txt "$@" >&2
    echo "$wanted" > "$env/made-from"
}

# The tests look at the page in a real browser; with root at hand we install Debian's, otherwise the tests say how.
find_browser() {
    if [ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null; then return; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing chromium (once)" >&2
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null ||
            echo "chromium could not be installed" >&2
    fi
}
