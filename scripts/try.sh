# shellcheck shell=bash
# ./install.sh --try, --stop, --remove: a server beside whatever runs here, in a folder of its own (HOIST_TRY_DIR).
# Sourced by install.sh, never run.

[[ ${HOIST_TRY_DIR:-/} = /* ]] || HOIST_TRY_DIR=$CALLED_FROM/$HOIST_TRY_DIR
# How to call this again, from anywhere.
AGAIN=$(printf %q "$PWD/install.sh")
[ -z "${HOIST_TRY_DIR:-}" ] || AGAIN="HOIST_TRY_DIR=$(printf %q "$HOIST_TRY_DIR") $AGAIN"

TRY=${HOIST_TRY_DIR:-${HOME:-/root}/.local/share/hoist-try}
DATA=$TRY/data
BIN=$TRY/bin/hoist
LOG=$TRY/serve.log
SSH_CONFIG=$TRY/ssh_config
STACKS=${HOIST_STACKS:-/var/lib/hoist/stacks}
BUILT=${CARGO_TARGET_DIR:-target}/try/hoist
CA_BUNDLE=${HOIST_CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}
READY_WITHIN=60
# A unix socket's path holds 107 bytes; the longest of ours below DATA needs this many.
SOCKET_ROOM=40
# sudo where we are not root; empty otherwise.
AS_ROOT=()

hoist() { "${AS_ROOT[@]}" timeout 60 "$BIN" --data "$DATA" "$@"; }
try_ssh() { timeout 60 ssh -F "$SSH_CONFIG" -o BatchMode=yes hoist-try "$@" </dev/null; }
answers() { [ -x "$BIN" ] && hoist version >/dev/null 2>&1; }

become_root() {
  [ "$(id -u)" != 0 ] || return 0
  command -v sudo >/dev/null 2>&1 || fail "Hoist needs root (Docker, firewall), and there is no sudo here" "run this as root"
  AS_ROOT=(sudo)
}

make_folder() {
  local why
  why=$(mkdir -p "$TRY" 2>&1 && touch "$TRY/.writable" 2>&1 && rm "$TRY/.writable" 2>&1) ||
    fail "cannot write to $TRY: ${why##*: }" "HOIST_TRY_DIR=/another/folder ./install.sh --try"
}

check_machine() {
  local missing=()
  [ "$(uname -s)" = Linux ] || missing+=("Linux: this is $(uname -s); use a Linux machine or a virtual one")
  if ! command -v cargo >/dev/null 2>&1; then
    if [ -x "${HOME:-/root}/.cargo/bin/cargo" ]; then
      missing+=("cargo is installed, but not in PATH: . \"${HOME:-/root}/.cargo/env\"")
    else
      missing+=("cargo (Rust 1.88 or later): install it with rustup (https://rustup.rs), then open a new shell")
    fi
  fi
  command -v git >/dev/null 2>&1 || command -v apt-get >/dev/null 2>&1 || missing+=("git: install it with your package manager")
  command -v cc >/dev/null 2>&1 || command -v apt-get >/dev/null 2>&1 || missing+=("a C compiler: install gcc with your package manager")
  [[ $TRY != *[\"\'%$'\n']* ]] || missing+=("a folder without quotes, % and newlines in its name: HOIST_TRY_DIR=/opt/hoist-try ./install.sh --try")
  [ $((${#DATA} + SOCKET_ROOM)) -le 107 ] || missing+=("a shorter folder than $TRY: HOIST_TRY_DIR=/opt/hoist-try ./install.sh --try")
  if [ "${#missing[@]}" -gt 0 ]; then
    printf 'missing: %s\n' "${missing[@]}" >&2
    fail "this machine lacks what is listed above" "get it, then run ./install.sh --try again"
  fi
}

# Stacks and builder come from the network, the binary from the processor: both at once. Where the build fails they are
# made all the same, and the next run finds them.
build() {
  local stacks status=0
  "${AS_ROOT[@]}" scripts/roots "$STACKS" >"$TRY/stacks.log" 2>&1 &
  stacks=$!
  if [ -x "$BUILT" ]; then
    step "building hoist"
  else
    step "building hoist; the first time takes 3 to 6 minutes on two cores"
  fi
  cargo build --profile try --locked -p hoist ||
    fail "the build failed, the reason is above" "git status (a clean checkout builds), then run this again"
  done_step
  wait "$stacks" || status=$?
  cat "$TRY/stacks.log"
  [ "$status" = 0 ] || fail "there is nothing to build apps in" "read the lines above, then run this again"
}

# Old ports first: the URLs and remotes of an earlier run stay good. The second attempt takes any.
start_server() {
  if answers && cmp -s "$BUILT" "$BIN"; then
    say "-- hoist runs already"
    return 0
  fi
  if answers; then
    step "ending the older server; its apps go on"
    hoist shutdown >/dev/null || fail "the older server does not end" "./install.sh --stop, then run this again"
    wait_until_gone
    done_step
  fi
  # A copy: the next build must not take the binary away from under a running server.
  mkdir -p "$TRY/bin"
  cp "$BUILT" "$BIN.new"
  mv "$BIN.new" "$BIN"
  local ssh_port=0 http_port=0
  if [ -s "$TRY/ports" ]; then
    read -r ssh_port http_port <"$TRY/ports"
  fi
  step "starting hoist"
  if ! serve "$ssh_port" "$http_port"; then
    [ "$ssh_port" != 0 ] || not_started
    note "$(tail -n 1 "$LOG"): trying other ports, so the URLs of your apps change"
    serve 0 0 || not_started
  fi
  done_step
}

not_started() {
  tail -n 20 "$LOG" >&2
  fail "hoist ended, or was not ready within $READY_WITHIN s" "read the lines above; all of them: $LOG"
}

# serve SSH_PORT HTTP_PORT: starts it in a session of its own and waits for its word.
serve() {
  local pid ssh_addr http_addr end=$((SECONDS + READY_WITHIN))
  [ ! -e "$LOG" ] || mv -f "$LOG" "$LOG.1"
  "${AS_ROOT[@]}" env HOIST_STACKS="$STACKS" HOIST_CA_BUNDLE="$CA_BUNDLE" setsid nohup "$BIN" serve --data "$DATA" \
    --ssh "127.0.0.1:$1" --http "127.0.0.1:$2" --base-domain localhost >"$LOG" 2>&1 </dev/null &
  pid=$!
  until grep -qs '^ready' "$LOG"; do
    if ! "${AS_ROOT[@]}" kill -0 "$pid" 2>/dev/null; then
      return 1
    fi
    if [ "$SECONDS" -ge "$end" ]; then
      "${AS_ROOT[@]}" kill "$pid" 2>/dev/null || true
      return 1
    fi
    sleep 0.1
  done
  ssh_addr=$(sed -n 's/^ssh //p' "$LOG" | sed -n 1p)
  http_addr=$(sed -n 's/^http //p' "$LOG" | sed -n 1p)
  echo "${ssh_addr##*:} ${http_addr##*:}" >"$TRY/ports"
}

wait_until_gone() {
  local end=$((SECONDS + READY_WITHIN))
  # It holds this lock until its very end.
  until ! answers && "${AS_ROOT[@]}" flock --nonblock "$DATA/run/serve.lock" true; do
    [ "$SECONDS" -lt "$end" ] || fail "hoist still runs after $READY_WITHIN s" "look at $LOG"
    sleep 0.2
  done
}

# A key of its own and an ssh configuration of its own: nothing of the user's ~/.ssh is read or written.
make_access() {
  local ssh_port
  read -r ssh_port _ <"$TRY/ports"
  [ -s "$TRY/key" ] || quietly ssh-keygen -q -t ed25519 -N '' -C hoist-try -f "$TRY/key"
  cat >"$SSH_CONFIG" <<CONFIG
# localhost: as in the remotes that Hoist prints.
Host hoist-try localhost
  HostName 127.0.0.1
  HostKeyAlias hoist-try
  Port $ssh_port
  User hoist
  IdentityFile "$TRY/key"
  IdentitiesOnly yes
  UserKnownHostsFile "$TRY/known_hosts"
  StrictHostKeyChecking accept-new
CONFIG
  if try_ssh version >/dev/null 2>&1; then
    return 0
  fi
  step "making you an admin"
  local out
  out=$(hoist users:add me --admin <"$TRY/key.pub" 2>&1) || note "$out"
  try_ssh version >/dev/null ||
    fail "ssh does not let us in with the key $TRY/key" "ssh -v -F $SSH_CONFIG hoist-try version; the server's side: $LOG"
  done_step
}

try_git() { git -C "$TRY/hello" -c user.name=hoist-try -c user.email=hoist-try@localhost -c commit.gpgsign=false -c core.hooksPath=/dev/null "$@"; }

push_hello() {
  # Of a hook or an alias that may have called us.
  unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
  mkdir -p "$TRY/hello"
  cp -r tests/apps/hello/. "$TRY/hello/"
  if [ ! -d "$TRY/hello/.git" ]; then
    quietly git init -q "$TRY/hello"
    try_git symbolic-ref HEAD refs/heads/main
    try_git remote add hoist ssh://hoist-try/hello
  fi
  try_git add -A
  try_git diff --cached --quiet 2>/dev/null || quietly try_git commit -q -m "Hello"
  step "git push hoist main"
  GIT_SSH_COMMAND="ssh -F '$SSH_CONFIG'" try_git push hoist main ||
    fail "the push failed, the reason is above" "$(command_of builds hello)"
  done_step
}

show_answer() {
  local http_port url end=$((SECONDS + 15)) body
  read -r _ http_port <"$TRY/ports"
  url=http://hello.localhost:$http_port/
  step "curl $url"
  # Not every machine resolves names below localhost.
  until body=$(curl -fsS --noproxy '*' --max-time 10 --resolve "hello.localhost:$http_port:127.0.0.1" "$url" 2>&1); do
    [ "$SECONDS" -lt "$end" ] || fail "$url: $body" "$(command_of logs hello)"
    sleep 0.5
  done
  printf '%s\n' "$body" | sed 's/^/   | /'
  done_step
}

command_of() { printf 'ssh -F %q hoist-try %s' "$SSH_CONFIG" "$*"; }

tell() {
  local http_port
  read -r _ http_port <"$TRY/ports"
  cat <<TELL

Hoist runs. It took $((SECONDS / 60)) min $((SECONDS % 60)) s.

Push an app of yours (Node.js, Python, Go, a static site, or a Dockerfile): in its folder, with its files committed,
  git remote add hoist ssh://hoist-try/my-app
  git config core.sshCommand "ssh -F '$SSH_CONFIG'"
  git push hoist HEAD:main
It then answers at http://my-app.localhost:$http_port/ (choose another name than my-app: small letters, digits, -).

Your apps:      $(command_of apps)
Logs:           $(command_of logs hello -t)
Config:         $(command_of config:set hello GREETING=hi)
Processes:      $(command_of ps hello)
All commands:   $(command_of help)
Stop it:        $AGAIN --stop      (--try starts it again, apps included)
Remove it:      $AGAIN --remove
TELL
}

try() {
  check_machine
  become_root
  make_folder
  # Without its data a server has another host key.
  "${AS_ROOT[@]}" test -e "$DATA" || rm -f "$TRY/known_hosts"
  "${AS_ROOT[@]}" scripts/docker-up build
  build
  start_server
  make_access
  push_hello
  show_answer
  tell
}

# What a killed server left running; its router and instances outlive it.
left_behind() {
  local id
  id=$(install_id)
  [ -n "$id" ] && [ -n "$("${AS_ROOT[@]}" docker ps -aq --filter "label=hoist.install=$id" 2>/dev/null)" ]
}

install_id() { "${AS_ROOT[@]}" sed -n 's/.*"install":"\([a-z0-9]*\)".*/\1/p' "$DATA/addresses.json" 2>/dev/null || true; }

stop() {
  become_root
  if ! answers && left_behind && [ -x "$BIN" ]; then
    local ssh_port=0 http_port=0
    [ ! -s "$TRY/ports" ] || read -r ssh_port http_port <"$TRY/ports"
    step "starting hoist, to end what an earlier one left"
    serve "$ssh_port" "$http_port" || serve 0 0 || not_started
    done_step
  fi
  if ! answers; then
    say "no server of $TRY runs"
  else
    step "ending hoist and its apps"
    hoist shutdown --apps || fail "it did not end in order" "read the lines above, and $LOG"
    wait_until_gone
    done_step
  fi
  [ ! -d "$DATA" ] || say "Its data is still there. Go on with it: $AGAIN --try; delete it: $AGAIN --remove"
}

remove() {
  if [ ! -d "$DATA" ]; then
    say "there is nothing in $TRY"
    return 0
  fi
  stop >/dev/null
  step "removing $TRY and the images of its apps"
  local id images=()
  id=$(install_id)
  [ -z "$id" ] || mapfile -t images < <("${AS_ROOT[@]}" docker images --format '{{.Repository}}:{{.Tag}}' "hoist/$id-*")
  [ "${#images[@]}" = 0 ] || quietly "${AS_ROOT[@]}" docker rmi "${images[@]}"
  "${AS_ROOT[@]}" rm -rf "$DATA"
  rm -rf "${TRY:?}/bin" "${TRY:?}/hello"
  rm -f "$TRY/key" "$TRY/key.pub" "$TRY/known_hosts" "$TRY/ports" "$TRY/ssh_config" "$LOG" "$LOG.1" "$TRY/stacks.log"
  rmdir "$TRY" 2>/dev/null || note "$TRY has files that are not ours; they stay"
  done_step
  say "Docker, the stacks in $STACKS and the build in $(dirname "$BUILT") stay."
}
