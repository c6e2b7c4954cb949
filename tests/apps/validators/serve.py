"""The same without a package: what a Dockerfile starts."""

import os
from email.utils import formatdate
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        how, _, name = self.path.lstrip("/").partition("/")
        path = os.path.join("site", name)
        if how == "since":
            # Python's own: Last-Modified alone, and "not later" is "not changed".
            self.path = "/" + path
            return super().do_GET()
        about = os.stat(path)
        tag = f'W/"{about.st_size:x}-{about.st_mtime_ns // 1_000_000:x}"'
        date = formatdate(about.st_mtime, usegmt=True)
        name, value, asked = ("ETag", tag, "If-None-Match") if how == "size-mtime" else ("Last-Modified", date, "If-Modified-Since")
        same = self.headers.get(asked) == value
        with open(path, "rb") as file:
            body = b"" if same else file.read()
        self.send_response(304 if same else 200)
        self.send_header(name, value)
        if not same:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
