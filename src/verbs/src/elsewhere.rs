//! Words of other platforms that are no command here: what to do today instead, one true sentence for each family.
//!
//! Invariant: every step that is a command of ours parses. What has become a command of ours is found before this is asked.

use domain::names::AppName;

/// Commands of another platform: one, or all that begin with the word and a colon.
pub(crate) struct Elsewhere {
    words: &'static [&'static str],
    /// What to know, in one sentence.
    pub(crate) says: &'static str,
    /// What to type; APP is the app.
    next: &'static [&'static str],
}

impl Elsewhere {
    /// What to type, with the app where the words name it.
    pub(crate) fn steps(&self, words: &[String]) -> Vec<String> {
        let app = app_of(words);
        let named = |word| if word == "APP" { app.as_deref().unwrap_or(word) } else { word };
        self.next.iter().map(|step| step.split(' ').map(named).collect::<Vec<_>>().join(" ")).collect()
    }
}

/// The row of a command, that of the longest word.
pub(crate) fn find(name: &str) -> Option<&'static Elsewhere> {
    let rank = |word: &&str| name == *word || name.strip_prefix(*word).is_some_and(|rest| rest.starts_with(':'));
    let longest = |row: &Elsewhere| row.words.iter().filter(|word| rank(word)).map(|word| word.len()).max();
    ROWS.iter().filter_map(|row| Some((longest(row)?, row))).max_by_key(|(length, _)| *length).map(|(_, row)| row)
}

/// The app that words name behind `-a` or `--app`: a first word alone may be a service, a key or anything else.
fn app_of(words: &[String]) -> Option<String> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let app = match word.as_str() {
            "-a" | "--app" => words.next().map(String::as_str),
            word => word.strip_prefix("--app="),
        };
        if let Some(app) = app {
            return app.parse::<AppName>().ok().map(|app| app.to_string());
        }
    }
    None
}

macro_rules! rows {
    ($($($word:literal)|+ => $says:literal, [$($next:literal),* $(,)?];)*) => {
        /// In no order.
        static ROWS: &[Elsewhere] = &[$(Elsewhere { words: &[$($word),+], says: $says, next: &[$($next),*] },)*];
    };
}

