//! The list of steps of a build. Pure: the file's text in, `Step`s or the mistake out.

use std::collections::BTreeMap;

use serde_json::Value;

#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    pub argv: Vec<String>,
    pub cwd: String,
    /// Added to init's own environment.
    pub env: BTreeMap<String, String>,
}

/// Reads `{"steps":[{"argv":[…],"cwd":…,"env":{…}}]}`. Other keys (name, title) are for other readers.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    let file: Value = serde_json::from_str(text).map_err(|err| format!("not JSON: {err}"))?;
    let steps = file.get("steps").and_then(Value::as_array).ok_or("no list \"steps\"")?;
    steps.iter().enumerate().map(|(n, value)| step(value).map_err(|err| format!("step {n}: {err}"))).collect()
}

fn step(value: &Value) -> Result<Step, String> {
    let argv = value.get("argv").and_then(Value::as_array).ok_or("no list \"argv\"")?;
    let argv = argv.iter().map(|word| string(word, "a word of \"argv\"")).collect::<Result<Vec<_>, _>>()?;
    if argv.is_empty() {
        return Err("\"argv\" is empty".into());
    }
    let env = match value.get("env") {
        None => BTreeMap::new(),
        Some(env) => {
            let vars = env.as_object().ok_or("\"env\" is not an object")?;
            let var = |(key, value): (&String, &Value)| Ok((key.clone(), string(value, "a value of \"env\"")?));
            vars.iter().map(var).collect::<Result<_, String>>()?
        }
    };
    let cwd = value.get("cwd").map_or(Ok("/".into()), |it| string(it, "\"cwd\""))?;
    Ok(Step { argv, cwd, env })
}

fn string(value: &Value, what: &str) -> Result<String, String> {
    match value.as_str() {
        Some(text) if !text.contains('\0') => Ok(text.into()),
        Some(_) | None => Err(format!("{what} is not a string without NUL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list() {
        let text = r#"{"steps":[
            {"name":"dependencies","title":"Installing","argv":["npm","ci"],"cwd":"/app","env":{"K":"V"}},
            {"argv":["true"]}]}"#;
        let env = BTreeMap::from([("K".into(), "V".into())]);
        let one = Step { argv: vec!["npm".into(), "ci".into()], cwd: "/app".into(), env };
        let two = Step { argv: vec!["true".into()], cwd: "/".into(), env: BTreeMap::new() };
        assert_eq!(parse(text), Ok(vec![one, two]));
        assert_eq!(parse(r#"{"steps":[]}"#), Ok(vec![]));
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| assert_eq!(parse(text), Err(expected.into()));
        check("[]", "no list \"steps\"");
        check(r#"{"steps":[{}]}"#, "step 0: no list \"argv\"");
        check(r#"{"steps":[{"argv":[]}]}"#, "step 0: \"argv\" is empty");
        check(r#"{"steps":[{"argv":["a"]},{"argv":[1]}]}"#, "step 1: a word of \"argv\" is not a string without NUL");
        check(r#"{"steps":[{"argv":["a\u0000"]}]}"#, "step 0: a word of \"argv\" is not a string without NUL");
        check(r#"{"steps":[{"argv":["a"],"env":[]}]}"#, "step 0: \"env\" is not an object");
        check(r#"{"steps":[{"argv":["a"],"cwd":1}]}"#, "step 0: \"cwd\" is not a string without NUL");
    }
}
