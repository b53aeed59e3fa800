# SPDX-License-Identifier: MIT
"""Giving memory back, taking part in that, and learning what was purged."""

import os
from ctypes import byref, c_int64, c_uint32, c_void_p
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Tuple

from . import _native
from ._area import Area, area_of
from ._callbacks import Closable, callback, register
from ._native import check, lib

SHRINK_STOP = _native.SHRINK_STOP
SHRINKER_FREE = _native.SHRINKER_FREE


def shrink(pages: int) -> int:
    """Frees pages: purges what was unpinned longest ago, and calls the shrinkers.

    Returns how many were freed; fewer than asked for only if no more could be.
    """
    if pages < 0:
        raise ValueError("a negative number of pages")
    return check(lib.shrink(_native.number(pages)))


def shrink_count() -> int:
    """Pages that `shrink` could free now."""
    count: int = lib.shrink_count()
    return count


def purge_all() -> int:
    """Purges all that is unpinned in the areas of this process; returns the pages there were."""
    return check(lib.purge_all())


class ProcessStats(NamedTuple):
    """Counts of this process; `ashmem_process_get_stats` of the manual explains them."""

    areas: int
    evictable_pages: int
    purged_pages: int
    size_pages: int
    pinned_pages: int
    unpinned_ranges: int
    unpinned_pages: int
    resident_pages: int
    held_pages: int
    areas_purged_pages: int
    pins_found_purged: int
    lock_waits: int
    lock_timeouts: int
    recoveries: int
    sealed_areas: int
    unknown_areas: int
    pressure_level: int
    pressure_source: str


def process_stats() -> ProcessStats:
    """Counts of this process over all areas that it holds."""
    stats = _native.ProcessStats()
    check(lib.process_get_stats(byref(stats)))
    source = (stats.pressure_source or b"").decode()
    return _native.as_tuple(ProcessStats, stats)._replace(pressure_source=source)


@callback(_native.COUNT_FN, "count of a shrinker", 0)
def _call_count(called: Tuple[Callable[[], int], Any, str]) -> int:
    return _native.number(max(int(called[0]()), 0))


@callback(_native.SCAN_FN, "scan of a shrinker", SHRINK_STOP)
def _call_scan(called: Tuple[Any, Callable[[int], int], str], pages: int) -> int:
    return _native.number(int(called[1](pages)), c_int64)


class Shrinker(Closable):
    """Makes a cache of the program's own take part in `shrink` and in purging under pressure.

    >>> import ashmem
    >>> glyphs = list(range(100))
    >>> def count():
    ...     return len(glyphs)           # pages that could be freed
    >>> def scan(pages):
    ...     freed = min(pages, len(glyphs))
    ...     del glyphs[:freed]
    ...     return freed                 # pages that were freed
    >>> with ashmem.Shrinker(count, scan, name="glyphs"):
    ...     ashmem.shrink(40)
    40
    >>> len(glyphs)
    60

    Both are called on the thread that shrinks, which may be any. If `scan` needs a lock, it takes
    it without waiting, or returns SHRINK_STOP. What they raise is logged (logger "ashmem") and
    counts as SHRINK_STOP. `seeks` is the cost of making a page again, 2 by default; SHRINKER_FREE
    is none.
    """

    def __init__(
        self, count: Callable[[], int], scan: Callable[[int], int], *,
        name: str = "", batch_pages: int = 0, seeks: int = 0,
    ) -> None:
        key = register((count, scan, name))
        options = _native.ShrinkerOptions(
            name=_native.text(name), count=_call_count, scan=_call_scan, userdata=key,
            batch_pages=batch_pages, seeks=seeks)
        out = c_void_p()
        self._begin(lib.shrinker_register(byref(options), byref(out)), out,
                    lib.shrinker_unregister, key)


class ShrinkerStats(NamedTuple):
    """What a shrinker has done."""

    scans: int
    asked_pages: int
    freed_pages: int
    stops: int
    batch_pages: int
    seeks: int
    name: str


def shrinker_stats() -> List[ShrinkerStats]:
    """What each shrinker has done: the areas first, then in the order of registration."""
    found: List[ShrinkerStats] = []
    stats = _native.ShrinkerStats()
    while lib.shrinker_get_stats(len(found), byref(stats)) == 0:
        counts = _native.as_tuple(ShrinkerStats, stats)
        found.append(counts._replace(name=os.fsdecode(stats.name)))
    return found


def set_areas_seeks(seeks: int) -> None:
    """Sets the cost of the areas beside the shrinkers; 0: the default."""
    check(lib.shrinker_set_areas_seeks(_native.number(seeks, c_uint32)))


class PurgeNotice(NamedTuple):
    """What was purged. `area` is None if the program has no Area of it; `whole`: perhaps all."""

    area: Optional[Area]
    offset: int
    length: int
    whole: bool


class PurgeQueue(Closable):
    """Notices of what this process purges, to be fetched at leisure.

    >>> import ashmem
    >>> with ashmem.PurgeQueue() as queue, ashmem.Area(ashmem.PAGE_SIZE) as area:
    ...     with area.pinned() as view:
    ...         view[0] = 1
    ...     purged = ashmem.purge_all()
    ...     for notice in queue:
    ...         print(notice.area is area, notice.offset, notice.length == ashmem.PAGE_SIZE)
    True 0 True

    The descriptor (`fileno`) is readable while there is one. Iteration ends when there is none at
    the moment. A child of fork makes a queue of its own.
    """

    def __init__(self, entries: int = 0) -> None:
        out = c_void_p()
        options = _native.PurgeQueueOptions(entries=entries)
        self._begin(lib.purge_queue_open(byref(options), byref(out)), out, lib.purge_queue_close)

    def fileno(self) -> int:
        """The descriptor, for `selectors` and asyncio; the queue owns it."""
        return check(lib.purge_queue_fd(self._handle))

    def next(self) -> Optional[PurgeNotice]:
        """The next notice, or None."""
        notice = _native.PurgeNotice()
        if not check(lib.purge_queue_next(self._handle, byref(notice))):
            return None
        whole = bool(notice.flags & _native.NOTICE_WHOLE)
        return PurgeNotice(area_of(notice.area), notice.offset, notice.length, whole)

    def __iter__(self) -> Iterator[PurgeNotice]:
        return iter(self.next, None)


@callback(_native.PURGE_FN, "subscriber of purges", None)
def _call_purged(
    called: Callable[[Optional[Area], int, int], object], handle: int, offset: int, length: int
) -> None:
    called(area_of(handle), offset, length)


class PurgeSubscription(Closable):
    """Has `function(area, offset, length)` called for what this process purges, until it ends.

    It is called within the call that purges, `unpin` among them: hold no lock there that the
    function waits for. A queue has no such rule.
    """

    def __init__(self, function: Callable[[Optional[Area], int, int], object]) -> None:
        key = register(function)
        number = lib.purge_subscribe(_call_purged, key)
        self._begin(number, number, lib.purge_unsubscribe, key)
