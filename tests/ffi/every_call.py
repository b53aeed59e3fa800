# SPDX-License-Identifier: MIT
"""Calls every public function through ctypes, callbacks included, and looks at what comes back.

    LIBASHMEM=/path/to/libashmem.so python3 every_call.py CALLED

CALLED receives the names of the functions called, for tests/ffi/check to compare with what the
library exports.
"""

import ctypes
import errno
import mmap
import os
import socket
import sys
import tempfile
import threading
import time
from ctypes import byref, c_int, c_uint32, c_uint64, c_void_p

from ashmem import *

PAGE = mmap.PAGESIZE
BYTES = 16 * PAGE
RW = mmap.PROT_READ | mmap.PROT_WRITE
EXEC = mmap.PROT_EXEC

lib = Library()
checks = Checks()
equal, true = checks.equal, checks.true


def new_area(name=b"from python", size=BYTES, flags=0):
    area = c_void_p()
    equal("create", lib.create(name, size, flags, byref(area)), 0)
    return area


def new_mapping(area, prot=RW, length=BYTES, flags=mmap.MAP_SHARED):
    address = c_void_p()
    equal("map", lib.map(area, 0, length, prot, flags, byref(address)), 0)
    view = (ctypes.c_char * length).from_address(address.value)
    for at in range(0, length if prot & mmap.PROT_WRITE else 0, PAGE):
        view[at] = b"\0"  # a shrink frees memory, so there has to be some
    return address, view


def versions():
    text = lib.version_string()
    major, minor, patch = (int(part) for part in text.split(b"."))
    equal("version", lib.version(), major << 16 | minor << 8 | patch)
    equal("at least itself", lib.version_at_least(major, minor, patch), 1)
    equal("at least the next", lib.version_at_least(major, minor, patch + 1), 0)


def attributes():
    area = c_void_p()
    equal("create without size", lib.create(None, 0, 0, byref(area)), 0)
    equal("set_name", lib.set_name(area, "grüße".encode()), 0)
    name = ctypes.create_string_buffer(NAME_LEN)
    equal("get_name", lib.get_name(area, name, NAME_LEN), 0)
    equal("name", name.value.decode(), "grüße")
    equal("get_name into too little", lib.get_name(area, name, 2), -errno.ERANGE)
    equal("set_size beyond 32 bits", lib.set_size(area, 1 << 33), 0)
    equal("get_size", lib.get_size(area), 1 << 33)
    equal("set_size", lib.set_size(area, BYTES - 1), 0)
    equal("get_prot", lib.get_prot(area), RW | EXEC)
    equal("set_prot", lib.set_prot(area, RW), 0)
    equal("set_prot back", lib.set_prot(area, RW | EXEC), -errno.EINVAL)
    equal("backend_name", lib.backend_name(area), b"memfd")
    lib.close(area)
    lib.close(None)


def memory():
    area = new_area()
    address, view = new_mapping(area)
    view[0:5] = b"hello"
    buffer = ctypes.create_string_buffer(5)
    equal("read", lib.read(area, buffer, 5), 5)
    equal("bytes read", buffer.raw, b"hello")
    equal("seek", lib.seek(area, -1, os.SEEK_CUR), 4)
    equal("read the last", lib.read(area, buffer, 1), 1)
    equal("pread", lib.pread(area, buffer, 3, 1), 3)
    equal("bytes pread", buffer.raw[:3], b"ell")
    equal("seek out of it", lib.seek(area, -1, os.SEEK_SET), -errno.EINVAL)
    answer = lib.populate(address, BYTES)
    equal("populate", answer == 0 or answer == -errno.ENOTSUP, True)
    equal("unmap", lib.unmap(address, BYTES), 0)
    lib.close(area)


