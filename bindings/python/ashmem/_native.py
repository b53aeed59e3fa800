# SPDX-License-Identifier: MIT
"""The C interface: finds libashmem.so.1, declares what is called, turns errors into OSError.

Types, structures and constants stand here as the manual gives them; nothing is compiled. The
library is, in this order: the file that the environment variable LIBASHMEM names; in a source tree
the one in its build directory; what the loader finds. Calls release the GIL, and may call back.
"""

import ctypes
import logging
import mmap
import operator
import os
import sys
from ctypes import CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_int, c_int64, c_size_t
from ctypes import c_uint32, c_uint64, c_void_p
from typing import Any, Callable, Dict, NamedTuple, Type, TypeVar

# The library that this package was written for: the same ABI, and at least this version.
SONAME = "libashmem.so.1"
VERSION = (0, 9, 0)

PAGE_SIZE = mmap.PAGESIZE

WAS_PURGED = 1
IS_PINNED = 1
RANGE_PURGED, RANGE_EVICTABLE = 1, 2
RELEASE_LOST = 1
PUT_ADD, PUT_REPLACE = 1, 2
CLAIM_FOUND, CLAIM_BUILD = 0, 1
CACHE_KEY_MOST = 1024
CREATE_ALLOW_SEAL = 1
NAME_LEN = 256
SHRINK_STOP = -1
SHRINKER_FREE = 4294967295
PURGE_NOTHING = 4294967295
NOT_IN_UNPIN, ONLY_TELL = 1, 2
NOTICE_WHOLE = 1

log = logging.getLogger("ashmem")


class SizedStructure(Structure):
    """A structure whose first member says how much of it the caller knows."""

    def __init__(self, **values: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(type(self)), **values)
        for name, value in values.items():
            if isinstance(value, int) and getattr(self, name) != value:
                raise OverflowError(f"{name} is out of range: {value}")


def counters(names: str) -> Any:
    """Members of 64 bits, after the size."""
    return [("struct_size", c_size_t)] + [(name, c_uint64) for name in names.split()]


class AreaStats(SizedStructure):
    _fields_ = counters(
        "size_pages unpinned_ranges unpinned_pages evictable_pages purged_pages pins_found_purged"
        " recoveries pinned_pages resident_pages held_pages lock_waits lock_timeouts"
    ) + [("readers", c_uint32), ("sealed", c_uint32)]


class ProcessStats(SizedStructure):
    _fields_ = counters(
        "areas evictable_pages purged_pages size_pages pinned_pages unpinned_ranges unpinned_pages"
        " resident_pages held_pages areas_purged_pages pins_found_purged lock_waits lock_timeouts"
        " recoveries sealed_areas unknown_areas"
    ) + [("pressure_level", c_uint32), ("reserved", c_uint32), ("pressure_source", c_char_p)]


class Extent(Structure):
    _fields_ = [("offset", c_uint64), ("length", c_uint64)]


class PressureOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("source", c_char_p), ("some_percent", c_uint32),
        ("high_percent", c_uint32), ("critical_percent", c_uint32), ("hold_ms", c_uint32),
        ("flags", c_uint32), ("reserve_percent", c_uint32), ("reserve_most_bytes", c_uint64),
        ("priority", c_uint32),
    ]


class PressureStatus(SizedStructure):
    _fields_ = counters(
        "level dispatches events purges wanted_pages purged_pages purge_ns headroom_purges"
        " lost_sources free_bytes limit_bytes unpin_purges reserve_bytes bursts"
    )


PURGE_FN = CFUNCTYPE(None, c_void_p, c_void_p, c_uint64, c_uint64)
PRESSURE_FN = CFUNCTYPE(None, c_void_p, c_uint32, c_uint32, c_uint64)
COUNT_FN = CFUNCTYPE(c_uint64, c_void_p)
SCAN_FN = CFUNCTYPE(c_int64, c_void_p, c_uint64)
RELEASE_FN = CFUNCTYPE(None, c_void_p)


class ShrinkerOptions(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char_p), ("count", COUNT_FN), ("scan", SCAN_FN),
        ("release", RELEASE_FN), ("userdata", c_void_p), ("batch_pages", c_uint64),
        ("seeks", c_uint32),
    ]


class ShrinkerStats(SizedStructure):
    _fields_ = counters("scans asked_pages freed_pages stops batch_pages seeks") + [
        ("name", c_char * 64)
    ]


class PurgeQueueOptions(SizedStructure):
    _fields_ = [("struct_size", c_size_t), ("entries", c_uint32)]


