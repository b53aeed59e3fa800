# SPDX-License-Identifier: MIT
"""Reads a value of 64 B, 1 KiB and 64 KiB from our cache and from others, on one machine.

Times are the least of several rounds, in microseconds, and as a multiple of ours. What is not
installed is left out. Servers listen on a socket of their own in a scratch directory.
"""

import contextlib
import multiprocessing
import multiprocessing.shared_memory
import os
import shutil
import subprocess
import tempfile
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

import ashmem

SIZES = (64, 1024, 65536)
ROUNDS, SECONDS = 40, 0.005
Row = Tuple[str, Callable[[int], Callable[[], Any]]]


class Timed:
    """A call, and the least seconds that it took in any round: others disturb some rounds."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call, self.count, self.least = call, 1, 0.0
        while self.round() * self.count < SECONDS / 2:
            self.count *= 2
        self.least = self.round()

    def round(self) -> float:
        call = self.call
        start = time.perf_counter()
        for _ in range(self.count):
            call()
        return (time.perf_counter() - start) / self.count

    def again(self) -> None:
        self.least = min(self.least, self.round())


def django_row(name: str, backend: str, location: str, **options: Any) -> Row:
    from django.core.cache import caches
    from django.conf import settings
    if not settings.configured:
        settings.configure(CACHES={}, USE_TZ=True)
    settings.CACHES[name] = {"BACKEND": backend, "LOCATION": location, "OPTIONS": options}
    caches.settings = caches.configure_settings(settings.CACHES)

    def prepare(size: int) -> Callable[[], Any]:
        cache = caches[name]
        key, value = f"key{size}", os.urandom(size)
        cache.set(key, value, None)
        assert cache.get(key) == value
        return lambda: cache.get(key)

    return f"Django: {name}", prepare


def raw_row(name: str, put: Callable[[Any, bytes], Any], get: Callable[[Any], Any]) -> Row:
    def prepare(size: int) -> Callable[[], Any]:
        key, value = b"key%d" % size, os.urandom(size)
        put(key, value)
        assert get(key) == value
        return lambda: get(key)

    return name, prepare


def shared_memory_row() -> Row:
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=65536)
    memory.unlink()

    def prepare(size: int) -> Callable[[], Any]:
        return lambda: bytes(memory.buf[:size])

    return "multiprocessing: shared_memory, bytes at a known place", prepare


@contextlib.contextmanager
def server(command: List[str], ready: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            if os.path.exists(ready):
                break
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


def rows(scratch: str, stack: contextlib.ExitStack) -> Iterator[Row]:
    cache = stack.enter_context(ashmem.Cache(64 << 20))
    yield raw_row("ashmem.Cache", cache.set, cache.get)
    yield raw_row("ashmem.Cache, a view", cache.set, cache.view)
    yield django_row("ashmem", "ashmem.django.AshmemCache", "")
    yield django_row("LocMem", "django.core.cache.backends.locmem.LocMemCache", "")
    yield django_row("file", "django.core.cache.backends.filebased.FileBasedCache",
                     os.path.join(scratch, "files"))
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    if shutil.which("memcached"):
        path = os.path.join(scratch, "memcached")
        stack.enter_context(server(["memcached", *user, "-s", path, "-a", "777"], path))
        yield django_row("memcached", "django.core.cache.backends.memcached.PyMemcacheCache",
                         "unix:" + path)
    if shutil.which("redis-server"):
        path = os.path.join(scratch, "redis")
        stack.enter_context(server(
            ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly",
             "no"], path))
        yield django_row("Redis", "django_redis.cache.RedisCache", "unix://" + path)
    with contextlib.suppress(ImportError):
        import diskcache  # type: ignore
        disk = stack.enter_context(diskcache.Cache(os.path.join(scratch, "disk")))
        yield raw_row("diskcache", disk.set, disk.get)
    manager = stack.enter_context(multiprocessing.Manager())
    shared: Dict[bytes, bytes] = manager.dict()  # type: ignore
    yield raw_row("multiprocessing: Manager().dict()", shared.__setitem__, shared.get)
    yield shared_memory_row()


def main() -> None:
    scratch = tempfile.mkdtemp()
    os.chmod(scratch, 0o777)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        timed = {name: [Timed(prepare(size)) for size in SIZES]
                 for name, prepare in rows(scratch, stack)}
        # In turns, so that a noisy machine disturbs all alike.
        for _ in range(ROUNDS):
            for calls in timed.values():
                for call in calls:
                    call.again()
    ours = next(iter(timed.values()))
    print("Microseconds for reading a value (and as a multiple of ours):")
    print("| | " + " | ".join(f"{size} B" for size in SIZES) + " |")
    print("| --- |" + " ---: |" * len(SIZES))
    for name, calls in timed.items():
        print(f"| {name} | " + " | ".join(
            f"{call.least * 1e6:.1f} ({call.least / our.least:.1f})"
            for call, our in zip(calls, ours)) + " |")


if __name__ == "__main__":
    main()