def pinning():
    area = new_area()
    address, view = new_mapping(area)
    view[0:4 * PAGE] = b"x" * (4 * PAGE)
    equal("misaligned", lib.pin(area, 1, PAGE), -errno.EINVAL)
    equal("unpin", lib.unpin(area, 0, 4 * PAGE), 0)
    equal("status", lib.get_pin_status(area, 0, 0), IS_UNPINNED)
    offset, length, state = c_uint64(), c_uint64(), c_uint32()
    equal("find_unpinned", lib.find_unpinned(area, 0, byref(offset), byref(length), byref(state)),
        1)
    equal("range", (offset.value, length.value, state.value), (0, 4 * PAGE, RANGE_EVICTABLE))
    equal("find no more", lib.find_unpinned(area, 4 * PAGE, None, None, None), 0)
    equal("kept", (lib.pin(area, 0, 0), view[0]), (NOT_PURGED, b"x"))

    lib.unpin(area, 0, 4 * PAGE)
    equal("hold", lib.hold(area, 0, 4 * PAGE), NOT_PURGED)
    equal("shrink passes over what is held", lib.shrink(1), 0)
    equal("release", lib.release(area, 0, 4 * PAGE, 0), 0)
    equal("release once more", lib.release(area, 0, 4 * PAGE, RELEASE_LOST), -errno.EINVAL)
    equal("shrink_count", lib.shrink_count(), 4)
    equal("shrink", lib.shrink(1), 4)
    equal("lost", (lib.pin(area, 0, 0), view[0]), (WAS_PURGED, b"\0"))
    lib.unpin(area, PAGE, PAGE)
    equal("purge_all", lib.purge_all(), 1)
    lib.pin(area, PAGE, PAGE)
    view[PAGE:3 * PAGE] = b"x" * (2 * PAGE)
    lib.unpin(area, PAGE, 2 * PAGE)
    equal("purge of a part", lib.purge(area, 2 * PAGE, 4 * PAGE), 1)
    equal("kept beside it", (lib.pin(area, PAGE, PAGE), view[PAGE]), (NOT_PURGED, b"x"))

    stats = AreaStats()
    equal("area_get_stats", lib.area_get_stats(area, byref(stats)), 0)
    equal("area's counts", (stats.size_pages, stats.purged_pages, stats.unpinned_ranges),
        (16, 6, 1))
    short = AreaStats(purged_pages=77)
    short.struct_size = AreaStats.size_pages.offset + 8
    equal("of an old binding", lib.area_get_stats(area, byref(short)), 0)
    equal("no byte behind what it knows", (short.size_pages, short.purged_pages), (16, 77))
    peek = PeekResult()
    equal("peek", lib.peek(lib.fd(area), byref(peek)), 0)
    equal("what it sees", (peek.purged_pages, peek.evictable_pages),
        (stats.purged_pages, 0))
    wishes = PurgeFdOptions(serial=peek.serial, wait_ms=10)
    equal("purge_fd", lib.purge_fd(lib.fd(area), byref(wishes)), 0)
    wishes.serial[0] += 1
    equal("purge_fd of another area", lib.purge_fd(lib.fd(area), byref(wishes)), -errno.ESTALE)
    process = ProcessStats()
    equal("process_get_stats", lib.process_get_stats(byref(process)), 0)
    equal("process's counts", (process.areas, process.purged_pages), (1, 6))
    lib.unmap(address, BYTES)
    lib.close(area)


def priorities():
    area = new_area()
    address, _ = new_mapping(area)
    equal("unpin_with", lib.unpin_with(area, 0, PAGE, PRIORITY_LAST, ORDER_FIFO), 0)
    equal("unpin_with", lib.unpin_with(area, 8 * PAGE, PAGE, PRIORITY_FIRST, ORDER_LIFO), 0)
    equal("unpin_with a priority too many", lib.unpin_with(area, 0, PAGE, PRIORITY_LAST + 1,
        ORDER_FIFO), -errno.EINVAL)
    equal("shrink", lib.shrink(1), 1)
    equal("the first goes first", lib.pin(area, 8 * PAGE, PAGE), WAS_PURGED)
    equal("the last stays", lib.pin(area, 0, PAGE), NOT_PURGED)
    lib.unmap(address, BYTES)
    lib.close(area)


