//! `Aptfile`: packages of Debian that the app needs, as a layer of its own below everything else of the app.
//! Invariant: a line is a package, perhaps with a version, and nothing else; what the run stack has is not brought again.
//! Absent: other package sources, addresses of .deb files, maintainer scripts (programs lie under [`PREFIX`], not `/usr`).

use crate::cause::Known;
use crate::debian::APT;
use crate::language::Look;
use crate::plan::{Base, Env, KeyPart, Layer, Mount, MountMode, Output, Plan, Scope, Settings, Step};
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{FILE_MAX, Found, Tree};

const FILE: &str = "Aptfile";
pub(crate) const LOOK: Look = Look::Into(FILE, FILE_MAX);
/// Where the packages lie, in the image and for the steps of a build.
const PREFIX: &str = "/opt/apt";
const NAME: &str = "packages";
/// Packages that one file may name.
const PACKAGES_MAX: usize = 200;
/// `$1` is the suite, `$2` the folder, the rest are packages. apt resolves against what the run stack has.
const FETCH: &str = r#"suite=$1 into=$2
shift 2
apt_for "$suite" /var/lib/dpkg/status
apt-get -qq install --download-only --no-remove -o Dir::Cache::archives="$apt/archives" -- "$@"
found=0
for deb in "$apt"/archives/*.deb; do
  [ -e "$deb" ] || continue
  echo "$(dpkg-deb -f "$deb" Package) $(dpkg-deb -f "$deb" Version)"
  dpkg-deb -x "$deb" "$into"
  found=1
done
[ $found = 1 ] || echo "the stack has them all"
rm -rf "$into/usr/share/doc" "$into/usr/share/man" "$into/usr/share/lintian" "$into/usr/share/info"
"#;

/// What apt prints of packages that cannot be had.
pub(crate) const CAUSES: &[Known] = &[
    (
        "E: Unable to locate package ",
        "Debian has no package %",
        &["correct the name in Aptfile; `apt-cache search` on a Debian machine finds it"],
    ),
    ("E: Version ", "Debian has no such version: %", &["remove the =VERSION in Aptfile, or write one that there is"]),
    ("E: Package ", "the package % cannot be had", &["remove it from Aptfile, or name the one that replaces it"]),
    ("E: Failed to fetch", "Debian's packages could not be reached", &["push again; the mirror may be back"]),
];

/// Adds the layer to a plan, and its folders to every path that matters.
pub(crate) fn add(tree: &Tree, settings: &Settings, plan: &mut Plan) -> Result<(), Refusal> {
    let packages = match tree.find(FILE) {
        Found::Nothing => return Ok(()),
        Found::File(content) => packages(&String::from_utf8_lossy(content))?,
        Found::NotAFile | Found::Unread => {
            let why = "it is a link, a submodule or larger than 1 MiB";
            return Err(Refusal::new(
                Code::AptfileUnread,
                "Aptfile cannot be read",
                why,
                "commit it as a plain, short file",
            ));
        }
    };
    if packages.is_empty() {
        plan.warnings.push("Aptfile names no package".into());
        return Ok(());
    }
    plan.decided.push(format!("{} from Debian {} (Aptfile)", quote(&packages.join(", ")), settings.stack.suite()));
    let env = env(settings);
    for layer in plan.layers.iter_mut().filter(|layer| layer.scope == Scope::App && !layer.steps.is_empty()) {
        let mount =
            Mount { layer: NAME.into(), from: format!("/layers/{NAME}"), at: PREFIX.into(), mode: MountMode::ReadOnly };
        layer.mounts.insert(0, mount);
        // First, so that what the language puts in front stays in front.
        layer.env.splice(0..0, env.iter().cloned().chain(build_env(settings)));
    }
    plan.launch_env.splice(0..0, env);
    plan.layers.insert(0, layer(&packages, settings));
    Ok(())
}

fn layer(packages: &[String], settings: &Settings) -> Layer {
    let folder = format!("/layers/{NAME}");
    let script = format!("{APT}{FETCH}");
    let mut argv = vec!["sh", "-c", &script, "fetch-packages", settings.stack.suite(), &folder];
    argv.extend(packages.iter().map(String::as_str));
    Layer {
        base: Base::Run,
        key: vec![KeyPart::text("packages", &packages.join(" ")), KeyPart::Stack],
        steps: vec![Step::new("Fetching packages of the Aptfile", &argv).at("/tmp")],
        outputs: vec![Output { from: folder, to: PREFIX.into(), exclude: Vec::new() }],
        ..Layer::empty(NAME, Scope::App)
    }
}

/// The packages in the file's order, without doubles.
fn packages(text: &str) -> Result<Vec<String>, Refusal> {
    let mut found: Vec<String> = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        for word in line.split_whitespace() {
            if !is_package(word) {
                return Err(bad(n.saturating_add(1), line));
            }
            if !found.iter().any(|known| known == word) {
                found.push(word.to_owned());
            }
        }
    }
    if found.len() > PACKAGES_MAX {
        let why = format!("it names {} packages; {PACKAGES_MAX} are the most", found.len());
        return Err(Refusal::new(
            Code::AptfileLong,
            "Aptfile is too long",
            why,
            "name only what the app itself needs: dependencies come along",
        ));
    }
    Ok(found)
}

/// `name` or `name=version`, by Debian's rules for both.
fn is_package(word: &str) -> bool {
    let (name, version) = word.split_once('=').map_or((word, None), |(name, version)| (name, Some(version)));
    let name_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
    let version_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '~' | ':');
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        // apt takes a + or - at the end for an order.
        && !name.ends_with(['-', '+'])
        && name.chars().all(name_good)
        && version.is_none_or(|version| !version.is_empty() && version.chars().all(version_good))
}

fn bad(number: usize, line: &str) -> Refusal {
    let what = format!("line {number} of Aptfile is not a package");
    let next = "one line each: a package's name, perhaps =VERSION, such as `ffmpeg` or `libvips42t64=8.16.1-1+b1`";
    let refusal = Refusal::new(Code::AptfileLine, what, format!("it says {}", quote(line)), next);
    if line.starts_with(":repo:") || line.contains("://") {
        return refusal
            .or("other package sources and .deb addresses are not taken: build such an app from a Dockerfile");
    }
    refusal
}

fn triplet(settings: &Settings) -> &'static str {
    match settings.arch {
        crate::plan::Arch::X64 => "x86_64-linux-gnu",
        crate::plan::Arch::Arm64 => "aarch64-linux-gnu",
    }
}

fn env(settings: &Settings) -> Vec<Env> {
    let triplet = triplet(settings);
    vec![
        Env::path("PATH", &format!("{PREFIX}/usr/bin:{PREFIX}/usr/sbin:{PREFIX}/bin")),
        Env::path("LD_LIBRARY_PATH", &format!("{PREFIX}/usr/lib/{triplet}:{PREFIX}/usr/lib:{PREFIX}/lib/{triplet}")),
    ]
}

/// What compilers need to find headers and libraries there.
fn build_env(settings: &Settings) -> Vec<Env> {
    let triplet = triplet(settings);
    vec![
        Env::path("LIBRARY_PATH", &format!("{PREFIX}/usr/lib/{triplet}:{PREFIX}/usr/lib")),
        Env::path("CPATH", &format!("{PREFIX}/usr/include:{PREFIX}/usr/include/{triplet}")),
        Env::path("PKG_CONFIG_PATH", &format!("{PREFIX}/usr/lib/{triplet}/pkgconfig:{PREFIX}/usr/share/pkgconfig")),
    ]
}

#[cfg(test)]
mod tests {
    use super::{is_package, packages};

    #[test]
    fn lines() {
        assert_eq!(
            packages("# tools\nffmpeg\n\nlibvips42t64=8.16.1-1+b1 jq # two\njq\n").unwrap().join(" "),
            "ffmpeg libvips42t64=8.16.1-1+b1 jq"
        );
        for bad in [
            "-y",
            "a",
            "Foo",
            "foo;id",
            "$(id)",
            "foo=",
            "foo=1 2",
            "../x",
            "foo-",
            "foo/sid",
            "foo:amd64",
            "--option=x",
        ] {
            assert!(!bad.split(' ').all(is_package), "{bad}");
        }
        let said = packages("ok1\n:repo:deb https://example.org x main").unwrap_err();
        assert_eq!(said.what, "line 2 of Aptfile is not a package");
    }
}
