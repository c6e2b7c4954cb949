# shellcheck shell=bash
# What the scripts of this repository say and how: one line a step with its time, one way to fail. Sourced, never run.

say() { printf '%s\n' "$*"; }
note() { printf 'note: %s\n' "$*" >&2; }

# fail CAUSE NEXT: every failure names what to do next.
fail() {
  printf '\nerror: %s\n  next: %s\n' "$1" "$2" >&2
  exit 1
}

now_ms() { date +%s%3N; }

STEP_AT=0
STEP_NAME=

step() {
  STEP_NAME=$1
  STEP_AT=$(now_ms)
  say "-- $STEP_NAME"
}

done_step() {
  local ms=$(($(now_ms) - STEP_AT))
  printf '   done: %d.%d s\n' $((ms / 1000)) $((ms % 1000 / 100))
}

# quietly COMMAND…: its output is shown only when it fails.
quietly() {
  local out status=0
  out=$("$@" 2>&1) || status=$?
  if [ "$status" != 0 ]; then
    printf '%s\n' "$out" | tail -n 40 >&2
    fail "'$*' ended with status $status" "read the lines above, then run this again"
  fi
}
