//! `registry:*`: who this server is at image registries.

use crate::context::{Ask, Commands};
use crate::reply::{List, Reply};
use domain::refusal::Code;
use domain::{Refusal, Secret, text};
use serde_json::json;
use store::RegistryLogin;
use system::clock::now;
use system::fault::Result;
use system::io::Io;
use verbs::args;

/// A token may be long; a file is no password.
const PASSWORD_MAX: usize = 16 * 1024;
const NAME_MAX: usize = 255;

pub async fn login(c: &Commands, ask: Ask, io: &mut Io) -> Result<Reply> {
    let typed: args::RegistryLogin = ask.what().arguments()?;
    let (host, user) = (host(&typed.host)?, typed.user.unwrap_or_default());
    if user.is_empty() || user.len() > NAME_MAX || user.chars().any(char::is_control) {
        return Err(Refusal::new(Code::BadUser, "this is no user name").next("registry:login HOST USER").into());
    }
    let bytes = io.read_all(PASSWORD_MAX).await?;
    let password = String::from_utf8_lossy(&bytes);
    let password = password.strip_suffix('\n').unwrap_or(&password);
    let password = Secret::new(password.strip_suffix('\r').unwrap_or(password).to_owned());
    if password.reveal().is_empty() {
        let no = Refusal::new(Code::PasswordMissing, "no password came on standard input");
        return Err(no.next(format!("registry:login {host} {} < FILE", text::plain(&user))).into());
    }
    let shown = host.clone();
    let login = RegistryLogin { host, user, password, created: now() };
    c.p.store.write(move |tx| tx.set_registry(&login)).await?;
    let mut reply = Reply::new();
    reply.did("host", &shown);
    reply.line(format!("Builds log in to {shown} from now on. Whether it takes the password shows at the next pull"));
    Ok(reply)
}

/// A registry that asks for no password: a login without a user.
pub async fn allow(c: &Commands, ask: Ask) -> Result<Reply> {
    let host = host(&ask.what().arguments::<args::RegistryAllow>()?.host)?;
    let nobody = Secret::new(String::new());
    let login = RegistryLogin { host: host.clone(), user: String::new(), password: nobody, created: now() };
    c.p.store.write(move |tx| tx.set_registry(&login)).await?;
    let mut reply = Reply::new();
    reply.did("host", &host);
    reply.line(format!("Builds reach {host} from now on, without a login"));
    Ok(reply)
}

pub async fn logout(c: &Commands, ask: Ask) -> Result<Reply> {
    let host = host(&ask.what().arguments::<args::RegistryLogout>()?.host)?;
    let gone = host.clone();
    if !c.p.store.write(move |tx| tx.remove_registry(&gone)).await? {
        let no = Refusal::new(Code::NoSuchLogin, format!("there is no login to {host}"));
        return Err(no.next("registry:list").into());
    }
    let mut reply = Reply::new();
    reply.did("host", &host);
    reply.line(format!("Forgot the login to {host}. Images that were pulled stay"));
    Ok(reply)
}

pub async fn list(c: &Commands) -> Result<Reply> {
    let all = c.p.store.read(|tx| tx.registries()).await?;
    let list = List {
        columns: &["HOST", "USER", "SINCE"],
        rows: all.iter().map(|one| vec![one.host.clone(), text::plain(&one.user), one.created.short()]).collect(),
        json: all
            .iter()
            .map(|one| json!({"host": one.host, "user": one.user, "since": one.created.rfc3339()}))
            .collect(),
        empty: "No logins. registry:login HOST USER".into(),
    };
    Ok(Reply::list(list))
}

/// A host as an image's name begins with it: no scheme, no path.
fn host(word: &str) -> Result<String> {
    let word = word.strip_prefix("https://").unwrap_or(word).trim_end_matches('/').to_ascii_lowercase();
    let fine = !word.is_empty()
        && word.len() <= NAME_MAX
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'));
    match fine {
        true => Ok(word),
        false => Err(Refusal::new(Code::BadHost, format!("{} is not a registry's host", text::plain(&word)))
            .why("it is what an image's name begins with, without https:// and without a path")
            .next("registry:login registry.example.com USER")
            .into()),
    }
}