def notices():
    told = []

    @PURGE_FN
    def on_purge(userdata, area, offset, length):
        told.append((area, offset, length, userdata, lib.pin(area, offset, length)))

    area = new_area()
    address, _ = new_mapping(area)
    number = lib.purge_subscribe(on_purge, 7)
    true("purge_subscribe", number > 0)
    lib.unpin(area, PAGE, 2 * PAGE)
    lib.shrink(1)
    equal("told, and pinned from there", told, [(area.value, PAGE, 2 * PAGE, 7, WAS_PURGED)])
    equal("purge_unsubscribe", lib.purge_unsubscribe(number), 0)
    lib.unpin(area, PAGE, 2 * PAGE)
    lib.shrink(1)
    equal("told no more", len(told), 1)

    queue, options, notice = c_void_p(), PurgeQueueOptions(entries=9), PurgeNotice()
    equal("purge_queue_open", lib.purge_queue_open(options, byref(queue)), 0)
    true("purge_queue_fd", lib.purge_queue_fd(queue) > 2)
    equal("purge_queue_next, nothing", lib.purge_queue_next(queue, notice), 0)
    lib.pin(area, 0, 0)
    ctypes.memset(address, 0, BYTES)
    lib.unpin(area, PAGE, PAGE)
    lib.shrink(1)
    equal("purge_queue_next", lib.purge_queue_next(queue, notice), 1)
    equal("fetched", (notice.area, notice.offset, notice.length, notice.flags),
        (area.value, PAGE, PAGE, 0))
    lib.purge_queue_close(queue)
    lib.unmap(address, BYTES)
    lib.close(area)


def losses_and_modes():
    area = new_area()
    address, _ = new_mapping(area)
    lib.unpin(area, 2 * PAGE, 2 * PAGE)
    lib.shrink(1)
    lib.unpin(area, 0, 8 * PAGE)
    lost, count = (Extent * 2)(), c_uint32()
    equal("pin_lost", lib.pin_lost(area, 0, 0, lost, 2, byref(count)), WAS_PURGED)
    equal("lost pages", [(e.offset, e.length) for e in lost[: count.value]], [(2 * PAGE, 2 * PAGE)])
    equal("debug_set of nonsense", lib.debug_set(b"nonsense"), -errno.EINVAL)
    equal("debug_set", lib.debug_set(b"purge-on-unpin"), 0)
    modes = ctypes.create_string_buffer(128)
    equal("debug_get", (lib.debug_get(modes, 128), modes.value), (14, b"purge-on-unpin"))
    lib.unpin(area, PAGE, PAGE)
    equal("purged at unpin", lib.pin(area, PAGE, PAGE), WAS_PURGED)
    equal("debug_set to none", lib.debug_set(None), 0)
    stats = AreaStats()
    lib.area_get_stats(area, byref(stats))
    equal("pinned and sealed", (stats.pinned_pages, stats.sealed), (16, 0))
    process = ProcessStats()
    lib.process_get_stats(byref(process))
    equal("sums", (process.size_pages, process.areas_purged_pages), (16, stats.purged_pages))
    true("source of pressure", isinstance(process.pressure_source, bytes))
    lib.unmap(address, BYTES)
    lib.close(area)


def sharing():
    area = new_area(flags=CREATE_ALLOW_SEAL)
    address, view = new_mapping(area)
    view[0:4] = b"news"
    same, other = c_void_p(), c_void_p()
    equal("import", lib.import_(lib.fd(area), byref(same)), 0)
    equal("one area, one handle", same.value, area.value)
    ours, theirs = socket.socketpair()
    equal("send", lib.send(ours.fileno(), area), 0)
    equal("recv", lib.recv(theirs.fileno(), byref(other)), 0)
    equal("received the same", other.value, area.value)
    ours.close()
    equal("recv from nobody", lib.recv(theirs.fileno(), byref(other)), -errno.ECONNRESET)
    equal("output untouched", other.value, area.value)
    theirs.close()
    name, named = b"ashmem-ffi.%d" % os.getpid(), c_void_p()
    equal("open_named of nothing", lib.open_named(name, byref(named)), -errno.ENOENT)
    equal("publish", lib.publish(area, name), 0)
    equal("open_named", lib.open_named(name, byref(named)), 0)
    equal("opened the same", named.value, area.value)
    equal("unpublish", lib.unpublish(name), 0)
    equal("unpublish of nothing", lib.unpublish(name), -errno.ENOENT)
    lib.close(named)

    mine = lib.export(area)
    found = c_void_p()
    equal("find", lib.find(mine, byref(found)), 0)
    equal("found the same", found.value, area.value)
    lib.close(found)
    equal("ref", lib.ref(area), 0)
    lib.close(area)
    equal("fd_kind", lib.fd_kind(mine), FD_AREA)
    equal("is_materialised", lib.is_materialised(area), 1)
    device, inode = c_uint64(), c_uint64()
    equal("get_id", lib.get_id(area, byref(device), byref(inode)), 0)
    equal("inode", inode.value, os.fstat(mine).st_ino)
    os.close(mine)
    early = c_void_p()
    equal("create another", lib.create(b"early", 0, 0, byref(early)), 0)
    mine = lib.export_early(early)
    equal("export_early", lib.fd_kind(mine), FD_AREA)
    equal("not materialised", lib.is_materialised(early), 0)
    os.close(mine)
    lib.close(early)

    read_only = lib.export_read_only(area)
    true("export_read_only", read_only >= 0)
    reader = c_void_p()
    equal("import read-only", lib.import_(read_only, byref(reader)), 0)
    os.close(read_only)
    equal("who can write still can", reader.value, area.value)
    lib.close(reader)

    refused = c_void_p()
    lib.unmap(address, BYTES)
    equal("seal", lib.seal(area), 0)
    equal("no writing at all", lib.map(area, 0, BYTES, RW, mmap.MAP_SHARED, byref(refused)),
        -errno.EPERM)
    for _ in range(3):
        lib.close(area)


