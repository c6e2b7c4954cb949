//! `doctor` against faults that are planted for real; the judgement of each kind is tested in `domain`.

use e2e::{World, engine, processes, program, run, wait_for};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// The state and the fix of a check.
fn finding(world: &World, check: &str) -> (String, String) {
    let said = world.hoist(&["doctor", "--format", "json"]).json();
    let found =
        said.as_array().unwrap().iter().find(|f| f["check"] == check).unwrap_or_else(|| panic!("{check}: {said}"));
    (found["state"].as_str().unwrap().to_owned(), found["fix"].as_str().unwrap().to_owned())
}

#[test]
fn a_sound_server_has_nothing_bad() {
    let world = World::new();
    let said = world.hoist(&["doctor"]).ok();
    for check in
        ["docker", "live-restore", "store", "firewall", "bridges", "ssh", "http", "router", "stack", "disk", "queue"]
    {
        assert!(said.out.lines().any(|line| line.starts_with(check)), "{check}: {said}");
    }
    said.says(&format!("port {}", world.http.port())).says("as hoist-router, table ").hides("bad");
}

#[test]
fn a_folder_open_to_others_a_missing_stack_and_a_lost_table_are_found() {
    let stacks = tempfile::tempdir().unwrap();
    let world = World::with(&[("stacks", stacks.path().to_str().unwrap()), ("router-user", "root")]);
    assert_eq!(finding(&world, "stack"), ("bad".to_owned(), "scripts/stacks".to_owned()));
    assert_eq!(finding(&world, "router").0, "warn");
    assert_eq!(finding(&world, "folder").0, "ok");
    let open = |mode| std::fs::set_permissions(world.data(), std::fs::Permissions::from_mode(mode)).unwrap();
    open(0o755);
    assert_eq!(finding(&world, "folder"), ("bad".to_owned(), format!("chmod 700 {}", world.data().display())));
    open(0o700);
    // Put back by the server within seconds: seen bad in between.
    wait_for("the finding", Duration::from_secs(30), || {
        engine::remove_firewall(world.install());
        finding(&world, "firewall").0 == "bad"
    });
    world.hoist(&["doctor"]).exits(1).says("-> ");
}

/// Programs that one server does not see, until this is dropped.
struct Hidden<'w>(&'w World);

impl<'w> Hidden<'w> {
    /// Each folder that has one is covered by links to all the others in it.
    fn new(world: &'w World, names: &[&str]) -> Hidden<'w> {
        let (names, place) = (names.join(" "), world.folder("hidden"));
        let cover = "k=$p$d t=$p/links$d; mkdir -p $k $t; mount --bind $d $k; ln -s -t $t $k/*; cd $t; rm -f $n; cd /; \
                     mount --bind $t $d; echo $d >>$p/covered";
        let script = format!(
            "p={} n='{names}'\nfor d in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do\n\
             for f in $n; do if [ ! -L $d ] && [ -e $d/$f ]; then {cover}; break; fi; done; done",
            place.display()
        );
        let hidden = Hidden(world);
        hidden.inside(&script);
        hidden
    }

    fn inside(&self, script: &str) {
        let mut inside = program("nsenter");
        let server = processes(&self.0.data(), "serve")[0].to_string();
        inside.args(["-m", "-t", &server, "sh", "-ec", script]);
        run(inside, b"", Duration::from_secs(30)).ok();
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        self.inside(&format!("for d in $(cat {}/covered); do umount $d; done", self.0.folder("hidden").display()));
    }
}

#[test]
fn a_program_that_is_missing_is_told_with_the_package_that_brings_it() {
    let world = World::apart(&[]);
    let app = world.app("blog", "tests/apps/static");
    app.push().ok();
    world.hoist(&["doctor"]).ok().says("git, nft, rm");
    {
        let _hidden = Hidden::new(&world, &["git", "nft"]);
        let said = world.hoist(&["doctor"]).exits(1).hides("git, nft, rm");
        said.says("git is missing")
            .says("apt-get install git")
            .says("apt-get install nftables")
            .says("install nft, as above");
        app.commit_change("index.html", "changed");
        let refused = app.push().fails().says("git is not installed on the server");
        refused.says("next: an administrator: apt-get install git, then doctor").hides("fault");
    }
    world.hoist(&["doctor"]).ok().says("git, nft, rm");
    app.push().ok();
}

#[test]
fn a_base_domain_that_points_nowhere_and_a_router_that_is_not_there_are_found() {
    let place = tempfile::Builder::new().prefix("hd").tempdir().unwrap();
    let dir = place.path().join("router");
    let flags = [("router", "external"), ("router-dir", dir.to_str().unwrap()), ("base-domain", "apps.invalid")];
    let world = World::with(&flags);
    assert_eq!(finding(&world, "domain").0, "bad");
    assert!(finding(&world, "wildcard").1.contains("*.apps.invalid"));
    let (state, fix) = finding(&world, "router");
    assert_eq!(state, "bad");
    assert!(fix.contains("systemctl start hoist-router"), "{fix}");
    assert_eq!(finding(&world, "http").0, "bad");
    assert_eq!(finding(&world, "ssh").0, "ok");
}
