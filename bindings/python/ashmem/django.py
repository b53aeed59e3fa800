# SPDX-License-Identifier: MIT
"""A cache backend for Django: one cache for all workers, without a server.

    CACHES = {
        "default": {
            "BACKEND": "ashmem.django.AshmemCache",
            "LOCATION": "my-site",
            "OPTIONS": {"most_bytes": 256 << 20},
        },
    }

Processes of one user whose LOCATION is the same share a cache (`ashmem.Cache.open`). Without a
LOCATION it belongs to the process and those that it forks. The options are those of
`ashmem.Cache`; MAX_ENTRIES and CULL_FREQUENCY have no effect, since bytes are what is limited.
Values are pickled, so all who can write to the cache are trusted: the processes of this user.

`incr` is atomic among all processes. `get_or_set` has a callable default called in one process
and thread at a time, while others wait for it.
"""

import hashlib
import os
import pickle
import threading
from typing import Any, Callable, Dict, Optional

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.exceptions import ImproperlyConfigured

from ._cache import Cache, not_kept
from ._native import CACHE_KEY_MOST
from ._objects import dumps

WAIT_SECONDS = 10
OPTIONS = ("most_bytes", "entries", "value_most_bytes")

_caches: Dict[str, Cache] = {}
_lock = threading.RLock()
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release,
                    after_in_child=_lock.release)


def opened(location: str, options: Dict[str, Any]) -> Cache:
    """The cache of a location: one for all threads, each of which has a backend of its own."""
    with _lock:
        if location not in _caches:
            _caches[location] = Cache.open(location, **options) if location else Cache(**options)
        return _caches[location]


class AshmemCache(BaseCache):
    """The backend."""

    def __init__(self, location: str, params: Dict[str, Any]) -> None:
        super().__init__(params)
        options = params.get("OPTIONS", {})
        unknown = set(options) - {*OPTIONS, "MAX_ENTRIES", "CULL_FREQUENCY"}
        if unknown:
            raise ImproperlyConfigured(f"ashmem.django.AshmemCache has no option {min(unknown)!r}")
        self._cache = opened(location, {name: options[name] for name in OPTIONS if name in options})

    def _key(self, key: Any, version: Optional[int]) -> bytes:
        made = self.make_key(key, version=version)
        self.validate_key(made)
        raw: bytes = made.encode()
        if len(raw) > CACHE_KEY_MOST:
            raw = b"long key " + hashlib.blake2b(raw, digest_size=32).digest()
        return raw

    def _ttl(self, timeout: Any) -> Optional[float]:
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        return None if timeout is None else float(timeout)

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None
    ) -> bool:
        return self._put(self._cache.add, key, value, timeout, version)

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None
    ) -> None:
        if not self._put(self._cache.set, key, value, timeout, version):
            # Not kept; what was there before must not stay either.
            self.delete(key, version)

    def _put(
        self, put: Callable[[bytes, bytes, Optional[float]], Optional[bool]], key: Any, value: Any,
        timeout: Any, version: Optional[int],
    ) -> bool:
        raw, ttl = self._key(key, version), self._ttl(timeout)
        try:
            return put(raw, dumps(value), ttl) is not False
        except OSError as error:
            if not not_kept(error):
                raise
            return False

    def get(self, key: Any, default: Any = None, version: Optional[int] = None) -> Any:
        data = self._cache.get(self._key(key, version))
        return default if data is None else pickle.loads(data)

    def has_key(self, key: Any, version: Optional[int] = None) -> bool:
        return self._key(key, version) in self._cache

    def delete(self, key: Any, version: Optional[int] = None) -> bool:
        return self._cache.discard(self._key(key, version))

    def touch(
        self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None
    ) -> bool:
        return self._cache.touch(self._key(key, version), self._ttl(timeout))

    def _locked(self, raw: bytes) -> Any:
        # The claim on a key that never gets a value is a lock, which a dead process gives back.
        name = b"lock " + hashlib.blake2b(raw, digest_size=32).digest()
        return self._cache.claim(name, WAIT_SECONDS)

    def incr(self, key: Any, delta: int = 1, version: Optional[int] = None) -> Any:
        raw = self._key(key, version)
        with self._locked(raw):
            try:
                value = pickle.loads(self._cache[raw]) + delta
                self._cache.set(raw, dumps(value), self._cache.ttl(raw))
            except KeyError:
                raise ValueError(f"Key '{key}' not found") from None
            return value

    def get_or_set(
        self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT,
        version: Optional[int] = None,
    ) -> Any:
        raw = self._key(key, version)
        data = self._cache.get(raw)
        if data is not None:
            return pickle.loads(data)
        with self._cache.claim(raw, WAIT_SECONDS) as claim:
            if claim.value is not None:
                return pickle.loads(claim.value)
            if callable(default):
                default = default()
            self.add(key, default, timeout=timeout, version=version)
            # Another may have put a value without asking for the claim.
            return self.get(key, default, version=version)

    def clear(self) -> None:
        self._cache.clear()
