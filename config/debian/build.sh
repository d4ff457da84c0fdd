#!/bin/bash
# Builds the Debian package from what is built already, into target/debian. Needs dpkg-dev.
#
#   config/debian/build.sh [release|debug]
#   config/debian/build.sh --tool       where cargo-deb is; fails if it is nowhere
#   config/debian/build.sh --install    fetches cargo-deb if it is nowhere
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
stage=target/package
tools=$PWD/target/tools

cargo_deb() { command -v cargo-deb || command -v "$tools/bin/cargo-deb"; }

install_cargo_deb() {
    cargo_deb >/dev/null ||
        env -u CARGO_TARGET_DIR cargo install --locked --quiet --root "$tools" cargo-deb --version '^3' >&2
}

# Of the package, in the format of Debian; what is new in the program is in CHANGELOG.md.
debian_changelog() {
    local version maintainer
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
    maintainer=$(sed -n 's/^maintainer = "\(.*\)"/\1/p' gateway/Cargo.toml)
    echo "portcullis ($version-1) unstable; urgency=medium"
    echo
    echo "  * Built from $(git describe --always --dirty 2>/dev/null || echo the sources); see changelog.gz."
    echo
    echo " -- $maintainer  $(date -R -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}")"
}

# What the package has beside the sources: cargo-deb takes files from here alone.
stage() {
    rm -rf "$stage"
    mkdir -p "$stage"/{plugins,man,completions}
    cp "$target/$profile/portcullis" "$stage/portcullis"
    strip --strip-unneeded "$stage/portcullis"
    plugins/build.sh --install "$stage/plugins"
    "$target/$profile/portcullis" man "$stage/man"
    gzip -9n "$stage"/man/*.1
    local shell
    for shell in bash zsh fish; do
        "$target/$profile/portcullis" completions "$shell" >"$stage/completions/$shell"
    done
    # The same file as in the repository, but for where the plugins are.
    sed 's|\.\./target/plugins|/usr/lib/portcullis/plugins|' config/portcullis.yaml >"$stage/portcullis.yaml"
    gzip -9nc CHANGELOG.md >"$stage/changelog.gz"
    debian_changelog >"$stage/changelog"
}

case ${1:-release} in
    --tool) cargo_deb ;;
    --install) install_cargo_deb ;;
    *)
        profile=${1:-release}
        install_cargo_deb
        stage
        exec "$(cargo_deb)" deb --quiet --no-build --no-strip --locked -p portcullis --output target/debian/
        ;;
esac
