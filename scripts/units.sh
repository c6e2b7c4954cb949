# shellcheck shell=bash
# The systemd units: the socket holds the port, so that no restart of the router refuses a connection; the router is a
# user of its own; the server (root: it owns Docker and the firewall) waits for it and never starts it. Sourced by install.sh.

write_units() {
  mkdir -p "$UNITS"
  router_socket | install_file "$UNITS/hoist-router.socket" 644
  router_service | install_file "$UNITS/hoist-router.service" 644
  serve_service | install_file "$UNITS/hoist.service" 644
}

router_socket() {
  cat <<UNIT
[Unit]
Description=Hoist: the port that apps answer on

[Socket]
ListenStream=$(configured http)
FileDescriptorName=http
Service=hoist-router.service

[Install]
WantedBy=sockets.target
UNIT
}

# KillMode=process: a router that still answers its last requests is not the main process any more, and goes on.
router_service() {
  cat <<UNIT
[Unit]
Description=Hoist: the router
Requires=hoist-router.socket
After=hoist-router.socket network.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
ExecStart=$BIN router --config $CONFIG
User=$ROUTER_USER
Group=$ROUTER_USER
UMask=0077
Restart=always
RestartSec=200ms
KillMode=process
TimeoutStopSec=45
LimitNOFILE=524288
OOMScoreAdjust=-600

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths=$ROUTER_DIR
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
UNIT
}

# Restart=on-failure: the command `shutdown` ends it for good. Short of memory, the host ends git's programs first (they say so
# of themselves), then apps, then this; what one of its programs is ended for ends no other (OOMPolicy).
serve_service() {
  cat <<UNIT
[Unit]
Description=Hoist: git push to this server
Wants=network-online.target docker.service hoist-router.service
After=network-online.target docker.service hoist-router.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=$BIN serve --config $CONFIG
Restart=on-failure
RestartSec=1
KillMode=mixed
TimeoutStartSec=300
TimeoutStopSec=30
LimitNOFILE=65536
OOMScoreAdjust=-500
OOMPolicy=continue
MemoryMax=$(server_memory)M

[Install]
WantedBy=multi-user.target
UNIT
}

# What the server itself may take, in MB: half of the machine's memory, 512 at least and 2,048 at most. With what git may take,
# where that has no group of its own.
server_memory() {
  local half git
  half=$(($(awk '/^MemTotal:/ { print $2 }' /proc/meminfo) / 2048))
  half=$((half < 512 ? 512 : half > 2048 ? 2048 : half))
  git=$(configured git-memory)
  echo "$((half + ${git:-0}))"
}
