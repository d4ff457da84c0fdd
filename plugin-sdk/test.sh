#!/bin/sh
# test.sh PORTCULLIS [LANGUAGE]: for each language, or this one, builds the example with the language's own tools into
# target/plugins, runs the unit tests of SDK, example and template, and plays the example's scenarios in the
# gateway. A language whose tools are missing is skipped loudly; with CI=true that is a failure.
set -eu

portcullis=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
PORTCULLIS_TOOLS=${PORTCULLIS_TOOLS:-$root/target/sdk-tools}
export PORTCULLIS_TOOLS
failed=

say() { echo "sdk: $*" >&2; }

# has LANGUAGE PROGRAM...: are its tools there?
has() {
    language=$1
    shift
    for program; do
        command -v "$program" >/dev/null && continue
        say "SKIPPED: $language: $program is not installed"
        [ "${CI:-}" != true ] || failed="$failed $language"
        return 1
    done
}

language_rust() {
    [ -e "$root/target/plugins/gatekeeper-rust.wasm" ] || "$root/plugins/build.sh"
}

language_go() {
    "$here/go/build.sh"
    # What wit-bindgen wrote is not ours to mend.
    (cd "$here/go" && go vet . ./plugintest ./cmd/... && go test ./...)
    (cd "$here/go/template" && go vet ./... && go test ./...)
}

language_c() {
    "$here/c/build.sh"
    make --silent -C "$here/c/template" test
}

language_js() {
    "$here/js/build.sh"
    (cd "$here/js" && node --test example/*.test.js template/*.test.js tests/*.test.js)
}

language_python() {
    "$here/python/build.sh"
    for folder in example template; do
        (cd "$here/python/$folder" && python3 -m unittest --quiet)
    done
    (cd "$here/python" && python3 -m unittest discover --quiet --start-directory tests)
}

if [ $# -gt 1 ]; then
    "language_$2"
    exec "$portcullis" plugin test "$here/example/scenarios.yaml" \
        --plugin "$root/target/plugins/gatekeeper-$2.wasm"
fi

# try LANGUAGE: in a shell of its own, which ends at its first failure.
try() {
    say "$1"
    "$0" "$portcullis" "$1" || failed="$failed $1"
}

if has rust cargo; then try rust; fi
if has go go; then try go; fi
if has c cc make python3; then try c; fi
if has js node npm; then try js; fi
if has python python3; then try python; fi

if [ -n "$failed" ]; then
    say "FAILED:$failed"
    exit 1
fi
