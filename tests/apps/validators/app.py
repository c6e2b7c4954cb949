"""The files of site/, and of a package, as the usual servers answer for them."""

import os
import zipfile
from email.utils import formatdate, parsedate_to_datetime

import markupsafe
from flask import Flask, Response, request, send_from_directory

app = Flask(__name__, static_folder=None)
SITE = os.path.join(os.path.dirname(__file__), "site")
PACKAGE = os.path.dirname(markupsafe.__file__)


@app.get("/flask/<path:name>")
def by_flask(name):
    return send_from_directory(SITE, name)


@app.get("/size-mtime/<path:name>")
def by_tag(name):
    path = os.path.join(SITE, name)
    about = os.stat(path)
    tag = f'W/"{about.st_size:x}-{about.st_mtime_ns // 1_000_000:x}"'
    return answer(path, {"ETag": tag}, request.headers.get("If-None-Match") == tag)


@app.get("/exact/<path:name>")
def by_exact_date(name):
    path = os.path.join(SITE, name)
    date = formatdate(os.stat(path).st_mtime, usegmt=True)
    return answer(path, {"Last-Modified": date}, request.headers.get("If-Modified-Since") == date)


@app.get("/since/<path:name>")
def by_later_date(name):
    path = os.path.join(SITE, name)
    changed = int(os.stat(path).st_mtime)
    since = request.headers.get("If-Modified-Since")
    same = since is not None and changed <= parsedate_to_datetime(since).timestamp()
    return answer(path, {"Last-Modified": formatdate(changed, usegmt=True)}, same)


@app.get("/package")
def of_a_package():
    times = [int(os.stat(os.path.join(PACKAGE, name)).st_mtime) for name in ("__init__.py", "_native.py")]
    return f"{markupsafe.__version__} {times[0]} {times[1]}"


@app.get("/zip")
def zipped():
    with zipfile.ZipFile("/tmp/all.zip", "w") as archive:
        for name in os.listdir(SITE):
            archive.write(os.path.join(SITE, name))
    return "zipped"


def answer(path, headers, same):
    if same:
        return Response(status=304, headers=headers)
    with open(path, "rb") as file:
        return Response(file.read(), headers=headers)
