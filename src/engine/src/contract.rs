//! What every engine must do, as one test: run on the fake, and on the Docker of this machine if there is one.

use super::bench::{Bench, LABEL, spec};
use super::*;
use crate::images::ensure_stack;
use std::time::Instant;

/// A world in which an engine can be tried: a network not made yet, an image that is there.
struct World<'a> {
    engine: &'a dyn Engine,
    run: &'a str,
    network: NetworkSpec,
    image: String,
}

async fn contract(world: World<'_>) {
    let World { engine, run, network, image } = world;
    assert!(!engine.version().await.unwrap().version.is_empty());
    networks(engine, run, &network).await;
    absent_things(engine, run, &network).await;
    assert!(engine.has_image(&image).await.unwrap());
    assert!(!engine.has_image("hoist/absent:v1").await.unwrap());
    engine.remove_image("hoist/absent:v1").await.unwrap();
    life(engine, run, &network, &image).await;
    engine.remove_network(&network.name).await.unwrap();
    engine.remove_network(&network.name).await.unwrap();
    assert_eq!(engine.networks(LABEL, run).await.unwrap(), Vec::<String>::new());
}

async fn networks(engine: &dyn Engine, run: &str, network: &NetworkSpec) {
    engine.remove_network(&network.name).await.unwrap();
    engine.ensure_network(network).await.unwrap();
    engine.ensure_network(network).await.unwrap();
    // Other settings: made anew, while unused.
    let other = NetworkSpec { members_talk: false, ..network.clone() };
    engine.ensure_network(&other).await.unwrap();
    engine.ensure_network(network).await.unwrap();
    assert_eq!(engine.networks(LABEL, run).await.unwrap(), [network.name.as_str()]);
}

async fn absent_things(engine: &dyn Engine, run: &str, network: &NetworkSpec) {
    let name = format!("{run}-i9");
    assert_eq!(engine.inspect(&name).await.unwrap(), None);
    assert!(engine.fillable(&name).await.unwrap().is_empty());
    engine.kill(&name).await.unwrap();
    engine.stop(&name, Duration::from_secs(1)).await.unwrap();
    engine.remove(&name).await.unwrap();
    assert!(matches!(engine.start_again(&name).await, Err(EngineError::NotFound(_))));
    assert!(matches!(engine.wait(&name).await, Err(EngineError::NotFound(_))));
    let no_image = spec(run, 9, "hoist/absent:v1", network, &["true"]);
    let answer = engine.ensure_started(&no_image).await;
    assert!(matches!(&answer, Err(EngineError::NotFound(image)) if image == "hoist/absent:v1"), "{answer:?}");
    assert_eq!(engine.list(LABEL, run).await.unwrap(), []);
}

async fn life(engine: &dyn Engine, run: &str, network: &NetworkSpec, image: &str) {
    let mut hints = engine.hints(LABEL, run).await.unwrap();
    let (one, two) =
        (spec(run, 1, image, network, &["sleep", "1000"]), spec(run, 2, image, network, &["sleep", "1000"]));
    engine.ensure_started(&two).await.unwrap();
    engine.ensure_started(&one).await.unwrap();
    engine.ensure_started(&one).await.unwrap();
    let there = engine.inspect(&one.name).await.unwrap().unwrap();
    assert!(matches!(there.status, Status::Running { pid } if pid > 0), "{there:?}");
    assert_eq!((there.name, there.labels.get(LABEL)), (one.name.clone(), Some(&run.to_owned())));
    let names: Vec<String> = engine.list(LABEL, run).await.unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, [one.name.clone(), two.name.clone()], "in order of name");
    assert_eq!(engine.list(LABEL, "nobody").await.unwrap(), []);
    let (first, second) = (engine.fillable(&one.name).await.unwrap(), engine.fillable(&two.name).await.unwrap());
    assert!(!first.is_empty() && first.iter().all(|place| place.is_absolute() && !second.contains(place)), "{first:?}");

    let memory = engine.memory(&one.name).await.unwrap();
    assert!(memory.is_some_and(|bytes| bytes > 0 && bytes < 100_000_000), "{memory:?}");

    let hint = async { while hints.recv().await.unwrap().name != one.name {} };
    tokio::time::timeout(Duration::from_secs(5), hint).await.expect("a hint about the start");

    let (ended, killed) = tokio::join!(engine.wait(&one.name), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        engine.kill(&one.name).await
    });
    killed.unwrap();
    assert_eq!(ended.unwrap(), Status::Exited { code: 137, out_of_memory: false });
    assert_eq!(engine.memory(&one.name).await.unwrap(), None, "ended");
    engine.kill(&one.name).await.unwrap();
    engine.ensure_started(&one).await.unwrap();
    let there = engine.inspect(&one.name).await.unwrap().unwrap();
    assert!(matches!(there.status, Status::Exited { .. }), "what has ended is not started by ensure");
    engine.start_again(&one.name).await.unwrap();
    engine.start_again(&one.name).await.unwrap();
    let there = engine.inspect(&one.name).await.unwrap().unwrap();
    assert!(matches!(there.status, Status::Running { .. }), "{there:?}");
    engine.stop(&one.name, Duration::ZERO).await.unwrap();
    engine.stop(&one.name, Duration::ZERO).await.unwrap();
    assert!(
        matches!(engine.wait(&one.name).await.unwrap(), Status::Exited { .. }),
        "waiting for what has ended is over at once"
    );
    for name in [&one.name, &two.name, &two.name] {
        engine.remove(name).await.unwrap();
        assert_eq!(engine.inspect(name).await.unwrap(), None);
        assert_eq!(engine.memory(name).await.unwrap(), None);
    }
    assert_eq!(engine.list(LABEL, run).await.unwrap(), []);
}

