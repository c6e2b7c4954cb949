//! The web server's configuration for a site, for Caddy 2.6 and later.
//! Invariant: only the site's root is served, dotfiles never (but .well-known). What was asked for is looked for under its own
//! name first, whatever letters are in it: an address is changed only as escaped text, so that a `?` in a name stays there.
//! What a browser has is told by Caddy's tag alone, which is a file's size and time: after a rollback a file is older than
//! what browsers got meanwhile, and a date would then say that nothing changed.
//! Absent: TLS, access log, limits: those are the router's.

use super::config::Site;
use std::fmt::Write;

pub(crate) fn render(site: &Site) -> String {
    let root = if site.root.is_empty() { "/app".to_owned() } else { format!("/app/{}", site.root) };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        r#"{{
	admin off
	auto_https off
	log {{
		level ERROR
	}}
}}

:{{$PORT}} {{
	root * "{root}"
	encode zstd gzip

	# A file is known by its tag; by its date, one that a rollback brought back would seem unchanged.
	request_header -If-Modified-Since

	# What has a hash in its name is kept by browsers; all else is asked for again, and answered in a few bytes.
	header ?Cache-Control no-cache
	@hashed {{
		file {{path}}
		path_regexp [.-][0-9a-f]{{8,64}}[.][0-9a-z]+$
		not path_regexp [.-]([0-9]+|[a-f]+)[.][0-9a-z]+$
	}}
	header @hashed Cache-Control "public, max-age=31536000, immutable"
"#
    );
    rules(&mut text, site);
    let _ = write!(
        text,
        r#"{FOUND}	file_server {{
		index index.html index.htm default.html default.htm index.txt
		precompressed zstd br gzip
		hide {HIDDEN}
	}}
	handle_errors {{
		@page {{
			expression {{http.error.status_code}} == 404
			file "{}"
		}}
		handle @page {{
			rewrite * "{}"
			file_server {{
				hide {HIDDEN}
			}}
		}}
		respond "{{http.error.status_code}} {{http.error.status_text}}"
	}}
}}
"#,
        site.error_page, site.error_page,
    );
    text
}

/// Dotfiles except `.well-known`, and files that are for Hoist. A pattern has no "all but this word".
const HIDDEN: &str = ".[^w]* .w .w[^e]* .we .we[^l]* .wel .wel[^l]* .well .well[^-]* .well- .well-[^k]* .well-k .well-k[^n]* \
                      .well-kn .well-kn[^o]* .well-kno .well-kno[^w]* .well-know .well-know[^n]* .well-known?* Procfile \
                      static.json Staticfile";

/// How an address leads to a file.
pub(super) const FOUND: &str = include_str!("found.caddyfile");

/// Names that a bundler made: eight characters that are no word, no Word and no date.
const BUNDLED: &str = r#"	@bundled {
		file {path}
		path /assets/* /_next/static/* /_astro/* /_app/immutable/*
		path_regexp [.-][0-9A-Za-z_-]{8}[.](js|css|woff2)$
		not path_regexp [.-]([a-z_-]+|[A-Z]?[a-z]+|[0-9_-]+)[.][0-9a-z]+$
	}
	header @bundled Cache-Control "public, max-age=31536000, immutable"
"#;

fn rules(text: &mut String, site: &Site) {
    if site.built {
        text.push_str(BUNDLED);
    }
    for (number, (pattern, name, value)) in site.headers.iter().enumerate() {
        let _ = write!(text, "\t@header{number} path \"{pattern}\"\n\theader @header{number} {name} \"{value}\"\n");
    }
    for (number, (pattern, target, status)) in site.redirects.iter().enumerate() {
        let _ =
            write!(text, "\t@redirect{number} path \"{pattern}\"\n\tredir @redirect{number} \"{target}\" {status}\n");
    }
    for (number, (pattern, page)) in site.routes.iter().enumerate() {
        let _ = write!(
            text,
            "\t@route{number} {{\n\t\tpath \"{pattern}\"\n\t\tnot file {{path}} {{path}}.html {{path}}.htm {{path}}/ {{bare}}.html {{bare}}.htm\n\t}}\n\trewrite @route{number} \"{page}\"\n"
        );
    }
}
