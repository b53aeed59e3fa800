# SPDX-License-Identifier: MIT
"""Objects in a cache: the decorator, the mapping, and the backends for other packages."""

import asyncio
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import time

import pytest

import ashmem


@pytest.fixture
def cache():
    with ashmem.Cache(16 << 20) as made:
        yield made


def test_results_are_kept(cache):
    calls = []

    @ashmem.cached(cache)
    def function(*args, **kwargs):
        """What it does."""
        calls.append((args, kwargs))
        return args, sorted(kwargs.items())

    arguments = [((), {}), ((1,), {}), ((1.0,), {}), ((True,), {}), (("1",), {}), ((b"1",), {}),
                 ((None,), {}), (([1, {"a": (2,)}],), {}), ((), {"a": 1}), ((1,), {"a": 1}),
                 ((("a", 1),), {})]
    for _ in range(2):
        for args, kwargs in arguments:
            assert function(*args, **kwargs) == (args, sorted(kwargs.items()))
    assert calls == arguments
    assert function.__doc__ == "What it does." and function.__name__ == "function"
    assert function.forget(1) and not function.forget(1)
    function(1)
    assert len(calls) == len(arguments) + 1


def test_equal_arguments_have_one_key(cache):
    @ashmem.cached(cache)
    def function(*args, **kwargs):
        return 1

    word = "".join(["wo", "rd"])
    assert function.key(word, word) == function.key("word", "".join(["w", "ord"]))
    assert function.key(a=1, b=2) == function.key(b=2, a=1)
    loop = []
    loop.append(loop)
    assert function.key(loop) == function.key(loop)


def test_none_and_unpicklable_results(cache):
    calls = []

    @ashmem.cached(cache)
    def nothing():
        calls.append(1)

    assert nothing() is None and nothing() is None and calls == [1]

    @ashmem.cached(cache)
    def bad():
        return lambda: 1

    with pytest.raises((pickle.PicklingError, AttributeError)):
        bad()


def test_version_and_function_keep_results_apart(cache):
    def make(version):
        @ashmem.cached(cache, version=version)
        def function():
            return version

        return function

    assert [make(1)(), make(2)(), make(1)()] == [1, 2, 1]


def test_methods(cache):
    class Thing:
        def __init__(self, number):
            self.number = number

        def __reduce__(self):
            return int, (self.number,)

        @ashmem.cached(cache)
        def twice(self):
            calls.append(self.number)
            return self.number * 2

    calls = []
    assert [Thing(1).twice(), Thing(2).twice(), Thing(1).twice()] == [2, 4, 2]
    assert calls == [1, 2]


@ashmem.cached(ashmem.Cache(2 << 20))
def pid_of(number):
    """For pickle."""
    return os.getpid()


def test_functions_are_pickled_by_name():
    assert pickle.loads(pickle.dumps(pid_of)) is pid_of and copy.deepcopy(pid_of) is pid_of
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert len(set(pool.map(pid_of, [1] * 10))) == 1


def test_coroutine_functions_are_seen_as_such(cache):
    async def function():
        return 1

    assert asyncio.iscoroutinefunction(ashmem.cached(cache)(function))
    assert not asyncio.iscoroutinefunction(pid_of)


def test_errors_are_not_kept(cache):
    calls = []

    @ashmem.cached(cache)
    def fails():
        calls.append(1)
        raise KeyError(1)

    for _ in range(2):
        with pytest.raises(KeyError):
            fails()
    assert calls == [1, 1]


def test_results_too_large_are_returned(cache):
    @ashmem.cached(cache)
    def large():
        return bytes(8 << 20)

    assert len(large()) == 8 << 20


def test_damaged_result_is_built_anew(cache):
    @ashmem.cached(cache)
    def function():
        return 5

    cache[function.key()] = b"\x80\x05no pickle"
    assert function() == 5 and function() == 5
    assert pickle.loads(cache[function.key()]) == 5


def test_ttl(cache):
    calls = []

    @ashmem.cached(cache, ttl=0.02)
    def function():
        calls.append(1)

    function()
    deadline = time.monotonic() + 30
    while len(calls) == 1 and time.monotonic() < deadline:
        function()
    assert len(calls) == 2


def test_coroutines(cache):
    calls = []

    @ashmem.cached(cache)
    async def function(number):
        calls.append(number)
        await asyncio.sleep(0.02)
        return number * 2

    async def story():
        return await asyncio.gather(*[function(4) for _ in range(5)], function(5))

    assert asyncio.run(story()) == [8] * 5 + [10]
    assert sorted(calls) == [4, 5]