#[tokio::test]
async fn fake() {
    let fake = Fake::new();
    fake.add_image("hoist/stack-run:deb13");
    let gateway = Ipv4Addr::new(10, 254, 0, 1);
    let network = NetworkSpec {
        name: "t-n0".to_owned(),
        bridge: "hstt0".to_owned(),
        subnet: (Ipv4Addr::new(10, 254, 0, 0), 27),
        gateway,
        members_talk: true,
        labels: BTreeMap::from([(LABEL.to_owned(), "t".to_owned())]),
    };
    contract(World { engine: &fake, run: "t", network, image: "hoist/stack-run:deb13".to_owned() }).await;
}

#[tokio::test]
async fn docker() {
    Bench::with(|bench| async move {
        let started = Instant::now();
        let stack = ensure_stack(&bench.docker, &bench.registry, &Bench::stacks(), "deb13-run").await.unwrap();
        eprintln!("stack image after {:?}; {:?}", started.elapsed(), bench.docker.version().await.unwrap());
        let world =
            World { engine: &bench.docker, run: &bench.run, network: bench.network(0), image: stack.image.clone() };
        contract(world).await;
    })
    .await;
}

#[tokio::test]
async fn fake_goes_wrong_as_told() {
    use fake::{Failure, Habit};
    let fake = Fake::new();
    fake.add_image("i");
    let bench_network = NetworkSpec {
        name: "n".to_owned(),
        bridge: "b".to_owned(),
        subnet: (Ipv4Addr::new(10, 254, 0, 0), 27),
        gateway: Ipv4Addr::new(10, 254, 0, 1),
        members_talk: true,
        labels: BTreeMap::new(),
    };
    fake.ensure_network(&bench_network).await.unwrap();
    let one = spec("t", 1, "i", &bench_network, &["x"]);
    fake.fail_on(2, Failure::AnswerLost);
    assert_eq!(fake.inspect(&one.name).await.unwrap(), None);
    assert!(matches!(fake.ensure_started(&one).await, Err(EngineError::NotAnswering)));
    assert!(fake.inspect(&one.name).await.unwrap().is_some(), "the answer was lost, the effect was not");
    let mut hints = fake.hints(LABEL, "t").await.unwrap();
    fake.set_habit(Habit::Repeat);
    fake.exit(&one.name, 1, true);
    assert_eq!(
        (hints.try_recv().unwrap(), hints.try_recv().unwrap()),
        (Hint { name: one.name.clone() }, Hint { name: one.name.clone() })
    );
    assert_eq!(fake.wait(&one.name).await.unwrap(), Status::Exited { code: 1, out_of_memory: true });
    fake.forget(&one.name);
    assert_eq!(fake.inspect(&one.name).await.unwrap(), None);
    fake.set_down(true);
    assert!(matches!(fake.version().await, Err(EngineError::NotRunning(_))));
    assert_eq!(fake.calls().first().map(String::as_str), Some("ensure_network n"));
}
