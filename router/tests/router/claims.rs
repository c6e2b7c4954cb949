//! What a client claims about itself, as raw bytes, and what reaches the app.

use router::headers::{FIELDS, Fate};
use tokio::net::TcpSocket;

use crate::harness::*;

/// Sends these field lines from an address and gives back the lines that the app got.
async fn passed(router: &Router, source: &str, fields: &str) -> Vec<String> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source.parse::<std::net::IpAddr>().unwrap(), 0).into()).unwrap();
    let mut raw = Raw { stream: socket.connect(router.addr).await.unwrap(), buf: vec![] };
    raw.send(format!("GET /path?q HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")).await;
    let (head, body) = raw.response().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{fields:?}: {head}");
    let mut lines: Vec<String> = body.lines().skip(1).map(str::to_string).filter(|line| !line.is_empty()).collect();
    lines.retain(|line| !line.starts_with("X-Request-Id: ") && !line.starts_with("X-Request-Start: "));
    lines
}

async fn start(trusted: &[&str]) -> (Router, App) {
    let app = App::echo("app").await;
    let router = Router::with(|c| c.trusted = trusted.iter().map(|n| n.parse().unwrap()).collect()).await;
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    (router, app)
}

fn ours(router: &Router, forwarded: &str, proto: &str, port: u16) -> Vec<String> {
    let port = if port == 0 { router.addr.port() } else { port };
    let text = format!(
        "GET /path?q HTTP/1.1\nHost: a.test\nX-Forwarded-For: {forwarded}\nX-Forwarded-Proto: {proto}\n\
         X-Forwarded-Port: {port}\nVia: 1.1 hoist"
    );
    text.lines().map(str::to_string).collect()
}

#[tokio::test]
async fn no_claim_of_a_stranger_passes_however_it_is_spelt() {
    let (router, _app) = start(&["192.0.2.0/24"]).await;
    let plain = ours(&router, "127.0.0.1", "http", 0);
    let claims = FIELDS.iter().filter(|(_, fate)| matches!(fate, Fate::Claim | Fate::Never));
    for (row, _) in claims {
        let name = row.replace('*', "thing");
        let mut spelt = vec![name.clone(), name.to_uppercase(), name.replace('-', "_"), name.replacen('-', "_", 1)];
        spelt.push(name.replace('-', ".").to_uppercase());
        let fields: String = spelt.iter().map(|n| format!("{n}: evil\r\n{n}:evil\r\n")).collect();
        assert_eq!(passed(&router, "127.0.0.1", &fields).await, plain, "{name}");
    }
    // Those that the audit and its kind name.
    for name in [
        "X-Real-IP",
        "True-Client-IP",
        "X-Original-URL",
        "X-Original-Host",
        "X-Original-URI",
        "X-Rewrite-URL",
        "X-Host",
        "X-HTTP-Host-Override",
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "CF-Visitor",
        "Fastly-Client-IP",
        "Fastly-SSL",
        "X-Client-IP",
        "Client-IP",
        "X-Cluster-Client-IP",
        "X-Envoy-External-Address",
        "X-Envoy-Original-Path",
        "Forwarded",
        "Forwarded-For",
        "X-Forwarded",
        "X-Forwarded-Host",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "X-Forwarded-Scheme",
        "X-Forwarded-Ssl",
        "X-Forwarded-By",
        "X-Forwarded-Protocol",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Uri",
        "X-SSL-Client-Cert",
        "X-SSL-Client-Verify",
        "SSL-Client-Cert",
        "X-Client-Cert",
        "X-Client-Certificate",
        "Client-Cert",
        "Front-End-Https",
        "HTTPS",
        "X-Scheme",
        "X-Url-Scheme",
        "X-ARR-SSL",
        "X-ARR-ClientCert",
        "Remote-User",
        "Remote-Addr",
        "X-Remote-User",
        "X-Auth-Request-User",
        "X-WEBAUTH-USER",
        "X-MS-CLIENT-PRINCIPAL",
        "X-Amzn-Oidc-Data",
        "X-Goog-Authenticated-User-Email",
        "Tailscale-User-Login",
        "SCRIPT_NAME",
        "PATH_INFO",
        "X-Script-Name",
        "X-Accel-Mapping",
        "X-Sendfile-Type",
        "X-Hoist-Reason",
        "Proxy",
    ] {
        let twin = name.replace('-', "_").to_lowercase();
        let fields = format!("{name}: evil\r\n{twin}: evil\r\n{}: evil\r\n", name.to_uppercase());
        assert_eq!(passed(&router, "127.0.0.1", &fields).await, plain, "{name}");
    }
}

