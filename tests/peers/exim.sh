#!/bin/sh
# Prints where an Exim is. Since it cannot be installed beside Postfix, `--install` unpacks Debian's
# package into target/exim; that needs root, for its libraries and the user that it runs as.
set -eu

exim=$(cd "$(dirname "$0")/../.." && pwd)/target/exim

runs() { "$1" -C /dev/null -bV >/dev/null 2>&1; }

install() {
    mkdir -p "$exim"
    libraries=$(apt-cache depends --no-recommends --no-suggests exim4-daemon-light |
        sed -n 's/^ *Depends: \(lib.*\)/\1/p')
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends $libraries
    (cd "$exim" && apt-get download -qq exim4-daemon-light && dpkg -x exim4-daemon-light_*.deb .)
    id Debian-exim >/dev/null 2>&1 ||
        useradd --system --no-create-home --user-group --shell /usr/sbin/nologin Debian-exim
}

for program in exim4 exim "$exim/usr/sbin/exim4"; do
    if path=$(PATH=$PATH:/usr/sbin command -v "$program") && runs "$path"; then
        echo "$path"
        exit
    fi
done
[ "${1:-}" = --install ] || { echo "no Exim; $0 --install, as root, unpacks one" >&2; exit 1; }
install >&2
runs "$exim/usr/sbin/exim4"
echo "$exim/usr/sbin/exim4"
