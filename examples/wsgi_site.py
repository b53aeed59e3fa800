# SPDX-License-Identifier: MIT
"""A small site whose workers share a cache: each page is made once, whoever is asked for it.

    gunicorn --workers 4 --chdir examples wsgi_site:app      # then look at a page several times
    python3 examples/wsgi_site.py                            # four workers, tried by this program

The cache has a name, so workers find it however they were started, and again after a restart as
long as one of them runs. A thread in each watches memory: when it is short, pages go, oldest first.
"""

import os
import signal
import sys
import time
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import ashmem

NAME = os.environ.get("SITE_CACHE", "wsgi-site")
cache = ashmem.Cache.open(NAME, 64 << 20)
pressure = None


def watch_memory():
    """Once in each worker: a watch does not go through fork."""
    global pressure
    if pressure is None:
        try:
            pressure = ashmem.Pressure()
            pressure.run()
        except OSError as error:
            print(f"nothing tells when memory is short: {error}", file=sys.stderr)
            pressure = False


def make_page(path):
    time.sleep(0.05)  # slow: a query, a template
    return f"<h1>{path}</h1>\nmade by {os.getpid()}\n".encode()


def app(environ, start_response):
    watch_memory()
    path = environ.get("PATH_INFO", "/")
    key = path.encode("latin-1")[:1024] or b"/"
    page = cache.get_or_build(key, lambda: make_page(path), ttl=60)
    start_response("200 OK", [("Content-Type", "text/html"), ("X-Worker", str(os.getpid()))])
    return [page]


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


def main():
    cache.clear()
    server = WSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(app)
    workers = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            server.serve_forever()
        workers.append(pid)
    served, makers = {}, {}
    try:
        for number in range(200):
            url = f"http://127.0.0.1:{server.server_port}/page/{number % 5}"
            with urllib.request.urlopen(url, timeout=60) as answer:
                worker, page = answer.headers["X-Worker"], answer.read()
            served[worker] = served.get(worker, 0) + 1
            makers.setdefault(url, set()).add(page)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    made = sum(len(pages) for pages in makers.values())
    print(f"{sum(served.values())} requests, served by {len(served)} workers; 5 pages made"
          f" {made} times")
    return 0 if made == 5 else 1


if __name__ == "__main__":
    sys.exit(main())
