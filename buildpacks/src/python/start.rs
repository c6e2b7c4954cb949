//! How a Python app without a Procfile is started, and whether it is Django.
//! Invariant: the server is one of the app's own dependencies; none is installed that the app did not ask for.
//! Absent: Procfiles, running any of the app's code to look.

use super::dependencies::Dependencies;
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::tree::{Found, Tree};

/// Files in which an application object is looked for, the likeliest first.
const FILES: [&str; 9] =
    ["app.py", "main.py", "wsgi.py", "asgi.py", "application.py", "server.py", "api.py", "run.py", "__init__.py"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) command: String,
    pub(crate) from: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Django {
    /// The package with wsgi.py and asgi.py: `mysite`.
    pub(crate) wsgi: Option<String>,
    pub(crate) asgi: Option<String>,
    /// Whether a settings file says where static files are collected.
    pub(crate) static_root: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Wsgi,
    Asgi,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Application {
    kind: Kind,
    module: String,
    /// `app` or `create_app()`.
    object: String,
    /// The folder that must be searched for modules, besides the app's own.
    folder: Option<&'static str>,
    path: String,
    framework: &'static str,
}

impl Django {
    pub(crate) fn find(tree: &Tree) -> Option<Django> {
        let manage = text_of(tree, "manage.py")?;
        if !manage.contains("django") {
            return None;
        }
        let settings = manage.split(['"', '\'']).skip_while(|word| *word != "DJANGO_SETTINGS_MODULE").nth(2);
        let package = settings.and_then(|module| module.split('.').next()).unwrap_or("");
        let beside = |file: &str| {
            let own = format!("{package}/{file}");
            let any = || tree.0.keys().find(|path| path.split_once('/').is_some_and(|(_, name)| name == file)).cloned();
            let path = if tree.has_file(&own) { Some(own) } else { any() };
            path.filter(|path| plain(path)).map(|path| module_of(&path))
        };
        let collects = |text: String| text.lines().any(|line| line.trim_start().starts_with("STATIC_ROOT"));
        let static_root =
            tree.0.keys().filter(|path| is_settings(path)).filter_map(|path| text_of(tree, path)).any(collects);
        Some(Django { wsgi: beside("wsgi.py"), asgi: beside("asgi.py"), static_root })
    }
}

/// Whether a file may hold Django's settings.
pub(crate) fn is_settings(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let (name, folder) = (parts.next().unwrap_or(""), parts.next());
    path.matches('/').count() <= 3 && (name == "settings.py" || (folder == Some("settings") && name.ends_with(".py")))
}

/// Whether a file may hold an application object.
pub(crate) fn may_hold_app(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    FILES.contains(&name) && folder.matches('/').count() <= 1
}

/// The command, or the refusal that says what to add.
pub(crate) fn find(
    tree: &Tree,
    django: Option<&Django>,
    dependencies: Option<&Dependencies>,
) -> Result<Start, Refusal> {
    // Where it cannot be told what is installed, the usual server is taken after those that are named.
    let named = |name: &str| dependencies.is_some_and(|found| found.has(name));
    let servers = ["gunicorn", "waitress", "uvicorn", "hypercorn", "daphne"];
    let assumed = dependencies.is_some_and(|found| found.unsure) && !servers.into_iter().any(named);
    let has = |name: &str| named(name) || (assumed && matches!(name, "gunicorn" | "uvicorn"));
    if let Some(django) = django {
        let wsgi = django.wsgi.as_ref().map(|module| format!("{module}:application"));
        let asgi = django.asgi.as_ref().map(|module| format!("{module}:application"));
        let wsgi = wsgi.and_then(|app| Some((serve(Kind::Wsgi, &app, None, &has)?, "wsgi.py of the Django project")));
        let asgi =
            || asgi.and_then(|app| Some((serve(Kind::Asgi, &app, None, &has)?, "asgi.py of the Django project")));
        return match wsgi.or_else(asgi) {
            Some((command, from)) => Ok(Start { command, from: from.into() }),
            None => Err(no_server("Django", "gunicorn", dependencies)),
        };
    }
    let Some(found) = application(tree) else { return Err(nothing(tree)) };
    let app = format!("{}:{}", found.module, found.object);
    match serve(found.kind, &app, found.folder, &has) {
        Some(command) => Ok(Start { command, from: format!("the {} application in {}", found.framework, found.path) }),
        None => {
            let server = if found.kind == Kind::Wsgi { "gunicorn" } else { "uvicorn" };
            Err(no_server(found.framework, server, dependencies))
        }
    }
}

fn serve(kind: Kind, app: &str, folder: Option<&str>, has: &dyn Fn(&str) -> bool) -> Option<String> {
    let (bare, factory) = app.strip_suffix("()").map_or((app, false), |bare| (bare, true));
    let quoted = if factory { format!("'{app}'") } else { app.to_owned() };
    let dir = |option: &str| folder.map(|folder| format!(" {option} {folder}")).unwrap_or_default();
    Some(match kind {
        Kind::Wsgi if has("gunicorn") => format!("gunicorn --bind 0.0.0.0:$PORT{} {quoted}", dir("--pythonpath")),
        Kind::Wsgi if has("waitress") && folder.is_none() => {
            format!("waitress-serve --listen=0.0.0.0:$PORT {}{bare}", if factory { "--call " } else { "" })
        }
        Kind::Asgi if has("uvicorn") => {
            let factory = if factory { " --factory" } else { "" };
            format!("uvicorn --host 0.0.0.0 --port $PORT{}{factory} {bare}", dir("--app-dir"))
        }
        Kind::Asgi if has("hypercorn") && folder.is_none() => format!("hypercorn --bind 0.0.0.0:$PORT {quoted}"),
        Kind::Asgi if has("daphne") && folder.is_none() && !factory => format!("daphne -b 0.0.0.0 -p $PORT {bare}"),
        Kind::Wsgi | Kind::Asgi => return None,
    })
}

fn application(tree: &Tree) -> Option<Application> {
    let mut paths: Vec<&String> = tree.0.keys().filter(|path| may_hold_app(path) && plain(path)).collect();
    let rank = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        (path.matches('/').count(), FILES.iter().position(|file| *file == name))
    };
    paths.sort_by_key(|path| (rank(path), (*path).clone()));
    let factory = |path: &str| look(tree, path, true);
    paths.iter().find_map(|path| look(tree, path, false)).or_else(|| paths.iter().find_map(|path| factory(path)))
}