class PurgeNotice(SizedStructure):
    _fields_ = [
        ("struct_size", c_size_t), ("area", c_void_p), ("offset", c_uint64), ("length", c_uint64),
        ("flags", c_uint32),
    ]


class CacheOptions(SizedStructure):
    _fields_ = counters("most_bytes entries value_most_bytes") + [
        ("flags", c_uint32), ("reserved", c_uint32)
    ]


class CacheStats(SizedStructure):
    _fields_ = counters(
        "hits misses misses_never misses_purged misses_expired misses_dropped puts removes"
        " evictions carried segments segment_bytes bytes bytes_unused bytes_filled bytes_index"
        " entries_most"
    )


HANDLE, OUT = c_void_p, POINTER(c_void_p)
KEY = c_void_p, c_size_t

# Each function: what it returns, what it takes.
FUNCTIONS: Dict[str, Any] = {
    "create": (c_int, c_char_p, c_uint64, c_uint32, OUT),
    "close": (None, HANDLE),
    "get_name": (c_int, HANDLE, c_char_p, c_size_t),
    "get_size": (c_uint64, HANDLE),
    "set_prot": (c_int, HANDLE, c_int),
    "get_prot": (c_int, HANDLE),
    "map": (c_int, HANDLE, c_uint64, c_size_t, c_int, c_int, OUT),
    "unmap": (c_int, c_void_p, c_size_t),
    "populate": (c_int, c_void_p, c_size_t),
    "pread": (c_int64, HANDLE, c_void_p, c_size_t, c_uint64),
    "pin": (c_int, HANDLE, c_uint64, c_uint64),
    "pin_lost": (c_int, HANDLE, c_uint64, c_uint64, POINTER(Extent), c_uint32, POINTER(c_uint32)),
    "unpin_with": (c_int, HANDLE, c_uint64, c_uint64, c_uint32, c_uint32),
    "get_pin_status": (c_int, HANDLE, c_uint64, c_uint64),
    "hold": (c_int, HANDLE, c_uint64, c_uint64),
    "release": (c_int, HANDLE, c_uint64, c_uint64, c_uint32),
    "find_unpinned": (c_int, HANDLE, c_uint64, POINTER(c_uint64), POINTER(c_uint64),
                      POINTER(c_uint32)),
    "fd": (c_int, HANDLE),
    "export_read_only": (c_int, HANDLE),
    "seal": (c_int, HANDLE),
    "import": (c_int, c_int, OUT),
    "publish": (c_int, HANDLE, c_char_p),
    "open_named": (c_int, c_char_p, OUT),
    "unpublish": (c_int, c_char_p),
    "send": (c_int, c_int, HANDLE),
    "recv": (c_int, c_int, OUT),
    "backend_select": (c_int, c_char_p),
    "backend_name": (c_char_p, HANDLE),
    "area_get_stats": (c_int, HANDLE, POINTER(AreaStats)),
    "process_get_stats": (c_int, POINTER(ProcessStats)),
    "purge_all": (c_int64,),
    "shrink": (c_int64, c_uint64),
    "shrink_count": (c_uint64,),
    "purge_subscribe": (c_int, PURGE_FN, c_void_p),
    "purge_unsubscribe": (c_int, c_int),
    "purge_queue_open": (c_int, POINTER(PurgeQueueOptions), OUT),
    "purge_queue_fd": (c_int, HANDLE),
    "purge_queue_next": (c_int, HANDLE, POINTER(PurgeNotice)),
    "purge_queue_close": (None, HANDLE),
    "shrinker_register": (c_int, POINTER(ShrinkerOptions), OUT),
    "shrinker_unregister": (None, HANDLE),
    "shrinker_set_areas_seeks": (c_int, c_uint32),
    "shrinker_get_stats": (c_int, c_uint32, POINTER(ShrinkerStats)),
    "pressure_open": (c_int, POINTER(PressureOptions), OUT),
    "pressure_close": (None, HANDLE),
    "pressure_fd": (c_int, HANDLE),
    "pressure_dispatch": (c_int, HANDLE),
    "pressure_make_room": (c_int64, HANDLE, c_uint64),
    "pressure_subscribe": (c_int, HANDLE, PRESSURE_FN, c_void_p),
    "pressure_run": (c_int, HANDLE),
    "pressure_stop": (c_int, HANDLE),
    "pressure_source": (c_char_p, HANDLE),
    "pressure_explain": (c_int, HANDLE, c_char_p, c_size_t),
    "pressure_get_status": (c_int, HANDLE, POINTER(PressureStatus)),
    "cache_create": (c_int, c_char_p, POINTER(CacheOptions), OUT),
    "cache_open": (c_int, c_char_p, POINTER(CacheOptions), OUT),
    "cache_import": (c_int, c_int, OUT),
    "cache_fd": (c_int, HANDLE),
    "cache_area": (c_void_p, HANDLE),
    "cache_close": (None, HANDLE),
    "cache_read": (c_int64, HANDLE, *KEY, c_void_p, c_size_t),
    "cache_get": (c_int, HANDLE, *KEY, OUT),
    "cache_put_with": (c_int, HANDLE, *KEY, c_void_p, c_size_t, c_uint64, c_uint32),
    "cache_reserve": (c_int, HANDLE, *KEY, c_size_t, c_uint64, OUT),
    "cache_claim": (c_int, HANDLE, *KEY, c_uint32, OUT),
    "cache_touch": (c_int, HANDLE, *KEY, c_uint64),
    "cache_get_ttl": (c_int64, HANDLE, *KEY),
    "cache_remove": (c_int, HANDLE, *KEY),
    "cache_clear": (c_int, HANDLE),
    "cache_next": (c_int, HANDLE, POINTER(c_uint64), c_void_p, c_size_t, POINTER(c_size_t),
                   POINTER(c_uint64)),
    "cache_get_stats": (c_int, HANDLE, POINTER(CacheStats)),
    "entry_value": (c_void_p, HANDLE, POINTER(c_uint64)),
    "entry_room": (c_void_p, HANDLE, POINTER(c_uint64)),
    "entry_commit": (c_int, HANDLE),
    "entry_release": (None, HANDLE),
    "version": (c_uint32,),
    "version_string": (c_char_p,),
}

