//! Python apps as text, and their plans.

use crate::testing::{check_lines, facts, ids, planned, show, tree};
use crate::{Pins, Settings, Stack, ask, plan};
use expect_test::{Expect, expect};

const SAID: [&str; 6] = ["+", "!", "refused", "->", "web:", "looked"];

fn check(files: &str, expect: Expect) {
    expect.assert_eq(&planned(files));
}

fn said(files: &str, expect: Expect) {
    check_lines(files, &SAID, expect);
}

/// What is said about Python's version.
fn version(files: &str, expect: Expect) {
    let text = planned(&format!("{files}\n-- app.py\n-- Procfile\nweb: x\n"));
    let about = |line: &&str| {
        ["Python ", "refused", "->", "+ Python", "! "].iter().any(|start| line.starts_with(start)) && *line != "Python"
    };
    expect.assert_eq(&text.lines().filter(about).map(|line| format!("{line}\n")).collect::<String>());
}

const FLASK: &str = "-- requirements.txt
Flask==3.1.2
gunicorn==23.0.0
-- app.py
from flask import Flask
app = Flask(__name__)
";

#[test]
fn flask_from_requirements() {
    check(
        FLASK,
        expect![[r#"
            Python
            + Python 3.13.5 (nothing asks for a version)
            + uv 0.13.9 (the newest)
            + web: gunicorn --bind 0.0.0.0:$PORT app:app (from the Flask application in app.py)
            + uv installs from requirements.txt; kept until it changes
            [runtime Host launch] key python=3.13.5 suite=trixie Stack
              sees None config None
              $ sh -c SCRIPT fetch-python trixie 3.13 /layers/runtime
              keeps /layers/runtime as /opt/python except include
            [installer Host build] key uv=0.13.9 Stack
              sees None config None
              $ python3 -m pip install -q --no-deps --no-cache-dir --break-system-packages --no-compile --only-binary=:all: --target /layers/installer uv==0.13.9
              keeps /layers/installer as /opt/uv
            [dependencies App launch] key python=3.13.5 uv=0.13.9 Stack file:requirements.txt
              sees Files(["requirements.txt"]) config None
              mount runtime /layers/runtime at /opt/python ReadOnly
              mount installer /layers/installer at /opt/uv ReadOnly
              $ uv venv -q --no-project /app/.venv
              $ uv pip install --python /app/.venv --no-progress -r requirements.txt
              keeps /app/.venv as /app/.venv
            [app App launch] key Whole
              sees Whole config None
              keeps /app as /app except .venv
            web: gunicorn --bind 0.0.0.0:$PORT app:app
            env PATH=/app/.venv/bin:/opt/python/bin:$PATH PYTHONUNBUFFERED?=1 PYTHONPATH=/app:$PYTHONPATH FORWARDED_ALLOW_IPS?=* WEB_CONCURRENCY?=2
            pins {"python": "3.13.5", "uv": "0.13.9"}
        "#]],
    );
}

#[test]
fn fastapi_from_uv_lock() {
    check(
        r#"-- pyproject.toml
[project]
name = "api"
version = "0.1.0"
requires-python = ">=3.12"
dependencies = ["fastapi", "uvicorn"]
[dependency-groups]
dev = ["pytest", "gunicorn"]
-- uv.lock
version = 1
[[package]]
name = "api"
version = "0.1.0"
source = { virtual = "." }
dependencies = [{ name = "fastapi" }, { name = "uvicorn" }]
[package.dev-dependencies]
dev = [{ name = "gunicorn" }]
[[package]]
name = "fastapi"
source = { registry = "https://r.example/simple" }
dependencies = [{ name = "starlette" }]
[[package]]
name = "starlette"
[[package]]
name = "uvicorn"
[[package]]
name = "gunicorn"
-- app/main.py
from fastapi import FastAPI
app: FastAPI = FastAPI(title="x")
"#,
        expect![[r#"
            Python
            + Python 3.13.5 (>=3.12 in requires-python in pyproject.toml)
            + uv 0.13.9 (the newest)
            + web: uvicorn --host 0.0.0.0 --port $PORT app.main:app (from the FastAPI application in app/main.py)
            + uv installs from uv.lock; kept until it changes
            [runtime Host launch] key python=3.13.5 suite=trixie Stack
              sees None config None
              $ sh -c SCRIPT fetch-python trixie 3.13 /layers/runtime
              keeps /layers/runtime as /opt/python except include
            [installer Host build] key uv=0.13.9 Stack
              sees None config None
              $ python3 -m pip install -q --no-deps --no-cache-dir --break-system-packages --no-compile --only-binary=:all: --target /layers/installer uv==0.13.9
              keeps /layers/installer as /opt/uv
            [dependencies App launch] key python=3.13.5 uv=0.13.9 Stack file:pyproject.toml file:uv.lock
              sees Files(["pyproject.toml", "uv.lock"]) config None
              mount runtime /layers/runtime at /opt/python ReadOnly
              mount installer /layers/installer at /opt/uv ReadOnly
              $ uv sync --locked --no-default-groups --no-install-project --no-progress
              keeps /app/.venv as /app/.venv
            [app App launch] key Whole
              sees Whole config None
              keeps /app as /app except .venv
            web: uvicorn --host 0.0.0.0 --port $PORT app.main:app
            env PATH=/app/.venv/bin:/opt/python/bin:$PATH PYTHONUNBUFFERED?=1 PYTHONPATH=/app:$PYTHONPATH FORWARDED_ALLOW_IPS?=*
            pins {"python": "3.13.5", "uv": "0.13.9"}
        "#]],
    );
}

const DJANGO: &str = r#"-- manage.py
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
from django.core.management import execute_from_command_line
-- mysite/settings.py
STATIC_ROOT = BASE_DIR / "static"
-- mysite/wsgi.py
-- mysite/asgi.py
-- other/wsgi.py
"#;

#[test]
fn django_collects_its_static_files() {
    check(
        &format!(
            "{DJANGO}-- requirements.txt\ndjango~=5.2\ngunicorn\nwhitenoise[brotli] >= 6 ; python_version > '3'\n"
        ),
        expect![[r#"
            Python
            + Python 3.13.5 (nothing asks for a version)
            + uv 0.13.9 (the newest)
            + web: gunicorn --bind 0.0.0.0:$PORT mysite.wsgi:application (from wsgi.py of the Django project)
            + uv installs from requirements.txt; kept until it changes
            + runs manage.py collectstatic (from STATIC_ROOT in the settings)
            ! requirements.txt does not fix the versions of django, gunicorn, whitenoise: what is newest now stays until the file changes
            ! migrations are not run: a Procfile with `release: python manage.py migrate` runs them before traffic moves
            [runtime Host launch] key python=3.13.5 suite=trixie Stack
              sees None config None
              $ sh -c SCRIPT fetch-python trixie 3.13 /layers/runtime
              keeps /layers/runtime as /opt/python except include
            [installer Host build] key uv=0.13.9 Stack
              sees None config None
              $ python3 -m pip install -q --no-deps --no-cache-dir --break-system-packages --no-compile --only-binary=:all: --target /layers/installer uv==0.13.9
              keeps /layers/installer as /opt/uv
            [dependencies App launch] key python=3.13.5 uv=0.13.9 Stack file:requirements.txt
              sees Files(["requirements.txt"]) config None
              mount runtime /layers/runtime at /opt/python ReadOnly
              mount installer /layers/installer at /opt/uv ReadOnly
              $ uv venv -q --no-project /app/.venv
              $ uv pip install --python /app/.venv --no-progress -r requirements.txt
              keeps /app/.venv as /app/.venv
            [app App launch] key Whole python=3.13.5 uv=0.13.9 Stack AllConfig
              sees Whole config All
              mount runtime /layers/runtime at /opt/python ReadOnly
              mount installer /layers/installer at /opt/uv ReadOnly
              mount dependencies /app/.venv at /app/.venv Overlay
              $ python manage.py collectstatic --noinput
              keeps /app as /app except .venv
            web: gunicorn --bind 0.0.0.0:$PORT mysite.wsgi:application
            env PATH=/app/.venv/bin:/opt/python/bin:$PATH PYTHONUNBUFFERED?=1 PYTHONPATH=/app:$PYTHONPATH FORWARDED_ALLOW_IPS?=* WEB_CONCURRENCY?=2
            pins {"python": "3.13.5", "uv": "0.13.9"}
        "#]],
    );
    said(
        &format!("{DJANGO}-- requirements.txt\ndjango==5.2\nuvicorn==1\n"),
        expect![[r#"
        + Python 3.13.5 (nothing asks for a version)
        + uv 0.13.9 (the newest)
        + web: uvicorn --host 0.0.0.0 --port $PORT mysite.asgi:application (from asgi.py of the Django project)
        + uv installs from requirements.txt; kept until it changes
        + runs manage.py collectstatic (from STATIC_ROOT in the settings)
        ! whitenoise is not among the dependencies: nothing serves the collected static files
        ! migrations are not run: a Procfile with `release: python manage.py migrate` runs them before traffic moves
        web: uvicorn --host 0.0.0.0 --port $PORT mysite.asgi:application
    "#]],
    );
    said(
        &format!("{DJANGO}-- requirements.txt\ndjango==5.2\n"),
        expect![[r#"
        refused no-server: no web server is installed
        -> echo gunicorn >>requirements.txt, commit and push
        -> or say in a Procfile how it is served, such as `web: python app.py`; it must listen on 0.0.0.0:$PORT
    "#]],
    );
    let settings = Settings { config: vec!["DISABLE_COLLECTSTATIC".into()], ..Settings::default() };
    let files = tree(&format!("{DJANGO}-- requirements.txt\ndjango==5.2\ngunicorn==1\n"));
    let text = show(plan(&files, &settings, &Pins::new(), &facts()));
    assert!(text.contains("DISABLE_COLLECTSTATIC is set") && !text.contains("collectstatic --noinput"), "{text}");
}

#[test]
fn poetry_and_pipenv() {
    check(
        r#"-- pyproject.toml
[tool.poetry]
name = "my-app"
packages = [{ include = "my_app" }]
[tool.poetry.dependencies]
python = "^3.11"
flask = "^3"
[build-system]
requires = ["poetry-core"]
-- poetry.lock
[[package]]
name = "Flask"
groups = ["main"]
[[package]]
name = "gunicorn"
groups = ["dev"]
-- my_app/__init__.py
-- Procfile
web: flask run
"#,
        expect![[r#"
            Python
            + Python 3.13.5 (^3.11 in tool.poetry.dependencies in pyproject.toml)
            + uv 0.13.9 (the newest)
            + poetry 2.3.1 (the newest)
            + processes from Procfile
            + uv installs from poetry.lock; kept until it changes
            [runtime Host launch] key python=3.13.5 suite=trixie Stack
              sees None config None
              $ sh -c SCRIPT fetch-python trixie 3.13 /layers/runtime
              keeps /layers/runtime as /opt/python except include
            [installer Host build] key uv=0.13.9 Stack
              sees None config None
              $ python3 -m pip install -q --no-deps --no-cache-dir --break-system-packages --no-compile --only-binary=:all: --target /layers/installer uv==0.13.9
              keeps /layers/installer as /opt/uv
            [dependencies App launch] key python=3.13.5 uv=0.13.9 poetry=2.3.1 Stack file:pyproject.toml file:poetry.lock
              sees Files(["pyproject.toml", "poetry.lock"]) config None
              mount runtime /layers/runtime at /opt/python ReadOnly
              mount installer /layers/installer at /opt/uv ReadOnly
              $ uv tool run -q --from poetry==2.3.1 --with poetry-plugin-export poetry export --only=main -o /tmp/requirements.txt
              $ uv venv -q --no-project /app/.venv
              $ uv pip install --python /app/.venv --no-progress -r /tmp/requirements.txt
              keeps /app/.venv as /app/.venv
            [app App launch] key Whole python=3.13.5 uv=0.13.9 poetry=2.3.1 Stack AllConfig
              sees Whole config All
              mount runtime /layers/runtime at /opt/python ReadOnly
              mount installer /layers/installer at /opt/uv ReadOnly
              mount dependencies /app/.venv at /app/.venv Overlay
              $ uv pip install --python /app/.venv --no-progress --no-deps -e .
              keeps /app as /app except .venv
              keeps /app/.venv as /app/.venv
            env PATH=/app/.venv/bin:/opt/python/bin:$PATH PYTHONUNBUFFERED?=1 PYTHONPATH=/app:$PYTHONPATH FORWARDED_ALLOW_IPS?=*
            pins {"poetry": "2.3.1", "python": "3.13.5", "uv": "0.13.9"}
        "#]],
    );
    check(
        r#"-- Pipfile
[requires]
python_version = "3.11"
-- Pipfile.lock
{"_meta": {"sources": [{"url": "https://one.example/simple"}]},
 "default": {"flask": {"version": "==3.1.2", "hashes": ["sha256:a"], "markers": "python_version >= '3.9'"},
             "gunicorn": {"version": "==23.0.0"}, "lib": {"git": "https://git.example/x.git", "ref": "abc"}},
 "develop": {"pytest": {"version": "==8"}}}
-- wsgi.py
def create_app():
    return Flask(__name__)
"#,
        expect![[r#"
            Python
            + Python 3.11.2 (3.11 in Pipfile)
            + uv 0.13.9 (the newest)
            + web: gunicorn --bind 0.0.0.0:$PORT 'wsgi:create_app()' (from the Flask application in wsgi.py)
            + uv installs from Pipfile.lock; kept until it changes
            [runtime Host launch] key python=3.11.2 suite=bookworm Stack
              sees None config None
              $ sh -c SCRIPT fetch-python bookworm 3.11 /layers/runtime
              keeps /layers/runtime as /opt/python except include
            [installer Host build] key uv=0.13.9 Stack
              sees None config None
              $ python3 -m pip install -q --no-deps --no-cache-dir --break-system-packages --no-compile --only-binary=:all: --target /layers/installer uv==0.13.9
              keeps /layers/installer as /opt/uv
            [dependencies App launch] key python=3.11.2 uv=0.13.9 Stack file:Pipfile.lock
              sees Files(["Pipfile.lock"]) config None
              mount runtime /layers/runtime at /opt/python ReadOnly
              mount installer /layers/installer at /opt/uv ReadOnly
              $ uv venv -q --no-project /app/.venv
              $ uv pip install --python /app/.venv --no-progress -r /app/.hoist-requirements.txt
              keeps /app/.venv as /app/.venv
              writes /app/.hoist-requirements.txt
            [app App launch] key Whole
              sees Whole config None
              keeps /app as /app except .venv
            web: gunicorn --bind 0.0.0.0:$PORT 'wsgi:create_app()'
            env PATH=/app/.venv/bin:/opt/python/bin:$PATH PYTHONUNBUFFERED?=1 PYTHONPATH=/app:$PYTHONPATH FORWARDED_ALLOW_IPS?=* WEB_CONCURRENCY?=2
            pins {"python": "3.11.2", "uv": "0.13.9"}
        "#]],
    );
}

#[test]
fn what_cannot_be_started() {
    said(
        "-- requirements.txt\nflask==3\n-- app.py\napp = Flask(__name__)\n",
        expect![[r#"
        refused no-server: no web server is installed
        -> echo gunicorn >>requirements.txt, commit and push
        -> or say in a Procfile how it is served, such as `web: python app.py`; it must listen on 0.0.0.0:$PORT
    "#]],
    );
    said(
        "-- requirements.txt\nnumpy==2\n-- run.py\nprint(1)\n",
        expect![[r#"
        refused no-start-command: nothing says how to start this app
        looked for: a Procfile, manage.py of Django, an object made by Flask(…), FastAPI(…) or Starlette(…) in app.py, main.py, wsgi.py, asgi.py and alike
        -> add a Procfile with a line such as `web: gunicorn --bind 0.0.0.0:$PORT app:app`
    "#]],
    );
    said(
        "-- requirements.txt\ndjango==5\n-- backend/manage.py\n",
        expect![[r#"
        refused no-start-command: nothing says how to start this app
        looked for: a Procfile, manage.py of Django, an object made by Flask(…), FastAPI(…) or Starlette(…) in app.py, main.py, wsgi.py, asgi.py and alike
        -> add a Procfile with a line such as `web: gunicorn --bind 0.0.0.0:$PORT app:app`
        -> manage.py is in backend/: apps:set APP root=backend
    "#]],
    );
    said(
        "-- pyproject.toml\n[project]\nname='a'\ndependencies=['flask']\n",
        expect![[r#"
            refused lock-missing: dependencies cannot be installed
            -> uv lock && git add uv.lock && git commit -m Lock
            -> looked for: uv.lock, poetry.lock, Pipfile.lock, requirements.txt
        "#]],
    );
    said(
        "-- Pipfile\n[packages]\nflask='*'\n",
        expect![[r#"
        refused lock-missing: dependencies cannot be installed
        -> pipenv lock && git add Pipfile.lock && git commit -m Lock
        -> looked for: uv.lock, poetry.lock, Pipfile.lock, requirements.txt
    "#]],
    );
    said(
        "-- requirements.txt\n-r base.txt\n",
        expect![[r#"
        refused requirements-missing: dependencies cannot be installed
        -> git add it, commit and push; or remove the line
    "#]],
    );
    said(
        "-- pyproject.toml\n[project\n",
        expect![[r#"
        refused bad-toml: pyproject.toml is not valid TOML
        -> correct pyproject.toml, commit and push
    "#]],
    );
    said(
        "-- requirements.txt\n-> link pyproject.toml",
        expect![[r#"
        refused not-a-file: pyproject.toml is not a file
        -> commit pyproject.toml as a plain file in the app's own folder
    "#]],
    );
}

#[test]
fn start_commands() {
    let app = |files: &str, requirements: &str| format!("-- requirements.txt\n{requirements}\n{files}");
    let start =
        |files: &str, requirements: &str, expect| check_lines(&app(files, requirements), &["web:", "refused"], expect);
    start(
        "-- main.py\napi = fastapi.FastAPI()",
        "fastapi[standard]==1",
        expect![[r#"
        web: uvicorn --host 0.0.0.0 --port $PORT main:api
    "#]],
    );
    start(
        "-- src/shop/__init__.py\napplication = Flask('shop')",
        "flask==1\ngunicorn==1",
        expect![[r#"
        web: gunicorn --bind 0.0.0.0:$PORT --pythonpath src shop:application
    "#]],
    );
    start(
        "-- src/main.py\napp = Starlette()",
        "starlette==1\nuvicorn==1",
        expect![[r#"
        web: uvicorn --host 0.0.0.0 --port $PORT --app-dir src main:app
    "#]],
    );
    start(
        "-- app.py\ndef create_app():\n    app = FastAPI()",
        "fastapi==1\nuvicorn==1",
        expect![[r#"
            web: uvicorn --host 0.0.0.0 --port $PORT --factory app:create_app
        "#]],
    );
    start(
        "-- app.py\napp = Flask(__name__)",
        "flask==1\nwaitress==1",
        expect![[r#"
        web: waitress-serve --listen=0.0.0.0:$PORT app:app
    "#]],
    );
    start(
        "-- a$(id)/app.py\napp = Flask(__name__)",
        "flask==1\ngunicorn==1",
        expect![[r#"
        refused no-start-command: nothing says how to start this app
    "#]],
    );
}

#[test]
fn versions() {
    version(
        "-- requirements.txt",
        expect![[r#"
        + Python 3.13.5 (nothing asks for a version)
    "#]],
    );
    version(
        "-- requirements.txt\n-- .python-version\n3.14\n",
        expect![[r#"
        + Python 3.14.8 (3.14 in .python-version)
        ! Python 3.14 comes from Debian's testing suite: its module termios does not load here
    "#]],
    );
    version(
        "-- requirements.txt\n-- runtime.txt\npython-3.13.1\n",
        expect![[r#"
        + Python 3.13.5 (3.13.1 in runtime.txt)
        ! runtime.txt asks for 3.13.1; of that line there is 3.13.5. Write 3.13 there
    "#]],
    );
    version(
        "-- requirements.txt\n-- runtime.txt\npython-3.12.x\n",
        expect![[r#"
        refused python-version-unavailable: there is no such Python here
        -> ask for 3.13 in runtime.txt, commit and push
    "#]],
    );
    version(
        "-- requirements.txt\n-- .python-version\npypy3.10\n",
        expect![[r#"
        refused python-version-unclear: .python-version does not say a Python version that can be understood
        -> write 3.13 or >=3.11 in .python-version
    "#]],
    );
    version(
        "-- requirements.txt\n-- pyproject.toml\n[project]\nrequires-python='>=3.9,<3.12'\n",
        expect![[r#"
        + Python 3.11.2 (>=3.9,<3.12 in requires-python in pyproject.toml)
    "#]],
    );
    version(
        "-- requirements.txt\n-- pyproject.toml\n[project]\nrequires-python='>=3.14'\n",
        expect![[r#"
        + Python 3.14.8 (>=3.14 in requires-python in pyproject.toml)
        ! Python 3.14 comes from Debian's testing suite: its module termios does not load here
    "#]],
    );
    version(
        "-- requirements.txt\n-- .tool-versions\nnodejs 22\npython 3.10.4\n",
        expect![[r#"
        refused python-version-unavailable: there is no such Python here
        -> ask for 3.13 in .tool-versions, commit and push
    "#]],
    );
}

#[test]
fn ranges() {
    let fits = |range: &str| {
        let range = super::range::Range::parse(range)?;
        let versions = ["3.9.1", "3.11.2", "3.12.0", "3.13.5", "3.14.8", "4.0.0"];
        Some(
            versions
                .into_iter()
                .filter(|v| range.fits(super::range::Version::parse(v).unwrap()))
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    let ranges = [
        "3",
        "3.13",
        "==3.13.*",
        "~=3.12",
        "~=3.12.0",
        "^3.11",
        "~3.12",
        ">=3.11,<3.13",
        ">= 3.11 , != 3.12.*",
        ">3.11",
        "<=3.11",
        "3.11 || 3.13",
        "*",
        "",
        ">=",
        "3.x",
        "abc",
        "3.13.5.6",
        "99999999999",
    ];
    let text: String =
        ranges.iter().map(|range| format!("{range:?} {}\n", fits(range).unwrap_or_else(|| "-".into()))).collect();
    expect![[r#"
        "3" 3.9.1 3.11.2 3.12.0 3.13.5 3.14.8
        "3.13" 3.13.5
        "==3.13.*" 3.13.5
        "~=3.12" 3.12.0 3.13.5 3.14.8
        "~=3.12.0" 3.12.0
        "^3.11" 3.11.2 3.12.0 3.13.5 3.14.8
        "~3.12" 3.12.0
        ">=3.11,<3.13" 3.11.2 3.12.0
        ">= 3.11 , != 3.12.*" 3.11.2 3.13.5 3.14.8 4.0.0
        ">3.11" 3.12.0 3.13.5 3.14.8 4.0.0
        "<=3.11" 3.9.1 3.11.2
        "3.11 || 3.13" 3.11.2 3.13.5
        "*" 3.9.1 3.11.2 3.12.0 3.13.5 3.14.8 4.0.0
        "" -
        ">=" -
        "3.x" 3.9.1 3.11.2 3.12.0 3.13.5 3.14.8
        "abc" -
        "3.13.5.6" -
        "99999999999" -
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_version_stays() {
    let files = tree(FLASK);
    let pins = Pins::from([("python".into(), "3.14.2".into()), ("uv".into(), "0.12.4".into())]);
    assert_eq!(ids(ask(&files, &Settings::default(), &pins)), "");
    let text = show(plan(&files, &Settings::default(), &pins, &crate::Facts::default()));
    assert!(text.contains("Python 3.14.2 (nothing asks for a version, as at the last build)"), "{text}");
    // The older stack has no such Python.
    let settings = Settings { stack: Stack::Deb12, ..Settings::default() };
    assert_eq!(ids(ask(&files, &settings, &pins)), "pythons-deb12");
}

#[test]
fn requirements_files() {
    let lines = |files: &str, expect: Expect| {
        check_lines(files, &["[dependencies", "  sees", "! req", "+ uv i", "refused"], expect)
    };
    const START: &str = "-- Procfile\nweb: x\n";
    lines(
        &format!(
            "{START}-- requirements.txt\n-r requirements/prod.txt\n-c constraints.txt\n-- requirements/prod.txt\n-r base.txt\nflask==1\n-- requirements/base.txt\njinja2\n-- constraints.txt\n"
        ),
        expect![[r#"
        + uv installs from requirements.txt; kept until it changes
        ! requirements.txt does not fix the versions of jinja2: what is newest now stays until the file changes
          sees None config None
          sees None config None
        [dependencies App launch] key python=3.13.5 uv=0.13.9 Stack file:constraints.txt file:requirements.txt file:requirements/base.txt file:requirements/prod.txt
          sees Files(["constraints.txt", "requirements.txt", "requirements/base.txt", "requirements/prod.txt"]) config None
          sees Whole config None
    "#]],
    );
    lines(
        &format!("{START}-- requirements.txt\n-e .\nflask==1 \\\n  --hash=sha256:a\n"),
        expect![[r#"
        + uv installs from requirements.txt at every change of the sources: . comes from the app's own files
          sees None config None
          sees None config None
        [dependencies App launch] key python=3.13.5 uv=0.13.9 Stack Whole
          sees Whole config None
          sees Whole config None
    "#]],
    );
    lines(
        &format!("{START}-- requirements.txt\n./libs/x\ngit+https://git.example/y.git\nz @ https://x.example/z.whl\n"),
        expect![[r#"
        + uv installs from requirements.txt at every change of the sources: ./libs/x comes from the app's own files
          sees None config None
          sees None config None
        [dependencies App launch] key python=3.13.5 uv=0.13.9 Stack Whole
          sees Whole config None
          sees Whole config None
    "#]],
    );
}

#[test]
fn config_that_installing_sees() {
    let settings =
        Settings { config: ["PIP_INDEX_URL", "TOKEN", "SECRET"].map(str::to_owned).to_vec(), ..Settings::default() };
    let files =
        "-- requirements.txt\n--extra-index-url https://${TOKEN}@x.example/simple\nflask==1\n-- Procfile\nweb: x\n";
    let text = show(plan(&tree(files), &settings, &Pins::new(), &facts()));
    let line = text.lines().find(|line| line.contains("Named")).unwrap_or("");
    assert!(line.contains(r#"["PIP_INDEX_URL", "TOKEN"]"#), "{text}");
    assert!(text.contains("with-index uv pip install"), "{text}");
}

/// Links need the cache and the environment in one folder; a build of the app's own package must not find a cache there.
#[test]
fn the_cache_lies_beside_the_environment_unless_the_app_is_built_there() {
    let of = |requirements: &str| {
        let files = format!(
            "-- requirements.txt\n{requirements}-- pyproject.toml\n[project]\nname = \"x\"\n-- Procfile\nweb: x\n"
        );
        let plan = plan(&tree(&files), &Settings::default(), &Pins::new(), &facts()).unwrap();
        let layer = plan.layers.into_iter().find(|layer| layer.name == "dependencies").unwrap();
        let value = |name: &str| layer.env.iter().find(|env| env.name == name).unwrap().value.clone();
        let lent = layer.cache_at.as_ref().map(|lent| (lent.folder.clone(), lent.at.clone()));
        (lent, value("UV_CACHE_DIR"), value("UV_LINK_MODE"))
    };
    let at = "/app/.hoist-uv".to_owned();
    assert_eq!(of("flask==3.1.2\n"), (Some(("uv".into(), at.clone())), at, "hardlink".into()));
    assert_eq!(of("-e .\nflask==3.1.2\n"), (None, "/cache/uv".into(), "copy".into()));
}
