#!/usr/bin/env bash
# ./install.sh              installs Hoist on this machine as a service, or upgrades it; --help lists the options
# ./install.sh --uninstall  undoes that; the data stays unless --purge
# ./install.sh --try        builds Hoist from this checkout, starts it beside whatever runs here, and pushes a first app
# ./install.sh --stop       ends that, its apps included; they come back with the next --try
# ./install.sh --remove     ends it and deletes its data, its apps' images too
#
# Safe to repeat: a second run reuses what is there, and takes seconds. The parts are in scripts/.
set -euo pipefail
CALLED_FROM=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

usage() {
  cat <<'USAGE'
usage: ./install.sh [OPTIONS]              install Hoist as a service of this machine; again: upgrade
       ./install.sh --uninstall [--purge]  undo that; --purge deletes apps and data too
       ./install.sh --try                  try Hoist on this machine: build it, start it, push a first app
       ./install.sh --stop                 end the trial, its apps included; they come back with the next --try
       ./install.sh --remove               end the trial and delete its data

  --key FILE      public keys of the first administrator; else those that may log in here as root
  --domain NAME   apps answer at APP.NAME; else a name made of this machine's address, which needs no set-up
  --ssh-port N    where git and commands arrive [2222]
  --share-port-22 also on port 22, beside this machine's sshd
  --http-port N   where apps answer [80]
  --data DIR      the data folder [/var/lib/hoist/data]
  --binary FILE   a hoist that is built already
  --yes           ask nothing
USAGE
}

case "${1:-}" in
  --try | --stop | --remove)
    [ "$#" = 1 ] || { usage >&2; exit 64; }
    # shellcheck source=scripts/try.sh
    . scripts/try.sh
    case $1 in
      --try) try ;;
      --stop) stop ;;
      --remove) remove ;;
    esac
    ;;
  --help | -h) usage ;;
  *)
    # shellcheck source=scripts/machine.sh
    . scripts/machine.sh
    # shellcheck source=scripts/units.sh
    . scripts/units.sh
    # shellcheck source=scripts/setup.sh
    . scripts/setup.sh
    # shellcheck source=scripts/uninstall.sh
    . scripts/uninstall.sh
    read_options "$@"
    if [ "$UNINSTALL" = yes ]; then uninstall; else setup; fi
    ;;
esac
