# SPDX-License-Identifier: MIT
"""Watching memory pressure, and purging when memory is short."""

import ctypes
import threading
from ctypes import byref, c_void_p
from enum import IntEnum
from typing import Callable, NamedTuple, Optional

from . import _native
from ._callbacks import Closable, callback, register
from ._native import check, lib

PURGE_NOTHING = _native.PURGE_NOTHING


class Level(IntEnum):
    """How short memory is."""

    NONE = 0
    SOME = 1
    HIGH = 2
    CRITICAL = 3


class PressureStatus(NamedTuple):
    """What a watch has observed and done; `struct ashmem_pressure_status` of the manual."""

    level: int
    dispatches: int
    events: int
    purges: int
    wanted_pages: int
    purged_pages: int
    purge_ns: int
    headroom_purges: int
    lost_sources: int
    free_bytes: int
    limit_bytes: int
    unpin_purges: int
    reserve_bytes: int
    bursts: int


# Whether this thread is in a subscriber.
_now = threading.local()


@callback(_native.PRESSURE_FN, "subscriber of memory pressure", None)
def _call_changed(
    called: Callable[[Level, Level, int], object], level: int, before: int, purged_pages: int
) -> None:
    _now.called = True
    try:
        called(Level(level), Level(before), purged_pages)
    finally:
        _now.called = False


def _close(handle: c_void_p) -> None:
    # A subscriber, or the collection of garbage in one, cannot end the thread that it runs on.
    if getattr(_now, "called", False):
        threading.Thread(target=lib.pressure_close, args=(handle,)).start()
    else:
        lib.pressure_close(handle)


class Pressure(Closable):
    """Purges unpinned memory when memory is short: the program's, its container's, the system's.

    Without an event loop, a thread does it:

    >>> import ashmem
    >>> with ashmem.Pressure() as pressure:
    ...     pressure.run()
    ...     pass                          # the program

    With asyncio: `loop.add_reader(pressure, pressure.dispatch)`; with selectors: register it for
    EVENT_READ, and call `dispatch` when it is readable.

    `on_change(level, before, purged_pages)` is called when the level has changed, by `dispatch` or
    on the thread of `run`. What it raises is logged (logger "ashmem"). Percentages are shares of
    what can be purged; 0 is the default, PURGE_NOTHING nothing. With `only_tell` nothing is purged
    because of a level. `priority` is the thread's, 1 to 99, where the system allows it.

    A child of fork opens a watch of its own: that of its parent it can only close.
    """

    def __init__(
        self, on_change: Optional[Callable[[Level, Level, int], object]] = None, *,
        source: Optional[str] = None, some_percent: int = 0, high_percent: int = 0,
        critical_percent: int = 0, hold_ms: int = 0, in_unpin: bool = True,
        only_tell: bool = False, reserve_percent: int = 0, reserve_most_bytes: int = 0,
        priority: int = 0,
    ) -> None:
        options = _native.PressureOptions(
            source=None if source is None else _native.text(source), some_percent=some_percent,
            high_percent=high_percent, critical_percent=critical_percent, hold_ms=hold_ms,
            flags=(0 if in_unpin else _native.NOT_IN_UNPIN)
            | (_native.ONLY_TELL if only_tell else 0),
            reserve_percent=reserve_percent, reserve_most_bytes=reserve_most_bytes,
            priority=priority)

        key = register(on_change)
        out = c_void_p()
        self._begin(lib.pressure_open(byref(options), byref(out)), out, _close, key)
        if on_change is not None:
            check(lib.pressure_subscribe(out, _call_changed, key))

    def fileno(self) -> int:
        """The descriptor to wait for; the watch owns it."""
        return check(lib.pressure_fd(self._handle))

    def dispatch(self) -> Level:
        """Looks at the pressure, purges if memory is short; returns the level. Never waits."""
        return Level(check(lib.pressure_dispatch(self._handle)))

    def make_room(self, bytes_: int) -> int:
        """Purges before a large allocation, so that it fits; returns the pages that were purged."""
        return check(lib.pressure_make_room(self._handle, _native.number(bytes_)))

    def run(self) -> None:
        """Starts a thread that waits and dispatches."""
        check(lib.pressure_run(self._handle))

    def stop(self) -> None:
        """Ends that thread."""
        check(lib.pressure_stop(self._handle))

    @property
    def source(self) -> str:
        """What is watched: "psi", "cgroup" and so on."""
        name: Optional[bytes] = lib.pressure_source(self._handle)
        return (name or b"").decode()

    def explain(self) -> str:
        """For people: each source, and whether it is used or why not."""
        buf = ctypes.create_string_buffer(
            check(lib.pressure_explain(self._handle, None, 0)) + 256)
        check(lib.pressure_explain(self._handle, buf, len(buf)))
        return buf.value.decode(errors="replace")

    def status(self) -> PressureStatus:
        """What the watch has observed and done."""
        status = _native.PressureStatus()
        check(lib.pressure_get_status(self._handle, byref(status)))
        return _native.as_tuple(PressureStatus, status)
