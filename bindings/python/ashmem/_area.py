# SPDX-License-Identifier: MIT
"""Areas: purgeable memory that processes share."""

import ctypes
import errno
import mmap
import os
import threading
import weakref
from ctypes import byref, c_int, c_uint32, c_uint64, c_void_p
from types import TracebackType
from typing import Any, Callable, Iterator, List, NamedTuple, NoReturn, Optional, Tuple, Type
from typing import Union, overload

from . import _native, _views
from ._native import PAGE_SIZE, check, lib

PRIORITY_FIRST, PRIORITY_NORMAL, PRIORITY_LAST = 0, 4, 7
_ORDER_FIFO, _ORDER_LIFO = 16, 17
_MOST_EXTENTS = 1024
_RW = mmap.PROT_READ | mmap.PROT_WRITE


class AreaStats(NamedTuple):
    """Counts of an area, in all processes; `ashmem_area_get_stats` of the manual explains them."""

    size_pages: int
    unpinned_ranges: int
    unpinned_pages: int
    evictable_pages: int
    purged_pages: int
    pins_found_purged: int
    recoveries: int
    pinned_pages: int
    resident_pages: int
    held_pages: int
    lock_waits: int
    lock_timeouts: int
    readers: int
    sealed: int


class Extent(NamedTuple):
    """Some bytes of an area."""

    offset: int
    length: int


class UnpinnedRange(NamedTuple):
    """A range that is unpinned; `purged`: its contents are lost; `evictable`: it uses memory."""

    offset: int
    length: int
    purged: bool
    evictable: bool


class _Handle(_views.Handle):
    """A handle of the C interface; given back when neither an area, a block nor a call uses it."""

    __slots__ = ()

    def __del__(self, close: Callable[[int], None] = lib.close) -> None:
        close(int(self))


class _Mapping(_views.Handle):
    """Where a whole area is mapped, address and length in one number; unmapped after the last."""

    __slots__ = ()

    @property
    def address(self) -> int:
        return self >> 64

    @property
    def length(self) -> int:
        return self & (1 << 64) - 1

    def __del__(self, unmap: Callable[[int, int], int] = lib.unmap) -> None:
        unmap(self >> 64, self & (1 << 64) - 1)


