//! Changes, files and references: data in, data out.

use super::*;
use crate::refusal::Code;

fn vars(pairs: &[(&str, &str)]) -> ConfigVars {
    pairs.iter().map(|(n, v)| (n.parse().unwrap(), Secret::new((*v).to_owned()))).collect()
}

fn shown(vars: &ConfigVars) -> Vec<(String, String)> {
    vars.iter().map(|(n, v)| (n.to_string(), v.reveal().clone())).collect()
}

#[test]
fn changes() {
    let mut change = ConfigChange::default();
    let (name, value) = assignment("A=b = c\n\"d\"").unwrap();
    change.set.insert(name, value);
    let vars = change.apply(&ConfigVars::new()).unwrap();
    assert_eq!(vars.values().next().unwrap().reveal(), "b = c\n\"d\"");
    assert_eq!(change.describe(), "Set config var A");
    let gone = ConfigChange { unset: ["A".parse().unwrap()].into(), ..ConfigChange::default() };
    assert!(gone.apply(&vars).unwrap().is_empty());
    assert_eq!(format!("{vars:?}"), "{VarName(\"A\"): <secret>}");
    let replace = ConfigChange { set: self::vars(&[("B", "1")]), replace: true, ..ConfigChange::default() };
    assert_eq!(shown(&replace.apply(&vars).unwrap()), [("B".to_owned(), "1".to_owned())]);
    assert_eq!(replace.describe(), "Replace all config vars by B");
    let many: ConfigVars = (0..13).map(|n| (format!("V{n:02}").parse().unwrap(), Secret::new(String::new()))).collect();
    let many = ConfigChange { set: many, ..ConfigChange::default() };
    assert_eq!(many.describe(), "Set config vars V00, V01, V02, V03, V04, V05, V06, V07, V08, V09 and 3 more");
    assert!(ConfigChange { set: self::vars(&[("PATH", "/x")]), ..ConfigChange::default() }.warnings().len() == 1);
}

#[test]
fn differences_name_and_never_show() {
    let (old, new) = (vars(&[("A", "1"), ("B", "1"), ("C", "1")]), vars(&[("A", "1"), ("B", "2"), ("D", "1")]));
    assert_eq!(Diff::of(&old, &new).lines(), ["added: D", "changed: B", "removed: C"]);
    assert!(Diff::of(&old, &old).is_empty());
}

#[test]
fn refusals() {
    for (word, code) in [
        ("A", "bad-assignment"),
        ("1A=x", "bad-var-name"),
        ("=x", "bad-var-name"),
        ("PORT=1", "reserved-var"),
        ("HOIST_X=1", "reserved-var"),
        ("A=a\0b", "value-has-nul"),
        ("A=${{B}}", "unknown-reference"),
        ("A=${{ secrets.B }}", "unknown-reference"),
        ("A=${{PORT}}", "unknown-reference"),
        ("A=${{A}}", "reference-circle"),
    ] {
        let got = assignment(word).and_then(|(name, value)| {
            ConfigChange { set: [(name, value)].into(), ..ConfigChange::default() }.apply(&ConfigVars::new())
        });
        assert_eq!(got.unwrap_err().code.as_str(), code, "{word:?}");
    }
    let long = format!("A={}", "x".repeat(VALUE_MAX + 1));
    let (name, value) = assignment(&long).unwrap();
    let change = ConfigChange { set: [(name, value)].into(), ..ConfigChange::default() };
    assert_eq!(change.apply(&ConfigVars::new()).unwrap_err().code, Code::ValueTooLong);
}

#[test]
fn references_are_filled_in() {
    let meta: BTreeMap<String, String> = [("HOIST_DOMAIN".to_owned(), "blog.example".to_owned())].into();
    let check = |value: &str, want: Option<&str>| {
        let given = vars(&[("A", value), ("B", "b ${{C}}"), ("C", "c")]);
        ConfigChange { set: given.clone(), ..ConfigChange::default() }.apply(&ConfigVars::new()).unwrap();
        let got = resolve(&given, &meta);
        assert_eq!(got.iter().find(|(n, _)| n.as_str() == "A").map(|(_, v)| v.reveal().as_str()), want, "{value}");
    };
    check("https://${{HOIST_DOMAIN}}/x", Some("https://blog.example/x"));
    check("${{B}}, ${{ C }}${{C}}", Some("b c, cc"));
    check("${HOME} $B {{B}} }} $${{B}} $$${{B}} ${{", Some("${HOME} $B {{B}} }} ${{B}} $${{B}} ${{"));
    check("${{HOIST_RELEASE}}", None);
    // What was stored before references were checked stays as it was.
    let odd = vars(&[("A", "${{B}}"), ("B", "${{A}}"), ("C", "${{ x.y }}")]);
    assert_eq!(shown(&resolve(&odd, &meta)).last().unwrap().1, "${{x.y}}");
}