fn look(tree: &Tree, path: &str, factories: bool) -> Option<Application> {
    const FRAMEWORKS: [(&str, &str, Kind); 5] = [
        ("FastAPI", "FastAPI", Kind::Asgi),
        ("Starlette", "Starlette", Kind::Asgi),
        ("Quart", "Quart", Kind::Asgi),
        ("Flask", "Flask", Kind::Wsgi),
        ("Bottle", "Bottle", Kind::Wsgi),
    ];
    let text = text_of(tree, path)?;
    let (folder, inside) = match path.strip_prefix("src/") {
        Some(inside) => (Some("src"), inside),
        None => (None, path),
    };
    let made = |class: &str, line: &str| {
        // What is indented belongs to a function.
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with([' ', '\t']))?;
        let name = name.split(':').next()?.trim();
        let value = value
            .trim()
            .rsplit_once('.')
            .map_or(value.trim(), |(module, rest)| if module.contains('(') { value.trim() } else { rest });
        let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (word && value.starts_with(&format!("{class}("))).then(|| name.to_owned())
    };
    let builder = |line: &str| {
        let name = line.strip_prefix("def ")?.split('(').next()?.trim();
        matches!(name, "create_app" | "make_app").then(|| format!("{name}()"))
    };
    FRAMEWORKS.iter().find_map(|(class, framework, kind)| {
        let used = text.contains(&format!("{class}("));
        let object = match factories {
            false => text.lines().find_map(|line| made(class, line)),
            true => text.lines().filter(|_| used).find_map(builder),
        }?;
        Some(Application { kind: *kind, module: module_of(inside), object, folder, path: path.to_owned(), framework })
    })
}

/// `blog/app.py` is `blog.app`, `blog/__init__.py` is `blog`.
fn module_of(path: &str) -> String {
    let module = path.strip_suffix(".py").unwrap_or(path);
    module.strip_suffix("/__init__").unwrap_or(module).replace('/', ".")
}

/// Whether a path can stand in a command as a module.
fn plain(path: &str) -> bool {
    path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_'))
}

fn text_of(tree: &Tree, path: &str) -> Option<String> {
    match tree.find(path) {
        Found::File(content) => Some(String::from_utf8_lossy(content).into_owned()),
        Found::Nothing | Found::NotAFile | Found::Unread => None,
    }
}

fn no_server(framework: &str, server: &str, dependencies: Option<&Dependencies>) -> Refusal {
    let why = format!("this is a {framework} app without a Procfile, and {server} is not among its dependencies");
    let add = match dependencies {
        Some(found) => found.manager.add(server),
        None => format!("echo {server} >>requirements.txt"),
    };
    Refusal::new(Code::NoServer, "no web server is installed", why, &format!("{add}, commit and push"))
        .or("or say in a Procfile how it is served, such as `web: python app.py`; it must listen on 0.0.0.0:$PORT")
}

fn nothing(tree: &Tree) -> Refusal {
    let why = "looked for: a Procfile, manage.py of Django, an object made by Flask(…), FastAPI(…) or Starlette(…) in app.py, main.py, wsgi.py, asgi.py and alike";
    let refusal = Refusal::new(
        Code::NoStartCommand,
        "nothing says how to start this app",
        why,
        "add a Procfile with a line such as `web: gunicorn --bind 0.0.0.0:$PORT app:app`",
    );
    let below = tree.0.keys().find_map(|path| path.strip_suffix("/manage.py").filter(|folder| plain(folder)));
    match below {
        Some(folder) => refusal.or(format!("manage.py is in {folder}/: apps:set APP root={folder}")),
        None => refusal,
    }
}