class View:
    """Memory of an area for the length of a `with` block: `Area.pinned()` and `Area.held()`.

    It is indexed as a memoryview is; `view[:]` is the memoryview, for numpy and others.

    `was_purged` says whether contents were lost since the memory was unpinned: build them anew.
    `lost` has the lost extents, with their offsets in the area.
    """

    def __init__(self, view: memoryview, was_purged: bool, lost: List[Extent]) -> None:
        self._view = view
        self.was_purged = was_purged
        self.lost = lost

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> memoryview: ...

    def __getitem__(self, index: Union[int, slice]) -> Union[int, memoryview]:
        return self._view[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._view[index] = value

    def __len__(self) -> int:
        return len(self._view)

    def __buffer__(self, flags: int) -> memoryview:
        return self._view[:]


class _Block:
    """The context manager of `pinned` and `held`: one pin or hold, and the view that goes with it.

    `start` pins or holds; `end` undoes it and is told whether the block failed.
    """

    def __init__(
        self, area: "Area", offset: int, length: Optional[int],
        start: Callable[["Area", int, int], Tuple[bool, List[Extent]]],
        end: Callable[[_Handle, int, int, bool], None],
    ) -> None:
        self._area, self._offset, self._length = area, offset, length
        self._start, self._end = start, end
        self._view: Optional[View] = None

    def __enter__(self) -> View:
        area, offset = self._area, self._offset
        length, bytes_ = area._range(offset, self._length)
        if self._view is not None:
            raise RuntimeError("this block has begun already")
        mapping = area._map()
        was_purged, lost = self._start(area, offset, length)
        # The keeper has the area and its mapping, so that closing the area meanwhile is harmless.
        self._failed = [False]
        self._keeper = _views.Keeper(
            _end_block, os.getpid(), self._end, area._handle, mapping, offset, length,
            self._failed)
        view = _views.view_of(mapping.address + offset, bytes_, self._keeper, area._writable)
        self._view = View(view, was_purged, lost)
        return self._view

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        view, keeper = self._view, self._keeper
        assert view is not None
        self._view = None
        del self._keeper
        self._failed[0] = kind is not None
        if _views.take_back(view._view):
            keeper.end()
        elif kind is None:
            raise BufferError(
                "memory of this block is still used, by a slice or an array made from it: it stays"
                " pinned until that has gone")


def _end_block(
    pid: int, end: Callable[[_Handle, int, int, bool], None], handle: "_Handle",
    mapping: "_Mapping", offset: int, length: int, failed: List[bool],
) -> None:
    # A child of fork leaves alone what its parent has pinned.
    if pid == os.getpid():
        end(handle, offset, length, failed[0])


class _Peers:
    """The areas that have one handle: several imports of one area have the same."""

    def __init__(self) -> None:
        self.areas: "weakref.WeakSet[Area]" = weakref.WeakSet()


_peers: "weakref.WeakValueDictionary[int, _Peers]" = weakref.WeakValueDictionary()
# Taken again by the same thread where a collection of garbage within it unpins, and so purges.
_peers_lock = threading.RLock()
os.register_at_fork(before=_peers_lock.acquire, after_in_parent=_peers_lock.release,
                    after_in_child=_peers_lock.release)


def area_of(handle: int) -> "Optional[Area]":
    """An open Area that has this handle."""
    with _peers_lock:
        peers = _peers.get(handle)
        areas = list(peers.areas) if peers else []
    for area in areas:
        if not area.closed:
            return area
    return None


class Area:
    """One region of purgeable memory: `Area(size)`.

    >>> import ashmem
    >>> with ashmem.Area(1 << 20, "tiles") as area:
    ...     with area.pinned() as view:        # before each use
    ...         view[0:5] = b"hello"           # a new area is empty: fill it
    ...     ashmem.shrink(1)                   # what is unpinned can be purged, at any time
    ...     with area.pinned() as view:
    ...         if view.was_purged:            # the contents are lost: build them anew
    ...             view[0:5] = b"again"
    ...         bytes(view[0:5])
    1
    b'again'

    Offsets and lengths of pins are multiples of `ashmem.PAGE_SIZE`; no length means to the end.
    A failed call raises OSError with the error number of the C interface.

    An area goes to other processes by fork, as an argument of multiprocessing or through its
    queues, by `send` and `recv`, by its descriptor (`fileno`, `from_fd`), and by name (`publish`,
    `open`). All of them share memory and pins. A pin is a state of the page and no count: where
    several users overlap, use `held`, which is counted.
    """

    def __init__(self, size: int, name: str = "", *, allow_seal: bool = False) -> None:
        out = c_void_p()
        flags = _native.CREATE_ALLOW_SEAL if allow_seal else 0
        if size <= 0:
            raise ValueError("the size of an area is at least 1 byte")
        size = _native.number(size)
        check(lib.create(_native.text(name), size, flags, byref(out)))
        self._take(out)

    def _take(self, out: c_void_p) -> None:
        assert out.value is not None
        self._open: Optional[_Handle] = _Handle(out.value)
        self._mapped: Optional[_Mapping] = None
        with _peers_lock:
            self._peers = _peers.get(out.value) or _Peers()
            _peers[out.value] = self._peers
            self._peers.areas.add(self)

    @classmethod
    def _received(cls, out: c_void_p) -> "Area":
        area = cls.__new__(cls)
        area._take(out)
        return area

    @classmethod
    def from_fd(cls, fd: int) -> "Area":
        """The area of a descriptor that came from another process; the caller keeps it."""
        out = c_void_p()
        check(getattr(lib, "import")(_native.number(fd, c_int), byref(out)))
        return cls._received(out)

    @classmethod
    def recv(cls, sock: Any) -> "Area":
        """Receives an area that a peer has sent over a connected AF_UNIX socket."""
        out = c_void_p()
        check(lib.recv(fileno_of(sock), byref(out)))
        return cls._received(out)

    @classmethod
    def open(cls, name: str) -> "Area":
        """The area that this user's processes have published under a name."""
        out = c_void_p()
        check(lib.open_named(_native.text(name), byref(out)))
        return cls._received(out)

    def publish(self, name: str) -> None:
        """Gives the area a name by which this user's other processes open it."""
        check(lib.publish(self._handle, _native.text(name)))

    def send(self, sock: Any) -> None:
        """Sends the area over a connected AF_UNIX socket; the peer calls `recv`."""
        check(lib.send(fileno_of(sock), self._handle))

    def fileno(self) -> int:
        """The area's descriptor, which the area owns and closes."""
        return check(lib.fd(self._handle))

    def export_read_only(self) -> int:
        """A descriptor for a peer that must not write; the caller closes it. One for each peer."""
        return check(lib.export_read_only(self._handle))

    @property
    def _handle(self) -> _Handle:
        if self._open is None:
            raise ValueError("the area is closed")
        return self._open

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._open is None

    def close(self) -> None:
        """Gives the area back. Views that still exist keep its memory as long as they live."""
        self._open = self._mapped = None
        self._peers = _Peers()

    def __enter__(self) -> "Area":
        self._handle
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<ashmem.Area, closed>" if self.closed else (
            f"<ashmem.Area {self.name!r} of {self.size} bytes>")

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an area is pickled by multiprocessing alone; else use send() or fileno()")

    @property
    def name(self) -> str:
        """The name; `dev/ashmem` if it has none."""
        buf = ctypes.create_string_buffer(_native.NAME_LEN)
        check(lib.get_name(self._handle, buf, len(buf)))
        return os.fsdecode(buf.value)

    @property
    def size(self) -> int:
        """Bytes, as they were asked for."""
        size: int = lib.get_size(self._handle)
        return size

    def __len__(self) -> int:
        return self.size

    @property
    def backend(self) -> str:
        """The backend: "memfd" or "kernel"."""
        name: bytes = lib.backend_name(self._handle)
        return name.decode()

    @property
    def prot(self) -> int:
        """The protection mask, of mmap.PROT_READ, PROT_WRITE and PROT_EXEC."""
        return check(lib.get_prot(self._handle))

    def set_prot(self, prot: int) -> None:
        """Takes bits out of the mask, for later mappings and peers; mappings keep their rights."""
        check(lib.set_prot(self._handle, _native.number(prot, c_int)))

    def seal(self) -> None:
        """Forbids writing to everybody, for good; a sealed area is never purged."""
        check(lib.seal(self._handle))

    def _range(self, offset: int, length: Optional[int]) -> Tuple[int, int]:
        """Length for the C interface, where 0 is "to the end", and bytes of the view."""
        if offset < 0 or (length is not None and length < 0):
            raise ValueError("negative offset or length")
        if length == 0:
            raise ValueError("nothing to do for length 0; leave it out to mean: to the end")
        rest = self.size - _native.number(offset)
        if length is None:
            return 0, max(rest, 0)
        return _native.number(length), length

    def _map(self) -> _Mapping:
        if self._mapped is None:
            length = -(-self.size // PAGE_SIZE) * PAGE_SIZE
            out = c_void_p()
            writable = bool(self.prot & mmap.PROT_WRITE)
            if writable:
                result = lib.map(self._handle, 0, length, _RW, mmap.MAP_SHARED, byref(out))
                # A peer that may only read.
                writable = result not in (-errno.EACCES, -errno.EPERM)
                if writable:
                    check(result)
            if not writable:
                check(lib.map(
                    self._handle, 0, length, mmap.PROT_READ, mmap.MAP_SHARED, byref(out)))
            assert out.value is not None
            self._mapped, self._writable = _Mapping(out.value << 64 | length), writable
        return self._mapped

    def map(self, offset: int = 0, length: Optional[int] = None) -> memoryview:
        """The memory itself, without a pin; read-only where the area is.

        Unpinned memory may read as zeroes at any moment: use `pinned` or `held`, or call `pin`.
        The view keeps the memory mapped while it lives, also when the area is closed.
        """
        _, bytes_ = self._range(offset, length)
        mapping = self._map()
        if offset + bytes_ > mapping.length:
            raise ValueError("the view reaches past the end of the area")
        return _views.view_of(mapping.address + offset, bytes_, mapping, self._writable)

    def pinned(
        self, offset: int = 0, length: Optional[int] = None, *,
        priority: int = PRIORITY_NORMAL, lifo: bool = False,
    ) -> _Block:
        """Pins some pages for a block, and unpins them at its end.

        After a purge `view.was_purged` is true and `view.lost` says which bytes are lost: build
        them anew. A pin reports each loss once; if building can fail, `held` is the better choice.

        At the end of the block the view is not usable any more. If a slice or an array made from
        it still exists, the pages stay pinned until that has gone, and BufferError is raised.
        A child of fork that leaves the block of its parent unpins nothing.
        """
        order = _ORDER_LIFO if lifo else _ORDER_FIFO
        _native.number(priority, c_uint32)

        def end(handle: _Handle, offset: int, length: int, failed: bool) -> None:
            check(lib.unpin_with(handle, offset, length, priority, order))

        return _Block(self, offset, length, Area._pin, end)

    def held(self, offset: int = 0, length: Optional[int] = None) -> _Block:
        """As `pinned`, by a hold: counted, of this process alone, and gone if the process dies.

        If the block ends by an exception, what was lost still counts as lost, so that the next
        user builds it. `view.lost` is empty: a hold does not tell which bytes are lost.
        """
        def end(handle: _Handle, offset: int, length: int, failed: bool) -> None:
            check(lib.release(handle, offset, length, _native.RELEASE_LOST if failed else 0))

        return _Block(self, offset, length, Area._hold, end)

    def _pin(self, offset: int, length: int) -> Tuple[bool, List[Extent]]:
        pages = (length or self.size - offset) // PAGE_SIZE + 1
        capacity = min((pages + 1) // 2, _MOST_EXTENTS) if pages > 0 else 1
        extents = (_native.Extent * capacity)()
        count = c_uint32()
        result = check(lib.pin_lost(
            self._handle, offset, length, extents, capacity, byref(count)))
        lost = [Extent(extent.offset, extent.length) for extent in extents[:count.value]]
        return result == _native.WAS_PURGED, lost

    def _hold(self, offset: int, length: int) -> Tuple[bool, List[Extent]]:
        return check(lib.hold(self._handle, offset, length)) == _native.WAS_PURGED, []

    def pin(self, offset: int = 0, length: Optional[int] = None) -> bool:
        """Pins pages for longer than a block; returns whether they were purged."""
        length, _ = self._range(offset, length)
        return check(lib.pin(self._handle, offset, length)) == _native.WAS_PURGED

    def pin_lost(self, offset: int = 0, length: Optional[int] = None) -> Tuple[bool, List[Extent]]:
        """As `pin`, and returns exactly which bytes were lost."""
        length, _ = self._range(offset, length)
        return self._pin(offset, length)

    def unpin(
        self, offset: int = 0, length: Optional[int] = None, *,
        priority: int = PRIORITY_NORMAL, lifo: bool = False,
    ) -> None:
        """From now on these pages may be purged: lower priorities first, then the oldest.

        With `lifo` the newest goes first: for data that is read in a circle.
        """
        length, _ = self._range(offset, length)
        order = _ORDER_LIFO if lifo else _ORDER_FIFO
        _native.number(priority, c_uint32)
        check(lib.unpin_with(self._handle, offset, length, priority, order))

    def is_pinned(self, offset: int = 0, length: Optional[int] = None) -> bool:
        """Whether every page is pinned."""
        length, _ = self._range(offset, length)
        return check(lib.get_pin_status(self._handle, offset, length)) == _native.IS_PINNED

    def hold(self, offset: int = 0, length: Optional[int] = None) -> bool:
        """Holds pages for longer than a block; returns whether they were purged."""
        length, _ = self._range(offset, length)
        return check(lib.hold(self._handle, offset, length)) == _native.WAS_PURGED

    def release(
        self, offset: int = 0, length: Optional[int] = None, *, lost: bool = False
    ) -> None:
        """Ends a hold; `lost`: the contents were not built anew, and still count as lost."""
        length, _ = self._range(offset, length)
        flags = _native.RELEASE_LOST if lost else 0
        check(lib.release(self._handle, offset, length, flags))

    def unpinned(self) -> Iterator[UnpinnedRange]:
        """Walks the unpinned ranges, in the order of their offsets."""
        offset, length, state = c_uint64(), c_uint64(), c_uint32()
        outputs = byref(offset), byref(length), byref(state)
        at = 0
        while check(lib.find_unpinned(self._handle, at, *outputs)):
            at = offset.value + length.value
            yield UnpinnedRange(
                offset.value, length.value, bool(state.value & _native.RANGE_PURGED),
                bool(state.value & _native.RANGE_EVICTABLE))

    def populate(self, offset: int = 0, length: Optional[int] = None) -> None:
        """Brings pages into memory before a large piece is filled, as huge pages where possible."""
        _, bytes_ = self._range(offset, length)
        mapping = self._map()
        if offset + bytes_ > mapping.length:
            raise ValueError("past the end of the area")
        check(lib.populate(mapping.address + offset, bytes_))

    def pread(self, length: int, offset: int = 0) -> bytes:
        """A copy of some bytes, without a pin and without a mapping."""
        if length < 0 or offset < 0:
            raise ValueError("negative offset or length")
        _native.number(offset)
        self.fileno()  # a new area has no memory to read before
        buf = ctypes.create_string_buffer(max(length, 1))
        count = check(lib.pread(self._handle, buf, length, offset))
        return buf.raw[:count]

    def stats(self) -> AreaStats:
        """Counts of the area."""
        stats = _native.AreaStats()
        check(lib.area_get_stats(self._handle, byref(stats)))
        return _native.as_tuple(AreaStats, stats)


def unpublish(name: str) -> None:
    """Takes a name away from its area, or from its cache; who has it keeps it."""
    check(lib.unpublish(_native.text(name)))


def fileno_of(sock: Any) -> int:
    """The descriptor of a socket."""
    return _native.number(sock if isinstance(sock, int) else sock.fileno(), c_int)