def test_coroutines_that_wait_leave_the_loop_to_others(cache):
    order = []

    @ashmem.cached(cache, wait=600)
    async def function():
        return "computed"

    async def waits():
        order.append("waits")
        assert await function() == "computed"
        order.append("has it")

    async def story():
        with cache.claim(function.key()):  # as if another process computed it
            task = asyncio.create_task(waits())
            while order != ["waits"]:
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            order.append("the loop runs")
        await task

    asyncio.run(story())
    assert order == ["waits", "the loop runs", "has it"]


def test_cancelled_coroutine_gives_up_its_claim(cache):
    @ashmem.cached(cache)
    async def function():
        await asyncio.sleep(600)

    async def story():
        task = asyncio.create_task(function())
        while cache.claim(function.key()).granted:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    assert cache.claim(function.key()).granted


def test_caches_of_others_are_not_unpickled_unasked(cache):
    with ashmem.Cache.from_fd(cache.fileno()) as other:
        with pytest.raises(ValueError, match="trusted"):
            ashmem.cached(other)
        with pytest.raises(ValueError, match="trusted"):
            ashmem.Objects(other)
        ashmem.cached(other, trusted=True)
        ashmem.Objects(other, trusted=True)
    with ashmem.Cache.from_fd(cache.fileno(), trusted=True) as other:
        ashmem.cached(other)


def test_one_process_computes(cache):
    @ashmem.cached(cache, wait=60)
    def slow():
        time.sleep(0.05)
        return os.getpid()

    pids = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            os._exit(1 if slow() == os.getpid() else 0)
        pids.append(pid)
    assert sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids) == 1


def test_objects_are_a_mapping(cache):
    objects = ashmem.Objects(cache)
    other = ashmem.Objects(cache, prefix=b"other")
    other["a"] = 1
    objects.update({1: "one", (2, "x"): [2], None: None})
    assert dict(objects) == {1: "one", (2, "x"): [2], None: None} and len(objects) == 3
    assert objects.pop(1) == "one" and 1 not in objects and objects
    with pytest.raises(KeyError):
        objects[1]
    with pytest.raises(KeyError):
        del objects[1]
    with pytest.raises(ValueError):
        objects["large"] = bytes(8 << 20)
    objects.clear()
    assert list(objects) == [] and dict(other) == {"a": 1}


def test_cachetools(cache):
    cachetools = pytest.importorskip("cachetools")
    calls = []

    @cachetools.cached(ashmem.Objects(cache))
    def function(*args, **kwargs):
        calls.append(args)
        return args

    assert function(1, a=2) == function(1, a=2) == (1,)
    assert function(2) == (2,) and calls == [(1,), (2,)]


def test_flask_caching(cache):
    flask = pytest.importorskip("flask")
    flask_caching = pytest.importorskip("flask_caching")
    app = flask.Flask("test")
    ours = flask_caching.Cache(app, config={
        "CACHE_TYPE": "ashmem.flask.AshmemCache", "CACHE_ASHMEM_MOST_BYTES": 4 << 20,
        "CACHE_KEY_PREFIX": "p:"})
    calls = []

    @ours.memoize(60)
    def function(number):
        calls.append(number)
        return {"number": number}

    @app.route("/")
    @ours.cached(timeout=60)
    def index():
        calls.append("index")
        return "hello"

    with app.app_context():
        assert function(1) == function(1) == {"number": 1} and calls == [1]
        ours.delete_memoized(function)
        assert function(1) == {"number": 1} and calls == [1, 1]
        client = app.test_client()
        assert client.get("/").data == client.get("/").data == b"hello"
        assert calls == [1, 1, "index"]
        assert ours.set("a", 1) and ours.get("a") == 1 and ours.has("a")
        assert not ours.add("a", 2) and ours.add("b", 2, timeout=0)
        assert ours.get_many("a", "b", "c") == [1, 2, None]
        assert ours.set("long" * 1000, 3) and ours.get("long" * 1000) == 3
        assert ours.set_many({"x": 1}) and ours.get_dict("x") == {"x": 1}
        assert not ours.set("a", bytes(8 << 20)) and ours.get("a") is None
        assert not ours.add("z", bytes(8 << 20))
        assert ours.delete("b") and not ours.delete("b")
        assert ours.delete_many("x", "nothing") == ["x"]
        ours.clear()
        assert not ours.has("x")


DJANGO = """
import django.conf, os, sys
django.conf.settings.configure(CACHES={"default": {
    "BACKEND": "ashmem.django.AshmemCache", "LOCATION": sys.argv[1],
    "OPTIONS": {"most_bytes": 4 << 20}}})
from django.core.cache import cache
cache.set("number", 0)
pids = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        for _ in range(100):
            cache.incr("number")
        os._exit(0)
    pids.append(pid)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
print(cache.get("number"))
"""


def test_django_counts_among_processes():
    pytest.importorskip("django")
    done = subprocess.run([sys.executable, "-c", DJANGO, ""], capture_output=True, text=True,
                          timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("400\n", "")
