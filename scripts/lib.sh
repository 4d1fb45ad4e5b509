# Set-up steps shared by the scripts beside this file, which source it.
# Each step is quick and needs no network when there is nothing left to do.
# shellcheck shell=bash

if [[ -t 1 ]]; then
    BOLD=$'\e[1m' YELLOW=$'\e[33m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
    BOLD='' YELLOW='' RED='' PLAIN=''
fi

say() { printf '%s==>%s %s\n' "$BOLD" "$PLAIN" "$*"; }
warn() { printf '%swarning:%s %s\n' "$YELLOW" "$PLAIN" "$*" >&2; }
die() {
    printf '%serror:%s %s\n' "$RED" "$PLAIN" "$*" >&2
    exit 1
}

# need_debian_packages PACKAGE...
# Install the packages that are missing. Return 1, with the command to type, if that is not
# possible here; what depends on them then says so itself.
need_debian_packages() {
    local package missing=()
    if ! command -v dpkg-query >/dev/null; then
        warn "not a Debian system; please install the equivalents of: $*"
        return 1
    fi
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        warn "Debian packages are missing; to install them type:"
        printf '    sudo apt-get install --no-install-recommends %s\n' "${missing[*]}" >&2
        return 1
    fi
    say "installing Debian packages: ${missing[*]}"
    _apt_get update || warn "apt-get update failed; trying with the lists that are there"
    _apt_get install --yes --no-install-recommends "${missing[@]}" ||
        { warn "apt-get could not install: ${missing[*]}" && return 1; }
}

_apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 \
        -o APT::Update::Error-Mode=any "$@" </dev/null
}

# find_python
# Print the first Python that is new enough.
find_python() {
    local python
    for python in python3 python3.11 python3.12 python3.13 /usr/bin/python3; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$python" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

# need_venv DIRECTORY PIP-ARGUMENT...
# Make a virtual environment in which `pip install PIP-ARGUMENT...` was done. It is done again when
# the arguments, pyproject.toml or the Python interpreter have changed.
need_venv() {
    local directory=$1 python wanted
    shift
    python=$(find_python) || {
        need_debian_packages python3 python3-venv && python=$(find_python)
    } || die "Python 3.11 or newer is needed"
    wanted=$(printf '%s\n' "$python" "$("$python" -V)" "$*" && sha256sum <pyproject.toml)
    [[ -f $directory/installed-for && $(<"$directory/installed-for") == "$wanted" ]] && return
    # Debian ships Python without ensurepip, which venv needs.
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        need_debian_packages python3-venv || die "python3 -m venv does not work without it"
    fi
    say "preparing the environment $directory with $("$python" -V)"
    [[ -x $directory/bin/python && $(head -n 1 "$directory/installed-for" 2>/dev/null) == "$python" ]] ||
        "$python" -m venv --clear "$directory"
    rm -f "$directory/installed-for"
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    printf '%s' "$wanted" >"$directory/installed-for"
}
