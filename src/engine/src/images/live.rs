//! Layers as they are written, and images as an engine pulls them.

use super::*;
use crate::bench::{Bench, LABEL};
use crate::{Engine, EngineError, REGISTRY_USER};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn options() -> LayerOptions {
    LayerOptions { uid: 1000, gid: 1000, home: "app".to_owned(), bytes_max: 1 << 30 }
}

fn layer_of(blobs: &BlobStore, host: &Path, at: &str) -> Layer {
    let mut layer = LayerWriter::new(blobs, options()).unwrap();
    layer.add_folder(&FolderSource { host, at, exclude: &|_, _| false }).unwrap();
    layer.finish().unwrap()
}

/// Many small files, like a `node_modules`.
fn dependencies(folder: &Path, files: usize, size: usize) {
    let mut noise = 1u32;
    let mut bytes = vec![0u8; size];
    for n in 0..files {
        for chunk in bytes.chunks_mut(4) {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            chunk.copy_from_slice(&noise.to_le_bytes()[..chunk.len()]);
        }
        let sub = folder.join(format!("p{:03}", n / 50));
        std::fs::create_dir_all(&sub).unwrap();
        std::fs::write(sub.join(format!("f{n}.js")), &bytes).unwrap();
    }
}

fn image(bench: &Bench, layers: &[Layer]) -> Digest {
    ImageConfig {
        env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        workdir: "/app".to_owned(),
        user: "1000:1000".to_owned(),
        labels: bench.labels(),
        cmd: vec!["cat".to_owned(), "/app/server.js".to_owned()],
        exposed_port: Some(5000),
        created: EPOCH.to_owned(),
        layers: layers.to_vec(),
        architecture: architecture().to_owned(),
    }
    .assemble(bench.registry.blobs())
    .unwrap()
}

fn app_layer(blobs: &BlobStore, text: &str) -> Layer {
    let mut layer = LayerWriter::new(blobs, options()).unwrap();
    let entry = Entry { path: b"app/server.js".to_vec(), node: Node::bytes(false, text.as_bytes().to_vec()) };
    layer.add_entries([Ok(entry)]).unwrap();
    layer.finish().unwrap()
}

#[tokio::test]
async fn only_what_changed_is_pulled() {
    Bench::with(|bench| async move {
        let (docker, registry) = (&bench.docker, &bench.registry);
        let stack = ensure_stack(docker, registry, &Bench::stacks(), "deb13-run").await.unwrap();
        let again = Instant::now();
        ensure_stack(docker, registry, &Bench::stacks(), "deb13-run").await.unwrap();
        eprintln!("stack there already: {:?}", again.elapsed());
        let deps = bench.data.path().join("deps");
        dependencies(&deps, 1_000, 9_300 + usize::from(rand::random::<u16>() / 16));
        let blobs = registry.blobs();
        let deps = layer_of(blobs, &deps, "app/node_modules");
        let tag = format!("hoist/{}:v1", bench.run);
        let pull = |text: String| {
            let (deps, stack, bench, tag) = (deps.clone(), stack.clone(), bench.clone(), tag.clone());
            async move {
                let manifest = image(&bench, &[stack.layer, deps, app_layer(bench.registry.blobs(), &text)]);
                let (before, started) = (bench.registry.served(), Instant::now());
                bench.docker.pull(&bench.registry.reference(&bench.run, &manifest), &tag).await.unwrap();
                let (after, took) = (bench.registry.served(), started.elapsed());
                eprintln!(
                    "pulled {} blobs, {} bytes in {took:?}",
                    after.blobs - before.blobs,
                    after.bytes - before.bytes
                );
                (after.blobs - before.blobs, after.bytes - before.bytes)
            }
        };
        let (blobs_first, bytes_first) = pull(format!("first {}", bench.run)).await;
        assert_eq!(blobs_first, 4, "manifest, config, dependencies, app; not the stack");
        assert!(bytes_first > 9_000_000);
        for n in 0..4 {
            let (blobs_next, bytes_next) = pull(format!("change {n} {}", bench.run)).await;
            assert_eq!(blobs_next, 3, "manifest, config, app");
            assert!(bytes_next < 20_000, "{bytes_next}");
        }
        let names = docker.images(LABEL, &bench.run).await.unwrap();
        assert_eq!(names, [tag.as_str()], "our name only; the registry's reference is gone");
    })
    .await;
}

