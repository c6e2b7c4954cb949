//! What git-lfs calls.

use super::super::Verb;
use super::super::spec::{AppArg, Arg, BASE, Group, Spec, Stdin, optional, required};
use crate::access::Need;

const OPERATION: Arg = required("OPERATION", "upload, as git push does, or download, as git clone does");

pub(in super::super) const TRANSFER: Spec = Spec {
    verb: Verb::GitLfsTransfer,
    name: "git-lfs-transfer",
    app: AppArg::GitPath,
    args: &[OPERATION],
    need: Need::ManageOrCreate,
    deploy_key: true,
    git: true,
    stdin: Stdin::Always,
    summary: "git lfs push, git lfs fetch: the large files that commits name by pointers",
    help: "A push sends them by itself where `git lfs install` was run. Who may push may upload; who may clone may download.",
    examples: &["git-lfs-transfer /blog upload"],
    group: Group::Git,
    ..BASE
};

pub(in super::super) const AUTHENTICATE: Spec = Spec {
    verb: Verb::GitLfsAuthenticate,
    name: "git-lfs-authenticate",
    app: AppArg::GitPath,
    args: &[OPERATION, optional("OID", "An object, of which versions of long ago tell")],
    need: Need::ManageOrCreate,
    deploy_key: true,
    git: true,
    stdin: Stdin::Always,
    summary: "What a git-lfs before 3.0 asks, and one whose transfer was refused: answered with why",
    examples: &["git-lfs-authenticate blog.git download"],
    group: Group::Git,
    ..BASE
};