#[tokio::test]
async fn what_the_router_writes_a_client_can_neither_write_nor_take_away() {
    let (router, _app) = start(&[]).await;
    let plain = ours(&router, "127.0.0.1", "http", 0);
    for fields in [
        "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\nx_forwarded_proto: https\r\nX-Forwarded_Proto: https\r\n",
        "X-Forwarded-Port: 443\r\nX.Forwarded.Port: 443\r\n",
        "Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Port, Host, Via, X-Request-Id, X-Request-Start\r\n",
        "Connection: x-forwarded-for\r\nConnection: X-FORWARDED-FOR\r\n",
        "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_For: 6.6.6.6\r\nX_REQUEST_ID: abcdefghijabcdefghij\r\n",
        "X-Request-Start: 1\r\nX_Request_Start: 1\r\nX-Request-Id: short\r\n",
    ] {
        assert_eq!(passed(&router, "127.0.0.1", fields).await, plain, "{fields:?}");
    }
    // The list stays, as Heroku keeps it; who sent it is its last entry.
    let list = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7, 8.8.8.8\r\nConnection: X-Forwarded-For\r\n";
    assert_eq!(
        passed(&router, "127.0.0.1", list).await,
        ours(&router, "6.6.6.6, 7.7.7.7, 8.8.8.8, 127.0.0.1", "http", 0)
    );
    // What only looks alike, and what frameworks make of themselves, passes.
    let got =
        passed(&router, "127.0.0.1", "X-HTTP-Method-Override: PUT\r\nX-Requested-With: x\r\nVia: 1.0 b\r\n").await;
    assert_eq!(got.len(), plain.len() + 3, "{got:?}");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_strangers_beside_it_are_not() {
    let (router, _app) = start(&["127.0.0.9", "10.0.0.0/8"]).await;
    let claims = "X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.1.2.3\r\nX-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: shop.test\r\n\
                  X-Real-IP: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\n";
    // Another spelling came through the proxy unseen, as did a Connection field; the proxy's own word stays.
    let unseen = "X_Real_IP: 6.6.6.6\r\nX_Forwarded_Host: evil\r\nProxy: evil\r\nX-Hoist-Reason: evil\r\n\
                  Connection: X-Real-IP, X-Forwarded-Host, X-Hop\r\nX-Hop: 1\r\n";
    let mut want = ours(&router, "6.6.6.6, 203.0.113.7", "https", 443);
    let kept = ["X-Forwarded-Host: shop.test", "X-Real-IP: 203.0.113.7", "Forwarded: for=203.0.113.7"];
    want.splice(2..2, kept.map(str::to_string));
    assert_eq!(passed(&router, "127.0.0.9", &format!("{claims}{unseen}")).await, want);
    let stranger = passed(&router, "127.0.0.1", &format!("{claims}{unseen}")).await;
    assert_eq!(stranger, ours(&router, "6.6.6.6, 203.0.113.7, 10.1.2.3, 127.0.0.1", "http", 0));
    for (fields, forwarded, proto, port) in [
        ("", "127.0.0.9", "http", 0),
        (
            "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n",
            "203.0.113.7",
            "https",
            8443,
        ),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", "127.0.0.9", "http", 0),
        ("X-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 99999\r\n", "127.0.0.9", "http", 0),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Port: 0\r\n", "127.0.0.9", "https", 443),
    ] {
        assert_eq!(passed(&router, "127.0.0.9", fields).await, ours(&router, forwarded, proto, port), "{fields:?}");
    }
    // A line follows its answer, so that of the next request, in the other worker, may come first.
    let lines = router.lines("app-1", 7).await;
    let told = lines.iter().filter(|line| line.contains(" fwd=\"6.6.6.6, 203.0.113.7, 127.0.0.9\" "));
    assert_eq!(told.count(), 1, "{lines:#?}");
}
