# SPDX-License-Identifier: MIT
"""Areas: life, views, pins, holds, losses, and how they go to other processes."""

import errno
import gc
import mmap
import multiprocessing
import os
import pickle
import socket
import threading

import pytest

import ashmem
from ashmem import PAGE_SIZE as PAGE

PAGES = 16
METHODS = ("fork", "forkserver", "spawn")


@pytest.fixture
def area():
    with ashmem.Area(PAGES * PAGE, "test") as made:
        yield made
    ashmem.purge_all()


def fill(area):
    with area.pinned() as view:
        for page in range(PAGES):
            view[page * PAGE:(page + 1) * PAGE] = bytes([page + 1]) * PAGE


def open_fds():
    return len(os.listdir("/proc/self/fd"))


def mappings():
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        return sum("/dev/ashmem/test" in line for line in file)


def test_has_what_it_was_made_with(area):
    assert (area.name, area.size, len(area), area.backend) == ("test", PAGES * PAGE, PAGES * PAGE,
                                                               "memfd")
    assert area.prot & mmap.PROT_WRITE
    assert "test" in repr(area)
    assert ashmem.Area(1).name == "dev/ashmem"


@pytest.mark.parametrize("size", [0, -1])
def test_size_is_at_least_one(size):
    with pytest.raises(ValueError):
        ashmem.Area(size)


def test_errors_are_os_errors_with_the_number():
    with pytest.raises(OSError) as caught:
        ashmem.Area((1 << 32) * PAGE)
    assert caught.value.errno == errno.EFBIG
    with pytest.raises(OSError) as caught:
        ashmem.Area.from_fd(0)
    assert caught.value.errno in (errno.EINVAL, errno.EBADF)
    with ashmem.Area(PAGE) as area, pytest.raises(OSError) as caught:
        area.pin(1, PAGE)
    assert caught.value.errno == errno.EINVAL
    with ashmem.Area(PAGE) as area, pytest.raises(PermissionError):
        area.seal()


def test_numbers_that_c_would_cut_are_refused(area):
    for use in (lambda: ashmem.Area(1 << 70), lambda: area.pin((1 << 64) + PAGE, PAGE),
                lambda: area.pin(0, (1 << 64) + PAGE), lambda: area.unpin(1 << 64),
                lambda: area.unpin(priority=1 << 32), lambda: area.pread(1, 1 << 64),
                lambda: area.pinned(1 << 64).__enter__(), lambda: area.set_prot(1 << 32),
                lambda: ashmem.Area.from_fd(area.fileno() + (1 << 32)),
                lambda: ashmem.Area.recv(1 << 32), lambda: ashmem.shrink(1 << 64)):
        with pytest.raises(OverflowError):
            use()
    assert area.is_pinned()
    for use in (lambda: ashmem.Area(PAGE, "a\0b"), lambda: ashmem.Area.open("a\0b"),
                lambda: area.publish("a\0b"), lambda: ashmem.unpublish("a\0b")):
        with pytest.raises(ValueError, match="null"):
            use()


def test_closed_area_refuses(area):
    area.close()
    area.close()
    assert area.closed and "closed" in repr(area)
    for use in (area.fileno, area.stats, area.pin, lambda: area.name, area.__enter__):
        with pytest.raises(ValueError):
            use()


def test_kept_contents_are_there(area):
    fill(area)
    with area.pinned() as view:
        assert not view.was_purged and view.lost == []
        assert view[0] == 1 and view[PAGES * PAGE - 1] == PAGES
        assert len(view) == PAGES * PAGE


def test_purge_is_reported_once_and_exactly(area):
    fill(area)
    assert not area.is_pinned()
    area.pin(4 * PAGE, 2 * PAGE)
    assert ashmem.purge_all() == PAGES - 2
    with area.pinned() as view:
        assert view.was_purged
        assert view.lost == [ashmem.Extent(0, 4 * PAGE),
                             ashmem.Extent(6 * PAGE, (PAGES - 6) * PAGE)]
        assert view[0] == 0 and view[4 * PAGE] == 5
        assert area.is_pinned()
    with area.pinned() as view:
        assert not view.was_purged


def test_many_separate_losses_are_exact():
    with ashmem.Area(2000 * PAGE) as area:
        with area.pinned() as view:
            view[:] = bytes([7]) * len(view)
        for page in range(0, 2000, 2):
            area.pin(page * PAGE, PAGE)
        ashmem.purge_all()
        was_purged, lost = area.pin_lost()
        assert was_purged
        assert lost == [(page * PAGE, PAGE) for page in range(1, 2000, 2)]


