//! Debian's packages in a build: fetched by apt as a user without rights and unpacked into a folder, never installed.
//! Invariant: apt checks every package against Debian's keys. Where the packages are is told by two variables of the
//! sandbox, [`MIRROR`] and [`SECURITY`], which the shell sets: no plan names a host.
//! Absent: maintainer scripts, which need root and a system that is theirs.

/// In the sandbox, where Debian's main archive is.
pub const MIRROR: &str = "HOIST_DEBIAN_MIRROR";
/// In the sandbox, where Debian's security archive is; may be empty.
pub const SECURITY: &str = "HOIST_DEBIAN_SECURITY";

/// `apt_for SUITE STATUS` makes apt work for one suite, with STATUS as the list of what is installed. The stack's own
/// suite comes with its updates; of another, lists past their date are taken too (a suite in testing has no fresh ones).
pub(crate) const APT: &str = r#"set -eu
: "${HOIST_DEBIAN_MIRROR:?the server does not know where Debian packages are: run scripts/stacks again}"
apt_for() {
  apt=/tmp/apt-$1
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/debs"
  key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
  echo "deb $key $HOIST_DEBIAN_MIRROR $1 main" >"$apt/sources.list"
  stale=true
  if grep -q "^VERSION_CODENAME=$1\$" /etc/os-release; then
    stale=false
    echo "deb $key $HOIST_DEBIAN_MIRROR $1-updates main" >>"$apt/sources.list"
    [ -z "${HOIST_DEBIAN_SECURITY:-}" ] || echo "deb $key $HOIST_DEBIAN_SECURITY $1-security main" >>"$apt/sources.list"
  fi
  cat >"$apt/apt.conf" <<CONF
Dir::State "$apt"; Dir::State::lists "$apt/lists"; Dir::State::status "$2"; Dir::Cache "$apt"; Dir::Log "$apt";
Dir::Etc::sourcelist "$apt/sources.list"; Dir::Etc::sourceparts "/dev/null"; Dir::Etc::parts "/dev/null";
Dir::Etc::preferencesparts "/dev/null"; Dir::Etc::trustedparts "/dev/null"; APT::Sandbox::User "";
Acquire::Languages "none"; Acquire::Retries "3"; Acquire::http::Timeout "20"; APT::Install-Recommends "false";
Acquire::Check-Valid-Until "$([ $stale = true ] && echo false || echo true)"; Debug::NoLocking "true";
Dpkg::Use-Pty "false"; APT::Get::Assume-Yes "true";
CONF
  export APT_CONFIG="$apt/apt.conf"
  apt-get -qq update
}
"#;