def pressure():
    """The source "service" takes events from a FIFO, so there is no need to make memory short."""
    fifo = os.path.join(tempfile.mkdtemp(), "pressure")
    os.mkfifo(fifo)
    os.environ["MEMORY_PRESSURE_WATCH"] = fifo
    levels, threads = [], set()

    @PRESSURE_FN
    def on_level(userdata, level, before, purged_pages):
        levels.append((userdata, level, before, purged_pages))
        threads.add(threading.get_native_id())

    area = new_area()
    address, _ = new_mapping(area)
    lib.unpin(area, 0, 0)
    options = PressureOptions(source=b"service", some_percent=100, hold_ms=1, reserve_percent=50,
        reserve_most_bytes=1 << 40)
    watch = c_void_p()
    equal("pressure_open", lib.pressure_open(byref(options), byref(watch)), 0)
    equal("pressure_source", lib.pressure_source(watch), b"service")
    length = lib.pressure_explain(watch, None, 0)
    text = ctypes.create_string_buffer(length + 1)
    equal("pressure_explain", lib.pressure_explain(watch, text, length + 1), length)
    true("explains its source", b"service" in text.value)
    equal("pressure_subscribe", lib.pressure_subscribe(watch, on_level, 42), 0)
    equal("no pressure", lib.pressure_dispatch(watch), PRESSURE_NONE)
    true("pressure_fd", lib.pressure_fd(watch) >= 0)
    equal("pressure_make_room", lib.pressure_make_room(watch, 1), -errno.ENODATA)

    with open(fifo, "wb", buffering=0) as events:
        events.write(b"!")
        equal("pressure", lib.pressure_dispatch(watch), PRESSURE_SOME)
        equal("told on this thread", (levels, threads), ([(42, PRESSURE_SOME, PRESSURE_NONE, 16)],
            {threading.get_native_id()}))
        equal("purged", lib.pin(area, 0, 0), WAS_PURGED)
        status = PressureStatus()
        equal("pressure_get_status", lib.pressure_get_status(watch, byref(status)), 0)
        equal("counts", (status.events, status.purged_pages), (1, 16))

        # The library's thread calls Python too: ctypes takes the interpreter's lock for it.
        levels.clear()
        threads.clear()
        told = threading.Event()

        @PRESSURE_FN
        def on_thread(userdata, level, before, purged_pages):
            threads.add(threading.get_native_id())
            told.set()

        lib.pressure_subscribe(watch, on_thread, None)
        equal("pressure_run", lib.pressure_run(watch), 0)
        equal("pressure_run again", lib.pressure_run(watch), -errno.EALREADY)
        events.write(b"!")
        true("told", told.wait(60))
        equal("pressure_stop", lib.pressure_stop(watch), 0)
        true("told on another thread", threads and threading.get_native_id() not in threads)
    equal("no subscriber", lib.pressure_subscribe(watch, PRESSURE_FN(), None), 0)
    lib.pressure_close(watch)
    lib.unmap(address, BYTES)
    lib.close(area)
    del os.environ["MEMORY_PRESSURE_WATCH"]


