# SPDX-License-Identifier: MIT
"""libashmem through ctypes: what a binding has to copy from the manual, and nothing else.

No header is read and nothing is compiled: types, structures and constants stand here as the manual
gives them, so that a change of the interface that would break somebody's binding breaks this one.
The library's file is named by LIBASHMEM.
"""

import ctypes
import os
from ctypes import CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_int, c_int64, c_size_t
from ctypes import c_uint32, c_uint64, c_void_p

NOT_PURGED, WAS_PURGED = 0, 1
IS_UNPINNED, IS_PINNED = 0, 1
NAME_LEN = 256
RANGE_PURGED, RANGE_EVICTABLE = 1, 2
RELEASE_LOST = 1
CREATE_ALLOW_SEAL = 1
FD_NONE, FD_AREA, FD_READ_ONLY, FD_FOREIGN = range(4)
CAP_LRU, CAP_INSPECT, CAP_PRIORITIES = 1, 4, 64
PRIORITY_FIRST, PRIORITY_NORMAL, PRIORITY_LAST = 0, 4, 7
ORDER_FIFO, ORDER_LIFO = 16, 17
PRESSURE_NONE, PRESSURE_SOME, PRESSURE_HIGH, PRESSURE_CRITICAL = 0, 1, 2, 3
PRESSURE_PURGE_NOTHING = 4294967295
SHRINK_STOP = -1
BUDGET_UNLIMITED = 18446744073709551615
BUDGET_REFUSE = 1
CACHE_KEY_MOST = 1024
PUT_ADD, PUT_REPLACE = 1, 2
CLAIM_FOUND, CLAIM_BUILD = 0, 1


class SizedStructure(Structure):
    """A structure whose first member says how much of it the caller knows."""

    def __init__(self, **values):
        super().__init__(struct_size=ctypes.sizeof(type(self)), **values)


class AreaStats(SizedStructure):
    _fields_ = [("struct_size", c_size_t)] + [
        (name, c_uint64)
        for name in (
            "size_pages", "unpinned_ranges", "unpinned_pages", "evictable_pages", "purged_pages",
            "pins_found_purged", "recoveries", "pinned_pages", "resident_pages", "held_pages",
            "lock_waits", "lock_timeouts",
        )
    ] + [("readers", c_uint32), ("sealed", c_uint32)]


class PeekResult(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("size_bytes", c_uint64), ("serial", c_uint64 * 2),
    ] + [
        (name, c_uint64)
        for name in (
            "unpinned_ranges", "unpinned_pages", "evictable_pages", "resident_pages",
            "purged_pages", "oldest_key",
        )
    ] + [
        (name, c_uint32)
        for name in ("prot", "busy", "readers", "sealed", "damaged", "reserved")
    ] + [("name", c_char * 256)]


class PurgeFdOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("most_pages", c_uint64), ("newest_key", c_uint64),
        ("serial", c_uint64 * 2), ("wait_ms", c_uint32), ("reserved", c_uint32),
    ]


class ProcessStats(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("areas", c_uint64), ("evictable_pages", c_uint64),
        ("purged_pages", c_uint64),
    ] + [
        (name, c_uint64)
        for name in (
            "size_pages", "pinned_pages", "unpinned_ranges", "unpinned_pages", "resident_pages",
            "held_pages",
            "areas_purged_pages", "pins_found_purged", "lock_waits", "lock_timeouts", "recoveries",
            "sealed_areas", "unknown_areas",
        )
    ] + [("pressure_level", c_uint32), ("reserved", c_uint32), ("pressure_source", c_char_p)]


class Extent(Structure):
    _fields_ = [("offset", c_uint64), ("length", c_uint64)]


class PressureOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("source", c_char_p), ("some_percent", c_uint32),
        ("high_percent", c_uint32),
        ("critical_percent", c_uint32), ("hold_ms", c_uint32), ("flags", c_uint32),
        ("reserve_percent", c_uint32), ("reserve_most_bytes", c_uint64),
        ("priority", c_uint32), ("reserved", c_uint32), ("cgroup", c_char_p),
    ]


class PressureStatus(SizedStructure):
    _fields_ = [("struct_size", c_size_t)] + [
        (name, c_uint64)
        for name in (
            "level", "dispatches", "events", "purges", "wanted_pages", "purged_pages", "purge_ns",
            "headroom_purges",
            "lost_sources", "free_bytes", "limit_bytes", "unpin_purges", "reserve_bytes", "bursts",
        )
    ]


PURGE_FN = CFUNCTYPE(None, c_void_p, c_void_p, c_uint64, c_uint64)
PRESSURE_FN = CFUNCTYPE(None, c_void_p, c_uint32, c_uint32, c_uint64)
STATE = c_void_p
STATE_OUT = POINTER(c_void_p)


