#!/bin/sh
# Prints a Python that has these modules (yaml, if none is named), and makes one if there is none.
set -eu

tests=$(cd "$(dirname "$0")" && pwd)
venv=$(dirname "$tests")/target/python
modules=$(echo "${*:-yaml}" | tr ' ' ',')

for python in "$venv/bin/python3" python3 /usr/bin/python3; do
    if "$python" -c "import $modules" 2>/dev/null; then
        echo "$python"
        exit
    fi
done
python3 -m venv "$venv" >&2
"$venv/bin/python3" -m pip install --quiet --disable-pip-version-check \
    --requirement "$tests/peers/python/requirements.txt" >&2
"$venv/bin/python3" -c "import $modules"
echo "$venv/bin/python3"