class PythonBackend:
    """A backend written in Python: one memfd an area, one range that is pinned or not."""

    def __init__(self):
        self.areas, self.calls = {}, set()
        self.table = Backend(name=b"python", capabilities=CAP_LRU | CAP_INSPECT | CAP_PRIORITIES)
        for name, kind in Backend._fields_[4:]:
            operation = getattr(self, name, None)
            if operation:
                setattr(self.table, name, kind(self.guarded(name, operation)))

    def guarded(self, name, operation):
        # An exception must not cross the border: it becomes an error number.
        def call(*arguments):
            self.calls.add(name)
            try:
                return operation(*arguments)
            except OSError as error:
                return -error.errno

        return call

    def probe(self, userdata):
        return 0

    def create(self, userdata, name, size, flags, state):
        key = len(self.areas) + 1
        self.areas[key] = {"name": name, "size": size, "prot": RW | EXEC, "fd": -1, "pinned": True,
            "purged": False, "stamp": 0}
        state[0] = key
        return 0

    def close(self, state):
        area = self.areas.pop(state)
        if area["fd"] >= 0:
            os.close(area["fd"])

    def set_name(self, state, name):
        self.areas[state]["name"] = name
        return 0

    def get_name(self, state, name):
        text = self.areas[state]["name"] + b"\0"
        ctypes.memmove(name, text, len(text))
        return 0

    def set_size(self, state, size):
        self.areas[state]["size"] = size
        return 0

    def get_size(self, state, size, materialised):
        size[0], materialised[0] = self.areas[state]["size"], self.areas[state]["fd"] >= 0
        return 0

    def set_prot(self, state, prot):
        self.areas[state]["prot"] = prot
        return 0

    def get_prot(self, state):
        return self.areas[state]["prot"]

    def get_fd(self, state):
        area = self.areas[state]
        if area["fd"] < 0:
            area["fd"] = os.memfd_create("python")
            os.ftruncate(area["fd"], area["size"])
        return area["fd"]

    def map(self, state, offset, length, prot, flags, address):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype, libc.mmap.argtypes = c_void_p, (c_void_p, ctypes.c_size_t, c_int, c_int,
            c_int, ctypes.c_long)
        mapped = libc.mmap(None, length, prot, flags, self.get_fd(state), offset)
        if mapped == c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), "mmap")
        address[0] = mapped
        return 0

    def read(self, state, buf, length):
        data = os.read(self.get_fd(state), length)
        ctypes.memmove(buf, data, len(data))
        return len(data)

    def pread(self, state, buf, length, offset):
        data = os.pread(self.get_fd(state), length, offset)
        ctypes.memmove(buf, data, len(data))
        return len(data)

    def seek(self, state, offset, whence):
        return os.lseek(self.get_fd(state), offset, whence)

    def pin(self, state, offset, length):
        area = self.areas[state]
        was, area["purged"], area["pinned"] = area["purged"], False, True
        return WAS_PURGED if was else NOT_PURGED

    def unpin(self, state, offset, length):
        return self.unpin_with(state, offset, length, PRIORITY_NORMAL, ORDER_FIFO)

    def unpin_with(self, state, offset, length, priority, order):
        self.areas[state].update(pinned=False, stamp=lib.backend_key(priority, order,
            time.monotonic_ns()))
        return 0

    def get_pin_status(self, state, offset, length):
        return IS_PINNED if self.areas[state]["pinned"] else IS_UNPINNED

    def evictable(self, state):
        area = self.areas[state]
        return 0 if area["pinned"] or area["purged"] else area["size"] // PAGE

    def oldest(self, state, stamp):
        if not self.evictable(state):
            return 0
        stamp[0] = self.areas[state]["stamp"]
        return 1

    def purge(self, state, newest, pages):
        freed = self.evictable(state)
        self.areas[state]["purged"] = True
        lib.backend_note_purged(0, freed * PAGE)
        return freed

    def find_unpinned(self, state, start, offset, length, range_state):
        area = self.areas[state]
        if area["pinned"] or start >= area["size"]:
            return 0
        offset[0], length[0] = 0, area["size"]
        range_state[0] = RANGE_PURGED if area["purged"] else RANGE_EVICTABLE
        return 1

    def get_stats(self, state, stats):
        area_stats = ctypes.cast(stats, ctypes.POINTER(AreaStats))[0]
        area_stats.size_pages = self.areas[state]["size"] // PAGE
        return 0


