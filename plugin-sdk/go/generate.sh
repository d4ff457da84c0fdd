#!/bin/sh
# Makes internal/wit and cmd/portcullis-build/component-type.o again from ../wit/filter.wit. Only who
# changes the contract needs it: cargo install wit-bindgen-cli@0.61.1 --no-default-features -F c,go
set -eu

cd "$(dirname "$0")"
module=portcullis.example/plugin
wit=internal/wit

wit-bindgen --version | grep -q '0\.61\.1$' || { echo "wit-bindgen 0.61.1 is needed" >&2; exit 1; }
find $wit -mindepth 1 -maxdepth 1 ! -name runtime ! -name types -exec rm -r {} +
wit-bindgen go ../wit --world plugin --out-dir $wit --pkg-name $module/$wit >/dev/null
find $wit -name wit_bindings.go -o -name wit_exports.go | while read -r file; do
    sed -i.orig "s|go.bytecodealliance.org/pkg/wit/|$module/$wit/|" "$file"
    rm "$file.orig"
done

# hook NAME PARAMETERS [RESULT]: what a generated export calls is a variable, which the SDK sets.
hook() {
    folder=$wit/export_smtp_filter_$1
    mkdir -p "$folder"
    {
        echo "// Package export_smtp_filter_$1 is what the generated export calls."
        echo "package export_smtp_filter_$1"
        echo
        echo "$2 $4" | grep -o 'smtp_filter_[a-z_]*\.\|wit_types\.' | sort -u | while read -r package; do
            package=${package%.}
            echo "import \"$module/$wit/${package#wit_}\""
        done
        echo
        echo "// $3 is set by the SDK."
        echo "var $3 func($2) $4"
    } | gofmt > "$folder/handle.go"
}
types=smtp_filter_types
session="*$types.Session"
transaction="$session, *$types.Transaction"
message="$transaction, *$types.Message"
hook on_connect "$session" Handle "$types.Verdict"
hook on_helo "$session, string" Handle "$types.Verdict"
hook on_mail "$transaction" Handle "$types.Verdict"
hook on_rcpt "$transaction, $types.Recipient" Handle "$types.Verdict"
hook on_data "$transaction" Handle "$types.Verdict"
hook on_headers "$message" Handle "$types.Verdict"
hook on_message "$message" Handle "$types.Verdict"
hook on_auth "*smtp_filter_on_auth.Session, smtp_filter_on_auth.Credentials" Handle "smtp_filter_on_auth.Answer"
hook on_outcome "[]smtp_filter_on_outcome.Outcome" Handle ""
hook lifecycle string Configure "wit_types.Result[smtp_filter_lifecycle.Subscription, string]"

# The component type, as a section that the build appends to Go's module.
c=$(mktemp -d)
wit-bindgen c ../wit --world plugin --out-dir "$c" >/dev/null
mv "$c/plugin_component_type.o" cmd/portcullis-build/component-type.o
rm -r "$c"
gofmt -w $wit
