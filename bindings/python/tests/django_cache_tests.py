# SPDX-License-Identifier: MIT
"""Django's own tests of cache backends, on ours. It runs within Django's test suite, as
cache/test_ashmem.py there (tests/django_suite.sh).

Left out are its three tests of culling by MAX_ENTRIES, as for memcached: a cache is limited in
bytes. They skip themselves where no cache of that name is configured.
"""

import time

from ashmem.django import AshmemCache
from cache.tests import BaseCacheTests, RequestFactory, caches_setting_for_tests
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import TestCase, override_settings

SETTINGS = caches_setting_for_tests(
    BACKEND="ashmem.django.AshmemCache", exclude={"cull", "zero_cull"},
    OPTIONS={"most_bytes": 16 << 20})


@override_settings(CACHES=SETTINGS)
class AshmemCacheTests(BaseCacheTests, TestCase):
    factory = RequestFactory()

    def test_large_value_replaces_nothing(self):
        cache.set("key", "old")
        cache.set("key", b"x" * (8 << 20))
        self.assertIsNone(cache.get("key"))

    def test_unknown_options_are_refused(self):
        with self.assertRaisesMessage(ImproperlyConfigured, "'MOST_BYTES'"):
            AshmemCache("", {"OPTIONS": {"MOST_BYTES": 1 << 20}})

    def test_incr_keeps_the_time(self):
        for value in (1, 1.5):
            cache.set("number", value, 1000)
            self.assertEqual(cache.incr("number"), value + 1)
            self.assertTrue(900 < cache._cache.ttl(b":1:number") <= 1000)
            cache.set("number", value, None)
            self.assertEqual(cache.incr("number", 5), value + 5)
            self.assertIsNone(cache._cache.ttl(b":1:number"))

    def test_touched_number_ends(self):
        cache.set("number", 1, None)
        self.assertTrue(cache.touch("number", 1))
        deadline = time.monotonic() + 60
        while cache.get("number") is not None:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        with self.assertRaises(ValueError):
            cache.incr("number")
