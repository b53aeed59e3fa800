# SPDX-License-Identifier: MIT
"""Purgeable memory and caches that processes share: libashmem for Python.

- `Cache`: keys and values for all processes, which gives memory back when it is short.
- `cached`: a decorator that keeps the results of a function in a cache.
- `Area`: purgeable memory as bytes. `Pressure`: purges when memory is short.

Failed calls raise OSError with the error number of the C interface, or what Python has for the
case: KeyError, BufferError, ValueError.
"""

from . import _reduce
from ._area import PRIORITY_FIRST, PRIORITY_LAST, PRIORITY_NORMAL, Area, AreaStats, Extent
from ._area import UnpinnedRange, View, unpublish
from ._cache import Cache, CacheStats, Claim, Reservation
from ._native import PAGE_SIZE, check as _check, lib as _lib, text as _text
from ._objects import CachedFunction, Objects, cached
from ._pressure import PURGE_NOTHING, Level, Pressure, PressureStatus
from ._purging import SHRINK_STOP, SHRINKER_FREE, ProcessStats, PurgeNotice, PurgeQueue
from ._purging import PurgeSubscription, Shrinker, ShrinkerStats, process_stats, purge_all
from ._purging import set_areas_seeks, shrink, shrink_count, shrinker_stats

__version__ = "0.9.0"

__all__ = [
    "Area", "AreaStats", "Cache", "CacheStats", "CachedFunction", "Claim", "Extent", "Level",
    "Objects", "PAGE_SIZE", "PRIORITY_FIRST", "PRIORITY_LAST", "PRIORITY_NORMAL",
    "PURGE_NOTHING", "Pressure", "PressureStatus", "ProcessStats", "PurgeNotice", "PurgeQueue",
    "PurgeSubscription", "Reservation", "SHRINKER_FREE", "SHRINK_STOP", "Shrinker",
    "ShrinkerStats", "UnpinnedRange", "View", "backend_select", "cached", "library_version",
    "process_stats", "purge_all", "set_areas_seeks", "shrink", "shrink_count", "shrinker_stats",
    "unpublish",
]

_reduce.register()


def library_version() -> str:
    """The version of the library that is in use."""
    text: bytes = _lib.version_string()
    return text.decode()


def backend_select(name: str) -> None:
    """Chooses where new areas come from: "auto", "memfd" or "kernel"."""
    _check(_lib.backend_select(_text(name)))
