# SPDX-License-Identifier: MIT
"""Caches: keys and values that processes share, purged when memory is short."""

import ctypes
import errno
import math
import time
from ctypes import byref, c_int, c_size_t, c_uint64, c_void_p
from types import TracebackType
from typing import Any, Callable, ItemsView, Iterator, List, MutableMapping, NamedTuple
from typing import NoReturn, Optional, Tuple, Type, TypeVar, Union, ValuesView, overload

from . import _native, _views
from ._area import Area, fileno_of
from ._native import check, failed, lib

BytesLike = Union[bytes, bytearray, memoryview]
T = TypeVar("T")

# Values are read into buffers that are used again: of this size, and larger ones once there were
# larger values, up to a limit.
_BUFFER, _MOST_BUFFER = 16384, 1 << 20
# Seconds of 300 years.
_LONG = 1e10
# Python looks at signals after each piece of a wait.
_WAIT_PIECE_MS = 100
# A cache that can be read alone; where `/proc` is missing it cannot be written.
_READ_ONLY = (-errno.EACCES, -errno.ENOTSUP)


class CacheStats(NamedTuple):
    """Counts of a cache, of all processes; `struct ashmem_cache_stats` of the manual."""

    hits: int
    misses: int
    misses_never: int
    misses_purged: int
    misses_expired: int
    misses_dropped: int
    puts: int
    removes: int
    evictions: int
    carried: int
    segments: int
    segment_bytes: int
    bytes: int
    bytes_unused: int
    bytes_filled: int
    bytes_index: int
    entries_most: int


class _Handle(_views.Handle):
    """A handle of a cache; given back when neither a Cache nor a call uses it."""

    __slots__ = ()

    def __del__(self, close: Callable[[int], None] = lib.cache_close) -> None:
        close(int(self))


class _Entry(_views.Handle):
    """A value in place, room for one, or a claim; released when nothing uses it."""

    __slots__ = ()

    def __del__(self, release: Callable[[int], None] = lib.entry_release) -> None:
        release(int(self))


def _entry_of(out: c_void_p) -> _Entry:
    """The entry that a call has made; it keeps what it needs of the cache."""
    assert out.value is not None
    return _Entry(out.value)


def _raw(data: object) -> bytes:
    """The bytes of a bytes-like object; ctypes takes a pointer to those of `bytes` alone."""
    return data if isinstance(data, bytes) else memoryview(data).tobytes()  # type: ignore


def not_kept(error: OSError) -> bool:
    """No room for a value, or it is too large, or the cache is read-only: go on without."""
    return error.errno in (errno.EAGAIN, errno.EFBIG, errno.EACCES, errno.ENOTSUP)


def _milliseconds(ttl: Optional[float]) -> int:
    """Of a time to live; 0 is without limit, and so is what is longer than any machine runs."""
    return 0 if ttl is None or ttl > _LONG else max(1, math.ceil(ttl * 1000))


class _Items(ItemsView[bytes, bytes]):
    """Items that go while others are looked at are left out."""

    _mapping: "Cache"

    def __iter__(self) -> Iterator[Tuple[bytes, bytes]]:
        for key in self._mapping:
            value = self._mapping.get(key)
            if value is not None:
                yield key, value


class _Values(ValuesView[bytes]):
    _mapping: "Cache"

    def __iter__(self) -> Iterator[bytes]:
        for _, value in self._mapping.items():
            yield value


