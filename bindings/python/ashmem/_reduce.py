# SPDX-License-Identifier: MIT
"""Pickling by multiprocessing, which passes the descriptor. Plain pickle refuses."""

import os
from multiprocessing import reduction
from typing import Any, Callable, Tuple, Type

from ._area import Area
from ._cache import Cache


def _rebuild_area(duplicate: Any) -> Area:
    area: Area = rebuild(Area.from_fd, duplicate)
    return area


def _reduce_area(area: Area) -> Tuple[Callable[..., Any], Tuple[Any, ...]]:
    return _rebuild_area, (reduction.DupFd(area.fileno()),)


def _rebuild_cache(duplicate: Any, trusted: bool) -> Cache:
    cache: Cache = rebuild(Cache.from_fd, duplicate)
    cache.trusted = trusted
    return cache


def _reduce_cache(cache: Cache) -> Tuple[Callable[..., Any], Tuple[Any, ...]]:
    return _rebuild_cache, (reduction.DupFd(cache.fileno()), cache.trusted)


def rebuild(make: Callable[[int], Any], duplicate: Any) -> Any:
    """Makes an object from a descriptor that came with a pickle."""
    fd = duplicate.detach()
    try:
        return make(fd)
    finally:
        os.close(fd)


def register() -> None:
    """Tells multiprocessing."""
    add: Callable[[Type[Any], Callable[..., Any]], None] = reduction.register
    add(Area, _reduce_area)
    add(Cache, _reduce_cache)