rows! {
    "postgres" | "postgresql" | "pg" | "psql" | "pgvector" | "timescale" | "mysql" | "mariadb" | "mssql" | "mongo"
    | "mongodb" | "couchdb" | "rethinkdb" | "clickhouse" | "db" | "database" | "databases" =>
        "Hoist runs no databases yet: use one elsewhere and give its URL to the app as a config var",
        ["config:set APP --secret --stdin DATABASE_URL < FILE"];
    "redis" | "valkey" | "keydb" | "memcached" | "rabbitmq" | "nats" | "kafka" | "elasticsearch" | "opensearch" | "solr"
    | "meilisearch" | "typesense" | "graphite" | "omnisci" | "pushpin" | "service" | "services" =>
        "Hoist runs no caches, queues or search servers yet: use one elsewhere and give its URL to the app as a config var",
        ["config:set APP --secret --stdin REDIS_URL < FILE"];
    "addons" | "addon" | "addons-admin" | "resources" =>
        "there are no add-ons yet: use the service elsewhere and give its address to the app as a config var",
        ["config:set APP --secret --stdin NAME < FILE"];
    "pg:backups" | "backup" | "backups" | "postgres:backup" | "mysql:backup" =>
        "Hoist runs no databases yet, so it has none to back up; what an administrator should back up is in docs/operations.md",
        [];
    "certs" | "cert" | "acm" | "ssl" | "tls" | "https" | "letsencrypt" =>
        "Hoist speaks plain HTTP for now: certificates belong to a TLS proxy in front of it, which an administrator sets up",
        ["domains:list APP"];
    "storage" | "volumes" | "volume" | "disks" | "disk" | "mount" | "mounts" | "persistent-storage" =>
        "there are no volumes yet: files that an instance writes go with it, so keep them in an object store or a database",
        ["config:set APP --secret --stdin S3_SECRET_KEY < FILE"];
    "cron" | "crons" | "scheduler" | "schedule" | "jobs" | "job" =>
        "there is no scheduler yet: let cron on any machine type the command over ssh, or run a process type that keeps time",
        ["run APP --detach -- COMMAND"];
    "checks" | "healthcheck" | "healthchecks" | "zero-downtime" =>
        "there are no checks to set: an instance is ready once its port takes a connection, and how long that may take is a setting",
        ["apps:set APP boot-timeout=90"];
    "drains" | "drain" | "log-drains" | "logs:drain" | "logs:drains" | "logs:vector" | "vector" | "logs:set" | "logs:report"
    | "logspout" =>
        "there are no log drains yet: a program elsewhere can follow the log over ssh and pass it on",
        ["logs APP -t --format json"];
    "logs:failed" => "what a failed build wrote is kept with the build", ["builds APP", "builds:output APP"];
    "pipelines" | "pipeline" | "reviewapps" | "review-apps" | "ci" | "git:auto-deploy" =>
        "there are no pipelines or review apps: make an app for each stage, and let your CI push the commit to it",
        ["apps:create NAME", "deploy-keys:add APP ci < KEY.pub"];
    "buildpacks" | "buildpack" | "builder" | "builder-herokuish" | "builder-pack" | "builder-nixpacks" | "builder-railpack"
    | "builder-null" | "builder-lambda" | "nixpacks" =>
        "the files of the commit decide how an app is built, unless a setting says otherwise; other buildpacks cannot be added",
        ["builds:plan APP", "apps:set APP buildpack=node", "apps:set APP buildpack="];
    "builder-dockerfile" | "container" | "containers" | "docker" | "image" | "images" =>
        "images are not pushed: commit the Dockerfile and push the commit, and the server builds it",
        ["git push hoist main", "apps:set APP dockerfile=docker/Dockerfile.web"];
    "git:from-image" | "git:load-image" =>
        "an image is not deployed as it is: commit a Dockerfile with the line FROM IMAGE and push it",
        ["git push hoist main"];
    "git" | "deploy" | "push" | "up" | "launch" | "tar" | "ship" =>
        "a deploy is a push of a commit, from a clone of the repository on your machine", ["git push hoist main"];
    "clone" | "pull" => "an app's repository is cloned with git: git clone and the remote that apps:info shows", ["apps:info APP"];
    "repo" =>
        "repositories and build caches look after themselves; a build from the same commit can be asked for",
        ["ps:rebuild APP"];
    "docker-options" | "docker-local" =>
        "options of docker run cannot be given: an instance has the command of the Procfile, config vars and the server's limits",
        ["builds:plan APP", "config APP"];
    "network" | "networks" | "link" | "links" =>
        "every app has a network of its own, which no other app reaches: apps talk through what both can reach outside",
        ["apps:info APP"];
    "proxy" | "ports" | "port" | "nginx" | "caddy" | "haproxy" | "traefik" | "openresty" | "nginx-vhosts" | "router" =>
        "the router is Hoist's own and always on: it sends requests for the app's domains to web at the port in PORT",
        ["domains:list APP", "apps:set APP port=8080"];
    "redirect" | "http-auth" | "hsts" | "cors" =>
        "the router does not change what visitors get: the app, or a proxy in front of the server, does it",
        ["domains:list APP"];
    "plugin" | "plugins" | "trace" =>
        "there are no plugins: an administrator can put hooks of a deploy on the server (docs/operations.md)", [];
    "webhooks" | "webhook" | "notifications" | "notify" =>
        "there are no webhooks: an administrator can put hooks of a deploy on the server (docs/operations.md)",
        ["events APP --format json"];
    "ps:autoscale" | "autoscale" | "ps:set" | "dyno:autoscale" =>
        "nothing is scaled by itself: you say how many instances of a process type run", ["ps:scale APP web=2"];
    "ps:type" | "ps:resize" | "dyno:type" | "dyno:resize" | "resize" | "resource" | "limits" | "limit" =>
        "there are no sizes to choose from: all instances have the same limits, and more of them can run",
        ["ps:scale APP web=2", "apps:info APP"];
    "ps:inspect" | "dyno:inspect" | "top" | "stats" | "metrics" | "status" | "health" =>
        "what runs, since when and with how much memory is in the list of instances", ["ps APP", "events APP"];
    "ps:restore" => "what should run is started again by itself, after a restart of the server too", ["ps APP"];
    "ps:wait" => "what can be waited for is a build and its deploy", ["builds:wait APP"];
    "ps:copy" | "ps:forward" | "ps:socks" =>
        "neither ports nor files are passed on; a command in an instance has your terminal's input and output",
        ["ps:exec APP -- cat FILE"];
    "ssh" | "shell" | "console" | "bash" | "sh" | "attach" | "app-shell" =>
        "a shell is opened in an instance that runs, or in one of its own: type ssh -t, so that it has a terminal",
        ["enter APP", "run APP bash"];
    "labs" | "features" | "feature" =>
        "there are no switches to try things with; the settings of an app are in the help", ["help apps:set"];
    "spaces" | "space" | "regions" | "region" | "dns" | "privatelink" | "peering" | "trusted-ips" | "outbound-rules" | "keyrings" =>
        "all apps are on this one server", ["apps:list"];
    "orgs" | "org" | "teams" | "team" | "members" | "member" | "collaborators" | "group" =>
        "there are no teams: an app is shared with each user by name", ["access:add APP USER", "access:list APP"];
    "local" | "foreman" => "Hoist does not start apps on your machine; any Procfile runner does, such as honcho or foreman", [];
    "tags" | "tag" =>
        "images have no tags here: every deploy makes a release, and each release can come back",
        ["releases APP", "rollback APP"];
    "releases:info" | "releases:output" | "releases:retry" =>
        "what a release was made from is in the list of releases, what its build wrote with the build",
        ["releases APP", "builds:output APP", "ps:rebuild APP"];
    "builds:create" => "a build begins with a push, or again from the commit that runs", ["git push hoist main", "ps:rebuild APP"];
    "stack" | "apps:stacks" => "the Debian that an app runs on is a setting", ["apps:set APP stack=trixie"];
    "apps:clone" | "apps:fork" | "fork" | "copy" =>
        "an app is not copied: push the same commit to another name, and give that app the config vars of the first",
        ["config:export APP", "config:import NAME < FILE"];
    "apps:exists" => "whether you may see an app of that name, and what it is", ["apps:info APP"];
    "apps:lock" | "apps:unlock" | "apps:join" | "apps:leave" | "apps:favorites" | "apps:errors" =>
        "who may change an app is said by sharing it, or not", ["access:list APP"];
    "config:edit" => "config vars are edited in a file of yours", ["config:export APP", "config:import APP < FILE"];
    "config:bundle" | "config:keys" | "env" | "vars" | "env:list" | "variables" => "config vars are listed by config", ["config APP"];
    "config:clear" => "config vars are taken away by name, with config:unset", ["config APP"];
    "secrets" | "secrets:set" | "secret" => "a secret is a config var whose value is not shown again", ["config:set APP --secret --stdin NAME < FILE"];
    "domains:enable" | "domains:disable" | "domains:update" | "domains:wait" | "domains:info" | "domains:reset" | "vhosts" =>
        "an app always has its default name, and the names of your own that you add", ["domains:list APP"];
    "auth" | "login" | "logout" | "authorizations" | "sessions" | "2fa" | "twofactor" | "clients" | "oauth" =>
        "there is no login: your ssh key says who you are", ["whoami", "keys:list"];
    "update" | "upgrade" | "self-update" | "autocomplete" | "usage" | "telemetry" =>
        "the commands are the server's, so there is nothing to update on your side", ["version"];
    "init-process" | "scheduler-docker-local" | "scheduler-k3s" | "scheduler-kubernetes" | "scheduler-nomad" | "scheduler-null"
    | "k3s" | "swarm" =>
        "all instances run on this one server, which starts and watches them itself", ["ps APP"];
    "app-json" | "procfile" => "process types come from the Procfile of the commit", ["builds:plan APP"];
    "delete" | "remove" | "rm" | "kill" | "clear" | "reset" | "drop" =>
        "this says too little of what should go; help has every command", ["help"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Takes;
    use crate::table::TABLE;
    use domain::refusal::Code;

    fn says(line: &str) -> (String, Vec<String>) {
        let no = crate::parse(&domain::words::words(line).unwrap()).unwrap_err();
        assert_eq!(no.code, Code::UnknownCommand, "{line}");
        (no.why, no.next)
    }

    #[test]
    fn families_of_other_platforms_have_an_answer() {
        for line in [
            "postgres:create db",
            "pg",
            "pg:psql",
            "pg:backups:capture",
            "psql",
            "mysql:link db blog",
            "redis:create x",
            "addons:create heroku-postgresql",
            "certs:add",
            "certs:auto:enable",
            "letsencrypt:enable blog",
            "storage:mount blog /a:/b",
            "cron:list",
            "checks:disable blog",
            "drains:add https://x",
            "pipelines:create",
            "buildpacks:set heroku/nodejs",
            "builder:set blog x",
            "network:create x",
            "proxy:enable blog",
            "ports:set blog http:80:5000",
            "nginx:set blog x y",
            "plugin:install https://x",
            "ps:autoscale:enable",
            "labs:enable x",
            "features",
            "spaces:create",
            "container:push web",
            "local",
            "reviewapps:enable",
            "tags:destroy blog v1",
            "docker-options:add blog run x",
            "resource:limit",
            "git:sync blog https://x",
            "scheduler:set blog x",
            "deploy",
            "members:add",
            "login",
            "webhooks:add",
            "config:edit",
            "logs:failed",
            "stack:set heroku-24",
            "apps:clone a b",
        ] {
            let (why, _) = says(line);
            assert!(!why.is_empty() && !why.starts_with("did you mean"), "{line}: {why}");
        }
        assert_eq!(says("pg:psql -a shop").1, ["config:set shop --secret --stdin DATABASE_URL < FILE"]);
        assert_eq!(says("postgres:link db shop").1, ["config:set APP --secret --stdin DATABASE_URL < FILE"]);
        assert!(says("pg:backups:capture").0.contains("back up"), "the longest word wins");
        assert!(says("pgx:create").0.is_empty(), "a family is a whole word");
    }

    #[test]
    fn every_step_works_as_typed() {
        for row in ROWS {
            for (step, shown) in row.next.iter().zip(row.steps(&["--app=shop".to_owned()])) {
                assert!(!shown.contains("APP"), "{shown}");
                if step.starts_with("git ") {
                    continue;
                }
                let typed = shown.split(" < ").next().unwrap().replace("NAME", "name").replace("USER", "ada");
                let typed = typed.replace("-- COMMAND", "-- ls").replace("-- cat FILE", "-- cat x");
                let request =
                    crate::parse(&domain::words::words(&typed).unwrap()).unwrap_or_else(|no| panic!("{typed}: {no}"));
                assert!(!request.verb.spec().takes_away, "{typed}");
            }
            assert!(!row.says.ends_with('.') && row.says.len() < 140, "{}", row.says);
            for word in row.words {
                let ours = TABLE.iter().any(|spec| spec.name == *word || spec.aliases.contains(word));
                assert!(!ours, "{word} is a command of ours");
            }
        }
    }

    #[test]
    fn what_takes_away_is_marked() {
        for spec in TABLE {
            let asks = spec.flags.iter().any(|flag| flag.takes == Takes::Confirmation);
            let named = ["destroy", "remove", "clear", "unset", "logout", "cancel", "stop", "shutdown"];
            let named = named.iter().any(|end| spec.name.split(':').any(|part| part == *end));
            assert!(spec.takes_away == (asks || named), "{}", spec.name);
        }
    }
}