class Backend(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char_p), ("capabilities", c_uint32),
        ("userdata", c_void_p),
        ("create", CFUNCTYPE(c_int, c_void_p, c_char_p, c_uint64, c_uint32, STATE_OUT)),
        ("close", CFUNCTYPE(None, STATE)),
        ("get_size", CFUNCTYPE(c_int, STATE, POINTER(c_uint64), POINTER(c_int))),
        ("map", CFUNCTYPE(c_int, STATE, c_uint64, c_size_t, c_int, c_int, POINTER(c_void_p))),
        ("pin", CFUNCTYPE(c_int, STATE, c_uint64, c_uint64)),
        ("unpin", CFUNCTYPE(c_int, STATE, c_uint64, c_uint64)),
        ("probe", CFUNCTYPE(c_int, c_void_p)),
        ("import_", CFUNCTYPE(c_int, c_void_p, c_int, STATE_OUT)),
        ("set_name", CFUNCTYPE(c_int, STATE, c_char_p)),
        ("get_name", CFUNCTYPE(c_int, STATE, c_void_p)),
        ("set_size", CFUNCTYPE(c_int, STATE, c_uint64)),
        ("set_prot", CFUNCTYPE(c_int, STATE, c_int)),
        ("get_prot", CFUNCTYPE(c_int, STATE)),
        ("get_fd", CFUNCTYPE(c_int, STATE)),
        ("read", CFUNCTYPE(c_int64, STATE, c_void_p, c_size_t)),
        ("pread", CFUNCTYPE(c_int64, STATE, c_void_p, c_size_t, c_uint64)),
        ("seek", CFUNCTYPE(c_int64, STATE, c_int64, c_int)),
        ("get_pin_status", CFUNCTYPE(c_int, STATE, c_uint64, c_uint64)),
        ("evictable", CFUNCTYPE(c_uint64, STATE)),
        ("oldest", CFUNCTYPE(c_int, STATE, POINTER(c_uint64))),
        ("purge", CFUNCTYPE(c_int64, STATE, c_uint64, c_uint64)),
        ("begin_purge", CFUNCTYPE(None, STATE)),
        ("present", CFUNCTYPE(c_uint64, STATE)),
        ("resident", CFUNCTYPE(c_uint64, STATE)),
        ("purge_all", CFUNCTYPE(c_int64, c_void_p)),
        ("find_unpinned", CFUNCTYPE(c_int, STATE, c_uint64, POINTER(c_uint64), POINTER(c_uint64),
            POINTER(c_uint32))),
        ("get_stats", CFUNCTYPE(c_int, STATE, c_void_p)),
        ("seal", CFUNCTYPE(c_int, STATE)),
        ("export_read_only", CFUNCTYPE(c_int, STATE)),
        ("hold", CFUNCTYPE(c_int, STATE, c_uint64, c_uint64)),
        ("release", CFUNCTYPE(c_int, STATE, c_uint64, c_uint64, c_uint32)),
        ("unpin_with", CFUNCTYPE(c_int, STATE, c_uint64, c_uint64, c_uint32, c_uint32)),
        ("pin_lost", CFUNCTYPE(c_int, STATE, c_uint64, c_uint64, POINTER(Extent), c_uint32,
            POINTER(c_uint32))),
        ("find", CFUNCTYPE(c_int, c_void_p, c_int, POINTER(c_void_p))),
        ("fd_kind", CFUNCTYPE(c_int, c_void_p, c_int)),
        ("get_id", CFUNCTYPE(c_int, STATE, POINTER(c_uint64), POINTER(c_uint64))),
        ("export_early", CFUNCTYPE(c_int, STATE)),
        ("purge_range", CFUNCTYPE(c_int64, STATE, POINTER(c_uint64), c_uint64)),
    ]


COUNT_FN = CFUNCTYPE(c_uint64, c_void_p)
SCAN_FN = CFUNCTYPE(c_int64, c_void_p, c_uint64)
RELEASE_FN = CFUNCTYPE(None, c_void_p)


class ShrinkerOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char_p), ("count", COUNT_FN), ("scan", SCAN_FN),
        ("release", RELEASE_FN),
        ("userdata", c_void_p), ("batch_pages", c_uint64), ("seeks", c_uint32),
    ]


class ShrinkerStats(SizedStructure):
    _fields_ = [("struct_size", c_size_t)] + [
        (name, c_uint64)
        for name in ("scans", "asked_pages", "freed_pages", "stops", "batch_pages", "seeks")
    ] + [("name", c_char * 64)]


class PurgeQueueOptions(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("entries", c_uint32)]


class PurgeNotice(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("area", c_void_p), ("offset", c_uint64), ("length", c_uint64),
        ("flags", c_uint32),
    ]


class BudgetOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("unpinned_bytes", c_uint64), ("all_bytes", c_uint64),
        ("flags", c_uint32),
    ]


class BudgetUsage(SizedStructure):
    _fields_ = [("struct_size", c_size_t)] + [
        (name, c_uint64)
        for name in (
            "unpinned_bytes", "all_bytes", "unpinned_limit_bytes", "all_limit_bytes", "over_bytes",
            "areas", "purges",
            "purged_pages",
        )
    ]


class CacheOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("most_bytes", c_uint64), ("entries", c_uint64),
        ("value_most_bytes", c_uint64), ("flags", c_uint32), ("reserved", c_uint32),
    ]


class CacheStats(SizedStructure):
    _fields_ = [("struct_size", c_size_t)] + [
        (name, c_uint64)
        for name in (
            "hits", "misses", "misses_never", "misses_purged", "misses_expired", "misses_dropped",
            "puts", "removes", "evictions", "carried", "segments", "segment_bytes", "bytes",
            "bytes_unused", "bytes_filled", "bytes_index", "entries_most",
        )
    ]


AREA, AREA_OUT = c_void_p, POINTER(c_void_p)
CACHE = ENTRY = c_void_p
KEY = (CACHE, c_char_p, c_size_t)
PRESSURE = SHRINKER = BUDGET = QUEUE = c_void_p

