//! What is spoken, tried with the real client and one algorithm at a time; and that it is no more than that.

use super::*;

const KEX: [&str; 7] = [
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
];
const HOST_KEYS: [&str; 4] = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"];
const MACS: [&str; 4] =
    ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"];

impl World {
    /// A session with only these, each `Option=VALUE`; the exit code, and what the client says.
    fn only(&self, key: &str, options: &[String]) -> (Option<i32>, String) {
        let mut words = vec!["-v", "-o", "BatchMode=yes"];
        for option in options {
            words.extend(["-o", option]);
        }
        let done = self.ssh_with(key, &words, "exit 5").output().unwrap();
        (done.status.code(), text(&done.stderr))
    }

    /// Until the key that is made last is offered.
    fn rsa_is_there(&self) {
        wait_for(|| {
            self.only("key", &["HostKeyAlias=rsa".into(), "HostKeyAlgorithms=rsa-sha2-512".into()]).0 == Some(5)
        });
    }
}

#[test]
fn each_algorithm_by_itself() {
    let world = world(Limits::default());
    world.rsa_is_there();
    for kex in KEX {
        for host_key in HOST_KEYS {
            // Another name, as a client that has seen another key of this one is right to refuse.
            let alias = format!("HostKeyAlias={host_key}");
            let only = [format!("KexAlgorithms={kex}"), format!("HostKeyAlgorithms={host_key}"), alias];
            let (code, said) = world.only("key", &only);
            assert_eq!(code, Some(5), "{kex} {host_key}: {said}");
            assert!(said.contains(&format!("kex: algorithm: {kex}")), "{said}");
            assert!(said.contains(&format!("kex: host key algorithm: {host_key}")), "{said}");
        }
    }
    for cipher in ["aes256-ctr", "aes128-ctr"] {
        for mac in MACS {
            let (code, said) = world.only("key", &[format!("Ciphers={cipher}"), format!("MACs={mac}")]);
            assert_eq!(code, Some(5), "{cipher} {mac}: {said}");
            assert!(said.contains(&format!("cipher: {cipher} MAC: {mac}")), "{said}");
        }
    }
    // As a client that is bound by FIPS asks, and as an old library does.
    for all in [
        ["ecdh-sha2-nistp384", "ecdsa-sha2-nistp256", "aes256-ctr", "hmac-sha2-512"],
        ["diffie-hellman-group14-sha256", "rsa-sha2-256", "aes128-ctr", "hmac-sha2-256"],
    ] {
        let names = ["KexAlgorithms", "HostKeyAlgorithms", "Ciphers", "MACs"];
        let mut options: Vec<String> = names.iter().zip(all).map(|(name, value)| format!("{name}={value}")).collect();
        options.push(format!("HostKeyAlias={}", all[1]));
        for key in ["key", "rsa", "ecdsa"] {
            let (code, said) = world.only(key, &options);
            assert_eq!(code, Some(5), "{key} {all:?}: {said}");
        }
    }
}

#[test]
fn keys_of_users_of_every_kind() {
    let world = world(Limits::default());
    let kinds = [("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "3072"), ("rsa", "4096")];
    let mut known = world.toy.known.clone();
    for (kind, bits) in kinds {
        let name = format!("{kind}{bits}");
        keygen(&world.path(&name), kind, bits);
        let public = std::fs::read_to_string(world.path(&format!("{name}.pub"))).unwrap();
        known.push(keys::parse_public(&public).unwrap().text());
    }
    let second = world.path("second_host_key");
    let (_, addr) =
        serve(&world.runtime, (known, world.toy.reports.clone()), (&second, Limits::default()), &world.tasks);
    let world = World { addr, ..world };
    for key in ["key", "ecdsa", "ecdsa384", "ecdsa521", "rsa", "rsa3072", "rsa4096"] {
        let algorithms: &[&str] =
            if key.starts_with("rsa") { &["rsa-sha2-256", "rsa-sha2-512"] } else { &["ssh-*,ecdsa-*"] };
        for algorithm in algorithms {
            let (code, said) = world.only(key, &[format!("PubkeyAcceptedAlgorithms={algorithm}")]);
            assert_eq!(code, Some(5), "{key} {algorithm}: {said}");
        }
    }
}

#[test]
fn what_is_broken_is_not_offered() {
    let world = world(Limits::default());
    world.rsa_is_there();
    for option in [
        "KexAlgorithms=diffie-hellman-group14-sha1",
        "KexAlgorithms=diffie-hellman-group1-sha1",
        "KexAlgorithms=diffie-hellman-group-exchange-sha1",
        "HostKeyAlgorithms=ssh-rsa",
        "HostKeyAlgorithms=ecdsa-sha2-nistp384",
        "Ciphers=aes256-cbc",
        "Ciphers=3des-cbc",
    ] {
        let (code, said) = world.only("key", &[option.into()]);
        assert!(code == Some(255) && said.contains("no matching"), "{option}: {said}");
    }
    for mac in ["hmac-sha1", "hmac-md5", "hmac-sha1-etm@openssh.com", "umac-64@openssh.com"] {
        let (code, said) = world.only("key", &["Ciphers=aes256-ctr".into(), format!("MACs={mac}")]);
        assert!(code == Some(255) && said.contains("no matching MAC"), "{mac}: {said}");
    }
}

/// Whoever knows the Ed25519 key is shown it, whatever else there is by now.
#[test]
fn known_hosts_stay_valid() {
    let world = world(Limits::default());
    // At once: nobody waits for the RSA key.
    let (code, said) = world.only("key", &[]);
    assert_eq!(code, Some(5), "{said}");
    let known = std::fs::read_to_string(world.path("known")).unwrap();
    assert!(known.contains(" ssh-ed25519 "), "{known}");
    world.rsa_is_there();
    for order in
        [vec![], vec!["HostKeyAlgorithms=ssh-ed25519".to_owned()], vec!["HostKeyAlgorithms=+ssh-rsa".to_owned()]]
    {
        let (code, said) = world.only("key", &order);
        assert!(code == Some(5) && said.contains("host key algorithm: ssh-ed25519"), "{order:?}: {said}");
    }
    let (code, said) = world.only("key", &["HostKeyAlgorithms=ecdsa-sha2-nistp256".into()]);
    assert!(code == Some(255) && said.contains("IDENTIFICATION HAS CHANGED"), "asked for, and not known: {said}");
}
