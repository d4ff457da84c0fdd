#!/bin/sh
# Prints a Python that can read YAML, and makes one if there is none.
set -eu

venv=$(cd "$(dirname "$0")/.." && pwd)/target/python

for python in "$venv/bin/python3" python3 /usr/bin/python3; do
    if "$python" -c 'import yaml' 2>/dev/null; then
        echo "$python"
        exit
    fi
done
python3 -m venv "$venv" >&2
"$venv/bin/pip" install --quiet --disable-pip-version-check pyyaml >&2
echo "$venv/bin/python3"
