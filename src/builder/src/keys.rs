//! The key of a layer: everything that decides its bytes. Pure.

use super::sources::{Sources, hex};
use buildpacks::{KeyPart, Layer};
use domain::config::ConfigVars;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// How layers are packed: another way makes other layers of the same things.
const VERSION: &str = "layer 2";

/// What keys are made of besides the layer itself.
pub struct KeyContext<'a> {
    /// The commit's files.
    pub sources: &'a Sources,
    /// The app's config vars.
    pub config: &'a ConfigVars,
    /// The identity of both stacks.
    pub stacks: &'a str,
    /// The keys of the earlier layers, by name.
    pub earlier: &'a BTreeMap<String, String>,
}

/// A layer's key: 40 hex digits.
pub fn key(layer: &Layer, context: &KeyContext<'_>) -> String {
    let mut parts: Vec<String> = vec![VERSION.to_owned(), layer.recipe()];
    parts.extend(layer.key.iter().map(|part| text(part, context)));
    for mount in &layer.mounts {
        let key = context.earlier.get(&mount.layer).map_or("none", String::as_str);
        parts.push(format!("mount {} {key}", mount.layer));
    }
    hashed(&parts)
}

/// The key of something else that is made of these parts.
pub fn key_of(name: &str, parts: &[KeyPart], context: &KeyContext<'_>) -> String {
    let texts = parts.iter().map(|part| text(part, context));
    hashed(&std::iter::once(name.to_owned()).chain(texts).collect::<Vec<_>>())
}

fn text(part: &KeyPart, context: &KeyContext<'_>) -> String {
    match part {
        KeyPart::Text { label, value } => format!("text {label} {value}"),
        KeyPart::File(path) => format!("file {path} {}", context.sources.id_of(path)),
        KeyPart::Whole => format!("whole {}", context.sources.whole_id()),
        KeyPart::Stack => format!("stack {}", context.stacks),
        KeyPart::Config(name) => format!("config {}", config_text(context.config, |n| n == name)),
        KeyPart::AllConfig => format!("config {}", config_text(context.config, |_| true)),
    }
}

fn hashed(parts: &[String]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize()).chars().take(40).collect()
}

fn config_text(config: &ConfigVars, wanted: impl Fn(&str) -> bool) -> String {
    let mut hash = Sha256::new();
    for (name, value) in config.iter().filter(|(name, _)| wanted(name.as_str())) {
        hash.update((name.as_str().len() as u64).to_be_bytes());
        hash.update(name.as_str().as_bytes());
        hash.update((value.reveal().len() as u64).to_be_bytes());
        hash.update(value.reveal().as_bytes());
    }
    hex(&hash.finalize())
}