#[tokio::test]
async fn a_layer_that_is_gone() {
    Bench::with(|bench| async move {
        let blobs = bench.registry.blobs();
        let app = app_layer(blobs, &format!("gone {}", bench.run));
        let manifest = image(&bench, std::slice::from_ref(&app));
        let path = blobs.find(&app.digest).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let tag = format!("hoist/{}:v1", bench.run);
        let reference = bench.registry.reference(&bench.run, &manifest);
        let started = Instant::now();
        let answer = bench.docker.pull(&reference, &tag).await;
        eprintln!("a missing layer: {answer:?} after {:?}", started.elapsed());
        assert!(matches!(answer, Err(EngineError::LayerGone(_))), "{answer:?}");
        // The half of a file that a power cut left.
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let answer = bench.docker.pull(&reference, &tag).await;
        assert!(matches!(answer, Err(EngineError::LayerGone(_))), "{answer:?}");
        std::fs::remove_file(blobs.find(&manifest).unwrap()).unwrap();
        let answer = bench.docker.pull(&reference, &tag).await;
        assert!(matches!(answer, Err(EngineError::LayerGone(_))), "{answer:?}");
        assert_eq!(app_layer(blobs, &format!("gone {}", bench.run)), app, "made again, it is the same");
        let manifest = image(&bench, std::slice::from_ref(&app));
        bench.docker.pull(&bench.registry.reference(&bench.run, &manifest), &tag).await.unwrap();
        // A fresh one: the engine remembers the manifests that it has seen, and asks nobody about those.
        let fresh = image(&bench, &[app_layer(blobs, &format!("another {}", bench.run))]);
        let mut wrong = bench.registry.reference(&bench.run, &fresh);
        wrong.token = domain::Secret::new("wrong".to_owned());
        let answer = bench.docker.pull(&wrong, &tag).await;
        assert!(matches!(answer, Err(EngineError::Failed { .. })), "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn strangers_get_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (tasks, data) = (system::tasks::Tasks::new(), tempfile::tempdir().unwrap());
    let blobs = Arc::new(BlobStore::open(data.path()).unwrap());
    let blob = blobs.put(b"secret layer").unwrap();
    let registry = Registry::start(&tasks, blobs).await.unwrap();
    let reference = registry.reference("app", &blob.digest);
    let ask = async |head: String| {
        let mut stream = tokio::net::TcpStream::connect(&reference.registry).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let pair = |token: &str| {
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{REGISTRY_USER}:{token}"))
    };
    let get = |verb: &str, path: &str, token: &str, more: &str| {
        format!(
            "{verb} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {}\r\n{more}\r\n",
            pair(token)
        )
    };
    let (path, right) = (format!("/v2/app/blobs/{}", blob.digest), reference.token.reveal().as_str());
    let refused = ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    assert!(
        refused.starts_with("HTTP/1.1 401") && refused.to_lowercase().contains("www-authenticate: basic"),
        "{refused}"
    );
    assert!(!refused.contains("secret layer"));
    assert!(ask(get("GET", &path, "wrong", "")).await.starts_with("HTTP/1.1 401"));
    assert!(ask(get("GET", &path, right, "")).await.ends_with("secret layer"));
    let part = ask(get("GET", &path, right, "Range: bytes=7-\r\n")).await;
    assert!(part.starts_with("HTTP/1.1 206") && part.ends_with("\r\n\r\nlayer"), "{part}");
    let head = ask(get("HEAD", &path, right, "")).await.to_lowercase();
    assert!(
        head.starts_with("http/1.1 200") && head.contains("content-length: 12") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    for missing in ["/v2/app/blobs/latest", "/v2/app/manifests/latest", "/v2/../../etc/passwd", "/", "/v2/_catalog"] {
        assert!(ask(get("GET", missing, right, "")).await.starts_with("HTTP/1.1 404"), "{missing}");
    }
    assert!(ask(get("DELETE", &path, right, "")).await.starts_with("HTTP/1.1 405"));
    let hello = ask("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}hello\r\n\r\n".to_owned()).await;
    assert!(hello.starts_with("HTTP/1.1 400"), "a TLS hello is answered in HTTP: {hello}");
    tasks.shutdown(std::time::Duration::from_secs(2)).await;
}

#[test]
fn layers_are_what_they_should_be() {
    let data = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(data.path()).unwrap();
    let make = |folder: &Path| {
        std::fs::create_dir_all(folder.join("b/deep")).unwrap();
        std::fs::write(folder.join("b/run"), "#!/bin/sh\n").unwrap();
        std::fs::write(folder.join("a-b"), "x").unwrap();
        std::fs::hard_link(folder.join("b/run"), folder.join("b/same")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join("b/out")).unwrap();
        std::os::unix::fs::symlink("x".repeat(300), folder.join("long")).unwrap();
        std::os::unix::fs::symlink("..", folder.join("b/up")).unwrap();
        std::fs::write(folder.join("b").join("n".repeat(200)), "long name").unwrap();
        std::fs::write(folder.join("skip.log"), "no").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4770);
        std::fs::set_permissions(folder.join("b/run"), mode).unwrap();
    };
    let write = |folder: &Path| {
        let mut layer = LayerWriter::new(&blobs, options()).unwrap();
        let exclude = |path: &[u8], folder: bool| !folder && path.ends_with(b".log");
        layer.add_folder(&FolderSource { host: folder, at: "app/src", exclude: &exclude }).unwrap();
        layer.add_entries([Ok(Entry { path: b"opt/x/y".to_vec(), node: Node::Folder })]).unwrap();
        layer.finish().unwrap()
    };
    let (one, two) = (data.path().join("one"), data.path().join("two"));
    make(&one);
    std::thread::sleep(std::time::Duration::from_millis(20));
    make(&two);
    let layer = write(&one);
    assert_eq!(layer, write(&two), "the same content, made at another time");
    let mut listing = Vec::new();
    let mut archive = tar::Archive::new(std::fs::File::open(blobs.find(&layer.digest).unwrap()).unwrap());
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let link = entry.link_name_bytes().map(|l| String::from_utf8_lossy(&l[..l.len().min(12)]).into_owned());
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.get(..24).unwrap_or(&path).to_owned();
        assert_eq!(header.mtime().unwrap(), FIXED);
        let kind = char::from(header.entry_type().as_byte());
        let line = format!(
            "{kind} {:o} {} {path} {}",
            header.mode().unwrap(),
            header.uid().unwrap(),
            link.unwrap_or_default()
        );
        listing.push(line.trim_end().to_owned());
    }
    expect_test::expect![[r"
        5 755 1000 app
        5 755 1000 app/src
        0 644 1000 app/src/a-b
        5 755 1000 app/src/b
        5 755 1000 app/src/b/deep
        0 644 1000 app/src/b/nnnnnnnnnnnnnn
        2 777 1000 app/src/b/out /etc/passwd
        0 755 1000 app/src/b/run
        1 644 1000 app/src/b/same app/src/b/ru
        2 777 1000 app/src/b/up ..
        2 777 1000 app/src/long xxxxxxxxxxxx
        5 755 0 opt
        5 755 0 opt/x
        5 755 1000 opt/x/y"]]
    .assert_eq(&listing.join("\n"));
}

/// The times of a layer's entries, as `path time`.
fn times_of(blobs: &BlobStore, layer: &Layer) -> BTreeMap<String, u64> {
    let mut archive = tar::Archive::new(std::fs::File::open(blobs.find(&layer.digest).unwrap()).unwrap());
    let entries = archive.entries().unwrap().map(Result::unwrap);
    let time = |entry: &tar::Entry<'_, _>| entry.header().mtime().unwrap();
    entries.map(|entry| (entry.path().unwrap().to_str().unwrap().to_owned(), time(&entry))).collect()
}

#[test]
fn what_did_not_change_keeps_its_time() {
    let data = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(data.path()).unwrap();
    let folder = data.path().join("app");
    std::fs::create_dir_all(folder.join("sub/inner")).unwrap();
    std::fs::write(folder.join("a.js"), "var rate=10;").unwrap();
    std::fs::write(folder.join("sub/same"), "same").unwrap();
    std::fs::hard_link(folder.join("sub/same"), folder.join("sub/other")).unwrap();
    std::fs::File::create(folder.join("large")).unwrap().set_len(5 << 20).unwrap();
    let mut times = Times::default();
    let mut pack = |now: u64| {
        let marking = std::mem::take(&mut times).begin(now, 0);
        let mut layer = LayerWriter::marked(&blobs, options(), marking).unwrap();
        layer.add_folder(&FolderSource { host: &folder, at: "app", exclude: &|_, _| false }).unwrap();
        layer.file(b"opt/hoist/made", false, 4, &b"made"[..]).unwrap();
        let (layer, marking) = layer.finish_marked().unwrap();
        times = marking.unwrap().end(None, 0);
        layer
    };
    let (begun, later) = (1_700_000_000, 1_700_000_100);
    let first = pack(begun);
    assert_eq!(pack(later), first, "nothing changed");
    std::fs::write(folder.join("a.js"), "var rate=99;").unwrap();
    std::fs::write(folder.join("sub/new"), "new").unwrap();
    let second = times_of(&blobs, &pack(later));
    let changed: Vec<&str> = second.iter().filter(|(_, time)| **time == later).map(|(path, _)| path.as_str()).collect();
    assert_eq!(changed, ["app/a.js", "app/sub", "app/sub/new"], "a folder changes with the names in it");
    let kept: Vec<&str> = second.iter().filter(|(_, time)| **time == begun).map(|(path, _)| path.as_str()).collect();
    assert_eq!(kept, ["app", "app/large", "app/sub/inner", "app/sub/other", "app/sub/same", "opt/hoist/made"]);

    // The first one is wanted again: it has other times, and nothing else is different.
    let again = |times: &Times, now: u64| {
        let writer = LayerWriter::marked(&blobs, options(), times.clone().begin(now, 0)).unwrap();
        let packed = std::fs::File::open(blobs.find(&first.digest).unwrap()).unwrap();
        let (layer, marking) = pack_again(writer, packed).unwrap();
        (layer, marking.unwrap().end(None, 0))
    };
    let (back, now) = again(&times, 1_700_000_200);
    let changed: Vec<String> =
        times_of(&blobs, &back).into_iter().filter(|(_, time)| *time == 1_700_000_200).map(|(path, _)| path).collect();
    assert_eq!(changed, ["app/a.js", "app/sub"]);
    assert_eq!(again(&now, 1_700_000_300).0, back, "and it stays what it is");
}

#[test]
fn hostile_paths() {
    let data = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(data.path()).unwrap();
    let file = |path: &str| Entry { path: path.as_bytes().to_vec(), node: Node::bytes(false, b"x".to_vec()) };
    for bad in [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        "a\0b",
        ".wh.x",
        "a/.wh..wh..opq",
        &"a/".repeat(3000),
    ] {
        let mut layer = LayerWriter::new(&blobs, options()).unwrap();
        assert!(layer.add_entries([Ok(file(bad))]).is_err(), "{bad:?}");
    }
    let mut layer = LayerWriter::new(&blobs, options()).unwrap();
    let link = Entry { path: b"a".to_vec(), node: Node::Symlink(b"/etc".to_vec()) };
    layer.add_entries([Ok(link)]).unwrap();
    assert!(layer.add_entries([Ok(file("a/passwd"))]).is_err(), "nothing below a link");
    assert!(layer.add_entries([Ok(file("a"))]).is_err(), "nothing twice");
    let small = LayerOptions { bytes_max: 100, ..options() };
    let mut layer = LayerWriter::new(&blobs, small).unwrap();
    assert!(layer.add_entries([Ok(file("a"))]).is_err(), "too large");
    let mut layer = LayerWriter::new(&blobs, options()).unwrap();
    assert!(layer.file(b"short", false, 10, &b"only 6"[..]).is_err(), "shorter than announced");
    let deep = data.path().join("deep");
    let mut at = deep.clone();
    (0..210).for_each(|_| at.push("d"));
    std::fs::create_dir_all(&at).unwrap();
    let mut layer = LayerWriter::new(&blobs, options()).unwrap();
    assert!(layer.add_folder(&FolderSource { host: &deep, at: "app", exclude: &|_, _| false }).is_err(), "too deep");
    assert_eq!(std::fs::read_dir(data.path().join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
#[ignore = "a measurement: tests/bench/engine runs it"]
fn big_layer() {
    let data = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(data.path()).unwrap();
    let deps = data.path().join("deps");
    dependencies(&deps, 10_000, 9_300);
    std::fs::File::create(data.path().join("sync")).unwrap().flush().unwrap();
    for _ in 0..4 {
        let started = Instant::now();
        let layer = layer_of(&blobs, &deps, "app/node_modules");
        eprintln!("{} bytes in {:?}", layer.size, started.elapsed());
    }
}
