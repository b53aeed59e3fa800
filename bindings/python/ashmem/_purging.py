# SPDX-License-Identifier: MIT
"""Giving memory back, taking part in that, and learning what was purged."""

import os
import weakref
from ctypes import byref, c_void_p
from typing import Any, Callable, Iterator, List, NamedTuple, Optional

from . import _native
from ._area import Area, area_of
from ._native import check, lib

SHRINK_STOP = _native.SHRINK_STOP
SHRINKER_FREE = _native.SHRINKER_FREE


def shrink(pages: int) -> int:
    """Frees pages: purges what was unpinned longest ago, and calls the shrinkers.

    Returns how many were freed; fewer than asked for only if no more could be.
    """
    return check(lib.shrink(pages))


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


class _Handle:
    """What a function of the C interface made and another ends: at the latest when Python exits.

    Subclasses call `_begin` once and use `_handle`.
    """

    _finalizer: Optional[Any] = None

    def _begin(self, handle: Any, end: Callable[[Any], Any], *kept: Any) -> None:
        self._kept = handle
        self._finalizer = weakref.finalize(self, _end_handle, end, handle, kept)

    @property
    def _handle(self) -> Any:
        if self._finalizer is None or not self._finalizer.alive:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._kept

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._finalizer is None or not self._finalizer.alive

    def close(self) -> None:
        """Ends it; waits for functions of it that run on other threads."""
        if self._finalizer is not None:
            self._finalizer()

    def __enter__(self) -> Any:
        self._handle
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _end_handle(end: Callable[[Any], Any], handle: Any, kept: Any) -> None:
    # `kept` has what the C side calls: it must live until the end has returned.
    end(handle)


class Shrinker(_Handle):
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
        def call_count(userdata: Any) -> int:
            try:
                return max(int(count()), 0)
            except Exception:
                _native.log.exception("count of the shrinker %r", name)
                return 0

        def call_scan(userdata: Any, pages: int) -> int:
            try:
                return int(scan(pages))
            except Exception:
                _native.log.exception("scan of the shrinker %r", name)
                return SHRINK_STOP

        functions = _native.COUNT_FN(call_count), _native.SCAN_FN(call_scan)
        options = _native.ShrinkerOptions(
            name=os.fsencode(name), count=functions[0], scan=functions[1],
            batch_pages=batch_pages, seeks=seeks)
        out = c_void_p()
        check(lib.shrinker_register(byref(options), byref(out)))
        self._begin(out, lib.shrinker_unregister, functions)


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
    check(lib.shrinker_set_areas_seeks(seeks))


class PurgeNotice(NamedTuple):
    """What was purged. `area` is None if the program has no Area of it; `whole`: perhaps all."""

    area: Optional[Area]
    offset: int
    length: int
    whole: bool


class PurgeQueue(_Handle):
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
        check(lib.purge_queue_open(byref(_native.PurgeQueueOptions(entries=entries)), byref(out)))
        self._begin(out, lib.purge_queue_close)

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


class PurgeSubscription(_Handle):
    """Has `function(area, offset, length)` called for what this process purges, until it ends.

    It is called within the call that purges, `unpin` among them: hold no lock there that the
    function waits for. A queue has no such rule.
    """

    def __init__(self, function: Callable[[Optional[Area], int, int], object]) -> None:
        def call(userdata: Any, handle: int, offset: int, length: int) -> None:
            try:
                function(area_of(handle), offset, length)
            except Exception:
                _native.log.exception("subscriber %r", function)

        called = _native.PURGE_FN(call)
        self._begin(check(lib.purge_subscribe(called, None)), lib.purge_unsubscribe, called)
