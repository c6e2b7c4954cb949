//! A router by hand, to measure it: `router DIR LISTEN HOSTS TARGET` serves h0.test, h1.test, … from one target.

use std::net::TcpListener;

use router::{
    RouterClient, RouterConfig,
    proto::Snapshot,
    table::{Action, Route, Target},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, listen, hosts, target] = args.as_slice() else { return Err("DIR LISTEN HOSTS TARGET".into()) };
    let config = RouterConfig {
        workers: std::env::var("WORKERS").ok().and_then(|n| n.parse().ok()).unwrap_or(0),
        ..RouterConfig::new(format!("{dir}/data"), format!("{dir}/logs"))
    };
    let (socket, hosts, addr) = (config.socket(), hosts.parse::<u64>()?, target.parse()?);
    let log = std::env::var("LOG").ok();
    let route = move |n| -> Result<Route, router::table::BadRoute> {
        let targets = vec![Target { id: "t".into(), addr, name: "web.1".into() }];
        let action = Action::Serve { targets };
        Ok(Route { host: format!("h{n}.test").parse()?, path: "/".parse()?, log: log.clone(), action })
    };
    let routes = (0..hosts).map(route).collect::<Result<Vec<_>, _>>()?;
    router::run(config, vec![TcpListener::bind(listen)?], |ready| {
        let generation = ready.generation + 1;
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let wait = std::time::Duration::from_secs(30);
                let (client, _, _events) = RouterClient::connect(&socket, wait).await.ok()?;
                client.install(Snapshot { generation, routes }, wait).await.ok()
            })
        });
    })?;
    Ok(())
}
