# SPDX-License-Identifier: MIT
"""Four gunicorn workers under a limit of 256 MiB, and 1 GiB of values, 1 MiB each.

Once with our cache, shared, and once with Django's LocMem in each worker, without and with a limit
on its entries that a site would choose. Told: requests served and failed, the share that found
their value, processes that the kernel killed, and the most memory.

It needs gunicorn and a memory cgroup that may be made: version 1, or 2 where this process runs
below a group with the memory controller.
"""

import concurrent.futures
import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from typing import Any, Callable, Dict, List, Tuple

LIMIT = 256 << 20
VALUE, KEYS = 1 << 20, 1024
WORKERS, CLIENTS = 4, 4
REQUESTS = int(os.environ.get("REQUESTS", "4000"))


# ---------------------------------------------------------------- the site (in the workers)

def value_of(key: str) -> bytes:
    return (key.encode() + b"." * 64)[:64] * (VALUE // 64)


def make_app() -> Callable[..., Any]:
    mode = os.environ["SITE"]
    if mode == "ashmem":
        import ashmem
        cache = ashmem.Cache.open(os.environ["SITE_NAME"], 1 << 30)
        watch: List[Any] = []

        def get(key: str) -> Tuple[bytes, bool]:
            if not watch:
                watch.append(ashmem.Pressure())
                watch[0].run()
            hit = []
            value = cache.get_or_build(key.encode(), lambda: hit.append(0) or value_of(key))
            return value, not hit
    else:
        from django.conf import settings
        settings.configure()
        from django.core.cache.backends.locmem import LocMemCache
        local = LocMemCache("", {"OPTIONS": {"MAX_ENTRIES": int(mode)}})

        def get(key: str) -> Tuple[bytes, bool]:
            value = local.get(key)
            if value is not None:
                return value, True
            value = value_of(key)
            local.set(key, value)
            return value, False

    def app(environ: Dict[str, Any], start_response: Callable[..., Any]) -> List[bytes]:
        value, hit = get(environ["PATH_INFO"][1:])
        start_response("200 OK", [("X-Hit", str(int(hit)))])
        return [b"%d" % zlib.crc32(value)]

    return app


if "SITE" in os.environ:
    app = make_app()


# ---------------------------------------------------------------- the limit

class Group:
    """A memory cgroup; `close` removes it."""

    def __init__(self) -> None:
        with open("/proc/self/cgroup", encoding="ascii") as file:
            lines = [line.strip().split(":", 2) for line in file]
        self.path = ""
        for _, controllers, where in lines:
            if "memory" in controllers.split(","):
                top, self.limit, self.peak = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", \
                    "memory.max_usage_in_bytes"
                self.events = "memory.oom_control"
                self.path = f"{top}{where}/ashmem-bench-{os.getpid()}"
        if not self.path:
            self.limit, self.peak, self.events = "memory.max", "memory.peak", "memory.events"
            self.path = f"/sys/fs/cgroup{lines[-1][2]}/ashmem-bench-{os.getpid()}"
        os.mkdir(self.path)
        try:
            self.write(self.limit, str(LIMIT))
        except OSError:
            os.rmdir(self.path)
            raise

    def write(self, name: str, text: str) -> None:
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(text)

    def read(self, name: str) -> str:
        with open(os.path.join(self.path, name), encoding="ascii") as file:
            return file.read()

    def kills(self) -> int:
        for line in self.read(self.events).splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def close(self) -> None:
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.1)


# ---------------------------------------------------------------- one run

def client(path: str, seed: int, count: int) -> Tuple[int, int, int]:
    """Served, failed, found."""
    import socket
    chosen = random.Random(seed)
    served = failed = found = 0
    for _ in range(count):
        # Some pages are asked for more often than others.
        key = f"page{int(KEYS * chosen.random() ** 3)}"
        try:
            connection = http.client.HTTPConnection("localhost", timeout=60)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(60)
            connection.sock.connect(path)
            connection.request("GET", "/" + key)
            answer = connection.getresponse()
            right = int(answer.read()) == zlib.crc32(value_of(key))
            connection.close()
            if not right:
                raise ValueError("wrong value")
            served += 1
            found += answer.headers["X-Hit"] == "1"
        except (OSError, http.client.HTTPException):
            failed += 1
    return served, failed, found


def run(mode: str, name: str) -> None:
    group = Group()
    scratch = tempfile.mkdtemp()
    path = os.path.join(scratch, "socket")
    here = os.path.dirname(os.path.abspath(__file__))
    environment = {**os.environ, "SITE": mode, "SITE_NAME": f"bench-{os.getpid()}"}

    def enter() -> None:
        group.write("cgroup.procs", "0")

    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), "--bind", "unix:" + path,
         "--chdir", here, "--log-level", "error", "bench_site:app"],
        env=environment, preexec_fn=enter, stdout=subprocess.DEVNULL,
        stderr=open(os.path.join(scratch, "log"), "w", encoding="utf-8"))
    try:
        for _ in range(600):
            if os.path.exists(path):
                break
            time.sleep(0.05)
        start = time.monotonic()
        with concurrent.futures.ProcessPoolExecutor(CLIENTS) as pool:
            jobs = [pool.submit(client, path, seed, REQUESTS // CLIENTS)
                    for seed in range(CLIENTS)]
            served, failed, found = map(sum, zip(*[job.result() for job in jobs]))
        took = time.monotonic() - start
        print(f"| {name} | {served} | {failed} | {100 * found / max(served, 1):.0f} % |"
              f" {group.kills()} | {int(group.read(group.peak)) >> 20} MiB |"
              f" {served / took:.0f} |", flush=True)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        group.close()
        shutil.rmtree(scratch, ignore_errors=True)


def main() -> None:
    try:
        import gunicorn  # type: ignore  # noqa: F401
        Group().close()
    except (ImportError, OSError) as error:
        print(f"skipped: four workers under a limit: {error}")
        return
    print(f"\n{WORKERS} gunicorn workers under {LIMIT >> 20} MiB, {KEYS} values of 1 MiB:")
    print("| | served | failed | found | killed | most memory | a second |")
    print("| --- |" + " ---: |" * 6)
    run("ashmem", "one ashmem.Cache")
    run("300", "LocMem in each worker, 300 entries (the default)")
    run("40", "LocMem in each worker, 40 entries")


if __name__ == "__main__":
    main()
