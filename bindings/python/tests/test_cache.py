# SPDX-License-Identifier: MIT
"""Caches: the mapping, views, building, and how they go to other processes."""

import errno
import gc
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import ashmem

METHODS = ("fork", "forkserver", "spawn")
# Sizes that go different ways: the reused buffer, larger ones, none; several pieces.
SIZES = (0, 1, 64, 4096, 16384, 16385, 65537, 300000, 1 << 20, (1 << 20) + 1)


@pytest.fixture
def cache():
    with ashmem.Cache(16 << 20, value_most_bytes=2 << 20) as made:
        yield made


def pattern(size):
    return bytes(range(251)) * (size // 251) + bytes(range(size % 251))


def open_fds():
    return len(os.listdir("/proc/self/fd"))


def fork(function):
    """Runs a function in a child; its result is the child's status."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = function()
        finally:
            os._exit(code)
    return pid


def status(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("size", SIZES)
def test_value_comes_back(cache, size):
    value = pattern(size)
    cache[b"key"] = value
    assert cache[b"key"] == value
    assert cache.get(b"key") == value
    view = cache.view(b"key")
    assert view == value and view.readonly


def test_missing_keys(cache):
    assert cache.get(b"no") is None and cache.get(b"no", 3) == 3
    assert cache.view(b"no") is None and b"no" not in cache
    assert not cache.discard(b"no") and not cache.touch(b"no", 9)
    with pytest.raises(KeyError):
        cache[b"no"]
    with pytest.raises(KeyError):
        del cache[b"no"]
    assert cache.pop(b"no", 4) == 4


def test_keys_are_bytes_like(cache):
    cache[bytearray(b"key")] = memoryview(b"value")
    assert cache[memoryview(b"key")] == b"value" and bytearray(b"key") in cache
    for bad in ("text", 5, None):
        with pytest.raises(TypeError):
            cache[bad] = b""
        with pytest.raises(TypeError):
            cache[b"key"] = bad
        with pytest.raises(TypeError):
            cache.get(bad)


def test_too_large_and_too_small(cache):
    for key, number in ((b"k" * 1025, errno.EFBIG), (b"", errno.EINVAL)):
        for use in (lambda: cache.get(key), lambda: cache.set(key, b"v"), lambda: key in cache,
                    lambda: cache.discard(key), lambda: cache.touch(key), lambda: cache.view(key)):
            with pytest.raises(OSError) as caught:
                use()
            assert caught.value.errno == number
    with pytest.raises(OSError) as caught:
        cache.set(b"key", bytes(4 << 20))
    assert caught.value.errno == errno.EFBIG
    cache[b"k" * 1024] = b"longest"
    assert cache[b"k" * 1024] == b"longest"


def test_mapping(cache):
    expected = {b"key %d" % i: b"value %d" % i for i in range(100)}
    cache.update(expected)
    assert set(cache) == set(cache.keys()) == set(expected) and len(cache) == 100
    assert dict(cache.items()) == expected
    assert sorted(cache.values()) == sorted(expected.values())
    assert cache.pop(b"key 7") == b"value 7" and b"key 7" not in cache
    assert cache.setdefault(b"key 8", b"other") == b"value 8"
    assert cache.setdefault(b"key 7", b"other") == b"other"
    cache.clear()
    assert list(cache) == [] and cache and len(cache) == 0
    assert cache == cache and cache != ashmem.Cache(1 << 20) and hash(cache)


def test_time_to_live(cache):
    cache.set(b"short", b"v", ttl=0.05)
    cache.set(b"long", b"v", ttl=1000)
    cache.set(b"ever", b"v")
    deadline = time.monotonic() + 30
    while b"short" in cache:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert cache[b"long"] == cache[b"ever"] == b"v"
    assert cache.touch(b"long", 0.01) and cache.touch(b"ever", 1000)
    while b"long" in cache:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cache.set(b"ever", b"gone", ttl=0)
    assert b"ever" not in cache
    cache[b"key"] = b"v"
    assert cache.touch(b"key", -1) and b"key" not in cache


def test_very_long_times_are_without_limit(cache):
    for ttl in (1e9, 1e30, float("inf")):
        cache.set(b"key", b"v", ttl=ttl)
        assert cache[b"key"] == b"v" and cache.touch(b"key", ttl) and cache[b"key"] == b"v"


def test_add_and_replace(cache):
    assert not cache.replace(b"key", b"0")
    assert cache.add(b"key", b"1") and not cache.add(b"key", b"2")
    assert cache[b"key"] == b"1"
    assert cache.replace(b"key", b"3") and cache[b"key"] == b"3"
    assert not cache.add(b"key", b"4", ttl=0) and cache[b"key"] == b"3"
    assert cache.replace(b"key", b"5", ttl=0) and b"key" not in cache
    assert cache.add(b"key", b"6", ttl=0) and not cache.replace(b"key", b"7", ttl=0)


def test_statistics(cache):
    cache[b"key"] = b"v"
    cache.get(b"key")
    cache.get(b"no")
    del cache[b"key"]
    stats = cache.stats()
    assert stats.puts == 1 and stats.removes == 1
    assert repr(cache).startswith("<ashmem.Cache of ")


def test_closed_cache_refuses(cache):
    cache[b"key"] = b"v"
    cache.close()
    cache.close()
    assert cache.closed and "closed" in repr(cache)
    for use in (lambda: cache[b"key"], lambda: cache.set(b"key", b"v"), cache.stats, cache.fileno,
                lambda: cache.view(b"key"), lambda: b"key" in cache, cache.clear,
                lambda: list(cache), lambda: cache.claim(b"key"), cache.__enter__,
                lambda: cache.discard(b"key"), lambda: cache.touch(b"key")):
        with pytest.raises(ValueError):
            use()


def test_view_keeps_its_value(cache):
    value = pattern(100000)
    cache[b"key"] = value
    view = cache.view(b"key")
    part = view[50000:]
    view.release()
    cache[b"key"] = b"other"
    ashmem.purge_all()
    for i in range(200):
        cache[b"fill %d" % i] = bytes(100000)
    assert part == value[50000:]
    cache.close()
    assert part == value[50000:]


def test_view_of_nothing(cache):
    cache[b"key"] = b""
    assert cache.view(b"key") == b""


def test_purge_makes_misses_not_wrong_values(cache):
    for i in range(300):
        cache[b"key %d" % i] = pattern(30000 + i)
    ashmem.purge_all()
    found = 0
    for i in range(300):
        value = cache.get(b"key %d" % i)
        assert value in (None, pattern(30000 + i))
        found += value is not None
    assert found < 300


def test_numpy_and_pillow_look_without_copying(cache):
    numpy = pytest.importorskip("numpy")
    image = pytest.importorskip("PIL.Image")
    numbers = numpy.arange(50000, dtype=numpy.uint32)
    cache[b"array"] = numbers.tobytes()
    cache[b"same array"] = memoryview(numbers)
    assert cache[b"array"] == cache[b"same array"]
    array = numpy.frombuffer(cache.view(b"array"), dtype=numpy.uint32)
    assert (array == numbers).all() and not array.flags.writeable
    gc.collect()
    ashmem.purge_all()
    assert (array == numbers).all()
    cache[b"image"] = image.new("RGBA", (100, 100), (1, 2, 3, 4)).tobytes()
    picture = image.frombuffer("RGBA", (100, 100), cache.view(b"image"), "raw", "RGBA", 0, 1)
    assert picture.getpixel((99, 99)) == (1, 2, 3, 4)


def test_value_built_in_place(cache):
    with cache.reserve(b"key", 100000, ttl=1000) as room:
        assert b"key" not in cache
        room[:] = pattern(100000)
    assert cache[b"key"] == pattern(100000)
    with pytest.raises(KeyError):
        with cache.reserve(b"key", 5) as room:
            raise KeyError
    assert cache[b"key"] == pattern(100000)
    with pytest.raises(BufferError):
        with cache.reserve(b"key", 5) as room:
            kept = room[1:]
    assert cache[b"key"] == pattern(100000)
    kept[0] = 1
    with pytest.raises(ValueError):
        cache.reserve(b"key", 0)


def test_get_or_build(cache):
    calls = []

    def build():
        calls.append(1)
        return b"built"

    assert cache.get_or_build(b"key", build) == b"built"
    assert cache.get_or_build(b"key", build) == b"built"
    assert calls == [1]
    with pytest.raises(RuntimeError):
        cache.get_or_build(b"other", lambda: raise_(RuntimeError()))
    assert cache.get_or_build(b"other", build) == b"built" and len(calls) == 2
    assert len(cache.get_or_build(b"large", lambda: bytes(8 << 20))) == 8 << 20
    assert b"large" not in cache


def raise_(error):
    raise error


def test_builders_that_build_others(cache):
    def build():
        return cache.get_or_build(b"inner", lambda: b"in") + b"out"

    assert cache.get_or_build(b"outer", build, wait=0.1) == b"inout"
    assert cache[b"inner"] == b"in"


def test_one_thread_builds(cache):
    calls, results = [], []
    start = threading.Barrier(8)

    def build():
        calls.append(1)
        time.sleep(0.05)
        return b"built"

    def work():
        start.wait()
        results.append(cache.get_or_build(b"key", build, wait=60))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1] and results == [b"built"] * 8


def test_one_process_builds(cache):
    def build():
        cache.claim(b"count %d" % os.getpid())
        time.sleep(0.05)
        return b"%d" % os.getpid()

    def work():
        mine = cache.get_or_build(b"key", build, wait=60) == b"%d" % os.getpid()
        return 1 if mine else 0

    pids = [fork(work) for _ in range(6)]
    assert sorted(status(pid) for pid in pids) == [0] * 5 + [1]


def test_killed_builder_is_replaced(cache):
    ready, started = os.pipe()

    def die():
        with cache.claim(b"key") as claim:
            os.write(started, b"." if claim.granted else b"!")
            time.sleep(600)
        return 0

    pid = fork(die)
    assert os.read(ready, 1) == b"."
    assert not cache.claim(b"key").granted
    threading.Timer(0.1, os.kill, (pid, signal.SIGKILL)).start()
    assert cache.get_or_build(b"key", lambda: b"ours", wait=60) == b"ours"
    assert status(pid) == -signal.SIGKILL
    os.close(ready)
    os.close(started)


def test_child_that_drops_the_claim_of_its_parent_does_not_end_it(cache):
    claim = cache.claim(b"key")

    def drop():
        claim.release()
        return 0 if not cache.claim(b"key").granted else 1

    assert claim.granted and status(fork(drop)) == 0
    assert status(fork(lambda: 1 if cache.claim(b"key").granted else 0)) == 0
    claim.release()
    assert status(fork(lambda: 1 if cache.claim(b"key").granted else 0)) == 1


def test_wait_for_a_builder_ends(cache):
    with cache.claim(b"key") as claim:
        assert claim.granted and claim.value is None
        got = []
        thread = threading.Thread(
            target=lambda: got.append(cache.get_or_build(b"key", lambda: b"mine", wait=0.01)))
        thread.start()
        thread.join(60)
        assert got == [b"mine"]
    assert cache.claim(b"key").value == b"mine"


def test_signals_are_seen_in_a_wait(cache):
    class Alarm(Exception):
        pass

    def alarm(number, frame):
        raise Alarm

    ready, started = os.pipe()

    def hold_it():
        with cache.claim(b"key"):
            os.write(started, b".")
            time.sleep(600)
        return 0

    pid = fork(hold_it)
    os.read(ready, 1)
    before = signal.signal(signal.SIGALRM, alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):
            cache.claim(b"key", wait=300)
    finally:
        signal.signal(signal.SIGALRM, before)
        os.kill(pid, signal.SIGKILL)
        status(pid)
        os.close(ready)
        os.close(started)


def test_fork_shares(cache):
    cache[b"key"] = b"parent"

    def work():
        ours = cache[b"key"] == b"parent"
        cache[b"key"] = b"child"
        return 0 if ours else 1

    assert status(fork(work)) == 0
    assert cache[b"key"] == b"child"


def test_view_in_a_child_stays(cache):
    value = pattern(100000)
    cache[b"key"] = value
    view = cache.view(b"key")

    def work():
        for i in range(200):
            cache[b"fill %d" % i] = bytes(100000)
        ashmem.purge_all()
        return 0 if view == value else 1

    pid = fork(work)
    assert status(pid) == 0
    assert view == value


def child(cache, queue, received):
    value = cache.get(b"key")
    cache[b"key"] = b"child"
    queue.put((value, cache.trusted, cache))
    received.wait(60)


@pytest.mark.parametrize("method", METHODS)
def test_goes_through_multiprocessing(cache, method):
    cache[b"key"] = b"parent"
    context = multiprocessing.get_context(method)
    queue, received = context.Queue(), context.Event()
    process = context.Process(target=child, args=(cache, queue, received))
    process.start()
    value, trusted, back = queue.get(timeout=60)
    received.set()
    process.join(60)
    assert process.exitcode == 0 and value == b"parent" and trusted
    assert cache[b"key"] == b"child" and back[b"key"] == b"child"
    back.close()


def test_plain_pickle_refuses(cache):
    with pytest.raises(TypeError):
        pickle.dumps(cache)


def test_send_and_receive(cache):
    cache[b"key"] = b"v"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        cache.send(ours)
        with ashmem.Cache.recv(theirs) as other:
            assert other[b"key"] == b"v" and not other.trusted


READ_ONLY = """
import ashmem, sys
with ashmem.Cache.from_fd(int(sys.argv[1])) as peer:
    assert peer[b"key"] == b"v" and peer.view(b"key") == b"v" and b"no" not in peer
    assert peer.get_or_build(b"other", lambda: b"built") == b"built" and b"other" not in peer
    with peer.claim(b"other") as claim:
        assert claim.value is None and not claim.granted
    for write in (lambda: peer.set(b"key", b"w"), peer.clear, lambda: peer.discard(b"key")):
        try:
            write()
        except PermissionError:
            continue
        raise AssertionError("written")
"""


def test_read_only_peer(cache):
    cache[b"key"] = b"v"
    fd = cache.export_read_only()
    # A process that has the cache writable gets that handle again: so one that has not.
    done = subprocess.run([sys.executable, "-c", READ_ONLY, str(fd)], pass_fds=(fd,),
                          capture_output=True, text=True, timeout=60, check=False)
    os.close(fd)
    assert (done.returncode, done.stderr) == (0, "")
    assert cache[b"key"] == b"v"


def test_descriptor_that_is_no_cache():
    with ashmem.Area(ashmem.PAGE_SIZE) as area, pytest.raises(OSError) as caught:
        ashmem.Cache.from_fd(area.fileno())
    assert caught.value.errno == errno.EPROTO


def named():
    name = f"ashmem-test-{os.getpid()}-{time.monotonic_ns()}"
    return name, ashmem.Cache.open(name, 4 << 20)


def test_unrelated_processes_meet_by_name():
    name, cache = named()
    cache[b"key"] = b"v"
    program = (
        f"import ashmem; cache = ashmem.Cache.open({name!r}); print(cache[b'key'], cache.trusted);"
        "cache[b'key'] = b'w'")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("b'v' True\n", "")
    assert cache[b"key"] == b"w"


def test_bad_names():
    for bad in ("", "a/b", "n" * 256):
        with pytest.raises(OSError) as caught:
            ashmem.Cache.open(bad)
        assert caught.value.errno == errno.EINVAL


def test_threads_use_one_cache(cache):
    errors = []

    def work(number):
        try:
            for i in range(300):
                key, value = b"key %d" % (i % 40), pattern(200 * (i % 40) + 1)
                cache[key] = value
                found = cache.get(key)
                assert found is None or found == value
                view = cache.view(key)
                assert view is None or view == value
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_killed_processes_leave_the_cache_whole():
    """Whoever is killed, at whatever moment: no wrong value, and nobody waits."""
    with ashmem.Cache(4 << 20) as cache:
        keys = [b"key %d" % i for i in range(50)]

        def value_of(key, number):
            return (key + b" %d " % number) * (100 + number * 37 % 900)

        def work():
            number = os.getpid()
            while True:
                for key in keys:
                    number += 1
                    cache[key] = value_of(key, number)
                    found = cache.get(keys[number % 50])
                    if found is not None:
                        check(keys[number % 50], found)

        def check(key, found):
            number = int(found[len(key):].split(b" ", 2)[1])
            assert found == value_of(key, number)

        for _ in range(30):
            pids = [fork(work) for _ in range(3)]
            time.sleep(0.02)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            assert [status(pid) for pid in pids] == [-signal.SIGKILL] * 3
            for key in keys:
                found = cache.get(key)
                if found is not None:
                    check(key, found)
                cache[key] = value_of(key, 1)
                assert cache[key] == value_of(key, 1)


def test_buffer_is_not_shared_with_a_signal_handler(cache):
    cache[b"one"], cache[b"two"] = b"1" * 60000, b"2" * 60000
    seen = []

    def handler(number, frame):
        seen.append(cache[b"two"])

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        deadline = time.monotonic() + 30
        while len(seen) < 50 and time.monotonic() < deadline:
            assert cache[b"one"] == b"1" * 60000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert set(seen) == {b"2" * 60000}


def test_nothing_leaks():
    def round_trip():
        with ashmem.Cache(2 << 20) as cache:
            cache[b"key"] = pattern(30000)
            view = cache.view(b"key")
            with ashmem.Cache.from_fd(cache.fileno()) as again:
                assert again.view(b"key") == view
            with cache.claim(b"other"):
                pass
            cache.claim(b"third")
            with cache.reserve(b"room", 30000) as room:
                room[0] = 1
        unclosed = ashmem.Cache(2 << 20)
        unclosed[b"key"] = b"v"

    def mappings():
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            return sum("/dev/ashmem" in line for line in file)

    round_trip()
    gc.collect()
    before = open_fds(), mappings(), ashmem.process_stats().areas
    for _ in range(20):
        round_trip()
    gc.collect()
    assert (open_fds(), mappings(), ashmem.process_stats().areas) == before


def test_time_that_is_left(cache):
    cache.set(b"short", b"v", ttl=1000)
    cache[b"ever"] = b"v"
    assert 900 < cache.ttl(b"short") <= 1000 and cache.ttl(b"ever") is None
    assert cache.touch(b"ever", cache.ttl(b"short")) and cache.ttl(b"ever") <= 1000
    assert cache.touch(b"short") and cache.ttl(b"short") is None
    with pytest.raises(KeyError):
        cache.ttl(b"no")
    with pytest.raises(OSError):
        cache.ttl(b"")
    with pytest.raises(TypeError):
        cache.ttl("text")
    cache.close()
    with pytest.raises(ValueError):
        cache.ttl(b"short")


def test_numbers_that_c_would_cut_are_refused(cache):
    fd = cache.fileno()
    for use in (lambda: ashmem.Cache(1 << 70), lambda: ashmem.Cache(-1),
                lambda: ashmem.Cache(entries=1 << 64), lambda: ashmem.Cache.open("x", 1 << 64),
                lambda: ashmem.Cache.from_fd(fd + (1 << 32)),
                lambda: cache.reserve(b"key", (1 << 64) + 5)):
        with pytest.raises(OverflowError):
            use()
    for use in (lambda: ashmem.Cache.from_fd("1"), lambda: ashmem.Cache("64M"),
                lambda: ashmem.Cache(1.5), lambda: cache.reserve(b"key", 1.5)):
        with pytest.raises(TypeError):
            use()


def test_names_do_not_end_in_the_middle():
    for make in (lambda: ashmem.Cache(name="a\0b"), lambda: ashmem.Cache.open("a\0b"),
                 lambda: ashmem.Cache.open(b"a\0b")):
        with pytest.raises(ValueError, match="null"):
            make()


def test_room_of_a_value_without_time_is_not_kept(cache):
    cache[b"key"] = b"old"
    for ttl in (0, -1):
        with cache.reserve(b"key", 5, ttl=ttl) as room:
            room[:] = b"hello"
        assert b"key" not in cache


def test_a_reservation_serves_once_at_a_time(cache):
    block = cache.reserve(b"key", 5)
    with pytest.raises(RuntimeError):
        block.__exit__(None, None, None)
    for value in (b"first", b"again"):
        with block as room:
            with pytest.raises(RuntimeError):
                block.__enter__()
            room[:] = value
        assert cache[b"key"] == value


def test_room_is_put_though_the_cache_is_closed(cache):
    with ashmem.Cache.from_fd(cache.fileno()) as other:
        with other.reserve(b"key", 50000, ttl=0) as gone, other.reserve(b"room", 5) as room:
            other.close()
            gone[0] = 1
            room[:] = b"hello"
    assert cache[b"room"] == b"hello"


def test_claim_outlives_its_cache(cache):
    with ashmem.Cache.from_fd(cache.fileno()) as other:
        claim = other.claim(b"key")
    gc.collect()
    assert claim.granted and not cache.claim(b"key").granted
    claim.release()
    assert cache.claim(b"key").granted


def test_wait_without_end(cache):
    with cache.claim(b"key"):
        got = []
        thread = threading.Thread(target=lambda: got.append(
            cache.get_or_build(b"key", lambda: b"other", wait=float("inf"))))
        thread.start()
        cache[b"key"] = b"built"
        thread.join(60)
    assert got == [b"built"]


def test_importing_a_read_only_descriptor_beside_the_writable_cache(cache):
    fd = cache.export_read_only()
    with ashmem.Cache.from_fd(fd) as same:
        same[b"key"] = b"v"
    os.close(fd)
    assert cache[b"key"] == b"v"


PASS_ON = """
import ashmem, multiprocessing, sys

def child(cache, queue):
    try:
        queue.put(cache[b"key"])
        cache[b"key"] = b"w"
    except PermissionError as error:
        queue.put(error.errno)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    queue = context.Queue()
    cache = ashmem.Cache.from_fd(int(sys.argv[1]))
    process = context.Process(target=child, args=(cache, queue))
    process.start()
    print(queue.get(timeout=60), queue.get(timeout=60))
    process.join()
"""


@pytest.mark.parametrize("method", METHODS)
def test_read_only_cache_is_passed_on_read_only(cache, method, tmp_path):
    cache[b"key"] = b"v"
    fd = cache.export_read_only()
    program = tmp_path / "pass_on.py"
    program.write_text(PASS_ON)
    done = subprocess.run([sys.executable, str(program), str(fd), method], pass_fds=(fd,),
                          capture_output=True, text=True, timeout=120, check=False)
    os.close(fd)
    assert (done.stdout, done.stderr) == (f"b'v' {errno.EACCES}\n", "")


def test_threads_use_a_cache_that_another_closes():
    errors = []

    def work(cache):
        try:
            while True:
                cache[b"key"] = bytes(30000)
                view = cache.view(b"key")
                assert view is None or len(view) == 30000
                cache.claim(b"other").release()
        except ValueError:
            assert cache.closed
        except BaseException as error:
            errors.append(error)

    for _ in range(20):
        cache = ashmem.Cache(4 << 20)
        threads = [threading.Thread(target=work, args=(cache,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        while cache.stats().puts < 3:
            time.sleep(0)
        cache.close()
        for thread in threads:
            thread.join()
    assert errors == []


def test_fork_while_threads_use_the_cache(cache):
    done, errors = threading.Event(), []

    def work():
        try:
            count = 0
            while not done.is_set():
                count += 1
                cache[b"key %d" % (count % 20)] = bytes(20000)
                view = cache.view(b"key %d" % (count * 7 % 20))
                assert view is None or len(view) == 20000
                cache.get_or_build(b"built", lambda: b"v", ttl=0.001)
        except BaseException as error:
            errors.append(error)

    def child():
        for i in range(50):
            cache[b"child"] = b"%d" % (i % 10) * 20000
            view = cache.view(b"child")
            assert view is None or view == b"%d" % (i % 10) * 20000
            cache.get_or_build(b"built", lambda: b"v")
        cache.close()
        return 0

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert [status(fork(child)) for _ in range(10)] == [0] * 10
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert errors == []


ENDS = {
    "views in a cycle": """
cache[b"key"] = bytes(100000)
class Late:
    def __del__(self):
        assert self.view[0] == 0 and len(self.cache.get(b"key")) == 100000
late = Late()
late.view, late.cache, late.me = cache.view(b"key")[5:], cache, late
claim, room = cache.claim(b"claim"), cache.reserve(b"room", 50000).__enter__()
sys.modules["kept"] = late
""",
    "daemon threads": """
def work():
    while True:
        cache[b"key"] = bytes(20000)
        cache.view(b"key")
        cache.get(b"key")
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
while cache.stats().puts < 9:
    pass
""",
    "a thread that waits for a builder": """
claim = cache.claim(b"key")
threading.Thread(target=lambda: cache.claim(b"key", wait=300), daemon=True).start()
""",
    "sys.exit() in a builder": """
try:
    cache.get_or_build(b"key", lambda: sys.exit(3))
except SystemExit:
    assert cache.claim(b"key").granted
""",
}


@pytest.mark.parametrize("what", ENDS)
def test_python_ends_with(what):
    program = "import ashmem, sys, threading\ncache = ashmem.Cache(8 << 20)\n" + ENDS[what]
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True,
                          text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_subinterpreters(cache):
    pytest.importorskip("_xxsubinterpreters")
    program = """
import _xxsubinterpreters, ashmem
for _ in range(3):
    other = _xxsubinterpreters.create(isolated=False)
    _xxsubinterpreters.run_string(other, '''
import ashmem
cache = ashmem.Cache(4 << 20)
cache[b"key"] = bytes(50000)
view = cache.view(b"key")
assert len(view) == 50000
''')
    _xxsubinterpreters.destroy(other)
ashmem.Cache(4 << 20)[b"key"] = b"v"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