def backend():
    python = PythonBackend()
    equal("backend_register", lib.backend_register(byref(python.table)), 0)
    equal("backend_register again", lib.backend_register(byref(python.table)), -errno.EEXIST)
    equal("backend_select", lib.backend_select(b"python"), 0)
    area = new_area(b"in python")
    equal("backend_name", lib.backend_name(area), b"python")
    equal("set_name", lib.set_name(area, b"renamed"), 0)
    equal("set_size", lib.set_size(area, BYTES), 0)
    equal("set_prot", lib.set_prot(area, RW), 0)
    name = ctypes.create_string_buffer(NAME_LEN)
    lib.get_name(area, name, NAME_LEN)
    equal("name", name.value, b"renamed")
    address, view = new_mapping(area)
    view[0:2] = b"ok"
    equal("fd", lib.fd(area) >= 0, True)
    buffer = ctypes.create_string_buffer(2)
    equal("read", (lib.read(area, buffer, 2), buffer.raw), (2, b"ok"))
    equal("pread", (lib.pread(area, buffer, 1, 1), buffer.raw[:1]), (1, b"k"))
    equal("seek", lib.seek(area, 3, os.SEEK_SET), 3)
    equal("unpin_with", lib.unpin_with(area, 0, 0, PRIORITY_LAST, ORDER_LIFO), 0)
    equal("pin", lib.pin(area, 0, 0), NOT_PURGED)
    equal("unpin", lib.unpin(area, 0, 0), 0)
    equal("status", lib.get_pin_status(area, 0, 0), IS_UNPINNED)
    equal("shrink_count", lib.shrink_count(), 16)
    equal("shrink", lib.shrink(1), 16)
    offset, length, state = c_uint64(), c_uint64(), c_uint32()
    equal("find_unpinned", lib.find_unpinned(area, 0, byref(offset), byref(length), byref(state)),
        1)
    equal("the range", (length.value, state.value), (BYTES, RANGE_PURGED))
    equal("pin", lib.pin(area, 0, 0), WAS_PURGED)
    stats = AreaStats()
    lib.area_get_stats(area, byref(stats))
    equal("area_get_stats", stats.size_pages, 16)
    lib.unmap(address, BYTES)
    lib.close(area)
    equal("closed in Python", python.areas, {})
    offered = {name for name, _ in Backend._fields_[4:] if getattr(python, name, None)}
    equal("operations never called", offered - python.calls, set())
    equal("backend_select back", lib.backend_select(b"memfd"), 0)
    return python


def shrinkers():
    cache = {"pages": 100, "released": False}

    def scan(_, nr_to_scan):
        if cache["pages"] == 0:
            return SHRINK_STOP
        freed = min(nr_to_scan, cache["pages"])
        cache["pages"] -= freed
        return freed

    def release(_):
        cache["released"] = True

    options = ShrinkerOptions(name=b"python", count=COUNT_FN(lambda _: cache["pages"]),
        scan=SCAN_FN(scan), release=RELEASE_FN(release), batch_pages=7)
    shrinker, stats = c_void_p(), ShrinkerStats()
    equal("shrinker_register", lib.shrinker_register(byref(options), byref(shrinker)), 0)
    equal("shrink_count with it", lib.shrink_count(), 100)
    equal("shrink with it", (lib.shrink(30), cache["pages"]), (30, 70))
    equal("shrinker_set_areas_seeks", lib.shrinker_set_areas_seeks(0), 0)
    equal("shrinker_get_stats", lib.shrinker_get_stats(1, byref(stats)), 0)
    equal("its statistics", (stats.name, stats.scans, stats.freed_pages, stats.seeks),
        (b"python", 5, 30, 2))
    lib.shrinker_unregister(shrinker)
    true("released", cache["released"])
    equal("shrink without it", lib.shrink(30), 0)


def budgets():
    budget, usage = c_void_p(), BudgetUsage()
    equal("budget_create", lib.budget_create(byref(BudgetOptions(unpinned_bytes=2 * PAGE)),
        byref(budget)), 0)
    area = new_area(b"bounded")
    address, _ = new_mapping(area)
    equal("budget_add", lib.budget_add(budget, area), 0)
    for page in range(3):
        lib.unpin(area, page * PAGE, PAGE)
    equal("budget_get_usage", lib.budget_get_usage(budget, byref(usage)), 0)
    equal("its usage", (usage.unpinned_bytes, usage.purged_pages, usage.all_limit_bytes),
        (2 * PAGE, 1, BUDGET_UNLIMITED))
    equal("the oldest went", lib.pin(area, 0, PAGE), WAS_PURGED)
    equal("budget_remove", lib.budget_remove(budget, area), 0)
    lib.budget_close(budget)
    process = lib.budget_process()
    limits = BudgetOptions(all_bytes=PAGE, flags=BUDGET_REFUSE)
    equal("budget_set_limits", lib.budget_set_limits(process, byref(limits)), 0)
    more = new_area(b"more")
    equal("refused", lib.fd(more), -errno.EDQUOT)
    lib.budget_close(process)
    lib.close(more)
    lib.unmap(address, BYTES)
    lib.close(area)


