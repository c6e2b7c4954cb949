# shellcheck shell=bash
# shellcheck disable=SC2034 # the other parts use these
# What an installation consists of and what the machine is like: options, places, ports, processes. It changes nothing.
# Sourced by install.sh.

# For tests: everything is installed below this folder and runs from there; users, Docker and services stay untouched.
ROOT=${HOIST_ROOT:-}
BIN=$ROOT/usr/local/bin/hoist
CONFIG=$ROOT/etc/hoist/hoist.toml
ADMIN_KEYS=$ROOT/etc/hoist/admin_keys
UNITS=$ROOT/etc/systemd/system
STATE=$ROOT/var/lib/hoist
ROUTER_DIR=$STATE/router
LOG_DIR=$ROOT/var/log
STACKS=${HOIST_STACKS:-/var/lib/hoist/stacks}
ROUTER_USER=hoist-router
READY_WITHIN=60
# A unix socket's path holds 107 bytes; the longest of ours below the data folder needs this many.
SOCKET_ROOM=40

UNINSTALL=no
PURGE=no
YES=no
SHARE=no
KEY=
DOMAIN=
SSH_PORT=
HTTP_PORT=
DATA=
BINARY=
SHARE=no

bad_usage() {
  printf 'error: %s\n\n' "$1" >&2
  usage >&2
  exit 64
}

read_options() {
  while [ "$#" -gt 0 ]; do
    case $1 in
      --install) ;;
      --uninstall) UNINSTALL=yes ;;
      --purge) PURGE=yes ;;
      --yes | -y) YES=yes ;;
      --share-port-22) SHARE=yes ;;
      --key | --domain | --ssh-port | --http-port | --data | --binary)
        [ "$#" -ge 2 ] || bad_usage "$1 needs a value"
        take_option "$1" "$2"
        shift
        ;;
      --*=*) take_option "${1%%=*}" "${1#*=}" ;;
      *) bad_usage "there is no option $1" ;;
    esac
    shift
  done
  [ "$PURGE" = no ] || [ "$UNINSTALL" = yes ] || bad_usage "--purge goes with --uninstall"
}

take_option() {
  [ -n "$2" ] || bad_usage "$1 needs a value"
  case $1 in
    --key) KEY=$(from_caller "$2") ;;
    --domain) DOMAIN=$2 ;;
    --ssh-port) SSH_PORT=$(port_of "$1" "$2") || exit ;;
    --http-port) HTTP_PORT=$(port_of "$1" "$2") || exit ;;
    --data) DATA=$(from_caller "$2") ;;
    --binary) BINARY=$(from_caller "$2") ;;
    *) bad_usage "there is no option $1" ;;
  esac
}

# Paths are meant from the folder where the user is.
from_caller() {
  case $1 in
    /*) printf %s "${1%/}" ;;
    *) printf %s "$CALLED_FROM/${1%/}" ;;
  esac
}

port_of() {
  if ! [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || [ "$2" -gt 65535 ]; then
    bad_usage "$1 takes a port, 1 to 65535, not $2"
  fi
  printf %s "$2"
}

# The value that the configuration has for a setting; nothing without one.
configured() { [ ! -r "$CONFIG" ] || sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$CONFIG" | tail -n 1; }

is_installed() { [ -s "$CONFIG" ]; }

# Whether systemd is what started this machine, and so can start us. Below HOIST_ROOT it is never asked.
has_systemd() { [ -z "$ROOT" ] && [ -d /run/systemd/system ]; }

need_root() { [ "$(id -u)" = 0 ] || fail "installing needs root (users, Docker, firewall, ports)" "sudo ./install.sh $*"; }

# Who listens on a TCP port: NAME/PID, `somebody` where that cannot be seen, nothing where nobody does.
holder_of() {
  local hex
  hex=$(printf ':%04X' "$1")
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }' || return 0
  local seen
  seen=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1\/\2/p' | sed -n 1p)
  printf %s "${seen:-somebody}"
}

# The processes of this installation that run VERB (serve or router), by their exact words.
processes_of() {
  local dir words
  for dir in /proc/[0-9]*; do
    mapfile -d '' -t words 2>/dev/null <"$dir/cmdline" || continue
    if [ "${words[*]:1}" = "$1 --config $CONFIG" ] && [ "${words[0]}" = "$BIN" ]; then
      printf '%s\n' "${dir#/proc/}"
    fi
  done
}

local_hoist() { timeout 60 "$BIN" --data "$DATA" "$@"; }
answers() { [ -x "$BIN" ] && local_hoist version >/dev/null 2>&1; }

# confirm QUESTION: asks a person; goes on with --yes, and where nobody can be asked about what can be undone.
confirm() {
  [ "$YES" = no ] && [ -t 0 ] || return 0
  local answer
  read -r -p "$1 [y/N] " answer
  [[ $answer = [yY]* ]] || fail "nothing was changed" "run it again when you want to"
}

# How to start it where there is no systemd: two commands, one line each.
start_router() { printf "setsid nohup %q router --config %q >>%q 2>&1 </dev/null &" "$BIN" "$CONFIG" "$LOG_DIR/hoist-router.log"; }
start_serve() { printf "setsid nohup %q serve --config %q >>%q 2>&1 </dev/null &" "$BIN" "$CONFIG" "$LOG_DIR/hoist.log"; }