#[test]
fn references_cannot_be_left_dangling_circle_or_explode() {
    let held = vars(&[("A", "${{B}}"), ("B", "b")]);
    let unset = ConfigChange { unset: ["B".parse().unwrap()].into(), ..ConfigChange::default() };
    assert_eq!(unset.apply(&held).unwrap_err().what, "A refers to ${{B}}, which is not there");
    let circle = ConfigChange { set: vars(&[("B", "${{C}}"), ("C", "${{A}}")]), ..ConfigChange::default() };
    assert_eq!(circle.apply(&held).unwrap_err().what, "A refers to itself: A -> B -> C -> A");
    let mut bomb = vars(&[("V0", "xxxxxxxxxx")]);
    for n in 1..200 {
        let value = format!("${{{{V{0}}}}}${{{{V{0}}}}}", n - 1);
        bomb.insert(format!("V{n}").parse().unwrap(), Secret::new(value));
    }
    let bomb = ConfigChange { set: bomb, ..ConfigChange::default() };
    assert_eq!(bomb.apply(&ConfigVars::new()).unwrap_err().code, Code::ValueTooLong);
    assert!(resolve(&bomb.set, &BTreeMap::new()).values().all(|v| v.reveal().len() <= VALUE_MAX));
}

#[test]
fn dotenv_files() {
    let check = |text: &str, want: &[(&str, &str)]| {
        let (got, format) =
            parse(text.as_bytes(), Some(FileFormat::Dotenv)).unwrap_or_else(|no| panic!("{text:?}: {no}"));
        assert_eq!((shown(&got), format), (shown(&vars(want)), FileFormat::Dotenv), "{text:?}");
    };
    check("", &[]);
    check("# only\n\n  # comments\n", &[]);
    check("\u{feff}A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")]);
    check(
        "A=1 # one\nB=x#y\nC=#\nD=\nE=  two words  ",
        &[("A", "1"), ("B", "x#y"), ("C", ""), ("D", ""), ("E", "two words")],
    );
    check("export A=1\n  export\tB = 2", &[("A", "1"), ("B", "2")]);
    check("A='it is # $HOME \\n' # c\nB=`it's`", &[("A", "it is # $HOME \\n"), ("B", "it's")]);
    check("A=\"a\\nb\\t\\\"\\\\ \\$ \\q\"", &[("A", "a\nb\t\"\\ $ \\q")]);
    check("A=\"one\r\ntwo\n\nfour\"\nB='x\ny'\nC=1", &[("A", "one\ntwo\n\nfour"), ("B", "x\ny"), ("C", "1")]);
    check("A=a=b=c\nB=Zürich 🚀\nexported=1", &[("A", "a=b=c"), ("B", "Zürich 🚀"), ("exported", "1")]);
}

