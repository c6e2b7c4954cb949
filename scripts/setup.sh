# shellcheck shell=bash
# ./install.sh without a flag: everything is checked before anything is changed; a second run upgrades. Sourced.

BUILT=${CARGO_TARGET_DIR:-target}/release/hoist

setup() {
  need_root
  local upgrade=no
  ! is_installed || upgrade=yes
  settle
  check_machine
  check_ports
  find_keys
  confirm "$([ "$upgrade" = yes ] && echo Upgrade || echo Install) Hoist here, data in $DATA, SSH on port $SSH_PORT, HTTP on port $HTTP_PORT?"
  if [ -z "$ROOT" ]; then
    if [ -z "$BINARY" ]; then scripts/docker-up build; else scripts/docker-up; fi
  fi
  build
  make_user
  local older=no
  ! answers || older=yes
  install_binary
  write_config
  share_port
  write_units
  run_it "$older"
  tell
}

# Options over what is configured over defaults.
settle() {
  local listens
  DATA=${DATA:-$(configured data)}
  DATA=${DATA:-$STATE/data}
  if is_installed && [ "$DATA" != "$(configured data)" ]; then
    fail "Hoist is installed here with its data in $(configured data)" "leave --data out, or ./install.sh --uninstall before"
  fi
  listens=$(configured ssh)
  SSH_PORT=${SSH_PORT:-${listens##*:}}
  SSH_PORT=${SSH_PORT:-2222}
  listens=$(configured http)
  HTTP_PORT=${HTTP_PORT:-${listens##*:}}
  HTTP_PORT=${HTTP_PORT:-80}
  [ "$SSH_PORT" != "$HTTP_PORT" ] || fail "SSH and HTTP cannot share port $SSH_PORT" "./install.sh --ssh-port 2222 --http-port 80"
}

check_machine() {
  # What is looked at before anything is installed.
  need ssh-keygen ss
  [ "$(uname -s)" = Linux ] || fail "this is $(uname -s), and Hoist runs on Linux" "use a Linux machine"
  [ "$((${#DATA} + SOCKET_ROOM))" -le 107 ] || fail "the data folder's name is too long for the sockets in it" "./install.sh --data /srv/hoist"
  [[ $DATA$BIN$CONFIG != *[[:space:]\"\'\\%]* ]] || fail "a folder with blanks, quotes, % or \\ in its name: $DATA" "./install.sh --data /srv/hoist"
  if [ -n "$BINARY" ]; then
    [ -x "$BINARY" ] || fail "$BINARY is no program" "cargo build --release --locked -p hoist, then --binary target/release/hoist"
  else
    command -v cargo >/dev/null 2>&1 || fail "cargo (Rust 1.88 or later) is needed to build Hoist" "install it with rustup (https://rustup.rs) and open a new shell, or give a binary: --binary FILE"
  fi
  if [ "$SHARE" = yes ]; then
    [ -z "$ROOT" ] || fail "sshd's settings are not below $ROOT" "leave --share-port-22 out"
    [ -x /usr/sbin/sshd ] || fail "there is no sshd here to share its port" "apt-get install openssh-server, or leave --share-port-22 out"
  fi
  if [ -n "$DOMAIN" ] && ! [[ $DOMAIN =~ ^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$ ]]; then
    fail "--domain $DOMAIN is no host name" "./install.sh --domain apps.example.com"
  fi
}

# Our own server and router may hold them, and the socket unit, by systemd itself.
check_ports() {
  local what port holder free
  for what in ssh http; do
    case $what in
      ssh) port=$SSH_PORT free=2222 ;;
      http) port=$HTTP_PORT free=8080 ;;
    esac
    holder=$(holder_of "$port")
    [ -n "$holder" ] || continue
    if is_installed && [[ $(configured "$what") = *:$port && ( $holder = hoist/* || $holder = systemd/1 ) ]]; then
      continue
    fi
    [ "$port" != "$free" ] || free=$((free + 1))
    fail "port $port is taken by $holder" "./install.sh --$what-port $free, or end what holds it"
  done
}

# The first administrator's keys, one a line, into KEYS; which they are is said.
find_keys() {
  KEYS=
  [ ! -s "$ADMIN_KEYS" ] || [ -n "$KEY" ] || return 0
  local home file
  if [ -n "$KEY" ]; then
    [ -r "$KEY" ] || fail "cannot read $KEY" "./install.sh --key ~/.ssh/id_ed25519.pub"
    take_keys "$KEY"
  else
    for home in "${ROOT_HOME:-/root}" "$([ -z "${SUDO_USER:-}" ] || getent passwd "$SUDO_USER" | cut -d: -f6)"; do
      file=$home/.ssh/authorized_keys
      [ -n "$KEYS" ] || [ -z "$home" ] || [ ! -r "$file" ] || take_keys "$file"
    done
  fi
  [ -n "$KEYS" ] || fail "there is no key for the first administrator in ${KEY:-the authorized_keys of root}" \
    "./install.sh --key FILE, with a public key such as ~/.ssh/id_ed25519.pub of your own machine"
}

# A line with a forced command is no way in for a person; DSA and short RSA keys are not accepted by the server either.
take_keys() {
  local line key seen
  while IFS= read -r line || [ -n "$line" ]; do
    [[ $line =~ ^[[:space:]]*(#|$) ]] && continue
    [[ $line = *PRIVATE\ KEY* ]] && fail "$1 is a private key" "./install.sh --key $1.pub"
    key=$(grep -oE '(ssh-ed25519|ssh-rsa|ecdsa-sha2-[a-z0-9-]+) +AAAA[A-Za-z0-9+/=]+.*' <<<"$line") || { note "not a key that Hoist takes: ${line:0:40}…"; continue; }
    [[ ${line%%"$key"} != *command=* ]] || { note "left out, it has a forced command: ${key: -20}"; continue; }
    seen=$(ssh-keygen -lf - <<<"$key" 2>/dev/null) || { note "not a key: ${line:0:40}…"; continue; }
    [[ $key != ssh-rsa* || ${seen%% *} -ge 2048 ]] || { note "left out, shorter than 2048 bits: $seen"; continue; }
    [ -n "$KEYS" ] || say "The first administrator's keys, from $1:"
    say "  ${seen#* }"
    KEYS+=$key$'\n'
  done <"$1"
}

build() {
  local stacks='' status=0 log
  log=$(mktemp)
  if [ -z "$ROOT" ]; then
    scripts/roots "$STACKS" >"$log" 2>&1 &
    stacks=$!
  fi
  if [ -z "$BINARY" ]; then
    step "building hoist (release)$([ -x "$BUILT" ] || echo '; the first time takes 5 to 10 minutes on two cores')"
    cargo build --release --locked -p hoist || fail "the build failed, the reason is above" "git status (a clean checkout builds), then run this again"
    BINARY=$BUILT
    done_step
  fi
  [ -z "$stacks" ] || wait "$stacks" || status=$?
  cat "$log"
  rm -f "$log"
  [ "$status" = 0 ] || fail "there is nothing to build apps in" "read the lines above, then run this again"
}

make_user() {
  [ -z "$ROOT" ] || return 0
  if ! getent passwd "$ROUTER_USER" >/dev/null; then
    quietly useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$ROUTER_USER"
    say "-- made the user $ROUTER_USER, whom the router runs as"
  fi
}

# install_file PATH MODE < text: whole or not at all.
install_file() {
  mkdir -p "$(dirname "$1")"
  cat >"$1.new"
  chmod "$2" "$1.new"
  mv -f "$1.new" "$1"
}

install_binary() {
  mkdir -p "$(dirname "$BIN")"
  if ! cmp -s "$BINARY" "$BIN"; then
    # Beside and moved: what runs keeps the old file.
    cp "$BINARY" "$BIN.new"
    chmod 755 "$BIN.new"
    mv -f "$BIN.new" "$BIN"
  fi
  say "-- $("$BIN" --version) is $BIN"
}

# Both families by one socket where the machine has the newer one.
every_address() { if [ -s /proc/net/if_inet6 ]; then printf '[::]'; else printf '0.0.0.0'; fi; }

# An upgrade keeps the file, and changes in it only what was asked for.
write_config() {
  local hosting base ssh_host
  mapfile -t hosting < <("$BIN" hosting ${DOMAIN:+--domain "$DOMAIN"})
  base=${hosting[0]} ssh_host=${hosting[1]} REMARK=${hosting[2]}
  install -d -m 755 "$STATE" "$(dirname "$CONFIG")" "$LOG_DIR"
  install -d -m 700 "$DATA"
  if getent passwd "$ROUTER_USER" >/dev/null; then
    install -d -m 700 -o "$ROUTER_USER" -g "$ROUTER_USER" "$ROUTER_DIR"
  else
    install -d -m 700 "$ROUTER_DIR"
  fi
  [ -z "$KEYS" ] || printf %s "$KEYS" | install_file "$ADMIN_KEYS" 644
  if ! is_installed; then
    local bundle=${HOIST_CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}
    [ -r "$bundle" ] || bundle=
    install_file "$CONFIG" 644 <<TOML
# Hoist's settings; \`hoist --help\` lists them all. After a change: systemctl restart hoist (http: hoist-router.socket too)
data = "$DATA"
ssh = "$(every_address):$SSH_PORT"
http = "$(every_address):$HTTP_PORT"
base-domain = "$base"
ssh-host = "$ssh_host"
stacks = "$STACKS"
first-admin-keys = "$ADMIN_KEYS"
# systemd starts the router and holds its socket.
router = "external"
router-dir = "$ROUTER_DIR"
${bundle:+# Builds trust the authorities that this machine trusts.
ca-bundle = \"$bundle\"}
TOML
    say "-- settings are in $CONFIG"
    return 0
  fi
  say "-- $CONFIG is kept"
  [[ $(configured ssh) = *:$SSH_PORT ]] || set_config ssh "$(every_address):$SSH_PORT"
  [[ $(configured http) = *:$HTTP_PORT ]] || set_config http "$(every_address):$HTTP_PORT"
  if [ -n "$DOMAIN" ]; then
    set_config base-domain "$base"
    set_config ssh-host "$ssh_host"
  else
    REMARK=
  fi
}

# Before the server starts, which reads it; sshd checks the whole before it is told. An upgrade that does not ask for it
# renews it: the drop-in is the new program's.
share_port() {
  [ "$SHARE" = yes ] || [ -n "$(configured ssh-share)" ] || return 0
  if [ -n "$ROOT" ]; then
    note "sshd is this machine's, not one below $ROOT: its port is not shared"
    return 0
  fi
  step "sharing sshd's port"
  [ -n "$(configured ssh-share)" ] || set_config ssh-share hoist
  scripts/share-port-22 enable --data "$DATA" --program "$BIN" --user "$(configured ssh-share)"
  done_step
}

set_config() {
  { grep -v "^$1 = " "$CONFIG"; printf '%s = "%s"\n' "$1" "$2"; } | install_file "$CONFIG" 644
  say "   $1 = \"$2\""
}

# run_it OLDER: starts everything, or says how; OLDER: a server ran before.
run_it() {
  RUNS=no
  if has_systemd; then
    step "starting hoist by systemd"
    quietly systemctl daemon-reload
    quietly systemctl enable hoist-router.socket hoist-router.service hoist.service
    move_socket
    quietly systemctl start hoist-router.socket hoist-router.service
    quietly systemctl restart hoist.service
    RUNS=yes
  elif [ "$1" = yes ]; then
    step "starting the server anew; the router serves on"
    restart_by_hand
    RUNS=yes
  fi
  [ "$RUNS" = yes ] || return 0
  local end=$((SECONDS + READY_WITHIN))
  until answers; do
    [ "$SECONDS" -lt "$end" ] || fail "hoist does not answer after $READY_WITHIN s" "journalctl -u hoist -n 50, or tail -n 50 $LOG_DIR/hoist.log"
    sleep 0.2
  done
  done_step
  tell_of_router
}

# A socket unit keeps its old port until it is started again.
move_socket() {
  if systemctl is-active --quiet hoist-router.socket && [ -z "$(holder_of "$HTTP_PORT")" ]; then
    quietly systemctl stop hoist-router.service hoist-router.socket
  fi
}

restart_by_hand() {
  local pid end=$((SECONDS + READY_WITHIN))
  for pid in $(processes_of serve); do
    kill -TERM "$pid"
    while kill -0 "$pid" 2>/dev/null; do
      [ "$SECONDS" -lt "$end" ] || fail "the older server (process $pid) does not end" "kill $pid, then run this again"
      sleep 0.1
    done
  done
  eval "$(start_serve)"
}

# The router is not restarted: it holds connections. It runs the older program until somebody chooses the moment.
tell_of_router() {
  local pid
  for pid in $(processes_of router); do
    if ! cmp -s "/proc/$pid/exe" "$BIN"; then
      if has_systemd; then
        note "the router serves on with the older program. To change it: systemctl restart hoist-router (new connections wait, none is refused, until requests in flight have ended, 30 s at most)"
      else
        note "the router serves on with the older program. To change it: kill $pid; $(start_router)"
      fi
    fi
  done
}

tell() {
  local port=:$SSH_PORT http=:$HTTP_PORT host base remote ssh user
  [ "$SSH_PORT" != 22 ] || port=
  [ "$HTTP_PORT" != 80 ] || http=
  host=$(configured ssh-host)
  base=$(configured base-domain)
  remote=ssh://hoist@$host$port/my-app
  ssh="ssh${port:+ -p ${port#:}} hoist@$host"
  user=$(configured ssh-share)
  if [ -n "$user" ]; then
    remote=$user@$host:my-app
    ssh="ssh $user@$host"
  fi
  say ''
  if [ "$RUNS" = yes ]; then
    say "Hoist is installed and runs. It took $((SECONDS / 60)) min $((SECONDS % 60)) s."
  else
    say "Hoist is installed, and does not run yet: systemd is not what started this machine."
    say "Start it by hand, as root, with these two commands (the second waits for the first):"
    say "  $(start_router)"
    say "  $(start_serve)"
  fi
  cat <<TELL

Push an app (Node.js, Python, Go, a static site, or a Dockerfile): in its folder, with its files committed,
  git remote add hoist $remote
  git push hoist HEAD:main
It then answers at http://my-app.$base$http/ (choose another name than my-app: small letters, digits, -).

TELL
  [ -z "$REMARK" ] || say "Domain:         $REMARK."
  cat <<TELL
Another domain: point it and *.it here, then $ssh domains:set-base NAME
All commands:   $ssh help
Check it:       $([ -z "$ROOT" ] && echo hoist || echo "$BIN --data $DATA") doctor      (as root)
TELL
}