# Those that take no lock and make no system call keep the GIL, which is faster.
KEEP_THE_GIL = ("cache_read", "cache_get_ttl", "entry_value")


class Library:
    """The functions as methods without the prefix `ashmem_`."""

    def __init__(self, path: str) -> None:
        self.path = path
        normal, quick = ctypes.CDLL(path), ctypes.PyDLL(path)
        for name, (result, *arguments) in FUNCTIONS.items():
            object_ = quick if name in KEEP_THE_GIL else normal
            function = object_["ashmem_" + name]
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(name)


def library_path() -> str:
    """What is named, or else built in the tree that this file is in, or else the loader's."""
    named = os.environ.get("LIBASHMEM")
    if named and not sys.flags.ignore_environment:
        return named
    tree = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))))
    built = os.path.join(tree, "build", SONAME)
    if os.path.exists(os.path.join(tree, "lib", "libashmem.map")) and os.path.exists(built):
        return built
    return SONAME


def version_text(number: int) -> str:
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"


def load() -> Library:
    """The library, or an ImportError that says what to do."""
    wanted = ".".join(map(str, VERSION))
    path = library_path()
    hint = (
        f"This package needs libashmem {wanted} or later ({SONAME}): install it, or name its file"
        " in the environment variable LIBASHMEM."
    )
    try:
        object_ = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"libashmem cannot be loaded: {error}. {hint}") from error
    try:
        function = object_["ashmem_version"]
    except AttributeError as error:
        raise ImportError(f"{path} is not libashmem. {hint}") from error
    function.restype, function.argtypes = c_uint32, []
    number = function()
    if (number >> 16, number >> 8 & 255, number & 255) < VERSION:
        raise ImportError(f"{path} is libashmem {version_text(number)}. {hint}")
    try:
        return Library(path)
    except AttributeError as error:
        raise ImportError(f"{path} lacks a function: {error}. {hint}") from error


lib = load()


def number(value: int, kind: Any = c_uint64) -> int:
    """A number that C takes as it is: ctypes would cut off what does not fit."""
    value = operator.index(value)
    if kind(value).value != value:
        raise OverflowError(f"out of range: {value}")
    return value


def text(name: str) -> bytes:
    """A name for C, where it would end at a null character."""
    raw = os.fsencode(name)
    if b"\0" in raw:
        raise ValueError("embedded null character")
    return raw


def failed(result: int) -> OSError:
    """The OSError, of the right subclass, for a negative result."""
    return OSError(-result, os.strerror(-result))


def check(result: int) -> int:
    """The result of a call; OSError if it failed."""
    if result < 0:
        raise failed(result)
    return result


T = TypeVar("T", bound=NamedTuple)


def as_tuple(kind: Type[T], structure: Structure) -> T:
    """The members of a structure that a named tuple has."""
    return kind(*[getattr(structure, name) for name in kind._fields])
