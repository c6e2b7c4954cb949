//! What a Dockerfile has that the builder's frontend does not know yet: since when there is such a thing, and what does the
//! same without.
//!
//! Invariant: only words that a released frontend knows are called newer; anything else is a mistake of the file's.

use crate::refusal::{Code, Refusal};
use crate::text::plain;

/// Something that came later than the oldest frontend that may build here.
struct Newer {
    /// Words of the frontend that does not know it, lower case.
    said: &'static str,
    /// As it stands in a Dockerfile.
    shown: &'static str,
    frontend: &'static str,
    buildkit: &'static str,
    docker: &'static str,
    instead: &'static str,
}

const HEREDOC: Newer = Newer {
    said: "unknown instruction: eof",
    shown: "<<EOF",
    frontend: "1.4",
    buildkit: "0.10",
    docker: "23.0",
    instead: "for RUN, join the lines with && and \\; for COPY, commit the text as a file and copy that",
};

const ALL: [Newer; 12] = [
    HEREDOC,
    Newer {
        said: "unknown flag: link",
        shown: "--link",
        frontend: "1.4",
        buildkit: "0.10",
        docker: "23.0",
        instead: "leave --link out: the image is the same",
    },
    Newer {
        said: "unknown flag: exclude",
        shown: "--exclude",
        frontend: "1.19",
        buildkit: "0.25",
        docker: "28.5",
        instead: "name the files in .dockerignore, or copy only the folders that are wanted",
    },
    Newer {
        said: "unknown flag: parents",
        shown: "--parents",
        frontend: "1.20",
        buildkit: "0.26",
        docker: "29.1",
        instead: "one COPY for each folder, with the folder in the target too: COPY a/b/ a/b/",
    },
    Newer {
        said: "unknown flag: unpack",
        shown: "ADD --unpack",
        frontend: "1.17",
        buildkit: "0.23",
        docker: "28.3",
        instead: "a local archive is unpacked by ADD alone; for one from the network: RUN curl -fsSL URL | tar -xz -C FOLDER",
    },
    Newer {
        said: "unknown flag: checksum",
        shown: "ADD --checksum",
        frontend: "1.6",
        buildkit: "0.12",
        docker: "25.0",
        instead: "RUN curl -fsSLo FILE URL && echo 'SHA256  FILE' | sha256sum -c",
    },
    Newer {
        said: "unknown flag: start-interval",
        shown: "HEALTHCHECK --start-interval",
        frontend: "1.6",
        buildkit: "0.12",
        docker: "25.0",
        instead: "leave it out: Hoist does not run health checks of an image",
    },
    Newer {
        said: "unknown flag: security",
        shown: "RUN --security",
        frontend: "1.20",
        buildkit: "0.26",
        docker: "29.1",
        instead: "leave it out: builds have no further rights here, whatever the version",
    },
    Newer {
        said: "unknown flag: device",
        shown: "RUN --device",
        frontend: "1.14-labs",
        buildkit: "0.20",
        docker: "28.0",
        instead: "leave it out: builds see no devices here, whatever the version",
    },
    Newer {
        said: "unknown flag: keep-git-dir",
        shown: "ADD --keep-git-dir",
        frontend: "1.5",
        buildkit: "0.11",
        docker: "24.0",
        instead: "RUN git clone URL FOLDER",
    },
    Newer {
        said: "unexpected key 'env' in 'env=",
        shown: "a secret with env=",
        frontend: "1.10",
        buildkit: "0.16",
        docker: "27.3",
        instead: "RUN --mount=type=secret,id=NAME NAME=$(cat /run/secrets/NAME) COMMAND",
    },
    CHMOD,
];

const CHMOD: Newer = Newer {
    said: "invalid chmod",
    shown: "--chmod with letters",
    frontend: "1.14",
    buildkit: "0.20",
    docker: "28.0",
    instead: "write the mode as a number: --chmod=755 for programs and folders, --chmod=644 for other files",
};

/// The refusal, where the frontend's words are those of an older one. `builder` is what builds here, such as `26.1.5`.
pub(super) fn explain(message: &str, dockerfile: &str, builder: &str) -> Option<Refusal> {
    let said = message.to_ascii_lowercase();
    let heredoc = said.contains("unknown instruction: ") && said.contains("<<");
    let found = ALL.iter().find(|newer| said.contains(newer.said)).or(heredoc.then_some(&HEREDOC))?;
    let line = said.split_once(" line ").and_then(|(_, rest)| rest.split(':').next()).map(str::trim);
    let line = line.filter(|line| !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()));
    Some(refusal(found, line, dockerfile, builder))
}