def caches():
    cache, again, entry = c_void_p(), c_void_p(), c_void_p()
    options = CacheOptions(most_bytes=1 << 20)
    equal("cache_create", lib.cache_create(b"from python", byref(options), byref(cache)), 0)
    equal("cache_import", lib.cache_import(lib.cache_fd(cache), byref(again)), 0)
    true("cache_area", lib.cache_area(cache))
    equal("cache_put", lib.cache_put(again, b"key", 3, b"value", 5, 0), 0)
    equal("cache_put_with", lib.cache_put_with(cache, b"key", 3, b"", 0, 0, PUT_ADD),
        -errno.EEXIST)
    buffer = ctypes.create_string_buffer(8)
    equal("cache_read", lib.cache_read(cache, b"key", 3, buffer, 8), 5)
    equal("what it read", buffer.value, b"value")
    equal("cache_get", lib.cache_get(cache, b"key", 3, byref(entry)), 0)
    length = c_uint64()
    value = lib.entry_value(entry, byref(length))
    equal("entry_value", ctypes.string_at(value, length.value), b"value")
    lib.entry_release(entry)
    equal("cache_reserve", lib.cache_reserve(cache, b"built", 5, 4, 0, byref(entry)), 0)
    ctypes.memmove(lib.entry_room(entry, byref(length)), b"here", 4)
    equal("entry_commit", lib.entry_commit(entry), 0)
    lib.entry_release(entry)
    equal("cache_claim", lib.cache_claim(cache, b"built", 5, 0, byref(entry)), CLAIM_FOUND)
    lib.entry_release(entry)
    equal("cache_claim again", lib.cache_claim(cache, b"new", 3, 0, byref(entry)), CLAIM_BUILD)
    lib.entry_release(entry)
    equal("cache_get_ttl", lib.cache_get_ttl(cache, b"key", 3), 0)
    equal("cache_touch", lib.cache_touch(cache, b"key", 3, 100000), 0)
    true("a new time to live", 0 < lib.cache_get_ttl(cache, b"key", 3) <= 100000)
    equal("cache_remove", lib.cache_remove(cache, b"key", 3), 0)
    position, key_bytes = c_uint64(), c_size_t()
    key = ctypes.create_string_buffer(CACHE_KEY_MOST)
    equal("cache_next", lib.cache_next(cache, byref(position), key, len(key), byref(key_bytes),
        byref(length)), 1)
    equal("the key", key.raw[:key_bytes.value], b"built")
    equal("cache_clear", lib.cache_clear(cache), 0)
    lib.cache_close(again)
    stats = CacheStats()
    equal("cache_get_stats", lib.cache_get_stats(cache, byref(stats)), 0)
    equal("puts", stats.puts, 2)
    equal("publish a cache", lib.publish(lib.cache_area(cache), b"ashmem-ffi.python"), 0)
    equal("cache_open", lib.cache_open(b"ashmem-ffi.python", None, byref(again)), 0)
    equal("put through it", lib.cache_put(again, b"key", 3, b"named", 5, 0), 0)
    equal("read through the other", lib.cache_read(cache, b"key", 3, buffer, 8), 5)
    lib.cache_close(again)
    lib.cache_close(cache)


def main():
    equal("backend_select", lib.backend_select(b"memfd"), 0)
    versions()
    attributes()
    memory()
    pinning()
    priorities()
    notices()
    losses_and_modes()
    sharing()
    shrinkers()
    budgets()
    caches()
    pressure()
    registered = backend()  # the library calls its functions for good
    with open(sys.argv[1], "w", encoding="ascii") as called:
        called.writelines(name + "\n" for name in sorted(lib.called))
    del registered
    return checks.end()


sys.exit(main())
