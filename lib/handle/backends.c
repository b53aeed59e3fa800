/* SPDX-License-Identifier: MIT */
/*
 * The registry of backends: the built-in ones, those that the program adds, and the choice among
 * them.
 *
 * `backends_mutex` guards the list while it grows. Entries stay, so a count read with acquire makes
 * the entries below it safe to read without the mutex. No operation is called with it held.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cancel.h"
#include "base/fork.h"
#include "base/structs.h"
#include "handle/backends.h"
#include "handle/defaults.h"
#include "kernel/backend.h"
#include "memfd/backend.h"
#include "range/purge_key.h"

#define BUILT_IN 2

_Static_assert(PURGE_KEY_NORMAL == ASHMEM_PRIORITY_NORMAL && PURGE_KEY_FIFO == ASHMEM_ORDER_FIFO &&
		PURGE_KEY_LIFO == ASHMEM_ORDER_LIFO,
	"the range engine numbers priorities and orders as the public header does");

/* Up to the last operation that every backend must have. */
#define TABLE_MIN \
	(offsetof(struct ashmem_backend, unpin) + sizeof(((struct ashmem_backend *)NULL)->unpin))

/* All that there are. */
#define CAPABILITIES                                                                             \
	(ASHMEM_BACKEND_CAP_LRU | ASHMEM_BACKEND_CAP_PURGE_ALL | ASHMEM_BACKEND_CAP_INSPECT |    \
		ASHMEM_BACKEND_CAP_SEAL | ASHMEM_BACKEND_CAP_EXPORT | ASHMEM_BACKEND_CAP_HOLDS | \
		ASHMEM_BACKEND_CAP_PRIORITIES | ASHMEM_BACKEND_CAP_LOST)

static pthread_mutex_t backends_mutex = PTHREAD_MUTEX_INITIALIZER;
/* "auto" takes the first of the built-in ones that works. */
static const struct ashmem_backend *backends[BACKENDS_MAX] = {
	&backend_kernel,
	&backend_memfd,
};
/*
 * What the program added, each as a whole table. An operation that it left out, or that its version
 * does not know, has its default, or is NULL if a capability that it lacks calls for it.
 */
static struct ashmem_backend added[BACKENDS_MAX - BUILT_IN];
static unsigned count = BUILT_IN;
static const struct ashmem_backend *selected; /* NULL: not by ashmem_backend_select() */
static int selected_auto; /* "auto" was selected: the environment does not count */

void backends_before_fork(void)
{
	pthread_mutex_lock(&backends_mutex);
}

void backends_after_fork(void)
{
	pthread_mutex_unlock(&backends_mutex);
}

static const struct ashmem_backend *find(const char *name)
{
	/* Acquire: pairs with the release in ashmem_backend_register(). */
	unsigned n = __atomic_load_n(&count, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < n; i++)
		if (strcmp(backends[i]->name, name) == 0)
			return backends[i];
	return NULL;
}

static int works(const struct ashmem_backend *backend)
{
	return backend->probe(backend->userdata) >= 0;
}

static const struct ashmem_backend *first_that_works(void)
{
	for (unsigned i = 0; i < BUILT_IN; i++)
		if (works(backends[i]))
			return backends[i];
	return NULL;
}

static int choose_by_name(const char *name, const struct ashmem_backend **chosen)
{
	const struct ashmem_backend *backend = find(name);

	if (!backend)
		return -ENOENT;
	if (!works(backend))
		return -ENODEV;
	*chosen = backend;
	return 0;
}

int backend_choose(const struct ashmem_backend **chosen)
{
	const struct ashmem_backend *backend = __atomic_load_n(&selected, __ATOMIC_ACQUIRE);

	if (!backend && !__atomic_load_n(&selected_auto, __ATOMIC_RELAXED)) {
		const char *name = secure_getenv("ASHMEM_BACKEND");
		if (name && *name && strcmp(name, "auto") != 0)
			return choose_by_name(name, chosen);
	}
	if (!backend)
		backend = first_that_works();
	else if (!works(backend))
		backend = NULL;
	if (!backend)
		return -ENODEV;
	*chosen = backend;
	return 0;
}

int backend_import(int fd, const struct ashmem_backend **chosen, void **state)
{
	unsigned n = __atomic_load_n(&count, __ATOMIC_ACQUIRE);

	/* The added ones first: they may know a memfd of their own. */
	for (unsigned i = n; i-- > 0;) {
		int r = backends[i]->import(backends[i]->userdata, fd, state);
		if (r == -ENOTTY || (r == -ENODEV && i < BUILT_IN))
			continue;
		if (r >= 0)
			*chosen = backends[i];
		return r < 0 ? r : 0;
	}
	return -EINVAL;
}

