# shellcheck shell=bash
# Where Debian is, for the scripts that make roots of its packages: this machine's own mirror and keyring. Sourced after
# packages.sh, never run.

# shellcheck disable=SC2034 # those who source this use it
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Where Debian is: the machine's own mirror, else the one that mmdebstrap takes by default.
main_mirror() {
  local found=${HOIST_DEBIAN_MIRROR:-$(apt_uris | grep -E '/debian/?$' | sed -n 1p || true)}
  echo "${found:-$(grep -oE 'https?://[a-z0-9.-]+/debian\b' "$(command -v mmdebstrap)" | sed -n 1p)}"
}
security_mirror() {
  apt_uris | grep -E '/debian-security/?$' | sed -n 1p || true
}

# Lines for mmdebstrap. None where this machine has no Debian mirror of its own (another distribution): then
# mmdebstrap takes its default one.
# sources SUITE
sources() {
  local suite=$1 main security
  main=${HOIST_DEBIAN_MIRROR:-$(apt_uris | grep -E '/debian/?$' | sed -n 1p || true)}
  security=$(apt_uris | grep -E '/debian-security/?$' | sed -n 1p || true)
  [ -n "$main" ] || return 0
  echo "deb $main $suite main"
  # What is not released has neither.
  case $suite in trixie | bookworm) ;; *) return 0 ;; esac
  echo "deb $main $suite-updates main"
  [ -z "$security" ] || echo "deb $security $suite-security main"
}