def test_part_of_an_area(area):
    fill(area)
    with area.pinned(2 * PAGE, PAGE) as view:
        assert len(view) == PAGE and view[0] == 3
        assert area.is_pinned(2 * PAGE, PAGE) and not area.is_pinned()
    for bad in ((-PAGE, PAGE), (0, -PAGE), (0, 0)):
        with pytest.raises(ValueError):
            area.pinned(*bad).__enter__()
    with pytest.raises(OSError):
        area.pinned(0, (PAGES + 1) * PAGE).__enter__()
    assert not area.is_pinned(0, PAGE)


def test_size_need_not_be_whole_pages():
    with ashmem.Area(PAGE + 10) as area:
        with area.pinned() as view:
            assert len(view) == PAGE + 10
            view[PAGE + 9] = 1
        with pytest.raises(ValueError):
            area.map(0, 3 * PAGE)
        assert len(area.map()) == PAGE + 10


def test_view_ends_with_its_block(area):
    with area.pinned() as view:
        pass
    with pytest.raises(ValueError):
        view[0]
    with pytest.raises(ValueError):
        view[0] = 1


def test_slice_that_outlives_the_block_keeps_the_pin(area):
    with pytest.raises(BufferError):
        with area.pinned() as view:
            kept = view[0:10]
    kept[0] = 9
    assert area.is_pinned(0, PAGE)
    ashmem.purge_all()
    assert kept[0] == 9
    kept.release()
    del kept
    assert not area.is_pinned(0, PAGE)


def test_numpy_array_that_outlives_the_block_keeps_the_pin(area):
    numpy = pytest.importorskip("numpy")
    with pytest.raises(BufferError):
        with area.pinned() as view:
            array = numpy.frombuffer(view[:], dtype=numpy.uint32)
            array[0] = 77
    assert area.is_pinned(0, PAGE) and array[0] == 77
    area.close()
    assert array[0] == 77
    del array


def test_array_in_a_block_that_failed_hides_no_error(area):
    def fails():
        with area.pinned() as view:
            kept = view[:]
            raise KeyError(len(kept))

    with pytest.raises(KeyError):
        fails()
    gc.collect()
    assert not area.is_pinned()


def test_area_closed_within_its_block(area):
    fill(area)
    fd = os.dup(area.fileno())
    with area.pinned() as view:
        area.close()
        assert view[0] == 1
    with ashmem.Area.from_fd(fd) as again:
        os.close(fd)
        assert not again.is_pinned()


def test_views_keep_the_memory_mapped(area):
    view = area.map()
    view[0] = 5
    area.close()
    assert view[0] == 5 and mappings() == 1
    part = view[0:1]
    view.release()
    assert part[0] == 5
    del view, part
    assert mappings() == 0


def test_a_block_serves_once_at_a_time(area):
    block = area.pinned()
    with block:
        with pytest.raises(RuntimeError):
            block.__enter__()
    with block as view:
        assert view[0] == 0


def test_holds_are_counted(area):
    fill(area)
    with area.held() as one:
        with area.held():
            pass
        ashmem.purge_all()
        assert one[0] == 1 and not one.was_purged
    ashmem.purge_all()
    with area.held() as view:
        assert view.was_purged


def test_failed_block_leaves_what_was_lost(area):
    fill(area)
    ashmem.purge_all()
    with pytest.raises(KeyError):
        with area.held() as view:
            assert view.was_purged
            raise KeyError
    with area.held() as view:
        assert view.was_purged
    with area.held() as view:
        assert not view.was_purged
    ashmem.purge_all()
    assert area.hold()
    area.release(lost=True)
    assert area.hold()
    area.release()
    assert not area.hold()
    area.release()


def test_priorities_and_order(area):
    fill(area)
    area.pin()
    area.unpin(0, PAGE, priority=ashmem.PRIORITY_LAST)
    area.unpin(2 * PAGE, PAGE, priority=ashmem.PRIORITY_FIRST)
    area.unpin(4 * PAGE, PAGE, lifo=True)
    assert ashmem.shrink(1) == 1
    assert [found.offset for found in area.unpinned() if found.purged] == [2 * PAGE]
    assert [found.offset for found in area.unpinned() if found.evictable] == [0, 4 * PAGE]
    with pytest.raises(OSError):
        area.unpin(priority=9)


def test_statistics(area):
    fill(area)
    stats = area.stats()
    assert (stats.size_pages, stats.unpinned_pages, stats.evictable_pages) == (PAGES,) * 3
    assert ashmem.shrink_count() >= PAGES
    process = ashmem.process_stats()
    assert process.areas >= 1 and isinstance(process.pressure_source, str)


def test_pread_copies(area):
    assert area.pread(4) == b"\0\0\0\0"
    fill(area)
    assert area.pread(3, PAGE - 1) == b"\1\2\2"
    assert area.pread(10, PAGES * PAGE) == b""
    for bad in ((-1, 0), (1, -1)):
        with pytest.raises(ValueError):
            area.pread(*bad)


