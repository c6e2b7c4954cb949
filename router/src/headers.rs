//! What becomes of the fields of a request by which a client could claim to be somebody else: one table.
//!
//! Names are compared as apps see them, where `-`, `_`, dots and case are often the same. What is not in the table
//! passes as it came. The page for developers shows this table, held to it by a test.

/// What becomes of a field that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// About this connection only: left out, and written anew where the next one needs it.
    Hop,
    /// Left out; the router writes its own.
    Ours,
    /// Left out, unless a trusted proxy sent it.
    Claim,
    /// Left out, whoever sent it.
    Never,
}

/// One row: a name in small letters, or with a `*` at its end all that begin with it.
pub type Row = (&'static str, Fate);

/// The table, sorted by name.
pub const FIELDS: &[Row] = &[
    ("akamai-client-ip", Fate::Claim),
    ("cf-*", Fate::Claim),
    ("client-cert", Fate::Claim),
    ("client-cert-chain", Fate::Claim),
    ("client-ip", Fate::Claim),
    ("cluster-client-ip", Fate::Claim),
    ("connection", Fate::Hop),
    ("content-length", Fate::Hop),
    ("do-connecting-ip", Fate::Claim),
    ("expect", Fate::Hop),
    ("fastly-*", Fate::Claim),
    ("fly-*", Fate::Claim),
    ("forwarded", Fate::Claim),
    ("forwarded-*", Fate::Claim),
    ("front-end-https", Fate::Claim),
    ("host", Fate::Hop),
    ("http2-settings", Fate::Hop),
    ("https", Fate::Claim),
    ("keep-alive", Fate::Hop),
    ("path-info", Fate::Claim),
    ("proxy", Fate::Never),
    ("proxy-authenticate", Fate::Hop),
    ("proxy-authorization", Fate::Hop),
    ("proxy-client-ip", Fate::Claim),
    ("proxy-connection", Fate::Hop),
    ("remote-*", Fate::Claim),
    ("script-name", Fate::Claim),
    ("ssl-*", Fate::Claim),
    ("tailscale-*", Fate::Claim),
    ("te", Fate::Hop),
    ("trailer", Fate::Hop),
    ("transfer-encoding", Fate::Hop),
    ("true-client-*", Fate::Claim),
    ("upgrade", Fate::Hop),
    ("wl-proxy-*", Fate::Claim),
    ("x-accel-*", Fate::Claim),
    ("x-amzn-mtls-*", Fate::Claim),
    ("x-amzn-oidc-*", Fate::Claim),
    ("x-appengine-*", Fate::Claim),
    ("x-arr-*", Fate::Claim),
    ("x-auth-request-*", Fate::Claim),
    ("x-authenticated-*", Fate::Claim),
    ("x-authentik-*", Fate::Claim),
    ("x-azure-*", Fate::Claim),
    ("x-client-cert*", Fate::Claim),
    ("x-client-dn", Fate::Claim),
    ("x-client-ip", Fate::Claim),
    ("x-client-verify", Fate::Claim),
    ("x-cluster-client-ip", Fate::Claim),
    ("x-envoy-*", Fate::Claim),
    ("x-forwarded", Fate::Claim),
    ("x-forwarded-*", Fate::Claim),
    ("x-forwarded-for", Fate::Ours),
    ("x-forwarded-port", Fate::Ours),
    ("x-forwarded-proto", Fate::Ours),
    ("x-goog-authenticated-*", Fate::Claim),
    ("x-goog-iap-*", Fate::Claim),
    ("x-hoist-*", Fate::Never),
    ("x-host", Fate::Claim),
    ("x-http-host-override", Fate::Claim),
    ("x-ms-client-principal*", Fate::Claim),
    ("x-nf-client-connection-ip", Fate::Claim),
    ("x-original-*", Fate::Claim),
    ("x-originating-ip", Fate::Claim),
    ("x-path-info", Fate::Claim),
    ("x-proxyuser-ip", Fate::Claim),
    ("x-real-*", Fate::Claim),
    ("x-remote-*", Fate::Claim),
    ("x-request-id", Fate::Ours),
    ("x-request-start", Fate::Ours),
    ("x-rewrite-*", Fate::Claim),
    ("x-scheme", Fate::Claim),
    ("x-script-name", Fate::Claim),
    ("x-sendfile-type", Fate::Claim),
    ("x-ssl-*", Fate::Claim),
    ("x-tls-*", Fate::Claim),
    ("x-url-scheme", Fate::Claim),
    ("x-vercel-*", Fate::Claim),
    ("x-webauth-*", Fate::Claim),
];

/// Longer than any name or beginning in the table.
const LONGEST: usize = 32;

/// What becomes of a field; `None`: it passes.
pub fn fate(name: &str) -> Option<Fate> {
    let mut plain = [0; LONGEST];
    let len = name.len().min(LONGEST);
    for (to, from) in plain.iter_mut().zip(name.bytes()) {
        *to = if from.is_ascii_alphanumeric() { from.to_ascii_lowercase() } else { b'-' };
    }
    let plain = plain.get(..len).unwrap_or_default();
    // Every row that the name could be is before the place where the name itself would stand.
    let at = FIELDS.partition_point(|(row, _)| beginning(row).as_bytes() <= plain);
    let mut rows = FIELDS.get(..at).unwrap_or_default().iter().rev();
    let first = plain.first();
    rows.by_ref()
        .take_while(|(row, _)| row.as_bytes().first() == first)
        .find(|(row, _)| is(row, plain, name))
        .map(|r| r.1)
}

fn beginning(row: &str) -> &str {
    row.strip_suffix('*').unwrap_or(row)
}

fn is(row: &str, plain: &[u8], name: &str) -> bool {
    match row.strip_suffix('*') {
        Some(start) => plain.starts_with(start.as_bytes()),
        None => name.len() == plain.len() && row.as_bytes() == plain,
    }
}

/// Whether the name is spelt with letters, digits and hyphens. A proxy passes another spelling of a name that it sets
/// through unseen, so in the table such a twin never passes.
pub fn is_plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The table as the page for developers has it.
#[cfg(test)]
fn page() -> String {
    let names = |fate: Fate| {
        let of = FIELDS.iter().filter(|(_, f)| *f == fate);
        of.map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" ")
    };
    let rows = [
        (Fate::Hop, "about one connection; left out, and written anew where your app needs it"),
        (Fate::Ours, "written by the router; what the client says counts only as said beside this table"),
        (Fate::Claim, "left out, unless a trusted proxy sent it"),
        (Fate::Never, "left out"),
    ];
    let mut text = String::from("| Fields that a client sends | What becomes of them |\n|---|---|\n");
    for (fate, words) in rows {
        text.push_str(&format!("| {} | {words} |\n", names(fate)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_fits() {
        assert!(FIELDS.is_sorted_by(|a, b| beginning(a.0) < beginning(b.0)));
        for (name, want) in FIELDS {
            assert!(name.len() < LONGEST, "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'*'),
                "{name}"
            );
            let longer = name.replace('*', "anything-however-long-it-may-be-in-the-end");
            for spelt in [longer.clone(), longer.to_uppercase(), longer.replace('-', "_"), longer.replace('-', ".")] {
                assert_eq!(fate(&spelt), Some(*want), "{spelt}");
            }
        }
    }

    #[test]
    fn what_is_ordinary_passes() {
        for name in [
            "accept",
            "accept-encoding",
            "authorization",
            "content-type",
            "cookie",
            "dnt",
            "early-data",
            "from",
            "if-none-match",
            "origin",
            "priority",
            "range",
            "referer",
            "sec-fetch-site",
            "sec-websocket-key",
            "user-agent",
            "via",
            "upgrade-insecure-requests",
            "x-api-key",
            "x-auth-token",
            "x-client-data",
            "x-correlation-id",
            "x-csrf-token",
            "x-hub-signature-256",
            "x-requested-with",
            "traceparent",
            "hosts",
            "tea",
            "proxy-x",
            "forward",
            "x-real",
            "",
            "x-http-method-override",
            "x-amzn-trace-id",
            "x-forwardedfor",
            "\u{7f}",
            "~",
            "zz",
        ] {
            assert_eq!(fate(name), None, "{name}");
        }
        assert_eq!((fate("x-forwarded-for"), fate("x-forwarded-fort")), (Some(Fate::Ours), Some(Fate::Claim)));
        assert!(is_plain("X-Real-IP") && !is_plain("X_Real_IP") && !is_plain("X-Real.IP"));
    }

    #[test]
    fn the_page_for_developers_shows_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/app-contract.md");
        let page_there = std::fs::read_to_string(path).unwrap();
        assert!(page_there.contains(&page()), "docs/app-contract.md must hold this:\n{}", page());
    }
}
