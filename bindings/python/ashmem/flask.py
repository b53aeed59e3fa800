# SPDX-License-Identifier: MIT
"""A backend for Flask-Caching: one cache for all workers, without a server.

    cache = Cache(app, config={
        "CACHE_TYPE": "ashmem.flask.AshmemCache",
        "CACHE_ASHMEM_NAME": "my-site",
        "CACHE_ASHMEM_MOST_BYTES": 256 << 20,
        "CACHE_DEFAULT_TIMEOUT": 300,
    })

Processes of one user with the same name share a cache; without a name it belongs to the process
and those that it forks. Values are pickled. A timeout of 0 is no limit, as in Flask-Caching.
"""

import pickle
from typing import Any, Dict, Optional

from flask_caching.backends.base import BaseCache

from ._cache import Cache, not_kept
from ._native import CACHE_KEY_MOST
from ._objects import digest, dumps


class AshmemCache(BaseCache):
    """The backend."""

    def __init__(self, cache: Cache, default_timeout: int = 300, key_prefix: str = "") -> None:
        super().__init__(default_timeout=default_timeout)
        self._cache = cache
        self._prefix = key_prefix
        self.ignore_errors = True

    @classmethod
    def factory(
        cls, app: Any, config: Dict[str, Any], args: Any, kwargs: Dict[str, Any]
    ) -> "AshmemCache":
        name = config.get("CACHE_ASHMEM_NAME", "")
        most_bytes = config.get("CACHE_ASHMEM_MOST_BYTES", 0)
        cache = Cache.open(name, most_bytes) if name else Cache(most_bytes)
        return cls(
            cache, default_timeout=config.get("CACHE_DEFAULT_TIMEOUT", 300),
            key_prefix=config.get("CACHE_KEY_PREFIX") or "")

    def _key(self, key: str) -> bytes:
        raw = (self._prefix + key).encode()
        return raw if len(raw) <= CACHE_KEY_MOST else b"long key " + digest(raw)

    def _ttl(self, timeout: Optional[int]) -> Optional[float]:
        timeout = self._normalize_timeout(timeout)
        return None if timeout == 0 else float(timeout)

    def get(self, key: str) -> Any:
        data = self._cache.get(self._key(key))
        return None if data is None else pickle.loads(data)

    def set(self, key: str, value: Any, timeout: Optional[int] = None) -> bool:
        try:
            self._cache.set(self._key(key), dumps(value), self._ttl(timeout))
        except OSError as error:
            if not not_kept(error):
                raise
            self.delete(key)
            return False
        return True

    def add(self, key: str, value: Any, timeout: Optional[int] = None) -> bool:
        try:
            return self._cache.add(self._key(key), dumps(value), self._ttl(timeout))
        except OSError as error:
            if not not_kept(error):
                raise
            return False

    def delete(self, key: str) -> bool:
        return self._cache.discard(self._key(key))

    def has(self, key: str) -> bool:
        return self._key(key) in self._cache

    def clear(self) -> bool:
        self._cache.clear()
        return True
