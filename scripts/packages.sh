# shellcheck shell=bash
# What is needed of the system's packages: the list in scripts/programs, looked for, installed, and nothing beside it.
# Sourced after lib.sh, never run.

PROGRAMS=$(dirname "${BASH_SOURCE[0]}")/programs
# Programs of administrators are not in everybody's PATH.
EVERYWHERE=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# Maintainer scripts of Debian ask it before they start a service.
POLICY=/usr/sbin/policy-rc.d

# listed USE…: the list's entries for these uses, one a line: PACKAGE PROGRAM.
listed() {
  local package use item items
  while read -r package use items; do
    [[ $package != \#* && " $* " = *" $use "* ]] || continue
    read -ra items <<<"$items"
    for item in "${items[@]}"; do printf '%s %s\n' "$package" "$item"; done
  done <"$PROGRAMS"
}

# there PROGRAM: whether it is here; a file or a pattern of files where it begins with /.
there() {
  case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) PATH=$EVERYWHERE type -P "$1" >/dev/null ;;
  esac
}

# missing USE…: the entries that are not here and that a package brings.
missing() {
  local package item
  listed "$@" | while read -r package item; do
    [ "$package" = - ] || there "$item" || printf '%s %s\n' "$package" "$item"
  done
}

# need PROGRAM…: fails with the package of the first that is not here.
need() {
  local name package
  for name in "$@"; do
    there "$name" && continue
    package=$(listed serve setup build | sed -n "s/ $name\$//p")
    fail "$name is missing" "apt-get install ${package##*|}, or scripts/docker-up, which installs all that Hoist needs"
  done
}

# install_programs USE…: whatever of it is missing, by one call of apt-get. A service that comes along with what only
# tests use is not started, neither now nor at the next boot: they start programs of their own.
install_programs() {
  local lacking packages
  lacking=$(missing "$@")
  [ -n "$lacking" ] || return 0
  mapfile -t packages < <(cut -d' ' -f1 <<<"$lacking" | sort -u)
  command -v apt-get >/dev/null 2>&1 ||
    fail "these packages are missing, and this is not Debian: ${packages[*]}" "install them with your package manager, then run this again"
  step "installing ${packages[*]}"
  quietly apt-get update
  mapfile -t packages < <(for name in "${packages[@]}"; do first_known "$name"; done | sort -u)
  if [[ " $* " = *" tests "* ]]; then
    local quiet
    mapfile -t quiet < <(missing tests | cut -d' ' -f1 | sort -u)
    (hold_services && apt_install "${packages[@]}")
    never_at_boot "${quiet[@]}"
  else
    apt_install "${packages[@]}"
  fi
  done_step
  lacking=$(missing "$@")
  [ -z "$lacking" ] || fail "Debian's packages were installed, and these are still missing (PACKAGE PROGRAM): $lacking" \
    "look at scripts/programs: does this Debian keep them elsewhere?"
}

# first_known A|B: the first of these packages that this Debian has.
first_known() {
  local name
  if [[ $1 != *"|"* ]]; then echo "$1"; return; fi
  for name in ${1//|/ }; do
    if apt-cache show "$name" >/dev/null 2>&1; then echo "$name"; return; fi
  done
  echo "${1%%|*}"
}

apt_install() { DEBIAN_FRONTEND=noninteractive quietly apt-get install -y --no-install-recommends "$@"; }

# For the rest of a subshell; a policy that is there is somebody's decision.
hold_services() {
  [ ! -e "$POLICY" ] || return 0
  trap 'rm -f "$POLICY"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod 755 "$POLICY"
}

# never_at_boot PACKAGE…: its units are left disabled. Where systemd does not run, nothing boots them either.
never_at_boot() {
  local units
  [ -d /run/systemd/system ] && [ "$#" -gt 0 ] || return 0
  mapfile -t units < <(dpkg -L "$@" 2>/dev/null | sed -nE 's,.*/systemd/system/([^/@]+\.(service|socket|timer))$,\1,p' | sort -u)
  [ "${#units[@]}" = 0 ] || systemctl disable --quiet "${units[@]}" 2>/dev/null || true
}

# only_listed FOLDER USE…: fills FOLDER with links to the programs of these uses. With it as PATH, one that is not on the
# list is not found, whoever's machine it is.
only_listed() {
  local folder=$1 item found
  shift
  mkdir -p "$folder"
  while read -r _ item; do
    # The packages' own first: a stand-in elsewhere may start programs that are not on the list.
    [[ $item != /* ]] && found=$(PATH=/usr/sbin:/usr/bin:/sbin:/bin:$EVERYWHERE type -P "$item") || continue
    ln -sf "$found" "$folder/$item"
  done < <(listed "$@")
}

# Every URI of the machine's own apt sources, in both of their formats: where this machine gets Debian from is where
# whatever we make of Debian comes from.
apt_uris() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -f "$file" ] || sed -nE 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' "$file"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -f "$file" ] || sed -nE 's/^URIs:[[:space:]]*(.*)/\1/p' "$file" | tr -s ' ' '\n'
  done
}

# The proxies of this machine's apt, as options of mmdebstrap. Unset and empty values must not reach apt: it takes them for
# a proxy without a name.
apt_proxies() { apt-config dump 2>/dev/null | sed -nE 's/^(Acquire::https?::Proxy[^ ]* ".+".*)/--aptopt=\1/p'; }