int backend_find(int fd, const struct ashmem_backend **chosen, void **state)
{
	unsigned n = __atomic_load_n(&count, __ATOMIC_ACQUIRE);

	for (unsigned i = n; i-- > 0;) {
		int r = backends[i]->find(backends[i]->userdata, fd, state);
		if (r == -ENOTTY || r == -ENOENT)
			continue;
		if (r >= 0)
			*chosen = backends[i];
		return r < 0 ? r : 0;
	}
	return -ENOENT;
}

int backend_fd_kind(int fd)
{
	unsigned n = __atomic_load_n(&count, __ATOMIC_ACQUIRE);

	for (unsigned i = n; i-- > 0;) {
		int r = backends[i]->fd_kind(backends[i]->userdata, fd);
		if (r != -ENOTTY)
			return r;
	}
	return ASHMEM_FD_NONE;
}

int ashmem_backend_select(const char *name)
{
	CANCEL_OFF;
	const struct ashmem_backend *backend = NULL;

	if (!name)
		return -EINVAL;
	if (strcmp(name, "auto") != 0) {
		int r = choose_by_name(name, &backend);
		if (r < 0)
			return r;
	}
	__atomic_store_n(&selected_auto, backend == NULL, __ATOMIC_RELAXED);
	__atomic_store_n(&selected, backend, __ATOMIC_RELEASE);
	return 0;
}

static int is_complete(const struct ashmem_backend *b)
{
	if (!b->name || !*b->name || strcmp(b->name, "auto") == 0 ||
		(b->capabilities & ~CAPABILITIES))
		return 0;
	if (!b->create || !b->close || !b->get_size || !b->map || !b->pin || !b->unpin)
		return 0;
	if ((b->capabilities & ASHMEM_BACKEND_CAP_LRU) &&
		(!b->evictable || !b->oldest || !b->purge))
		return 0;
	if ((b->capabilities & ASHMEM_BACKEND_CAP_PURGE_ALL) && !b->purge_all)
		return 0;
	if ((b->capabilities & ASHMEM_BACKEND_CAP_SEAL) && !b->seal)
		return 0;
	if ((b->capabilities & ASHMEM_BACKEND_CAP_HOLDS) && (!b->hold || !b->release))
		return 0;
	if ((b->capabilities & ASHMEM_BACKEND_CAP_PRIORITIES) && !b->unpin_with)
		return 0;
	if ((b->capabilities & ASHMEM_BACKEND_CAP_LOST) && !b->pin_lost)
		return 0;
	if ((b->capabilities & ASHMEM_BACKEND_CAP_EXPORT) && !b->export_read_only)
		return 0;
	return !(b->capabilities & ASHMEM_BACKEND_CAP_INSPECT) ||
		(b->find_unpinned && b->get_stats);
}

int ashmem_backend_register(const struct ashmem_backend *backend)
{
	CANCEL_OFF;
	struct ashmem_backend whole = {.struct_size = sizeof(whole)};
	int r;

	/* Every member has the size of a pointer: none is there by half. */
	if (!backend || backend->struct_size < TABLE_MIN ||
		backend->struct_size % sizeof(void *) != 0)
		return -EINVAL;
	r = struct_copy_in(&whole, sizeof(whole), backend);
	if (r < 0)
		return r;
	whole.struct_size = sizeof(whole);
	if (!is_complete(&whole))
		return -EINVAL;
	defaults_fill(&whole);
	pthread_mutex_lock(&backends_mutex);
	if (find(whole.name))
		r = -EEXIST;
	else if (count == BACKENDS_MAX)
		r = -ENOSPC;
	if (r == 0) {
		added[count - BUILT_IN] = whole;
		backends[count] = &added[count - BUILT_IN];
		__atomic_store_n(&count, count + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&backends_mutex);
	return r;
}

uint64_t ashmem_backend_key(uint32_t priority, uint32_t order, uint64_t stamp_ns)
{
	return purge_key_of(priority < ASHMEM_PRIORITY_LAST ? priority : ASHMEM_PRIORITY_LAST,
		order == ASHMEM_ORDER_FIFO ? ASHMEM_ORDER_FIFO : ASHMEM_ORDER_LIFO, stamp_ns);
}
