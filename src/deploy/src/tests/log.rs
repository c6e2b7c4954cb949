//! What the log says of a deploy that fails.

use crate::testing::{Blow, Fuse, World};
use domain::deploy::Deploy;
use domain::refusal::Code;
use std::cell::Cell;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use tracing::{Instrument, Level};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// Everything that is logged on this thread.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;
    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

thread_local! {
    /// Whether what this thread logs is listened to.
    static HERE: Cell<bool> = const { Cell::new(false) };
}

/// What this thread logs from now on. One subscriber for the whole process: what another thread met first without one would be
/// taken for something that nobody wants.
fn listen() -> Lines {
    static ALL: OnceLock<Lines> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).with_ansi(false);
        let here = dynamic_filter_fn(|about, _| *about.level() <= Level::INFO && HERE.get());
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer.with_filter(here))).unwrap();
        lines
    });
    all.0.lock().unwrap().clear();
    HERE.set(true);
    all.clone()
}

#[test]
fn a_fault_is_logged_once_and_says_whose_it_is() {
    for (call, build, release) in [("builder.build", None, None), ("engine.ensure_started web", Some(1), Some("v1"))] {
        let lines = listen();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (app, why) = {
            runtime.block_on(async {
                let world = World::new();
                let life = world.start(Fuse::new()).await;
                let app = life.app("blog").await;
                life.fuse.arm(Some(((call.to_owned(), 1), Blow::Fail)));
                let asked = tracing::info_span!("command", who = "ana");
                let commit = format!("{:040x}", 1).parse().unwrap();
                let push = life.push(&app, &commit).instrument(asked);
                match push.await.unwrap().end().await {
                    Deploy::Failed { why, .. } => (app, why),
                    other => panic!("{other:?}"),
                }
            })
        };
        HERE.set(false);
        assert_eq!(why.code, Code::Fault);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let told: Vec<&str> = text.lines().filter(|line| line.contains("as the test asked")).collect();
        assert_eq!(told.len(), 1, "{call}:\n{text}");
        let line = told[0];
        let (id, _) = why.what.split_once("(fault ").unwrap().1.split_once(')').unwrap();
        assert!(line.contains("ERROR") && line.contains(id), "{line}");
        assert!(line.contains("command{who=\"ana\"}:deploy{"), "{line}");
        let mut fields = vec![format!("app={app}"), "deploy=1".to_owned()];
        fields.extend(build.map(|build| format!("build={build}")));
        fields.extend(release.map(|release| format!("release={release}")));
        for field in fields {
            assert!(line.contains(&field), "{field}: {line}");
        }
    }
}
