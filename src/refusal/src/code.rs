//! All the ways to say no, in one table: what a program compares, a script reads and docs/refusals.md explains.
//!
//! A code is never given another meaning, and none is removed: deploys and builds of years ago keep theirs in the database.

use serde::{Deserialize, Serialize, de};
use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($($group:literal: $($name:ident = $word:literal, $meaning:literal;)+)+) => {
        /// Which refusal it is. See [`CODES`] for what each means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $meaning] $name,)+)+
        }

        /// Every code, by what it is about, in the order of docs/refusals.md.
        pub const CODES: &[Row] = &[
            $($(Row { code: Code::$name, word: $word, group: $group, meaning: $meaning },)+)+
        ];

        impl Code {
            /// As scripts, files and the database have it: `no-such-app`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($(Code::$name => $word,)+)+
                }
            }
        }
    };
}

/// A row of [`CODES`].
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The code.
    pub code: Code,
    /// Its word.
    pub word: &'static str,
    /// What it is about, as a heading.
    pub group: &'static str,
    /// What happened, in one sentence.
    pub meaning: &'static str,
}

/// A word that is no code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no code of a refusal", self.0)
    }
}

impl std::error::Error for Unknown {}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Code {
    type Err = Unknown;
    fn from_str(word: &str) -> Result<Code, Unknown> {
        CODES.iter().find(|row| row.word == word).map(|row| row.code).ok_or_else(|| Unknown(word.to_owned()))
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Code, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

codes! {
    "Who and what":
    AlreadyRunning = "already-running", "Another server works on this data folder.";
    AppDestroyed = "app-destroyed", "The app is being destroyed.";
    AppGone = "app-gone", "The app was destroyed while the command worked.";
    AppMissing = "app-missing", "The command needs an app, and none was named.";
    AppRenamed = "app-renamed", "The app has another name now.";
    ArgumentMissing = "argument-missing", "The command needs one more argument.";
    BadAppName = "bad-app-name", "This cannot be the name of an app.";
    BadAssignment = "bad-assignment", "A config var is written NAME=VALUE.";
    BadBase = "bad-base", "This cannot be the domain below which apps get their names.";
    BadBranchName = "bad-branch-name", "This cannot be the name of a branch here.";
    BadBuild = "bad-build", "A build is named by its number.";
    BadCommit = "bad-commit", "This is not the id of a commit.";
    BadConfigFile = "bad-config-file", "The file of config vars has lines that cannot be read.";
    BadDockerHost = "bad-docker-host", "DOCKER_HOST is not a Unix socket of this machine.";
    BadEventType = "bad-event-type", "There are no events of this type.";
    BadFormat = "bad-format", "There is no such format of a file of config vars.";
    BadGrep = "bad-grep", "The expression to search for cannot be read.";
    BadHost = "bad-host", "This is not the host of an image registry.";
    BadHostname = "bad-hostname", "This is not a host name.";
    BadId = "bad-id", "This is not the id of an app or of an installation.";
    BadKeyName = "bad-key-name", "This cannot be the name of a deploy key.";
    BadNumber = "bad-number", "An option takes a number, and within limits.";
    BadPath = "bad-path", "A path cannot be written into the configuration of sshd.";
    BadPool = "bad-pool", "These addresses cannot be given to apps.";
    BadPort = "bad-port", "A port is a number from 1 to 65535.";
    BadProcess = "bad-process", "This is neither a process type nor an instance.";
    BadProcessType = "bad-process-type", "This cannot be the name of a process type.";
    BadQuota = "bad-quota", "This cannot be a limit of that kind.";
    BadRelease = "bad-release", "A release is named v and a number.";
    BadRepository = "bad-repository", "This is not the path of an app's repository.";
    BadRoot = "bad-root", "An app's root is a folder of its repository.";
    BadScale = "bad-scale", "A scale is a process type and how many.";
    BadSetting = "bad-setting", "This cannot be the value of that setting.";
    BadSource = "bad-source", "There is no such source of log lines.";
    BadSpool = "bad-spool", "This is not the name of a file of log lines.";
    BadSubnet = "bad-subnet", "This is not a range of addresses.";
    BadTarget = "bad-target", "This cannot be the name of a stage of a Dockerfile.";
    BadTime = "bad-time", "This is not a time.";
    BadUser = "bad-user", "This cannot be a user of an image registry.";
    BadUserName = "bad-user-name", "This cannot be the name of a user.";
    BadVarName = "bad-var-name", "This cannot be the name of a config var.";
    BaseTaken = "base-taken", "Domains of apps stand where other apps would get their names.";
    BranchDeletion = "branch-deletion", "A push does not delete branches.";
    BranchMoved = "branch-moved", "Another push was faster.";
    Busy = "busy", "As many are at work as may be at once.";
    Cancelled = "cancelled", "Somebody cancelled it.";
    CannotEnter = "cannot-enter", "The instance cannot be entered.";
    CommitTooLarge = "commit-too-large", "The commit's own text is too long.";
    ConfigTooLarge = "config-too-large", "The app has as many or as long config vars as it may.";
    DatabaseUnwritable = "database-unwritable", "The server cannot write its database.";
    DefaultName = "default-name", "The app answers at that name without a domain.";
    DiskFull = "disk-full", "The disk of the server is full.";
    DiskLow = "disk-low", "The disk of the server is nearly full.";
    EmptyPush = "empty-push", "The push changes nothing.";
    EngineDown = "engine-down", "Docker is not running.";
    EngineHung = "engine-hung", "Docker does not answer.";
    EnterOff = "enter-off", "The app may not be entered: its setting says so.";
    Fault = "fault", "The server could not do it; the fault's id finds the cause in its log.";
    GitTooOld = "git-too-old", "The server's git is too old for pushes.";
    HasADockerfile = "has-a-dockerfile", "The app has a Dockerfile of its own; none is written from a plan.";
    HookBroken = "hook-broken", "A hook of the operator cannot be started.";
    HookRefused = "hook-refused", "A hook of the operator said no.";
    HookSlow = "hook-slow", "A hook of the operator was not done in time.";
    HookUnsafe = "hook-unsafe", "A hook of the operator could be changed by others and is not run.";
    HostnameReserved = "hostname-reserved", "The host name is the server's own.";
    HostnameTaken = "hostname-taken", "The host name belongs to another app.";
    ImageGone = "image-gone", "The image of that release was removed.";
    InputTooLong = "input-too-long", "More came on standard input than is read.";
    KeyKnown = "key-known", "The key is somebody's already.";
    KeyMissing = "key-missing", "No key came on standard input.";
    KeyNotAccepted = "key-not-accepted", "Keys of that kind or size are not accepted.";
    LastAdmin = "last-admin", "Without that administrator's key nobody could manage the server.";
    LastKey = "last-key", "Without that key its user could not come in again.";
    LfsClient = "lfs-client", "The git-lfs of the client is older than 3.0 and cannot send files over ssh.";
    LfsObject = "lfs-object", "A Git LFS file is too large, or did not arrive as it was announced.";
    LfsPointers = "lfs-pointers", "The commit names Git LFS files that were not sent.";
    LineTooLong = "line-too-long", "The command is too long.";
    ManyKeys = "many-keys", "Several keys begin like that.";
    NameMissing = "name-missing", "The key brings no name; give one.";
    NameTaken = "name-taken", "The name is in use.";
    NeverLive = "never-live", "That release never went live.";
    NoAddress = "no-address", "The app has no address left for another instance.";
    NoAddresses = "no-addresses", "The address pool has no range left for another app.";
    NoBuilder = "no-builder", "The builder of Dockerfiles is not installed.";
    NoCommand = "no-command", "Neither the Procfile nor the image says what to start.";
    NoControlGroups = "no-control-groups", "Control groups are missing, so Dockerfiles are not built.";
    NoNetwork = "no-network", "As many apps have a network as there can be.";
    NoSpace = "no-space", "The disk of Docker is full.";
    NoStack = "no-stack", "The stack is not installed on this server.";
    NoSuchApp = "no-such-app", "There is no app of that name, or it may not be seen.";
    NoSuchBuild = "no-such-build", "The app has no such build.";
    NoSuchBuildpack = "no-such-buildpack", "There is no such buildpack.";
    NoSuchCommit = "no-such-commit", "The repository has no such commit.";
    NoSuchDomain = "no-such-domain", "The app has no such domain.";
    NoSuchInstance = "no-such-instance", "Nothing of that name runs.";
    NoSuchKey = "no-such-key", "There is no such key.";
    NoSuchLine = "no-such-line", "The log does not reach there yet.";
    NoSuchLogin = "no-such-login", "There is no login to that image registry.";
    ProcessTypeGone = "process-type-gone", "The new version lacks a process type that requests go to.";
    NoSuchProcessType = "no-such-process-type", "The release has no such process type.";
    NoSuchQuota = "no-such-quota", "There is no quota of that kind.";
    NoSuchRelease = "no-such-release", "The app has no such release.";
    NoSuchSetting = "no-such-setting", "There is no such setting.";
    NoSuchStack = "no-such-stack", "There is no such stack.";
    NoSuchUser = "no-such-user", "There is no user of that name.";
    NoSuchVar = "no-such-var", "The config var is not set.";
    NotABranch = "not-a-branch", "Only a branch deploys.";
    NotACommit = "not-a-commit", "That is not a commit.";
    NotAKey = "not-a-key", "That is not a public key.";
    NotAllowed = "not-allowed", "The user may not do this.";
    NotConfirmed = "not-confirmed", "What destroys something wants to be confirmed.";
    NotDeployed = "not-deployed", "The app has no release yet.";
    NotForDeployKeys = "not-for-deploy-keys", "A deploy key may not do this.";
    NotItsOwner = "not-its-owner", "Only the app's owner or an administrator may do this.";
    NotTakenIn = "not-taken-in", "The server could not write the job down in time.";
    NotTheDeployBranch = "not-the-deploy-branch", "The branch is not the one that deploys.";
    NotUtf8 = "not-utf8", "An argument is not UTF-8 text.";
    NothingBefore = "nothing-before", "There is no earlier release.";
    NothingRuns = "nothing-runs", "No build of the app runs or waits.";
    NothingToImport = "nothing-to-import", "No config var came on standard input.";
    NothingToSet = "nothing-to-set", "Nothing was named that could be set.";
    Nul = "nul", "An argument holds a NUL byte.";
    OnlyWhole = "only-whole", "Stopping and starting is for the whole app; a process type is scaled.";
    Overtaken = "overtaken", "Another push changed the repository meanwhile.";
    PageEmpty = "page-empty", "No page came on standard input.";
    PageNotText = "page-not-text", "The page on standard input is not UTF-8 text.";
    PageTooLong = "page-too-long", "The page on standard input is too long.";
    PasswordMissing = "password-missing", "No password came on standard input.";
    PathTooLong = "path-too-long", "The path of the data folder is too long for a socket.";
    PrivateKey = "private-key", "That is a private key, which nobody but its owner may have.";
    ProgramMissing = "program-missing", "A program that the server needs is not installed.";
    QuotaApps = "quota-apps", "The owner has as many apps as they may.";
    QuotaBuilds = "quota-builds", "The owner has as many builds at once as they may.";
    QuotaCommands = "quota-commands", "The user has as many commands at once as they may.";
    QuotaDisk = "quota-disk", "The owner's apps use as much disk as they may.";
    QuotaInstances = "quota-instances", "The owner's apps have as many instances as they may.";
    QuotaMemory = "quota-memory", "The owner's apps have as much memory as they may.";
    QuotaProcessors = "quota-processors", "The owner's apps have as much processor time as they may.";
    QuotaPushes = "quota-pushes", "The user has as many pushes at once as they may.";
    QuotaSessions = "quota-sessions", "The user has as many sessions at once as they may.";
    ReferenceCircle = "reference-circle", "Config vars refer to each other in a circle.";
    ReservedName = "reserved-name", "The name is kept for the platform.";
    ReservedVar = "reserved-var", "The platform sets that config var itself.";
    RightLost = "right-lost", "Who began it may not change the app any more.";
    RoleMissing = "role-missing", "A user's role was not said.";
    RunCancelled = "run-cancelled", "The one-off instance was cancelled before it started.";
    SearchTooSlow = "search-too-slow", "The search took too long.";
    SecretVar = "secret-var", "The config var is secret: its value is not shown again.";
    SeveralBranches = "several-branches", "The push has several branches; one deploys.";
    SeveralLines = "several-lines", "A line has one command.";
    ShallowDetach = "shallow-detach", "A shallow clone cannot be pushed with detach.";
    ShallowStale = "shallow-stale", "Another shallow push changed the repository meanwhile.";
    StillRunning = "still-running", "The one-off instance has not ended yet.";
    Submodules = "submodules", "A submodule of the commit cannot be fetched.";
    Superseded = "superseded", "A later push took its place in the queue.";
    TagPush = "tag-push", "Tags are not kept here.";
    TooDeep = "too-deep", "Folders of the commit are nested too deep.";
    TooLate = "too-late", "The build was live already.";
    TooManyBuilds = "too-many-builds", "As many builds wait as may wait.";
    TooManyDomains = "too-many-domains", "The app has as many domains as it may.";
    TooManyInstances = "too-many-instances", "The app has as many instances as it may.";
    TooManyNames = "too-many-names", "More build secrets or arguments are named than may be.";
    TooManyRefs = "too-many-refs", "The push names more branches and tags than it may.";
    TooManyRuns = "too-many-runs", "The app has as many one-off instances as it may.";
    TooManyTails = "too-many-tails", "As many readers follow the log as may.";
    TooManyWords = "too-many-words", "The command has more words than it may.";
    TooMuchMemory = "too-much-memory", "Git would take more memory than one may have here.";
    TooSlow = "too-slow", "The push came too slowly, and others wait for its place.";
    TreeTooLarge = "tree-too-large", "The commit has a folder with too many files.";
    UnbalancedQuotes = "unbalanced-quotes", "The quotes of the command do not match.";
    UnknownCommand = "unknown-command", "There is no such command.";
    UnknownPushOption = "unknown-push-option", "There is no such push option.";
    UnknownReference = "unknown-reference", "A config var refers to what is not there.";
    Usage = "usage", "The command is not written like that.";
    UserExists = "user-exists", "There is a user of that name.";
    UserMissing = "user-missing", "No user was named.";
    ValueHasNul = "value-has-nul", "The value of a config var has a NUL byte.";
    ValueNotText = "value-not-text", "The value of a config var is not UTF-8 text.";
    ValueTooLong = "value-too-long", "The value of a config var is too long.";
    WildcardNeedsAdmin = "wildcard-needs-admin", "Only an administrator may give an app all names below a domain.";
    Yourself = "yourself", "Nobody removes themselves.";
    "Building":
    AptfileLine = "aptfile-line", "A line of the Aptfile is not the name of a Debian package.";
    AptfileLong = "aptfile-long", "The Aptfile names too much.";
    AptfileUnread = "aptfile-unread", "The Aptfile cannot be read.";
    BadDockerfile = "bad-dockerfile", "The Dockerfile has a mistake.";
    BadJson = "bad-json", "A JSON file of the app cannot be read.";
    BadProcfile = "bad-procfile", "The Procfile has a mistake.";
    BadSiteRoot = "bad-site-root", "The folder of the site cannot be served.";
    BadSiteRule = "bad-site-rule", "A rule of static.json cannot be followed.";
    BadSlugignore = "bad-slugignore", "The file .slugignore is too large.";
    BadToml = "bad-toml", "A TOML file of the app cannot be read.";
    BaseImageDenied = "base-image-denied", "The base image needs a login.";
    BaseImageUnreachable = "base-image-unreachable", "The base image cannot be fetched.";
    BuildDisk = "build-disk", "The build wrote more than it may.";
    BuildFailed = "build-failed", "A command of the build failed.";
    BuildGone = "build-gone", "Somebody removed the build's container.";
    BuildMemory = "build-memory", "The build used more memory than it may.";
    BuildNetwork = "build-network", "A command of the build could not reach a host.";
    BuildPermission = "build-permission", "A command of the build may not do what it tried.";
    BuildProcesses = "build-processes", "The build started more processes than it may.";
    BuildTimeout = "build-timeout", "The build took longer than it may.";
    BuildTls = "build-tls", "A command of the build does not trust a certificate.";
    BuilderAway = "builder-away", "The builder of Dockerfiles does not answer.";
    DockerfileNewer = "dockerfile-newer", "The Dockerfile has what the server's builder does not know yet.";
    DockerfileSyntax = "dockerfile-syntax", "The Dockerfile asks for a frontend that is not used here.";
    EmptyTree = "empty-tree", "The commit has no files.";
    FileTooLarge = "file-too-large", "A file of the app is too large to be read.";
    GoInstallUnclear = "go-install-unclear", "What Go is told to install is not a package of the app.";
    GoStack = "go-stack", "Go apps are not built on that stack.";
    GoSumMissing = "go-sum-missing", "Without go.sum modules cannot be checked.";
    GoVersionUnavailable = "go-version-unavailable", "There is no such version of Go.";
    GoVersionUnclear = "go-version-unclear", "The version of Go cannot be understood.";
    LockMissing = "lock-missing", "The file that says the versions of dependencies is missing.";
    LockNotSupported = "lock-not-supported", "The lock file is one of a package manager that is not known here.";
    LookupFailed = "lookup-failed", "A package registry could not be asked.";
    LookupSlow = "lookup-slow", "A package registry did not answer in time.";
    LookupUnclear = "lookup-unclear", "The answer of a package registry cannot be read.";
    NoLockFile = "no-lock-file", "No build made a lock file that is kept.";
    NoDockerfile = "no-dockerfile", "The commit has no such Dockerfile.";
    NoGoMod = "no-go-mod", "The app is not a Go module.";
    NoPackageJson = "no-package-json", "The app has no package.json.";
    NoPackageSources = "no-package-sources", "The image has no sources to install packages from.";
    NoProcfile = "no-procfile", "Nothing says what to run.";
    NoPyproject = "no-pyproject", "The file pyproject.toml is missing.";
    NoRuby = "no-ruby", "Debian names no version of Ruby.";
    NoServer = "no-server", "No web server is among the app's dependencies.";
    NoSite = "no-site", "There is no site to serve.";
    NoStartCommand = "no-start-command", "Nothing says how to start the app.";
    NoSuchFile = "no-such-file", "A file that the build needs is not in the commit.";
    NoSuchImage = "no-such-image", "There is no such base image.";
    NoSuchPackage = "no-such-package", "There is no such package.";
    NoSuchProgram = "no-such-program", "A command of the build is not installed.";
    NoSuchSecret = "no-such-secret", "A build secret is not among the app's config vars.";
    NoSuchStage = "no-such-stage", "The Dockerfile has no such stage.";
    NodeVersionUnclear = "node-version-unclear", "The version of Node.js cannot be understood.";
    NotExecutable = "not-executable", "A script that is to be started is not marked as executable in git.";
    NotAFile = "not-a-file", "What should be a file is none.";
    NotForAnImage = "not-for-an-image", "A path cannot be part of an image.";
    NotYourImage = "not-your-image", "The Dockerfile builds on an image of another app.";
    NothingToBuild = "nothing-to-build", "Nothing in the commit says in what language the app is.";
    NpmVersionUnclear = "npm-version-unclear", "The version of npm cannot be understood.";
    OldBuilder = "old-builder", "The builder of Dockerfiles is too old to be safe.";
    PythonVersionUnavailable = "python-version-unavailable", "There is no such version of Python here.";
    PythonVersionUnclear = "python-version-unclear", "The version of Python cannot be understood.";
    RegistryUnreachable = "registry-unreachable", "A package registry cannot be reached.";
    RequirementsMissing = "requirements-missing", "A requirements file names one that is missing.";
    RootMissing = "root-missing", "The commit has no folder that the app's root names.";
    SitePassword = "site-password", "The site is not served without its password.";
    SiteRootMissing = "site-root-missing", "The folder of the site is missing.";
    TooManyRules = "too-many-rules", "The file static.json has more rules than it may.";
    ToolVersionUnavailable = "tool-version-unavailable", "There is no such version of the tool.";
    UnknownBuildpack = "unknown-buildpack", "There is no such buildpack here.";
    VersionNotPublished = "version-not-published", "No version is published that fits.";
    VersionsUnknown = "versions-unknown", "A package registry did not say what versions there are.";
    WindowsLineEnds = "windows-line-ends", "A script has the line ends of Windows, which Linux takes for part of a name.";
    WhichPort = "which-port", "The image exposes several ports, and the router needs one.";
    "Starting":
    BootCrash = "boot-crash", "An instance ended while it started.";
    BootDisk = "boot-disk", "An instance filled its disk while it started.";
    BootMemory = "boot-memory", "An instance ran out of memory while it started.";
    BootTimeout = "boot-timeout", "An instance did not open its port in time.";
    ReleaseCommandDisk = "release-command-disk", "The release command filled its disk.";
    ReleaseCommandFailed = "release-command-failed", "The release command failed.";
    ReleaseCommandSlow = "release-command-slow", "The release command took too long.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_told_apart_and_read_back() {
        let words: BTreeSet<&str> = CODES.iter().map(|row| row.word).collect();
        assert_eq!(words.len(), CODES.len(), "two codes have one word");
        for row in CODES {
            assert_eq!((row.word.parse(), row.code.as_str()), (Ok(row.code), row.word));
            let plain = row.word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            assert!(plain && row.meaning.ends_with('.'), "{}: {}", row.word, row.meaning);
        }
        let groups: Vec<&str> = CODES.iter().map(|row| row.group).collect();
        let mut told = groups.clone();
        told.dedup();
        assert_eq!(told.len(), groups.iter().collect::<BTreeSet<_>>().len(), "a group stands in two places");
    }

    #[test]
    fn the_database_of_a_newer_hoist_is_a_loud_fault() {
        assert_eq!(serde_json::to_string(&Code::NoSuchApp).unwrap(), "\"no-such-app\"");
        assert_eq!(serde_json::from_str::<Code>("\"no-such-app\"").unwrap(), Code::NoSuchApp);
        let unknown = serde_json::from_str::<Code>("\"of-next-year\"").unwrap_err();
        assert!(unknown.to_string().contains("\"of-next-year\" is no code of a refusal"), "{unknown}");
    }
}
