/* SPDX-License-Identifier: MIT */
/*
 * The handles of caches in this process, and what a fork does to them.
 *
 * A lock on a file belongs to its description, which a child shares: it would outlive the parent,
 * and end with the parent's release. So before a fork, each handle whose views hold segments opens
 * another description and takes the same locks on it: the child's. The parent closes its copy of
 * that one, and the child closes what it inherited. What its parent was writing is nothing to the
 * child: it has no segment to append to, no ticket, no lease, and its reservations are stale.
 *
 * A child of a bare clone runs no handlers; cache_lock() finds out (own.c).
 */
#include "base/fork.h"
#include "cache/handles.h"
#include "cache/segment.h"
#include "memfd/take.h"

#include <unistd.h>

static pthread_mutex_t handles_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct ashmem_cache *handles;

void handles_add(struct ashmem_cache *cache)
{
	pthread_mutex_lock(&handles_mutex);
	cache->next = handles;
	if (handles)
		handles->prev = cache;
	handles = cache;
	pthread_mutex_unlock(&handles_mutex);
}

void handles_remove(struct ashmem_cache *cache)
{
	pthread_mutex_lock(&handles_mutex);
	if (cache->next)
		cache->next->prev = cache->prev;
	if (cache->prev)
		cache->prev->next = cache->next;
	else
		handles = cache->next;
	pthread_mutex_unlock(&handles_mutex);
}

/* Without a description of its own, a child shares the parent's. */
static int open_for_child(struct ashmem_cache *cache)
{
	uint32_t segments = cache->layout.segments, i = 0;
	int fd = -1;

	while (i < segments && cache->views[i] == 0)
		i++;
	if (i < segments)
		fd = memfd_open_locks(cache->memfd);
	for (; fd >= 0 && i < segments; i++)
		if (cache->views[i])
			segment_hold_for(cache, fd, i);
	return fd < 0 ? -1 : fd;
}

void caches_before_fork(void)
{
	pthread_mutex_lock(&handles_mutex);
	for (struct ashmem_cache *cache = handles; cache; cache = cache->next) {
		cache_lock(cache);
		cache->child_view_fd = open_for_child(cache);
	}
}

void caches_after_fork(void)
{
	for (struct ashmem_cache *cache = handles; cache; cache = cache->next) {
		descriptor_close(cache->child_view_fd, &cache->memfd->file);
		cache->child_view_fd = -1;
		cache_unlock(cache);
	}
	pthread_mutex_unlock(&handles_mutex);
}

void caches_after_fork_in_child(void)
{
	for (struct ashmem_cache *cache = handles; cache; cache = cache->next)
		cache_forget_parents(cache);
}
