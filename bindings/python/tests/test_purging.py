# SPDX-License-Identifier: MIT
"""Shrinkers, notices, the pressure watch."""

import asyncio
import errno
import gc
import logging
import os
import selectors
import subprocess
import sys
import threading

import pytest

import ashmem
from ashmem import PAGE_SIZE as PAGE


@pytest.fixture(autouse=True)
def alone():
    """No memory of other tests that could be purged: what they left in frames goes first."""
    gc.collect()
    ashmem.purge_all()


def unpinned_area(pages=4):
    area = ashmem.Area(pages * PAGE)
    with area.pinned() as view:
        view[:] = b"x" * len(view)
    return area


def test_shrink_frees_what_is_unpinned():
    with unpinned_area() as area:
        assert ashmem.shrink_count() == 4
        assert ashmem.shrink(1) == 4
        assert ashmem.shrink(1) == 0
        with pytest.raises(ValueError):
            ashmem.shrink(-1)
        assert area.stats().purged_pages == 4


def test_shrinker_frees_and_is_counted():
    asked = []

    def scan(pages):
        asked.append(pages)
        return pages

    with ashmem.Shrinker(lambda: 100, scan, name="mine", batch_pages=10):
        assert ashmem.shrink(25) == 25
        assert asked == [10, 10, 5]
        areas, mine = ashmem.shrinker_stats()
        assert (areas.name, mine.name, mine.freed_pages, mine.scans) == ("areas", "mine", 25, 3)
    assert len(ashmem.shrinker_stats()) == 1
    ashmem.shrink(5)
    assert len(asked) == 3


def test_shrinker_that_raises_is_logged_and_stops(caplog):
    def scan(pages):
        raise RuntimeError("no")

    with caplog.at_level(logging.ERROR, "ashmem"), ashmem.Shrinker(lambda: 9, scan, name="bad"):
        assert ashmem.shrink(5) == 0
        assert ashmem.shrinker_stats()[1].stops == 1
    assert "bad" in caplog.text and "RuntimeError" in caplog.text


@pytest.mark.parametrize("error", (KeyboardInterrupt, SystemExit, GeneratorExit))
def test_shrinker_that_wants_to_end_the_program_is_logged_and_stops(caplog, error):
    def scan(pages):
        raise error

    with caplog.at_level(logging.ERROR, "ashmem"), ashmem.Shrinker(lambda: 9, scan, name="ends"):
        assert ashmem.shrink(5) == 0
        assert ashmem.shrinker_stats()[1].stops == 1
    assert error.__name__ in caplog.text


def test_shrinker_with_numbers_that_c_would_cut(caplog):
    for count, freed in ((1 << 70, 1), (5, (1 << 64) + 5), (5, None)):
        with ashmem.Shrinker(lambda: count, lambda pages: freed):
            assert ashmem.shrink(5) == 0
    assert "OverflowError" in caplog.text and "TypeError" in caplog.text


def test_shrinker_that_only_stops():
    with ashmem.Shrinker(lambda: 9, lambda pages: ashmem.SHRINK_STOP):
        assert ashmem.shrink(5) == 0


def test_shrinkers_end_with_their_object():
    ashmem.Shrinker(lambda: 9, lambda pages: pages)
    assert len(ashmem.shrinker_stats()) == 1


def test_shrinker_may_use_the_library():
    with unpinned_area() as area:
        def scan(pages):
            with area.pinned():
                return 0

        with ashmem.Shrinker(lambda: 9, scan, seeks=ashmem.SHRINKER_FREE):
            ashmem.shrink(2)


def test_bad_seeks():
    with pytest.raises(OSError) as caught:
        ashmem.Shrinker(lambda: 0, lambda pages: 0, seeks=70000)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError):
        ashmem.set_areas_seeks(70000)
    ashmem.set_areas_seeks(0)


def test_queue_tells_what_was_purged():
    with ashmem.PurgeQueue() as queue, unpinned_area() as area:
        assert queue.next() is None
        ashmem.purge_all()
        selector = selectors.DefaultSelector()
        selector.register(queue, selectors.EVENT_READ)
        assert selector.select(0)
        assert list(queue) == [ashmem.PurgeNotice(area, 0, 4 * PAGE, False)]
        assert not selector.select(0)
        selector.close()
    with pytest.raises(ValueError):
        queue.next()


def test_notice_of_an_area_that_was_imported_twice():
    with ashmem.PurgeQueue() as queue, unpinned_area() as area:
        ashmem.Area.from_fd(area.fileno()).close()
        ashmem.purge_all()
        (notice,) = queue
        assert notice.area is area


def test_full_queue_gives_whole_areas():
    with ashmem.PurgeQueue(1) as queue, unpinned_area() as area:
        area.pin(PAGE, PAGE)
        ashmem.purge_all()
        assert [notice.whole for notice in queue] == [True]


