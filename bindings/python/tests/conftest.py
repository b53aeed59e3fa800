# SPDX-License-Identifier: MIT
"""What needs a newer library says so, and is skipped."""

import ctypes
import os

import pytest

from ashmem import _native

HAS_CACHES = hasattr(ctypes.CDLL(_native.lib.path), "ashmem_cache_create")
NEEDS_CACHES = ("test_cache.py", "test_objects.py")


def pytest_collection_modifyitems(items):
    for item in items:
        if not HAS_CACHES and os.path.basename(str(item.fspath)) in NEEDS_CACHES:
            item.add_marker(pytest.mark.skip(reason="this library has no caches"))