class Reservation:
    """A value that is built in place: the block that `Cache.reserve` begins."""

    def __init__(self, cache: "Cache", key: bytes, length: int, ttl: Optional[float]) -> None:
        self._cache, self._key, self._length, self._ttl = cache, key, length, ttl
        self._begun: Optional[Tuple[_Entry, memoryview]] = None

    def __enter__(self) -> memoryview:
        cache, out = self._cache._handle, c_void_p()
        if self._begun is not None:
            raise RuntimeError("this block has begun already")
        check(lib.cache_reserve(
            cache, self._key, len(self._key), self._length, _milliseconds(self._ttl), byref(out)))
        entry = _entry_of(out)
        view = _views.view_of(lib.entry_room(entry, None), self._length, entry, True)
        self._begun = entry, view
        return view

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if self._begun is None:
            raise RuntimeError("this block has not begun")
        (entry, view), self._begun = self._begun, None
        unused = _views.take_back(view)
        if kind is None:
            if not unused:
                raise BufferError("a slice of the room, or an array made from it, still exists:"
                                  " the value was not put")
            check(lib.entry_commit(entry))
            if self._ttl is not None and self._ttl <= 0 and not self._cache.closed:
                self._cache.discard(self._key)


class Cache(MutableMapping[BytesLike, bytes]):
    """Keys and values, bytes, shared by processes: `Cache(most_bytes)` or `Cache.open(name)`.

    >>> import ashmem
    >>> cache = ashmem.Cache(64 << 20)              # at most 64 MiB
    >>> cache[b"/index"] = b"<h1>Hello</h1>"
    >>> cache[b"/index"]
    b'<h1>Hello</h1>'
    >>> cache.get(b"/about") is None
    True
    >>> cache.get_or_build(b"/about", lambda: b"<h1>About</h1>", ttl=60)
    b'<h1>About</h1>'
    >>> sorted(cache)
    [b'/about', b'/index']

    What was put may be gone at any time: purged because memory is short, expired, removed, or it
    gave way to newer entries. What is there is whole. `get` has a default, `[]` raises KeyError.

    A cache goes to other processes by fork, by `multiprocessing`, over a socket (`send`, `recv`)
    and by its descriptor. Processes that have nothing in common open it by name. Nobody serves,
    and a process that is killed hurts nobody.

    Keys have 1 to 1024 bytes. `most_bytes` is for keys and values together (0: 64 MiB); `entries`
    is how many are expected (0: one for each KiB); `value_most_bytes` the largest value (0: a
    64th of the cache, at most 1 MiB). A failed call raises OSError with the number of the C
    interface: EFBIG for a key or value that is too large, EAGAIN if there is no room at present.
    """

    def __init__(
        self, most_bytes: int = 0, *, name: str = "", entries: int = 0, value_most_bytes: int = 0,
    ) -> None:
        out = c_void_p()
        options = _native.CacheOptions(
            most_bytes=most_bytes, entries=entries, value_most_bytes=value_most_bytes)
        check(lib.cache_create(_native.text(name), byref(options), byref(out)))
        self._take(out, True)

    def _take(self, out: c_void_p, trusted: bool) -> None:
        assert out.value is not None
        self._open: Optional[_Handle] = _Handle(out.value)
        self._buffers: List[Any] = []
        self._room = _BUFFER
        self.trusted = trusted

    @classmethod
    def open(
        cls, name: str, most_bytes: int = 0, *, entries: int = 0, value_most_bytes: int = 0,
    ) -> "Cache":
        """This user's cache of that name; made, with these sizes, if there is none.

        It lives as long as one process has it.
        """
        out = c_void_p()
        options = _native.CacheOptions(
            most_bytes=most_bytes, entries=entries, value_most_bytes=value_most_bytes)
        check(lib.cache_open(_native.text(name), byref(options), byref(out)))
        return cls._received(out, True)

    @classmethod
    def _received(cls, out: c_void_p, trusted: bool) -> "Cache":
        cache = cls.__new__(cls)
        cache._take(out, trusted)
        return cache

    @classmethod
    def from_fd(cls, fd: int, *, trusted: bool = False) -> "Cache":
        """The cache of a descriptor that came from another process; the caller keeps it.

        Through a read-only descriptor the cache can be read alone, unless this process also has
        it writable: that one counts.

        `trusted`: whoever can write to it may run code here, as `cached` unpickles values.
        """
        out = c_void_p()
        check(lib.cache_import(_native.number(fd, c_int), byref(out)))
        return cls._received(out, trusted)

    @classmethod
    def recv(cls, sock: Any, *, trusted: bool = False) -> "Cache":
        """Receives a cache that a peer has sent over a connected AF_UNIX socket."""
        with Area.recv(sock) as area:
            return cls.from_fd(area.fileno(), trusted=trusted)

    def send(self, sock: Any) -> None:
        """Sends the cache over a connected AF_UNIX socket; the peer calls `recv`."""
        handle = self._handle
        check(lib.send(fileno_of(sock), lib.cache_area(handle)))

    def fileno(self) -> int:
        """The descriptor, which the cache owns and closes."""
        return check(lib.cache_fd(self._handle))

    def export_read_only(self) -> int:
        """A descriptor for a peer that must not write; the caller closes it. One for each peer."""
        handle = self._handle
        return check(lib.export_read_only(lib.cache_area(handle)))

    @property
    def _handle(self) -> _Handle:
        if self._open is None:
            raise ValueError("the cache is closed")
        return self._open

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._open is None

    def close(self) -> None:
        """Gives the cache back. Views that still exist keep their values as long as they live."""
        self._open = None

    def __enter__(self) -> "Cache":
        self._handle
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # Two caches are the same only if they are one object: comparing contents is no use here.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        if self.closed:
            return "<ashmem.Cache, closed>"
        stats = self.stats()
        return f"<ashmem.Cache of {stats.bytes} bytes, {stats.bytes_filled} filled>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a cache is pickled by multiprocessing alone; else use send(), fileno() or open()")

    def _failed(self, result: int) -> Exception:
        """What a call that failed raises; a closed cache is NULL to the C interface."""
        return ValueError("the cache is closed") if self._open is None else failed(result)

    def _read(self, key: object) -> Optional[bytes]:
        raw = _raw(key)
        while True:
            # A buffer for each call under way, also of signal handlers and finalizers.
            try:
                buf = self._buffers.pop()
            except IndexError:
                buf = ctypes.create_string_buffer(self._room)
            length: int = lib.cache_read(self._open, raw, len(raw), buf, len(buf))
            if length <= len(buf):
                value: Optional[bytes] = buf[:length] if length >= 0 else None
                self._buffers.append(buf)
                if length < 0 and length != -errno.ENOENT:
                    raise self._failed(length)
                return value
            if length > _MOST_BUFFER:
                break
            self._room = 1 << (length - 1).bit_length()
        entry, address, length = self._entry(raw)
        return None if entry is None else ctypes.string_at(address, length)

    def _entry(self, raw: bytes) -> Tuple[Optional[_Entry], int, int]:
        """The entry of a key, where its value is, and how long."""
        cache, out, length = self._handle, c_void_p(), c_uint64()
        result = lib.cache_get(cache, raw, len(raw), byref(out))
        if result == -errno.ENOENT:
            return None, 0, 0
        check(result)
        entry = _entry_of(out)
        address: int = lib.entry_value(entry, byref(length)) or 0
        return entry, address, length.value

    @overload
    def get(self, key: BytesLike) -> Optional[bytes]: ...

    @overload
    def get(self, key: BytesLike, default: Union[bytes, T]) -> Union[bytes, T]: ...

    def get(self, key: BytesLike, default: Any = None) -> Any:
        """A copy of the value, or the default."""
        value = self._read(key)
        return default if value is None else value

    def __getitem__(self, key: BytesLike) -> bytes:
        value = self._read(key)
        if value is None:
            raise KeyError(key)
        return value

    def view(self, key: BytesLike) -> Optional[memoryview]:
        """The value without a copy, read-only, or None; for numpy, Pillow and the like.

        It stays as it is while the view, or anything made from it, lives: it is not purged, and
        its memory is not used again. So keep views no longer than needed. (Values below 16 KiB
        are copied: that is cheaper.)
        """
        entry, address, length = self._entry(_raw(key))
        if entry is None:
            return None
        if length == 0:
            return memoryview(b"")
        return _views.view_of(address, length, entry, False)

    def set(self, key: BytesLike, value: BytesLike, ttl: Optional[float] = None) -> None:
        """Puts a value, for `ttl` seconds; None: without limit, 0 or less: it is gone at once."""
        self._put(key, value, ttl, 0)

    def __setitem__(self, key: BytesLike, value: BytesLike) -> None:
        self._put(key, value, None, 0)

    def add(self, key: BytesLike, value: BytesLike, ttl: Optional[float] = None) -> bool:
        """Puts a value if there is none; of two that add at once, one succeeds."""
        return self._put(key, value, ttl, _native.PUT_ADD)

    def replace(self, key: BytesLike, value: BytesLike, ttl: Optional[float] = None) -> bool:
        """Puts a value if there is one."""
        return self._put(key, value, ttl, _native.PUT_REPLACE)

    def _put(self, key: object, value: object, ttl: Optional[float], flags: int) -> bool:
        raw, data = _raw(key), _raw(value)
        if ttl is not None and ttl <= 0:
            return self._put_expired(raw, flags)
        result = lib.cache_put_with(
            self._open, raw, len(raw), data, len(data), _milliseconds(ttl),
            flags)
        if result == -errno.EEXIST or (result == -errno.ENOENT and flags):
            return False
        if result < 0:
            raise self._failed(result)
        return True

    def _put_expired(self, raw: bytes, flags: int) -> bool:
        found = raw in self
        if found and flags == _native.PUT_ADD or not found and flags == _native.PUT_REPLACE:
            return False
        self.discard(raw)
        return True

    def reserve(
        self, key: BytesLike, length: int, ttl: Optional[float] = None
    ) -> Reservation:
        """Room to build a value of `length` bytes in place, which the end of the block puts.

        >>> import ashmem
        >>> cache = ashmem.Cache()
        >>> with cache.reserve(b"key", 5) as room:
        ...     room[:] = b"hello"
        >>> cache[b"key"]
        b'hello'

        A block that ends by an exception puts nothing. If a slice of the room, or an array made
        from it, still exists at the end, BufferError is raised and nothing is put.
        """
        if length <= 0:
            raise ValueError("a value that is built in place has at least 1 byte")
        return Reservation(self, _raw(key), _native.number(length, c_size_t), ttl)

    def touch(self, key: BytesLike, ttl: Optional[float] = None) -> bool:
        """Gives a value a new time to live, from now on; returns whether it is there."""
        if ttl is not None and ttl <= 0:
            return self.discard(key)
        raw = _raw(key)
        result = lib.cache_touch(
            self._open, raw, len(raw), _milliseconds(ttl))
        return self._found(result)

    def ttl(self, key: BytesLike) -> Optional[float]:
        """The seconds that a value has to live; None: without limit. KeyError: there is none.

        >>> import ashmem
        >>> cache = ashmem.Cache()
        >>> cache.set(b"key", b"value", ttl=60)
        >>> 59 < cache.ttl(b"key") <= 60
        True
        """
        raw = _raw(key)
        left: int = lib.cache_get_ttl(self._open, raw, len(raw))
        if left == -errno.ENOENT:
            raise KeyError(key)
        if left < 0:
            raise self._failed(left)
        return left / 1000 if left else None

    def discard(self, key: BytesLike) -> bool:
        """Removes a value; returns whether it was there."""
        raw = _raw(key)
        return self._found(lib.cache_remove(self._open, raw, len(raw)))

    def _found(self, result: int) -> bool:
        if result < 0 and result != -errno.ENOENT:
            raise self._failed(result)
        return result >= 0

    def __delitem__(self, key: BytesLike) -> None:
        if not self.discard(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        raw = _raw(key)
        return self._found(lib.cache_read(self._open, raw, len(raw), None, 0))

    def clear(self) -> None:
        """Removes everything."""
        check(lib.cache_clear(self._handle))

    def __iter__(self) -> Iterator[bytes]:
        """The keys, in no order. What others put and remove meanwhile may be seen or not."""
        position, length = c_uint64(), c_size_t()
        buf = ctypes.create_string_buffer(_native.CACHE_KEY_MOST)
        while check(lib.cache_next(
                self._handle, byref(position), buf, len(buf), byref(length), None)):
            key: bytes = ctypes.string_at(buf, length.value)
            yield key

    def __len__(self) -> int:
        """How many there are; counts them."""
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return True

    def items(self) -> ItemsView[BytesLike, bytes]:
        """Keys and values; what goes meanwhile is left out."""
        return _Items(self)

    def values(self) -> ValuesView[bytes]:
        """Values; what goes meanwhile is left out."""
        return _Values(self)

    def setdefault(self, key: BytesLike, default: BytesLike = b"") -> bytes:
        """The value, or the default, which is put."""
        data = _raw(default)
        return self.get_or_build(key, lambda: data)

    def stats(self) -> CacheStats:
        """Counts of the cache, of all processes."""
        stats = _native.CacheStats()
        check(lib.cache_get_stats(self._handle, byref(stats)))
        return _native.as_tuple(CacheStats, stats)

    def claim(self, key: BytesLike, wait: float = 0) -> "Claim":
        """The value, or the task of building it, which one of all processes and threads gets.

        >>> import ashmem
        >>> cache = ashmem.Cache()
        >>> with cache.claim(b"key", wait=10) as claim:
        ...     if claim.value is None:
        ...         cache[b"key"] = b"built"
        >>> cache.claim(b"key").value
        b'built'

        Others wait for the end of the block, at most `wait` seconds. Where the wait has ended
        without a value `claim.granted` is false: build it all the same, or do without.
        """
        raw = _raw(key)
        deadline = time.monotonic() + wait
        cache, out = self._handle, c_void_p()
        while True:
            left = max(0.0, min((deadline - time.monotonic()) * 1000, _WAIT_PIECE_MS))
            result = lib.cache_claim(cache, raw, len(raw), math.ceil(left), byref(out))
            if result != -errno.EBUSY or left == 0:
                break
        if result == -errno.EBUSY or result in _READ_ONLY:
            return Claim(None, self._read(raw))
        check(result)
        entry = _entry_of(out)
        if result == _native.CLAIM_BUILD:
            return Claim(entry, None)
        length = c_uint64()
        address = lib.entry_value(entry, byref(length))
        return Claim(None, ctypes.string_at(address, length.value) if length.value else b"")

    def get_or_build(
        self, key: BytesLike, builder: Callable[[], BytesLike], ttl: Optional[float] = None, *,
        wait: float = 10,
    ) -> bytes:
        """The value; if there is none, `builder()` makes it, in one process and thread at a time.

        Others wait for it, at most `wait` seconds, then build it themselves. If a builder raises
        or dies, one of those who wait takes over. A value that cannot be kept (no room, too
        large, a read-only cache) is returned all the same.
        """
        raw = _raw(key)
        value = self._read(raw)
        if value is not None:
            return value
        with self.claim(raw, wait) as claim:
            if claim.value is not None:
                return claim.value
            built = _raw(builder())
            try:
                self._put(raw, built, ttl, 0)
            except OSError as error:
                if not not_kept(error):
                    raise
            return built


class Claim:
    """What `Cache.claim` returns: `value` is the value, or None if it is to be built.

    `granted`: nobody else builds it until the `with` block ends, or the process.
    """

    def __init__(self, entry: Optional[_Entry], value: Optional[bytes]) -> None:
        self._entry = entry
        self.value = value

    @property
    def granted(self) -> bool:
        """Whether the caller is the one who builds."""
        return self._entry is not None

    def release(self) -> None:
        """Ends it, whether the value was put or not."""
        self._entry = None

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