# Each function: what it answers, what it takes.
FUNCTIONS = {
    "create": (c_int, c_char_p, c_uint64, c_uint32, AREA_OUT),
    "close": (None, AREA),
    "set_name": (c_int, AREA, c_char_p),
    "get_name": (c_int, AREA, c_char_p, c_size_t),
    "set_size": (c_int, AREA, c_uint64),
    "get_size": (c_uint64, AREA),
    "set_prot": (c_int, AREA, c_int),
    "get_prot": (c_int, AREA),
    "map": (c_int, AREA, c_uint64, c_size_t, c_int, c_int, POINTER(c_void_p)),
    "unmap": (c_int, c_void_p, c_size_t),
    "populate": (c_int, c_void_p, c_size_t),
    "read": (c_int64, AREA, c_void_p, c_size_t),
    "pread": (c_int64, AREA, c_void_p, c_size_t, c_uint64),
    "seek": (c_int64, AREA, c_int64, c_int),
    "pin": (c_int, AREA, c_uint64, c_uint64),
    "pin_lost": (c_int, AREA, c_uint64, c_uint64, POINTER(Extent), c_uint32, POINTER(c_uint32)),
    "unpin": (c_int, AREA, c_uint64, c_uint64),
    "unpin_with": (c_int, AREA, c_uint64, c_uint64, c_uint32, c_uint32),
    "get_pin_status": (c_int, AREA, c_uint64, c_uint64),
    "hold": (c_int, AREA, c_uint64, c_uint64),
    "release": (c_int, AREA, c_uint64, c_uint64, c_uint32),
    "find_unpinned": (c_int, AREA, c_uint64, POINTER(c_uint64), POINTER(c_uint64),
        POINTER(c_uint32)),
    "fd": (c_int, AREA),
    "export": (c_int, AREA),
    "export_early": (c_int, AREA),
    "export_read_only": (c_int, AREA),
    "find": (c_int, c_int, AREA_OUT),
    "fd_kind": (c_int, c_int),
    "ref": (c_int, AREA),
    "is_materialised": (c_int, AREA),
    "get_id": (c_int, AREA, POINTER(c_uint64), POINTER(c_uint64)),
    "seal": (c_int, AREA),
    "publish": (c_int, AREA, c_char_p),
    "open_named": (c_int, c_char_p, AREA_OUT),
    "unpublish": (c_int, c_char_p),
    "import": (c_int, c_int, AREA_OUT),
    "send": (c_int, c_int, AREA),
    "recv": (c_int, c_int, AREA_OUT),
    "purge": (c_int64, AREA, c_uint64, c_uint64),
    "purge_all": (c_int64,),
    "shrink": (c_int64, c_uint64),
    "shrink_count": (c_uint64,),
    "purge_subscribe": (c_int, PURGE_FN, c_void_p),
    "purge_unsubscribe": (c_int, c_int),
    "purge_queue_open": (c_int, POINTER(PurgeQueueOptions), POINTER(c_void_p)),
    "purge_queue_fd": (c_int, QUEUE),
    "purge_queue_next": (c_int, QUEUE, POINTER(PurgeNotice)),
    "purge_queue_close": (None, QUEUE),
    "debug_set": (c_int, c_char_p),
    "debug_get": (c_int, c_char_p, c_size_t),
    "shrinker_register": (c_int, POINTER(ShrinkerOptions), POINTER(c_void_p)),
    "shrinker_unregister": (None, SHRINKER),
    "shrinker_set_areas_seeks": (c_int, c_uint32),
    "shrinker_get_stats": (c_int, c_uint32, POINTER(ShrinkerStats)),
    "budget_create": (c_int, POINTER(BudgetOptions), POINTER(c_void_p)),
    "budget_process": (BUDGET,),
    "budget_close": (None, BUDGET),
    "budget_set_limits": (c_int, BUDGET, POINTER(BudgetOptions)),
    "budget_add": (c_int, BUDGET, AREA),
    "budget_remove": (c_int, BUDGET, AREA),
    "budget_get_usage": (c_int, BUDGET, POINTER(BudgetUsage)),
    "area_get_stats": (c_int, AREA, POINTER(AreaStats)),
    "peek": (c_int, c_int, POINTER(PeekResult)),
    "purge_fd": (c_int64, c_int, POINTER(PurgeFdOptions)),
    "process_get_stats": (c_int, POINTER(ProcessStats)),
    "backend_select": (c_int, c_char_p),
    "backend_name": (c_char_p, AREA),
    "backend_register": (c_int, POINTER(Backend)),
    "backend_key": (c_uint64, c_uint32, c_uint32, c_uint64),
    "backend_note_purged": (None, c_uint64, c_uint64),
    "pressure_open": (c_int, POINTER(PressureOptions), POINTER(c_void_p)),
    "pressure_close": (None, PRESSURE),
    "pressure_fd": (c_int, PRESSURE),
    "pressure_dispatch": (c_int, PRESSURE),
    "pressure_make_room": (c_int64, PRESSURE, c_uint64),
    "pressure_subscribe": (c_int, PRESSURE, PRESSURE_FN, c_void_p),
    "pressure_run": (c_int, PRESSURE),
    "pressure_stop": (c_int, PRESSURE),
    "pressure_source": (c_char_p, PRESSURE),
    "pressure_explain": (c_int, PRESSURE, c_char_p, c_size_t),
    "pressure_get_status": (c_int, PRESSURE, POINTER(PressureStatus)),
    "cache_create": (c_int, c_char_p, POINTER(CacheOptions), POINTER(c_void_p)),
    "cache_open": (c_int, c_char_p, POINTER(CacheOptions), POINTER(c_void_p)),
    "cache_import": (c_int, c_int, POINTER(c_void_p)),
    "cache_fd": (c_int, CACHE),
    "cache_area": (AREA, CACHE),
    "cache_close": (None, CACHE),
    "cache_read": (c_int64, *KEY, c_void_p, c_size_t),
    "cache_get": (c_int, *KEY, POINTER(c_void_p)),
    "cache_put": (c_int, *KEY, c_char_p, c_size_t, c_uint64),
    "cache_put_with": (c_int, *KEY, c_char_p, c_size_t, c_uint64, c_uint32),
    "cache_reserve": (c_int, *KEY, c_size_t, c_uint64, POINTER(c_void_p)),
    "cache_claim": (c_int, *KEY, c_uint32, POINTER(c_void_p)),
    "cache_touch": (c_int, *KEY, c_uint64),
    "cache_get_ttl": (c_int64, *KEY),
    "cache_remove": (c_int, *KEY),
    "cache_clear": (c_int, CACHE),
    "cache_next": (c_int, CACHE, POINTER(c_uint64), c_void_p, c_size_t, POINTER(c_size_t),
        POINTER(c_uint64)),
    "cache_get_stats": (c_int, CACHE, POINTER(CacheStats)),
    "entry_value": (c_void_p, ENTRY, POINTER(c_uint64)),
    "entry_room": (c_void_p, ENTRY, POINTER(c_uint64)),
    "entry_commit": (c_int, ENTRY),
    "entry_release": (None, ENTRY),
    "version": (c_uint32,),
    "version_string": (c_char_p,),
    "version_at_least": (c_int, c_uint32, c_uint32, c_uint32),
}


class Library:
    """Every function as a method without the prefix; `called` has the names of those called."""

    def __init__(self):
        self.called = set()
        library = ctypes.CDLL(os.environ["LIBASHMEM"])
        for name, (result, *arguments) in FUNCTIONS.items():
            function = getattr(library, "ashmem_" + name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name + "_" if name == "import" else name, self.counted(name, function))

    def counted(self, name, function):
        def call(*arguments):
            self.called.add("ashmem_" + name)
            return function(*arguments)

        return call


class Checks:
    """Counts what was expected; the last line is `N passed, N failed, N skipped`."""

    def __init__(self):
        self.passed = self.failed = 0

    def equal(self, what, value, expected):
        if value == expected:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAIL: {what}: {value!r}, expected {expected!r}")

    def true(self, what, value):
        self.equal(what, bool(value), True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed, 0 skipped")
        return 1 if self.failed else 0
