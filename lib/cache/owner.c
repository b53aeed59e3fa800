/* SPDX-License-Identifier: MIT */
/* Words that belong to a process as long as it lives: owner.h. */
#include <errno.h>
#include <unistd.h>

#include "base/sys.h"
#include "cache/owner.h"
#include "memfd/take.h"

/* Beyond the end of every file of an area, and of the locks of lib/memfd. */
#define TICKETS_AT (UINT64_C(1) << 61)
#define TICKET_MOST (UINT64_C(1) << 60)

int owner_begin(struct ashmem_cache *cache)
{
	if (cache->room_fd >= 0)
		return 0; /* each lock that it takes checks it */
	int fd = memfd_open_locks(cache->memfd);
	if (fd < 0)
		return fd;
	uint64_t ticket =
		__atomic_add_fetch(&cache->shared->tickets, 1, __ATOMIC_RELAXED) % TICKET_MOST;
	int r = ticket == 0 ? -EUCLEAN : sys_lock_range(fd, SYS_LOCK_READ, TICKETS_AT + ticket, 1);
	if (r < 0) {
		close(fd);
		return r == -EAGAIN ? -ETIMEDOUT : r;
	}
	cache->room_fd = fd;
	cache->ticket = ticket;
	return 0;
}

/* Through the area's descriptor, which has no such locks and so sees all. */
static int lives(const struct ashmem_cache *cache, uint64_t ticket)
{
	return ticket < TICKET_MOST &&
		descriptor_check(cache->memfd->fd, &cache->memfd->file) == 0 &&
		sys_is_range_locked(cache->memfd->fd, TICKETS_AT + ticket, 1) != 0;
}

int owner_claim(struct ashmem_cache *cache, uint64_t *word, uint64_t ticket)
{
	uint64_t owner = SHARED_LOAD(*word);

	if (owner != 0 && lives(cache, owner))
		return 0;
	/* Acquire and release: what the last owner did is seen, and ours by the next. */
	return __atomic_compare_exchange_n(word, &owner, ticket, 0, __ATOMIC_ACQ_REL,
		__ATOMIC_RELAXED);
}

void owner_yield(uint64_t *word, uint64_t ticket)
{
	__atomic_compare_exchange_n(word, &ticket, 0, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}
