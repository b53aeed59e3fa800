/* SPDX-License-Identifier: MIT */
/*
 * Caches by name: an area by name (area/names.h) whose maker lays out a cache before anybody can
 * find it. The name is locked meanwhile, so of two processes that open at once one makes it, and
 * the other finds it whole.
 *
 * No lock is held on entry.
 */
#include <errno.h>

#include <ashmem/cache.h>

#include "area/names.h"
#include "base/cancel.h"

struct opening {
	const char *name;
	const struct ashmem_cache_options *options;
	struct ashmem_cache *cache;
};

static int open_or_make(void *userdata, int fd)
{
	struct opening *opening = userdata;
	int r = fd >= 0 ? ashmem_cache_import(fd, &opening->cache)
			: ashmem_cache_create(opening->name, opening->options, &opening->cache);

	return r < 0 ? r : ashmem_cache_fd(opening->cache);
}

int ashmem_cache_open(const char *name, const struct ashmem_cache_options *options,
	struct ashmem_cache **cache)
{
	CANCEL_OFF;
	struct opening opening = {.name = name, .options = options};
	int r = cache ? names_open(name, open_or_make, &opening) : -EINVAL;

	if (r < 0) {
		ashmem_cache_close(opening.cache);
		return r;
	}
	*cache = opening.cache;
	return 0;
}
