#!/bin/sh
# variations.sh PORTCULLIS [NAME...]: builds the variations that the READMEs of the bundled plugins show, each by
# the tools of its language in a project as `portcullis plugin new` makes it, and plays their scenarios. Of
# each plugin that has one, or of those that are named. A language whose tools are missing is skipped
# loudly; with CI=true that is a failure.
#
#   PORTCULLIS_TOOLS    where the tools of C, JavaScript and Python are kept; by default target/sdk-tools
set -eu

portcullis=$(realpath "$1")
shift
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
PORTCULLIS_TOOLS=${PORTCULLIS_TOOLS:-$root/target/sdk-tools}
export PORTCULLIS_TOOLS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=

say() { echo "variations: $*" >&2; }

# language FILE and what it needs.
language() {
    case $1 in
        *.c) echo c cc make python3 ;;
        *.go) echo go go ;;
        *.js) echo js node npm ;;
        *.py) echo python python3 ;;
        *) say "$1 is of no language that has an SDK"; return 1 ;;
    esac
}

# has LANGUAGE PROGRAM...: are its tools there?
has() {
    language=$1
    shift
    for program; do
        command -v "$program" >/dev/null && continue
        say "SKIPPED: $language: $program is not installed"
        return 1
    done
}

# shown README SOURCE: does the README have the whole source in it?
shown() {
    python3 - "$1" "$2" <<'PY'
import sys
readme, source = (open(path, encoding="utf-8").read() for path in sys.argv[1:])
sys.exit("```" not in readme or source.strip() not in readme)
PY
}

# try NAME SOURCE LANGUAGE
try() {
    project=$work/$1
    "$portcullis" plugin new --lang "$3" variation "$project" >/dev/null
    rm -f "$project"/*_test.* "$project"/*.test.js "$project"/test_*.py
    case $3 in
        go) cp "$2" "$project/main.go" ;;
        python) cp "$2" "$project/variation.py" ;;
        *) cp "$2" "$project/variation.$3" ;;
    esac
    cp "$(dirname "$2")/scenarios.yaml" "$project/scenarios.yaml"
    "$portcullis" plugin build "$project" >"$work/$1.log" 2>&1 || { cat "$work/$1.log" >&2; return 1; }
    "$portcullis" plugin test "$project" || return 1
    shown "$here/$1/README.md" "$2" || { say "$1: README.md does not show variation/ as it is"; return 1; }
}

if [ $# = 0 ]; then
    for folder in "$here"/*/variation; do
        [ ! -d "$folder" ] || set -- "$@" "$(basename "$(dirname "$folder")")"
    done
fi
for name; do
    source=$(find "$here/$name/variation" -name 'plugin.*' 2>/dev/null)
    [ -n "$source" ] || { say "$name has no variation/plugin.*"; exit 2; }
    needs=$(language "$source")
    # shellcheck disable=SC2086 # a list
    if ! has $needs; then
        [ "${CI:-}" != true ] || failed="$failed $name"
        continue
    fi
    say "$name: ${needs%% *}"
    try "$name" "$source" "${needs%% *}" || failed="$failed $name"
done

if [ -n "$failed" ]; then
    say "FAILED:$failed"
    exit 1
fi