def test_queue_of_the_parent_is_refused_in_the_child():
    with ashmem.PurgeQueue() as queue:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                queue.next()
            except OSError as error:
                code = 0 if error.errno == errno.ESTALE else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_subscription_is_called_until_it_ends(caplog):
    got = []
    with unpinned_area() as area:
        with ashmem.PurgeSubscription(lambda *notice: got.append(notice)):
            ashmem.purge_all()
        assert got == [(area, 0, 4 * PAGE)]
        with area.pinned():
            pass
        ashmem.purge_all()
        assert len(got) == 1

        def bad(*notice):
            raise RuntimeError("no")

        with area.pinned() as view, ashmem.PurgeSubscription(bad):
            view[0] = 1
        with ashmem.PurgeSubscription(bad), caplog.at_level(logging.ERROR, "ashmem"):
            with area.pinned() as view:
                view[0] = 1
            ashmem.purge_all()
        assert "RuntimeError" in caplog.text


def service(tmp_path):
    """A FIFO that a service manager would write to: source, environment, and the way to press."""
    path = tmp_path / "pressure"
    os.mkfifo(path)
    return path


@pytest.fixture
def pressed(tmp_path, monkeypatch):
    path = service(tmp_path)
    monkeypatch.setenv("MEMORY_PRESSURE_WATCH", str(path))
    monkeypatch.delenv("MEMORY_PRESSURE_WRITE", raising=False)

    def press():
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        os.write(fd, b"x")
        return fd

    return press


def test_pressure_in_selectors(pressed):
    changes = []
    with unpinned_area(64), ashmem.Pressure(
            lambda *change: changes.append(change), source="service", some_percent=50) as watch:
        assert watch.source == "service" and "service" in watch.explain()
        selector = selectors.DefaultSelector()
        selector.register(watch, selectors.EVENT_READ)
        fd = pressed()
        assert selector.select(30)
        assert watch.dispatch() == ashmem.Level.SOME
        assert watch.status().purged_pages > 0
        assert changes[0][:2] == (ashmem.Level.SOME, ashmem.Level.NONE)
        os.close(fd)
        selector.close()


def test_pressure_in_asyncio(pressed):
    async def story():
        happened = asyncio.Event()
        loop = asyncio.get_running_loop()
        with ashmem.Pressure(lambda *change: happened.set(), source="service") as watch:
            loop.add_reader(watch, watch.dispatch)
            fd = pressed()
            await asyncio.wait_for(happened.wait(), 30)
            loop.remove_reader(watch)
            os.close(fd)

    asyncio.run(story())


def test_pressure_on_a_thread(pressed):
    happened = threading.Event()

    def changed(level, before, purged_pages):
        assert threading.current_thread() is not threading.main_thread()
        happened.set()

    with ashmem.Pressure(changed, source="service") as watch:
        watch.run()
        with pytest.raises(OSError) as caught:
            watch.run()
        assert caught.value.errno == errno.EALREADY
        fd = pressed()
        assert happened.wait(30)
        watch.stop()
        os.close(fd)
    with pytest.raises(ValueError):
        watch.dispatch()


def test_pressure_closed_by_its_subscriber(pressed):
    ended = threading.Event()

    def changed(*change):
        watch.close()
        ended.set()

    watch = ashmem.Pressure(changed, source="service")
    watch.run()
    fd = pressed()
    assert ended.wait(30) and watch.closed
    os.close(fd)


def test_subscription_ended_by_its_function():
    got = []

    def purged(*notice):
        subscription.close()
        got.append(notice)

    with unpinned_area() as area:
        subscription = ashmem.PurgeSubscription(purged)
        ashmem.purge_all()
        with area.pinned() as view:
            view[0] = 1
        ashmem.purge_all()
    assert len(got) == 1


def test_shrinker_ended_by_its_function():
    def scan(pages):
        shrinker.close()
        return 1

    shrinker = ashmem.Shrinker(lambda: 9, scan)
    assert ashmem.shrink(5) == 1 and shrinker.closed
    assert len(ashmem.shrinker_stats()) == 1


def test_room_is_made():
    try:
        watch = ashmem.Pressure(only_tell=True, in_unpin=False)
    except OSError as error:
        assert error.errno == errno.ENODEV
        pytest.skip("nothing tells when memory is short here")
    with watch:
        try:
            assert watch.make_room(1) >= 0
        except OSError as error:
            assert error.errno in (errno.ENODATA, errno.ENOMEM)
        with pytest.raises(OSError) as caught:
            watch.make_room(1 << 62)
        assert caught.value.errno in (errno.ENODATA, errno.ENOMEM)


def test_bad_source():
    with pytest.raises(OSError) as caught:
        ashmem.Pressure(source="nonsense")
    assert caught.value.errno == errno.EINVAL


def test_python_exits_with_everything_running():
    program = (
        "import ashmem\n"
        "area = ashmem.Area(4096 * 16)\n"
        "kept = area.map()\n"
        "shrinker = ashmem.Shrinker(lambda: 1, lambda pages: 0)\n"
        "subscription = ashmem.PurgeSubscription(print)\n"
        "try:\n"
        "    watch = ashmem.Pressure(print)\n"
        "    watch.run()\n"
        "except OSError as error:\n"
        "    assert error.errno == 19, error\n"
        "block = area.pinned()\n"
        "view = block.__enter__()\n"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True,
                          timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