/// `--chmod` with letters, which an older frontend passes over without a word: the line it stands in. With a number, or a
/// variable that may be one, there is nothing to say.
pub fn mode_in_letters(text: &str, dockerfile: &str, builder: &str) -> Option<Refusal> {
    if version(builder) >= version(CHMOD.docker) {
        return None;
    }
    let letters = |line: &str| {
        let mut words = line.split_whitespace();
        let copies = words.next().is_some_and(|word| ["copy", "add"].contains(&word.to_ascii_lowercase().as_str()));
        let mut flags = words.take_while(|word| word.starts_with("--"));
        copies
            && flags.any(|flag| {
                flag.strip_prefix("--chmod=")
                    .is_some_and(|mode| mode.contains(['+', '=', 'r', 'w', 'x', 'X']) && !mode.contains('$'))
            })
    };
    let at = text.lines().position(letters)?;
    Some(refusal(&CHMOD, Some(&at.saturating_add(1).to_string()), dockerfile, builder))
}

/// Major and minor; nothing known is newer than everything, so that nothing is held against it.
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (u32::MAX, 0),
    }
}

fn refusal(newer: &Newer, line: Option<&str>, dockerfile: &str, builder: &str) -> Refusal {
    let Newer { shown, frontend, buildkit, docker, instead, .. } = newer;
    let at = line.map(|line| format!(" in line {line}")).unwrap_or_default();
    let here =
        if builder.is_empty() { String::new() } else { format!("; here it is that of Docker {}", plain(builder)) };
    Refusal::new(Code::DockerfileNewer, format!("{dockerfile} is newer than the server's builder: {shown}{at}"))
        .why(format!(
            "the line is right, and known since Dockerfile {frontend} (BuildKit {buildkit}, Docker {docker}){here}"
        ))
        .next(format!("{instead}, commit, push again"))
        .next("or the administrator brings a newer builder: scripts/builder --suite forky has the Docker of Debian's next release")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(message: &str) -> String {
        explain(message, "Dockerfile", "26.1.5").map_or_else(|| "a mistake".to_owned(), |no| no.what)
    }

    #[test]
    fn what_came_later_is_told_from_a_mistake() {
        let parse = |rest: &str| format!("dockerfile parse error on line 2: {rest}");
        let newer = |shown: &str| format!("Dockerfile is newer than the server's builder: {shown} in line 2");
        assert_eq!(what(&parse("unknown flag: exclude")), newer("--exclude"));
        assert_eq!(what(&parse("unknown flag: parents")), newer("--parents"));
        assert_eq!(what(&parse("unknown flag: unpack")), newer("ADD --unpack"));
        assert_eq!(what(&parse("Unknown flag: link")), newer("--link"));
        assert_eq!(what("dockerfile parse error line 2: unknown instruction: EOF"), newer("<<EOF"));
        assert_eq!(
            what("unexpected key 'env' in 'env=X'"),
            "Dockerfile is newer than the server's builder: a secret with env="
        );
        for mistake in
            ["unknown flag: exlude", "unknown instruction: RUNN (did you mean RUN?)", "ENV must have two arguments"]
        {
            assert_eq!(what(&parse(mistake)), "a mistake", "{mistake}");
        }
        let no = explain(&parse("unknown flag: exclude"), "Dockerfile", "26.1.5").unwrap();
        assert_eq!(
            no.why,
            "the line is right, and known since Dockerfile 1.19 (BuildKit 0.25, Docker 28.5); here it is that of Docker 26.1.5"
        );
        assert!(no.next[0].contains(".dockerignore") && no.next[1].contains("scripts/builder --suite"), "{no}");
    }

    #[test]
    fn a_mode_in_letters_is_seen_where_it_would_be_passed_over() {
        let of = |text: &str, builder: &str| mode_in_letters(text, "Dockerfile", builder).map(|no| no.what);
        let at = |line: u32| {
            Some(format!("Dockerfile is newer than the server's builder: --chmod with letters in line {line}"))
        };
        assert_eq!(of("FROM x\nCOPY --chmod=u+x a /\n", "26.1.5"), at(2));
        assert_eq!(of("FROM x\n\nadd --link --chmod=a=rX,u+w a /", "26.1.5+dfsg1"), at(3));
        for fine in [
            "COPY --chmod=755 a /",
            "COPY --chmod=0755 a /",
            "COPY --chmod=$MODE a /",
            "RUN chmod u+x a",
            "COPY a --chmod=u+x",
        ] {
            assert_eq!(of(fine, "26.1.5"), None, "{fine}");
        }
        assert_eq!(of("COPY --chmod=u+x a /", "28.5.2"), None);
        assert_eq!(of("COPY --chmod=u+x a /", ""), None);
    }
}