#[test]
fn shell_and_json_files_and_detection() {
    let check =
        |text: &str, want: Result<FileFormat, &str>, vars_want: &[(&str, &str)]| match parse(text.as_bytes(), None) {
            Ok((got, format)) => assert_eq!((Ok(format), shown(&got)), (want, shown(&vars(vars_want))), "{text:?}"),
            Err(no) => assert_eq!(Err(no.why.as_str()), want, "{text:?}"),
        };
    let (dotenv, json, shell) = (Ok(FileFormat::Dotenv), Ok(FileFormat::Json), Ok(FileFormat::Shell));
    check("A=1\n", dotenv, &[("A", "1")]);
    check("export A=\"a\\nb\"\n", shell, &[("A", "a\\nb")]);
    check("declare -x A='it'\\''s'; # c\n", shell, &[("A", "it's")]);
    check("A=$'a\\nb'\nB=\n", shell, &[("A", "a\nb"), ("B", "")]);
    check("{\"A\": \"1\\n\", \"B\": 2, \"C\": true}", json, &[("A", "1\n"), ("B", "2"), ("C", "true")]);
    check(
        "export A=\"$HOME\"",
        Err("line 1: a shell would expand this $ or `, here nothing is: put the value into single quotes"),
        &[],
    );
    check(
        "export A=$(id)",
        Err("line 1: a shell would expand this $ or `, here nothing is: put the value into single quotes"),
        &[],
    );
    check("export A=a b", Err("line 1: more than one word; a value with blanks needs quotes"), &[]);
    check(
        "{\"A\": null,\n\"B\": [1]}",
        Err(
            "line 1: the value of A is neither a text, a whole number nor true or false\nline 2: the value of B is neither a text, a whole number nor true or false",
        ),
        &[],
    );
    check("{\"A\": \"1\", \"A\": \"2\"}", Err("line 1: A is set in line 1 already"), &[]);
    check("{\"A\": ", Err("line 1: the JSON ends too early (column 6)"), &[]);
    check("[1]", Err("line 1: this is not one object of names and texts (column 0)"), &[]);
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_without_its_text() {
    let text = "OK=1\nhunter2hunter2==\nnothing hunter2\nA-B=hunter2\nOK=hunter2\nC='hunter2\nD=\"x\" hunter2\n";
    let no = parse(text.as_bytes(), None).unwrap_err();
    let want = "line 3: no = in this line; a value of several lines needs quotes
line 4: what stands before = is no name (letters, digits and _, no digit first)
line 5: OK is set in line 1 already
line 6: a ' without its partner
line 7: text behind the closing quote";
    assert_eq!(
        (no.why.as_str(), no.what.as_str()),
        (want, "the input cannot be read as dotenv (5 mistakes); nothing was changed")
    );
    assert!(!no.to_string().contains("hunter2 "));
    assert_eq!(parse(b"A=1\nB=\xff\n", None).unwrap_err().why, "line 2: not UTF-8 text");
    let many = "x\n".repeat(30);
    assert!(parse(many.as_bytes(), None).unwrap_err().why.ends_with("and 10 more"));
}

/// Reading what was written gives the same, for every format, told or found out.
#[test]
fn files_read_back() {
    let alphabet: Vec<char> =
        "aZ09 '\"\\$`\n\t\r\u{1b}\u{7f}\u{85}\u{a0}ü€😀\u{202e}\u{feff}-=;|&*~#(){}x41\u{1}7n".chars().collect();
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for _ in 0..5_000 {
        let given: ConfigVars = (0..1 + random(4))
            .map(|n| {
                let value: String = (0..random(14)).map(|_| alphabet[random(alphabet.len())]).collect();
                (format!("V{n}").parse().unwrap(), Secret::new(value))
            })
            .collect();
        for format in [FileFormat::Dotenv, FileFormat::Json, FileFormat::Shell] {
            let text = render(&given, format);
            for told in [Some(format), None] {
                let (got, _) = parse(text.as_bytes(), told).unwrap_or_else(|no| panic!("{text:?}: {no}"));
                assert_eq!(shown(&got), shown(&given), "{text:?}");
            }
        }
    }
    let long = vars(&[("A", &"é\n'".repeat(15_000))]);
    for format in [FileFormat::Dotenv, FileFormat::Json, FileFormat::Shell] {
        assert_eq!(parse(render(&long, format).as_bytes(), None).unwrap().0, long);
    }
}

#[test]
fn any_bytes_give_vars_or_a_refusal() {
    let pieces = ["'", "\"", "\\", "$'", "\n", " ", "A=", "export ", "{", "}", "ü", "\0", "$(id)", "\r\n", ":", "#"];
    let mut seed: u64 = 42;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..10 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(pieces[usize::try_from(seed >> 60).unwrap()]);
        }
        for format in [None, Some(FileFormat::Dotenv), Some(FileFormat::Json), Some(FileFormat::Shell)] {
            if let Err(no) = parse(text.as_bytes(), format) {
                assert!(no.lines().iter().all(|l| !l.chars().any(char::is_control)), "{text:?}: {no}");
            }
        }
    }
}

#[test]
fn secret_vars_stay_secret_until_they_are_unset() {
    use crate::time::Timestamp;
    let (then, now) = (Timestamp(1), Timestamp(2));
    let old = vars(&[("A", "1"), ("B", "1"), ("C", "1")]);
    let before: Hidden = [("A".parse().unwrap(), then), ("B".parse().unwrap(), then)].into();
    let check = |change: ConfigChange, want: &[(&str, i64)]| {
        let new = change.apply(&old).unwrap();
        let hidden = change.hidden(&before, &old, &new, now);
        let shown: Vec<(&str, i64)> = hidden.iter().map(|(name, since)| (name.as_str(), since.0)).collect();
        assert_eq!(shown, want, "{change:?}");
        Diff::of(&old, &new).with_hidden(&before, &hidden).lines()
    };
    let set = |pairs: &[(&str, &str)], secret| ConfigChange { set: vars(pairs), secret, ..ConfigChange::default() };
    check(set(&[("C", "2"), ("D", "1")], false), &[("A", 1), ("B", 1)]);
    check(set(&[("A", "2"), ("B", "1")], false), &[("A", 2), ("B", 1)]);
    assert_eq!(
        check(set(&[("C", "1"), ("D", "1")], true), &[("A", 1), ("B", 1), ("C", 2), ("D", 2)]),
        ["added: D", "not shown any more: C"]
    );
    check(ConfigChange { unset: ["A".parse().unwrap()].into(), ..ConfigChange::default() }, &[("B", 1)]);
    let keep = ["A".parse().unwrap()].into();
    let replace = ConfigChange { replace: true, keep, ..set(&[("B", "2")], false) };
    assert_eq!(shown(&replace.apply(&old).unwrap()).len(), 2);
    check(replace, &[("A", 1), ("B", 2)]);
}