def test_populate_stays_within_the_area(area):
    for bad in ((0, (PAGES + 1) * PAGE), (-PAGE, PAGE), (0, 0)):
        with pytest.raises(ValueError):
            area.populate(*bad)


def test_populate_brings_pages(area):
    try:
        area.populate()
    except OSError as error:
        assert error.errno == errno.ENOTSUP
        pytest.skip("no MADV_POPULATE_WRITE here")
    assert area.stats().resident_pages == PAGES


def test_send_and_receive(area):
    fill(area)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        area.send(ours)
        with ashmem.Area.recv(theirs) as other:
            assert other.name == "test"
            with other.pinned() as view:
                assert view[0] == 1


def test_published_area_is_opened_by_name(area):
    name = f"ashmem-test-{os.getpid()}"
    fill(area)
    area.publish(name)
    try:
        with ashmem.Area.open(name) as other, other.pinned() as view:
            assert other.name == "test" and view[0] == 1
    finally:
        ashmem.unpublish(name)
    with pytest.raises(FileNotFoundError):
        ashmem.Area.open(name)


def test_read_only_peer(area):
    fill(area)
    fd = area.export_read_only()
    area.close()
    with ashmem.Area.from_fd(fd) as other:
        os.close(fd)
        with other.pinned() as view:
            assert view[0] == 1
            with pytest.raises(TypeError):
                view[0] = 2
        assert other.map().readonly


def test_mask_without_writing(area):
    area.set_prot(mmap.PROT_READ)
    with area.pinned() as view, pytest.raises(TypeError):
        view[0] = 1


def test_sealed_area():
    with ashmem.Area(PAGE, allow_seal=True) as area:
        area.seal()
        assert area.map().readonly


def test_plain_pickle_refuses(area):
    with pytest.raises(TypeError):
        pickle.dumps(area)


def child(area, queue, received):
    with area.pinned() as view:
        first = view[0]
        view[0] = 42
    queue.put((first, area))
    received.wait(60)  # multiprocessing hands the descriptor over when it is fetched


@pytest.mark.parametrize("method", METHODS)
def test_goes_through_multiprocessing(area, method):
    fill(area)
    context = multiprocessing.get_context(method)
    queue, received = context.Queue(), context.Event()
    process = context.Process(target=child, args=(area, queue, received))
    process.start()
    first, back = queue.get(timeout=60)
    received.set()
    process.join(60)
    assert process.exitcode == 0 and first == 1
    with area.pinned() as view:
        assert view[0] == 42
    with back.pinned() as view:
        assert view[0] == 42


def test_child_of_fork_does_not_unpin_what_its_parent_pinned(area):
    with area.pinned():
        pid = os.fork()
        if pid == 0:
            break_out(area)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert area.is_pinned()
    assert not area.is_pinned()


def break_out(area):
    code = 1
    try:
        block = area.pinned()
        with block:
            pass
        code = 0
    finally:
        # The child's own block has unpinned: pin again for the parent.
        area.pin()
        os._exit(code)


def test_block_of_the_parent_left_by_the_child():
    area = ashmem.Area(PAGE)
    block = area.pinned()
    block.__enter__()
    pid = os.fork()
    if pid == 0:
        try:
            block.__exit__(None, None, None)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert area.is_pinned()
    block.__exit__(None, None, None)
    assert not area.is_pinned()


def test_threads_pin_and_close(area):
    errors = []

    def work():
        try:
            for _ in range(200):
                with area.held(0, PAGE) as view:
                    view[0] = (view[0] + 1) % 256
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert area.stats().held_pages == 0


def test_nothing_leaks():
    def round_trip():
        with ashmem.Area(PAGE, "test") as area:
            with area.pinned() as view:
                view[0] = 1
            fd = os.dup(area.fileno())
            with ashmem.Area.from_fd(fd) as again:
                again.map()
            os.close(fd)
        unclosed = ashmem.Area(PAGE, "test")
        unclosed.map()

    round_trip()
    gc.collect()
    before = open_fds(), mappings(), ashmem.process_stats().areas
    for _ in range(50):
        round_trip()
    gc.collect()
    assert (open_fds(), mappings(), ashmem.process_stats().areas) == before


class ReadsLate:
    """Looks at a view when it is collected."""

    def __init__(self, view):
        self.view, self.cycle = view, self

    def __del__(self):
        seen.append(self.view[0])


seen = []


def test_cycles_are_collected_in_any_order():
    for _ in range(20):
        area = ashmem.Area(PAGE, "test")
        view = area.map()
        view[0] = 5
        late = ReadsLate(view)
        block = area.pinned()
        late.block, late.pinned, late.area = block, block.__enter__(), area
        cache = late.cache = ashmem.Cache(8 << 20)
        cache[b"key"] = bytes(50000)
        late.cached = cache.view(b"key")
        del area, view, late, block, cache
        gc.collect()
    assert seen == [5] * 20
    assert mappings() == 0
