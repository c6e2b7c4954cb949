# shellcheck shell=bash
# ./install.sh --uninstall: the way back. Apps and data stay on the disk unless --purge. Sourced by install.sh.

uninstall() {
  need_root --uninstall
  DATA=${DATA:-$(configured data)}
  DATA=${DATA:-$STATE/data}
  if ! is_installed && [ ! -e "$BIN" ] && { [ "$PURGE" = no ] || [ ! -d "$DATA" ]; }; then
    say "Hoist is not installed here${ROOT:+ (below $ROOT)}"
    return 0
  fi
  [ "$PURGE" = no ] || [ "$YES" = yes ] || [ -t 0 ] || fail "--purge deletes every app, its data and its logs" "./install.sh --uninstall --purge --yes"
  confirm "End Hoist and its apps$([ "$PURGE" = no ] || echo ', and delete all their data')?"
  end_everything
  [ -z "$(configured ssh-share)" ] || scripts/share-port-22 disable --remove-user
  [ "$PURGE" = no ] || remove_images
  if [ -z "$ROOT" ] && [ -n "$(configured ssh-share)" ]; then
    scripts/share-port-22 disable --user "$(configured ssh-share)" --remove-user
  fi
  step "removing units, program, settings, user"
  rm -f "$UNITS/hoist.service" "$UNITS/hoist-router.service" "$UNITS/hoist-router.socket"
  ! has_systemd || quietly systemctl daemon-reload
  rm -f "$BIN" "$BIN.new" "$CONFIG" "$ADMIN_KEYS"
  rmdir "$(dirname "$CONFIG")" 2>/dev/null || true
  if [ "$PURGE" = yes ]; then
    rm -rf "$DATA" "$ROUTER_DIR"
    rm -f "$LOG_DIR/hoist.log" "$LOG_DIR/hoist-router.log"
    rmdir "$STATE" 2>/dev/null || true
  fi
  if [ -z "$ROOT" ] && getent passwd "$ROUTER_USER" >/dev/null; then
    userdel "$ROUTER_USER" 2>/dev/null || note "the user $ROUTER_USER stays: a process of it still runs"
  fi
  done_step
  if [ "$PURGE" = yes ]; then
    say "Docker and the stacks in $STACKS stay."
  else
    say "The data is still in $DATA: ./install.sh --data $DATA goes on with it; ./install.sh --uninstall --purge --data $DATA deletes it."
  fi
}

# Apps end in order only by a server; one that was killed is started for it once more.
end_everything() {
  local pid
  if ! answers && left_behind && [ -x "$BIN" ]; then
    step "starting hoist, to end what an earlier one left"
    eval "$(start_serve)"
    wait_for_answer || note "it does not start (tail $LOG_DIR/hoist.log): its apps may still run in Docker"
    done_step
  fi
  if answers; then
    step "ending hoist and its apps"
    # The socket first: it would start the router again.
    ! has_systemd || quietly systemctl stop hoist-router.socket
    local_hoist shutdown --apps || note "it did not end in order"
    done_step
  fi
  if has_systemd; then
    systemctl disable --now hoist.service hoist-router.socket hoist-router.service >/dev/null 2>&1 || true
  fi
  for pid in $(processes_of serve) $(processes_of router); do
    kill -TERM "$pid" 2>/dev/null || true
    local end=$((SECONDS + READY_WITHIN))
    while kill -0 "$pid" 2>/dev/null; do
      [ "$SECONDS" -lt "$end" ] || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.1
    done
  done
}

wait_for_answer() {
  local end=$((SECONDS + READY_WITHIN))
  until answers; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

install_id() { sed -n 's/.*"install":"\([a-z0-9]*\)".*/\1/p' "$DATA/addresses.json" 2>/dev/null || true; }

left_behind() {
  local id
  id=$(install_id)
  [ -n "$id" ] && [ -n "$(docker ps -aq --filter "label=hoist.install=$id" 2>/dev/null)" ]
}

remove_images() {
  local id images=()
  id=$(install_id)
  [ -z "$id" ] || mapfile -t images < <(docker images --format '{{.Repository}}:{{.Tag}}' "hoist/$id-*")
  [ "${#images[@]}" = 0 ] || docker rmi "${images[@]}" >/dev/null 2>&1 || note "some images stay in Docker: docker images 'hoist/$id-*'"
}
