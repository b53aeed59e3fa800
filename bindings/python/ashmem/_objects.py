# SPDX-License-Identifier: MIT
"""Python objects in a cache, by pickle: a mapping, and a decorator for functions.

Keys are hashed pickles. Equal keys may have different pickles (a set in another order, say): that
costs a miss and is never a wrong hit. A pickle that cannot be loaded any more, because a class was
renamed, counts as a miss.
"""

import asyncio
import functools
import hashlib
import inspect
import io
import pickle
import time
from types import MethodType
from typing import Any, Callable, Generic, Iterator, MutableMapping, Optional, Tuple, TypeVar
from typing import cast

from ._cache import BytesLike, Cache, not_kept

R = TypeVar("R")

# All Pythons that this package supports know it, so they can share a cache.
PROTOCOL = 5
_POLL_SECONDS = 0.02
_MISSING = object()


def dumps(value: object) -> bytes:
    """A pickle that another process can load."""
    return pickle.dumps(value, PROTOCOL)


def digest(value: object) -> bytes:
    """32 bytes that stand for a picklable value."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, PROTOCOL)
    # Without references to parts seen before: the pickle then depends on values, not on identity.
    pickler.fast = True
    try:
        pickler.dump(value)
        data = file.getvalue()
    except (RecursionError, ValueError):  # the value contains itself
        data = dumps(value)
    return hashlib.blake2b(data, digest_size=32).digest()


def check_trust(cache: Cache, trusted: bool) -> None:
    """Unpickling runs what the pickle says: refuse caches that others may have written."""
    if not (trusted or cache.trusted):
        raise ValueError(
            "this cache came from another process, and whoever can write to it could run code"
            " here: pass trusted=True if you trust them")


class Objects(MutableMapping[Any, Any]):
    """A mapping of picklable keys to picklable values in a cache; made for `cachetools.cached`.

    >>> import ashmem
    >>> objects = ashmem.Objects(ashmem.Cache())
    >>> objects["point", 1] = {"x": 1, "y": 2}
    >>> objects["point", 1]
    {'x': 1, 'y': 2}

    With cachetools: `@cachetools.cached(ashmem.Objects(cache))`. `prefix` keeps several mappings
    in one cache apart; `clear` removes those of this prefix. `ttl` is for all values, in seconds.

    Values are unpickled, which can run code: a cache that came from another process by its
    descriptor needs `trusted=True`.
    """

    def __init__(
        self, cache: Cache, *, prefix: BytesLike = b"ashmem.Objects", ttl: Optional[float] = None,
        trusted: bool = False,
    ) -> None:
        check_trust(cache, trusted)
        self.cache = cache
        self._prefix = bytes(prefix) + b"\0"
        self._ttl = ttl

    def key(self, key: object) -> bytes:
        """The key in the cache."""
        return self._prefix + digest(key)

    @staticmethod
    def _load(data: Optional[bytes]) -> "Optional[Tuple[Any, Any]]":
        try:
            return None if data is None else cast(Tuple[Any, Any], pickle.loads(data))
        except Exception:
            return None

    def __getitem__(self, key: Any) -> Any:
        found = self._load(self.cache.get(self.key(key)))
        if found is None:
            raise KeyError(key)
        return found[1]

    def __setitem__(self, key: Any, value: Any) -> None:
        try:
            self.cache.set(self.key(key), dumps((key, value)), self._ttl)
        except OSError as error:
            if not not_kept(error):
                raise
            # What cachetools expects of a mapping that has no room for a value.
            raise ValueError("the value is too large for the cache") from error

    def __delitem__(self, key: Any) -> None:
        if not self.cache.discard(self.key(key)):
            raise KeyError(key)

    def _raw_keys(self) -> Iterator[bytes]:
        return (key for key in self.cache if key.startswith(self._prefix))

    def __iter__(self) -> Iterator[Any]:
        for raw in self._raw_keys():
            found = self._load(self.cache.get(raw))
            if found is not None:
                yield found[0]

    def __len__(self) -> int:
        return sum(1 for _ in self._raw_keys())

    def __bool__(self) -> bool:
        return True

    def clear(self) -> None:
        for raw in self._raw_keys():
            self.cache.discard(raw)


class CachedFunction(Generic[R]):
    """What `cached` makes of a function."""

    def __init__(
        self, function: Callable[..., R], cache: Cache, ttl: Optional[float], version: object,
        wait: float,
    ) -> None:
        self.cache, self._ttl, self._wait = cache, ttl, wait
        self.__wrapped__ = function
        self._name = f"{function.__module__}.{function.__qualname__}", version
        self._is_async = inspect.iscoroutinefunction(function)
        functools.update_wrapper(self, function)
        if self._is_async:
            self._mark()

    def _mark(self) -> None:
        """Lets frameworks see that calls are to be awaited."""
        mark: Any = getattr(inspect, "markcoroutinefunction", None)
        if mark is not None:
            mark(self)
        else:  # before Python 3.12
            self._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)

    def __reduce__(self) -> str:
        # By its name, as a function is.
        return self.__wrapped__.__qualname__

    def __get__(self, instance: object, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def key(self, *args: Any, **kwargs: Any) -> bytes:
        """The key in the cache of a call with these arguments."""
        return b"ashmem.cached\0" + digest((self._name, args, sorted(kwargs.items())))

    def forget(self, *args: Any, **kwargs: Any) -> bool:
        """Removes the result of a call with these arguments."""
        return self.cache.discard(self.key(*args, **kwargs))

    def _loaded(self, data: Optional[bytes]) -> Any:
        try:
            return _MISSING if data is None else pickle.loads(data)
        except Exception:
            return _MISSING

    def _keep(self, key: bytes, result: object) -> None:
        try:
            self.cache.set(key, dumps(result), self._ttl)
        except OSError as error:
            if not not_kept(error):
                raise

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        key = self.key(*args, **kwargs)
        if self._is_async:
            return self._awaited(key, args, kwargs)  # type: ignore[return-value]
        result = self._loaded(self.cache.get(key))
        if result is _MISSING:
            with self.cache.claim(key, self._wait) as claim:
                result = self._loaded(claim.value)
                if result is _MISSING:
                    result = self.__wrapped__(*args, **kwargs)
                    self._keep(key, result)
        return cast(R, result)

    async def _awaited(self, key: bytes, args: Any, kwargs: Any) -> Any:
        result = self._loaded(self.cache.get(key))
        deadline = time.monotonic() + self._wait
        while result is _MISSING:
            with self.cache.claim(key) as claim:
                result = self._loaded(claim.value)
                wait = claim.value is None and not claim.granted and time.monotonic() < deadline
                if result is _MISSING and not wait:
                    result = await cast(Any, self.__wrapped__(*args, **kwargs))
                    self._keep(key, result)
            if result is _MISSING:
                await asyncio.sleep(_POLL_SECONDS)
        return result


def cached(
    cache: Cache, *, ttl: Optional[float] = None, version: object = 0, trusted: bool = False,
    wait: float = 10,
) -> Callable[[Callable[..., R]], CachedFunction[R]]:
    """Keeps the results of a function in a cache, for all processes that have it.

    >>> import ashmem
    >>> cache = ashmem.Cache(64 << 20)
    >>> @ashmem.cached(cache, ttl=60)
    ... def square(x):
    ...     print("computing")
    ...     return x * x
    >>> square(7)
    computing
    49
    >>> square(7)
    49
    >>> square.forget(7)
    True

    Arguments and results are anything that pickle takes; coroutine functions work too. While one
    process or thread computes a result, others that want the same wait for it, at most `wait`
    seconds, then compute it themselves. A named cache outlives the program: change `version` when
    the function's results change.

    Results are unpickled, which can run code: a cache that came from another process by its
    descriptor needs `trusted=True`.
    """
    check_trust(cache, trusted)

    def decorate(function: Callable[..., R]) -> CachedFunction[R]:
        return CachedFunction(function, cache, ttl, version, wait)

    return decorate
