#!/bin/sh
# Makes a virtual environment with the locked packages and this project in it.
# usage: scripts/install.sh FOLDER        PYTHON=/path/to/python chooses the interpreter
set -eu
venv=$1
supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

python=
for candidate in ${PYTHON:-python3.12 python3.11 python3.13 python3}; do
    if "$candidate" -c "$supported" 2>/dev/null; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    echo "error: no Python 3.11, 3.12 or 3.13 found (looked for: ${PYTHON:-python3.12 python3.11 python3.13 python3})." >&2
    echo "Install one, e.g. apt-get install python3.11 python3.11-venv, or name it: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if ! command -v "${CXX:-c++}" >/dev/null; then
    echo "error: no C++ compiler (${CXX:-c++}) found; fastText is compiled from source. Install one, e.g. apt-get install g++" >&2
    exit 1
fi
if ! "$python" -m venv "$venv"; then
    echo "error: $python cannot make a virtual environment; install its venv module, e.g. apt-get install python3-venv" >&2
    exit 1
fi
echo "Installing into $venv with $("$python" --version) (a few minutes, about 2 GB) ..." >&2
# Older releases of pip refuse a locked package that is named once with an extra and once without.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
touch "$venv/.ready"
