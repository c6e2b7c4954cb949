//! Images from a registry of one's own: `registry:*` against Debian's docker-registry, with credentials and without.

use crate::dockerfile::{SERVE, app, docker};
use e2e::{World, program, wait_for};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A registry on loopback; ended when dropped.
struct Registry {
    child: Child,
    host: String,
    config: String,
}

impl Registry {
    /// With one user, or open to everybody.
    fn start(folder: &Path, user: Option<(&str, &str)>) -> Registry {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let auth = user.map_or_else(String::new, |(name, password)| {
            let made = program("htpasswd").args(["-Bbn", name, password]).output().unwrap();
            std::fs::write(folder.join("users"), made.stdout).unwrap();
            format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", folder.join("users").display())
        });
        let config = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
             rootdirectory: {}\nhttp:\n  addr: {host}\n{auth}",
            folder.join("blobs").display()
        );
        std::fs::write(folder.join("config.yml"), config).unwrap();
        let mut serve = program("docker-registry");
        let serve = serve.arg("serve").arg(folder.join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = serve.spawn().expect("Debian's docker-registry");
        wait_for("the registry", Duration::from_secs(10), || std::net::TcpStream::connect(&host).is_ok());
        Registry { child, host, config: folder.join("client").to_str().unwrap().to_owned() }
    }

    /// Puts an image there that holds one file; its name. The engine keeps nothing of it.
    fn put(&self, folder: &Path, name: &str, content: &str, user: Option<(&str, &str)>) -> String {
        let (image, files) = (format!("{}/team/{name}", self.host), folder.join(name.replace(':', "-")));
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("marker"), content).unwrap();
        let tar = files.with_extension("tar");
        let packed = program("tar").arg("-cf").arg(&tar).arg("-C").arg(&files).arg("marker").status().unwrap();
        assert!(packed.success());
        docker(&["import", tar.to_str().unwrap(), &image]);
        if let Some((name, password)) = user {
            docker(&["--config", &self.config, "login", "-u", name, "-p", password, &self.host]);
        }
        docker(&["--config", &self.config, "push", "-q", &image]);
        docker(&["rmi", "-f", &image]);
        image
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dockerfile(image: &str) -> String {
    format!(
        "FROM {image} AS base\nFROM hoist/stack-run AS look\nCOPY --from=base /marker /m\nRUN echo marker=$(cat /m){SERVE}COPY --from=look /m /m\n"
    )
}

#[test]
fn a_private_registry_is_pulled_from_after_a_login() {
    let world = World::new();
    let folder = world.folder("registry");
    let (user, password) = ("ci", format!("pass{}word", std::process::id()));
    let registry = Registry::start(&folder, Some((user, &password)));
    let image = registry.put(&folder, "base:1", &format!("one{}", registry.host), Some((user, &password)));
    let app = app(&world, "private", &dockerfile(&image));
    app.push().fails().says("registry:login").says("builds cannot reach its registry");
    world.hoist(&["registry:allow", &registry.host]).ok();
    app.push().fails().says("registry:login").says("does not give the image away");
    let boss = world.admin("boss");
    boss.ssh(&["registry:login", &registry.host, user]).exits(1).says("no password came");
    boss.ssh_with(&["registry:login", "https://", user], b"x").exits(1).says("is not a registry's host");
    boss.ssh_with(&["registry:login", &registry.host, user], b"wrong\n").ok().says("next pull");
    app.push().fails().says("registry:login");
    boss.ssh_with(&["registry:login", &registry.host, user], format!("{password}\n").as_bytes()).ok();
    app.push().ok().says(&format!("marker=one{}", registry.host));
    boss.ssh(&["registry:list"]).ok().says(&registry.host).says(user).hides(&password);
    boss.ssh(&["registry:list", "--format", "json"]).ok().hides(&password);
    boss.ssh(&["events"]).ok().hides(&password);
    let logs = program("grep").args(["-rl", &password]).arg(world.data().join("logs")).output().unwrap();
    assert!(logs.stdout.is_empty(), "{}", String::from_utf8_lossy(&logs.stdout));
    boss.ssh(&["registry:logout", &registry.host]).ok();
    boss.ssh(&["registry:logout", &registry.host]).exits(1).says("registry:list");
    boss.ssh(&["registry:list"]).ok().says("No logins");
    let second = registry.put(&folder, "base:2", "two", Some((user, &password)));
    app.commit_change("Dockerfile", &dockerfile(&second));
    // The way there is closed again with the login.
    app.push().fails().says("builds cannot reach its registry");
}

#[test]
fn an_open_registry_on_the_host_is_reached_when_it_is_let_through() {
    let world = World::new();
    let folder = world.folder("registry");
    let registry = Registry::start(&folder, None);
    let image = registry.put(&folder, "open:1", &format!("open{}", registry.host), None);
    let app = app(&world, "open", &dockerfile(&image));
    app.push().fails();
    world.hoist(&["registry:allow", &registry.host]).ok().says("without a login");
    world.hoist(&["registry:list"]).ok().says(&registry.host);
    app.push().ok().says(&format!("marker=open{}", registry.host));
    app.commit_change("Dockerfile", &dockerfile(&format!("{}/team/none:1", registry.host)));
    app.push().fails().says("is the name and the tag in FROM right?");
}
