#!/bin/sh
# Makes wit/ again from ../wit/filter.wit. Only who changes the contract needs it:
# cargo install wit-bindgen-cli@0.61.1 --no-default-features -F c,go
set -eu

cd "$(dirname "$0")"
wit-bindgen --version | grep -q '0\.61\.1$' || { echo "wit-bindgen 0.61.1 is needed" >&2; exit 1; }
wit-bindgen c ../wit --world plugin --out-dir wit --autodrop-borrows yes
