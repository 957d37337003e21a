# Shared by the scripts in tools/: messages, packages, builds. Sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }
# Exit codes of the developer commands: 1 a violation, 2 wrong usage, 3 the environment (a package, a port, a right).
fail() { say "$(basename "$0"): $*"; exit 1; }
usage_error() { say "$(basename "$0"): $*; see $(basename "$0") --help"; exit 2; }
environment_error() { say "$(basename "$0"): $*"; exit 3; }

# What the build, the cluster and the tests need, by Debian's names.
packages() {
    local msgpack=libmsgpack-dev
    [ "$(debian_version)" -ge 13 ] && msgpack=libmsgpack-c-dev
    printf '%s\n' gcc cmake ninja-build ccache pkg-config libc6-dev \
        libraft-dev libuv1-dev "$msgpack" librocksdb-dev libmicrohttpd-dev libcurl4-gnutls-dev libjansson-dev \
        libcyaml-dev libyaml-dev libgnutls28-dev libsystemd-dev zlib1g-dev libcmocka-dev \
        ca-certificates curl jq util-linux procps
    if [ "${1:-}" = tests ]; then
        printf '%s\n' python3 strace git clang-format systemd debootstrap iproute2 \
            python3-jsonschema libjson-validator-perl openapi-specification nodejs \
            man-db groff-base bash bash-completion zsh fish
    fi
    case "${1:-}" in tests | package) printf '%s\n' dpkg-dev gzip ;; esac
    case "${1:-}" in tests | chaos) printf '%s\n' python3 iproute2 nftables mount strace libfaketime fiu-utils ;; esac
    if [ "${1:-}" = etcd ]; then printf '%s\n' etcd-server; fi
    if [ "${1:-}" = fuzz ]; then printf '%s\n' clang libclang-rt-dev; fi
}

debian_version() {
    # shellcheck disable=SC1091
    (. /etc/os-release 2>/dev/null && printf '%s' "${VERSION_ID:-0}") | cut -d. -f1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
    else
        return 1
    fi
}

# Debian 12 has libraft 0.22 in its backports only. Their mirror is the one that this machine's own bookworm entry names.
backports_entry() {
    local file
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -e "$file" ] || continue
        awk 'BEGIN { RS = ""; FS = "\n" }
            { types = uris = suites = signed = ""
              for (i = 1; i <= NF; i++) {
                  if ($i ~ /^Types:/) types = $i
                  if ($i ~ /^URIs:/) uris = $i
                  if ($i ~ /^Suites:/) suites = $i " "
                  if ($i ~ /^Signed-By:/) signed = $i
              }
              if (types ~ /deb( |$)/ && suites ~ /[ :]bookworm /) {
                  print "Types: deb\n" uris "\nSuites: bookworm-backports\nComponents: main"
                  if (signed != "") print signed
                  exit
              } }' "$file"
    done | awk '/^Types:/ && seen++ { exit } { print }'
}
backports_entry_old_style() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        awk '$1 == "deb" { options = ""; i = 2
                if ($2 ~ /^\[/) { while ($i !~ /\]$/) { options = options $i " "; i++ } options = options $i " "; i++ }
                if ($(i + 1) == "bookworm") { print "deb " options $i " bookworm-backports main"; exit } }'
}
need_backports() {
    [ "$(debian_version)" -eq 12 ] || return 0
    dpkg-query -W -f '${Version}' libraft-dev 2>/dev/null | grep -q '^0\.2[2-9]' && return 0
    apt-cache policy 2>/dev/null | grep -q bookworm-backports && return 0
    local entry name=autonomy-backports.sources
    entry=$(backports_entry)
    if [ -z "$entry" ]; then
        entry=$(backports_entry_old_style)
        name=autonomy-backports.list
    fi
    [ -n "$entry" ] || environment_error "libraft 0.22 is in Debian 12's backports, and no 'bookworm' entry in /etc/apt names a mirror; add bookworm-backports and run this again"
    say "adding bookworm-backports (for libraft 0.22): /etc/apt/sources.list.d/$name"
    printf '%s\n' "$entry" | as_root tee "/etc/apt/sources.list.d/$name" >/dev/null ||
        environment_error "can't write /etc/apt/sources.list.d/$name: run as root, or with sudo"
}

# Installs what is missing; says nothing and costs little when nothing is.
need_packages() {
    local wanted missing=() package
    [ -e /etc/debian_version ] || {
        say "not Debian: install these by hand if the build stops: $(packages "$@" | tr '\n' ' ')"
        return 0
    }
    for package in $(packages "$@"); do
        wanted=$(dpkg-query -W -f '${Status} ${Version}' "$package" 2>/dev/null)
        case "$package:$wanted" in
        libraft-dev:"install ok installed 0.2"[2-9]*) ;;
        libraft-dev:*) missing+=("$package") ;;
        *:"install ok installed "*) ;;
        *) missing+=("$package") ;;
        esac
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    say "installing: ${missing[*]}"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
        environment_error "not root and no sudo: ask an administrator to install: ${missing[*]}"
    need_backports
    as_root apt-get -q update >&2 || environment_error "apt-get update failed (is there a network, and the right to use it?)"
    local i
    if [ "$(debian_version)" -eq 12 ]; then
        for i in "${!missing[@]}"; do
            [ "${missing[$i]}" = libraft-dev ] && missing[i]=libraft-dev/bookworm-backports && missing+=(libraft0/bookworm-backports)
        done
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}" >&2 ||
        environment_error "apt-get install failed for: ${missing[*]}"
}

# Prometheus' checker, unpacked and not installed: Debian has it in the package of the server, which would start.
# Without it the tests of /metrics say what they did not check.
unpack_promtool() {
    local folder=$root/build/promtool
    if command -v promtool >/dev/null || [ -x "$folder/usr/bin/promtool" ] || [ ! -e /etc/debian_version ]; then
        return 0
    fi
    say "unpacking promtool (from the package prometheus, 20 MB) into build/promtool"
    mkdir -p "$folder"
    if (cd "$folder" && apt-get -q download prometheus >/dev/null 2>&1 &&
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool); then
        rm -f "$folder"/prometheus_*.deb
    else
        rm -rf "$folder"
        say "promtool is not to be had (is there a network?): /metrics will be checked without it"
    fi
}

# build PRESET [TARGET...]: configures once, builds what changed.
build() {
    local preset=$1
    shift
    local folder=$root/build/$preset
    if [ ! -e "$folder/build.ninja" ]; then
        (cd "$root" && cmake --preset "$preset" >"$root/build-$preset.log" 2>&1) || {
            cat "$root/build-$preset.log" >&2
            rm -f "$root/build-$preset.log"
            fail "configuring $preset failed"
        }
        rm -f "$root/build-$preset.log"
    fi
    (cd "$root" && cmake --build "$folder" ${1:+--target "$@"}) >&2 || fail "building $preset failed"
}
