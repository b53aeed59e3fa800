/* SPDX-License-Identifier: MIT */
/*
 * The public calls on areas: arguments are checked here once, for all backends, then the backend is called.
 *
 * One area is one struct ashmem_area in a process, however often it is imported: a table finds it by the backend's state. Its
 * mutex guards the table, the list and the reference counts, and is not held while a backend works.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "area.h"
#include "backend.h"
#include "budget.h"
#include "debug.h"
#include "pressure_guard.h"
#include "process.h"
#include "sys.h"

#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)
#define BUCKETS 1024

/* Kept out of the way of calls without a debug mode. */
#define DEBUG_ONLY __attribute__((noinline, cold))

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct ashmem_area *areas;
static struct ashmem_area *buckets[BUCKETS];

void areas_before_fork(void)
{
	pthread_mutex_lock(&mutex);
}

void areas_after_fork(void)
{
	pthread_mutex_unlock(&mutex);
}

/* -- the table of areas -- */

static struct ashmem_area **bucket_of(const void *state)
{
	return &buckets[((uintptr_t)state >> 6) % BUCKETS];
}

static void link_area(struct ashmem_area *area)
{
	struct ashmem_area **bucket = bucket_of(area->state);

	area->bucket_next = *bucket;
	*bucket = area;
	area->next = areas;
	if (areas)
		areas->prev = area;
	areas = area;
}

static void unlink_area(struct ashmem_area *area)
{
	struct ashmem_area **bucket = bucket_of(area->state);

	while (*bucket != area)
		bucket = &(*bucket)->bucket_next;
	*bucket = area->bucket_next;
	if (area->prev)
		area->prev->next = area->next;
	else
		areas = area->next;
	if (area->next)
		area->next->prev = area->prev;
}

static struct ashmem_area *find_area(const struct ashmem_backend *backend, const void *state)
{
	struct ashmem_area *area = *bucket_of(state);

	while (area && (area->state != state || area->backend != backend))
		area = area->bucket_next;
	return area;
}

void areas_visit(void (*visit)(struct ashmem_area *area, void *context), void *context)
{
	process_start(); /* may be the first call of all; a fork meanwhile must not leave the child a mutex that is locked */
	pthread_mutex_lock(&mutex);
	for (struct ashmem_area *area = areas; area; area = area->next)
		visit(area, context);
	pthread_mutex_unlock(&mutex);
}

void areas_visit_each(void (*visit)(struct ashmem_area *area, void *context), void *context)
{
	struct ashmem_area *area;

	pthread_mutex_lock(&mutex);
	area = areas;
	if (area)
		area->refs++;
	pthread_mutex_unlock(&mutex);
	while (area) {
		visit(area, context);
		/* With our reference it is still in the list. */
		pthread_mutex_lock(&mutex);
		struct ashmem_area *next = area->next;
		if (next)
			next->refs++;
		pthread_mutex_unlock(&mutex);
		ashmem_close(area);
		area = next;
	}
}

void area_ref(struct ashmem_area *area)
{
	area->refs++;
}

void area_take(struct ashmem_area *area)
{
	pthread_mutex_lock(&mutex);
	area->refs++;
	pthread_mutex_unlock(&mutex);
}

/*
 * The handle of a backend's state. If there is one already, the state's extra reference is given back. NULL, and the state is
 * closed, if there is no memory.
 */
static struct ashmem_area *area_of(const struct ashmem_backend *backend, void *state)
{
	struct ashmem_area *fresh = debug_start() == 0 ? calloc(1, sizeof(*fresh)) : NULL, *known;

	pthread_mutex_lock(&mutex);
	known = find_area(backend, state);
	if (known) {
		known->refs++;
	} else if (fresh) {
		fresh->backend = backend;
		fresh->state = state;
		fresh->refs = 1;
		link_area(fresh);
	}
	pthread_mutex_unlock(&mutex);

	if (known || !fresh)
		backend->close(state);
	if (known)
		free(fresh);
	return known ? known : fresh;
}

/* -- life -- */

/* A name of at most 255 bytes. */
static void cut_name(char cut[ASHMEM_NAME_LEN], const char *name)
{
	size_t length = name ? strnlen(name, ASHMEM_NAME_LEN - 1) : 0;

	memcpy(cut, name ? name : "", length);
	cut[length] = '\0';
}

int ashmem_create(const char *name, uint64_t size_bytes, uint32_t flags, struct ashmem_area **area)
{
	const struct ashmem_backend *backend;
	char cut[ASHMEM_NAME_LEN];
	void *state;

	if (!area || (flags & ~ASHMEM_CREATE_ALLOW_SEAL))
		return -EINVAL;
	int r = backend_choose(&backend);
	if (r < 0)
		return r;
	if ((flags & ASHMEM_CREATE_ALLOW_SEAL) && !(backend->capabilities & ASHMEM_BACKEND_CAP_SEAL))
		return -ENOTSUP;
	cut_name(cut, name);
	r = backend->create(backend->userdata, cut, size_bytes, flags, &state);
	if (r < 0)
		return r;
	struct ashmem_area *created = area_of(backend, state);
	if (!created)
		return -ENOMEM;
	*area = created;
	return 0;
}

void ashmem_close(struct ashmem_area *area)
{
	if (!area)
		return;
	pthread_mutex_lock(&mutex);
	int last = --area->refs == 0;
	if (last)
		unlink_area(area);
	pthread_mutex_unlock(&mutex);
	if (last) {
		if (area->budget || area->counted_unpinned || area->counted_all)
			budget_forget(area);
		if (debug_has(DEBUG_TRAP))
			trap_forget_area(area);
		area->backend->close(area->state);
		free(area);
	}
}

/* -- name, size, protection -- */

/* The size, and whether the area is materialised: 1, 0, or a negative errno. */
static inline int learn_size(struct ashmem_area *area, uint64_t *size_bytes)
{
	int materialised;

	/* Acquire: pairs with the release below; the size is written before. */
	if (__atomic_load_n(&area->fixed, __ATOMIC_ACQUIRE)) {
		*size_bytes = area->size_bytes;
		return 1;
	}
	int r = area->backend->get_size(area->state, size_bytes, &materialised);
	if (r < 0)
		return r;
	if (materialised) {
		__atomic_store_n(&area->size_bytes, *size_bytes, __ATOMIC_RELAXED);
		__atomic_store_n(&area->fixed, 1, __ATOMIC_RELEASE);
	}
	return materialised;
}

int ashmem_set_name(struct ashmem_area *area, const char *name)
{
	char cut[ASHMEM_NAME_LEN];

	if (!area || !name)
		return -EINVAL;
	cut_name(cut, name);
	return area->backend->set_name(area->state, cut);
}

int ashmem_get_name(const struct ashmem_area *area, char *buf, size_t buf_size)
{
	char name[ASHMEM_NAME_LEN];

	if (!area || !buf)
		return -EINVAL;
	int r = area->backend->get_name(area->state, name);
	if (r < 0)
		return r;
	const char *answer = name[0] ? name : ASHMEM_NAME_DEF;
	size_t length = strlen(answer);
	if (length >= buf_size)
		return -ERANGE;
	memcpy(buf, answer, length + 1);
	return 0;
}

int ashmem_set_size(struct ashmem_area *area, uint64_t size_bytes)
{
	return area ? area->backend->set_size(area->state, size_bytes) : -EINVAL;
}

uint64_t ashmem_get_size(const struct ashmem_area *area)
{
	uint64_t size_bytes;

	/* The cache in the handle is not what a caller means by const. */
	if (!area || learn_size((struct ashmem_area *)(uintptr_t)area, &size_bytes) < 0)
		return 0;
	return size_bytes;
}

int ashmem_set_prot(struct ashmem_area *area, int prot)
{
	if (!area || (prot & ~PROT_ALL))
		return -EINVAL;
	return area->backend->set_prot(area->state, prot);
}

int ashmem_get_prot(const struct ashmem_area *area)
{
	return area ? area->backend->get_prot(area->state) : -EINVAL;
}

const char *ashmem_backend_name(const struct ashmem_area *area)
{
	return area ? area->backend->name : NULL;
}

/* -- budgets -- */

/* Before a call that materialises the area: 0, or -EDQUOT. admitted() follows if 0. */
static inline int admit(struct ashmem_area *area)
{
	uint64_t size;

	if (!budgets_any() || learn_size(area, &size) != 0)
		return 0;
	return budget_admit(area, size);
}

/* The end of a call that may have made memory, or memory purgeable. */
static inline int settled(struct ashmem_area *area, int result)
{
	if (budgets_any())
		budget_settle(area);
	return result;
}

/* -- memory -- */

static uint64_t page_align(uint64_t bytes)
{
	uint64_t mask = sys_page_size() - 1;

	return (bytes + mask) & ~mask;
}

static int is_page_aligned(uint64_t bytes)
{
	return (bytes & (sys_page_size() - 1)) == 0;
}

/* Contract rule 7. */
static int check_map(struct ashmem_area *area, uint64_t offset, size_t length, int prot,
	int map_flags)
{
	int kind = map_flags & MAP_TYPE;
	uint64_t size;

	if ((prot & ~PROT_ALL) || (map_flags & MAP_ANONYMOUS) ||
		(kind != MAP_SHARED && kind != MAP_PRIVATE && kind != MAP_SHARED_VALIDATE))
		return -EINVAL;
	int r = learn_size(area, &size);
	if (r < 0)
		return r;
	size = page_align(size);
	if (length == 0 || !is_page_aligned(offset) || offset >= size || length > size - offset)
		return -EINVAL;
	r = area->backend->get_prot(area->state);
	if (r < 0)
		return r;
	/* mmap(2) will add it: personality(2). */
	if ((prot & PROT_READ) && !(r & PROT_EXEC) && sys_read_implies_exec())
		return -EPERM;
	return prot & ~r ? -EPERM : 0;
}

int ashmem_map(struct ashmem_area *area, uint64_t offset, size_t length, int prot, int map_flags,
	void **addr)
{
	if (!area || !addr)
		return -EINVAL;
	int r = check_map(area, offset, length, prot, map_flags);
	if (r < 0)
		return r;
	void *mapped = *addr;
	r = admit(area);
	if (r < 0)
		return r;
	r = settled(area, area->backend->map(area->state, offset, length, prot, map_flags, &mapped));
	if (r < 0)
		return r;
	if ((map_flags & MAP_FIXED_NOREPLACE) && mapped != *addr) {
		munmap(mapped, length); /* before Linux 4.17 the address is a hint only */
		return -EEXIST;
	}
	if (debug_has(DEBUG_TRAP)) {
		r = trap_add_mapping(area, mapped, length, offset, prot, map_flags);
		if (r < 0) {
			munmap(mapped, length);
			return r;
		}
	}
	*addr = mapped;
	return 0;
}

int ashmem_unmap(void *addr, size_t length)
{
	if (!addr)
		return -EINVAL;
	if (debug_has(DEBUG_TRAP))
		return trap_unmap(addr, length);
	return munmap(addr, length) < 0 ? -errno : 0;
}

int ashmem_populate(void *addr, size_t length)
{
	size_t page = sys_page_size();

	if (!addr || (uintptr_t)addr % page != 0 || length == 0)
		return -EINVAL;
	if (length > SIZE_MAX - page || (uintptr_t)addr > UINTPTR_MAX - length - page)
		return -ENOMEM;
	return sys_populate(addr, (length + page - 1) / page * page);
}

/* For read, pread and seek: 1 if there is something, 0 if the size is 0, -EBADF if not materialised. */
static int check_data(struct ashmem_area *area)
{
	uint64_t size;
	int r = learn_size(area, &size);

	if (r < 0)
		return r;
	if (size == 0)
		return 0;
	return r ? 1 : -EBADF;
}

int64_t ashmem_read(struct ashmem_area *area, void *buf, size_t length)
{
	if (!area || (!buf && length))
		return -EINVAL;
	int r = check_data(area);
	return r <= 0 ? r : area->backend->read(area->state, buf, length);
}

int64_t ashmem_pread(struct ashmem_area *area, void *buf, size_t length, uint64_t offset)
{
	if (!area || (!buf && length) || offset > INT64_MAX)
		return -EINVAL;
	int r = check_data(area);
	return r <= 0 ? r : area->backend->pread(area->state, buf, length, offset);
}

int64_t ashmem_seek(struct ashmem_area *area, int64_t offset, int whence)
{
	if (!area)
		return -EINVAL;
	int r = check_data(area);
	if (r <= 0)
		return r < 0 ? r : -EINVAL;
	return area->backend->seek(area->state, offset, whence);
}

/* -- pinning -- */

/* Contract rule 9 and D2: 1 and the length made explicit; 0 if there is nothing to do; -EINVAL. */
static inline int check_range(struct ashmem_area *area, uint64_t offset, uint64_t *length)
{
	uint64_t size;
	int r = learn_size(area, &size);

	if (r < 0)
		return r;
	size = page_align(size);
	if (r == 0 || !is_page_aligned(offset | *length) || offset > size ||
		*length > size - offset)
		return -EINVAL;
	if (*length == 0)
		*length = size - offset;
	return *length != 0;
}

DEBUG_ONLY static int pin_trapped(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	trap_begin();
	return trap_end(area, offset, length, area->backend->pin(area->state, offset, length));
}

int ashmem_pin(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	if (!area)
		return -EINVAL;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r < 0 ? r : ASHMEM_NOT_PURGED;
	if (debug_has(DEBUG_TRAP))
		return settled(area, pin_trapped(area, offset, length));
	if (budgets_any()) /* asked first, so that the usual way stays a jump */
		return settled(area, area->backend->pin(area->state, offset, length));
	return area->backend->pin(area->state, offset, length);
}

/* A backend that does not know which pages were lost may have lost all. */
static int pin_lost_by_backend(struct ashmem_area *area, uint64_t offset, uint64_t length,
	struct ashmem_extent *lost, uint32_t capacity, uint32_t *count)
{
	if (area->backend->capabilities & ASHMEM_BACKEND_CAP_LOST)
		return area->backend->pin_lost(area->state, offset, length, lost, capacity, count);
	int r = area->backend->pin(area->state, offset, length);
	if (r >= 0)
		*count = r == ASHMEM_WAS_PURGED;
	if (r == ASHMEM_WAS_PURGED)
		*lost = (struct ashmem_extent){offset, length};
	return r;
}

int ashmem_pin_lost(struct ashmem_area *area, uint64_t offset, uint64_t length, struct ashmem_extent *lost,
	uint32_t capacity, uint32_t *count)
{
	if (!area || !lost || capacity == 0 || !count)
		return -EINVAL;
	int r = check_range(area, offset, &length);
	if (r < 0)
		return r;
	if (r == 0) {
		*count = 0;
		return ASHMEM_NOT_PURGED;
	}
	if (debug_has(DEBUG_TRAP)) {
		trap_begin();
		r = pin_lost_by_backend(area, offset, length, lost, capacity, count);
		return settled(area, trap_end(area, offset, length, r));
	}
	return settled(area, pin_lost_by_backend(area, offset, length, lost, capacity, count));
}

/* With a priority and an order only if that is not what a plain unpin has: a backend need not know them. */
static int unpin_by_backend(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order)
{
	if (priority == ASHMEM_PRIORITY_NORMAL && order == ASHMEM_ORDER_FIFO)
		return area->backend->unpin(area->state, offset, length);
	return area->backend->unpin_with(area->state, offset, length, priority, order);
}

/* An unpin while a debug mode is on. */
DEBUG_ONLY static int unpin_debugged(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order)
{
	int trap = debug_has(DEBUG_TRAP);

	if (trap)
		trap_begin();
	int r = unpin_by_backend(area, offset, length, priority, order);
	if (trap)
		r = trap_end(area, offset, length, r);
	if (r >= 0)
		debug_purge();
	return r;
}

/* Memory has become purgeable: too much of it, or just in time. */
static inline int unpinned(struct ashmem_area *area, uint64_t length, int result)
{
	if (result < 0)
		return result;
	if (budgets_any())
		budget_settle(area);
	guard_unpinned(length);
	return result;
}

int ashmem_unpin(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	if (!area)
		return -EINVAL;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r;
	r = !debug_any() ? area->backend->unpin(area->state, offset, length)
			 : unpin_debugged(area, offset, length, ASHMEM_PRIORITY_NORMAL, ASHMEM_ORDER_FIFO);
	return unpinned(area, length, r);
}

int ashmem_unpin_with(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order)
{
	if (!area || priority > ASHMEM_PRIORITY_LAST || order > ASHMEM_ORDER_LIFO)
		return -EINVAL;
	if (priority == ASHMEM_PRIORITY_NORMAL && order == ASHMEM_ORDER_FIFO)
		return ashmem_unpin(area, offset, length);
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_PRIORITIES))
		return -ENOTSUP;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r;
	r = debug_any() ? unpin_debugged(area, offset, length, priority, order)
			: area->backend->unpin_with(area->state, offset, length, priority, order);
	return unpinned(area, length, r);
}

int ashmem_get_pin_status(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	if (!area)
		return -EINVAL;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r < 0 ? r : ASHMEM_IS_PINNED;
	return area->backend->get_pin_status(area->state, offset, length);
}

DEBUG_ONLY static int hold_trapped(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	trap_begin();
	int r = trap_prepare_hold(area);
	if (r == 0)
		r = area->backend->hold(area->state, offset, length);
	if (r >= 0)
		trap_count_hold(area, offset, length, 1);
	return trap_end(area, offset, length, r);
}

DEBUG_ONLY static int release_trapped(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags)
{
	trap_begin();
	int r = area->backend->release(area->state, offset, length, flags);
	if (r >= 0)
		trap_count_hold(area, offset, length, -1);
	return trap_end(area, offset, length, r);
}

int ashmem_hold(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	if (!area)
		return -EINVAL;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_HOLDS))
		return -ENOTSUP;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r < 0 ? r : ASHMEM_NOT_PURGED;
	if (debug_has(DEBUG_TRAP))
		return hold_trapped(area, offset, length);
	return area->backend->hold(area->state, offset, length);
}

int ashmem_release(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags)
{
	if (!area || (flags & ~ASHMEM_RELEASE_LOST))
		return -EINVAL;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_HOLDS))
		return -ENOTSUP;
	int r = check_range(area, offset, &length);
	if (r <= 0)
		return r;
	if (debug_has(DEBUG_TRAP))
		return settled(area, release_trapped(area, offset, length, flags));
	return settled(area, area->backend->release(area->state, offset, length, flags));
}

int ashmem_find_unpinned(struct ashmem_area *area, uint64_t from, uint64_t *offset, uint64_t *length,
	uint32_t *state)
{
	uint64_t found_offset, found_length, size;
	uint32_t found_state;

	if (!area)
		return -EINVAL;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_INSPECT))
		return -ENOTSUP;
	int r = learn_size(area, &size);
	if (r <= 0)
		return r < 0 ? r : -EINVAL;
	r = area->backend->find_unpinned(
		area->state, from, &found_offset, &found_length, &found_state);
	if (r <= 0)
		return r;
	if (offset)
		*offset = found_offset;
	if (length)
		*length = found_length;
	if (state)
		*state = found_state;
	return 1;
}

int area_size_pages(struct ashmem_area *area, uint64_t *pages)
{
	uint64_t size;
	int r = learn_size(area, &size);

	if (r < 0)
		return r;
	*pages = page_align(size) / sys_page_size();
	return 0;
}

/* -- sharing -- */

/* For what materialises an area: 0, or -EINVAL if it has no size. */
static int check_sized(struct ashmem_area *area)
{
	uint64_t size;

	if (!area)
		return -EINVAL;
	int r = learn_size(area, &size);
	if (r < 0)
		return r;
	return size ? 0 : -EINVAL;
}

int ashmem_fd(struct ashmem_area *area)
{
	int r = check_sized(area);

	if (r == 0)
		r = admit(area);
	return r < 0 ? r : settled(area, area->backend->get_fd(area->state));
}

int ashmem_export_read_only(struct ashmem_area *area)
{
	int r = check_sized(area);

	if (r < 0)
		return r;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_EXPORT))
		return -ENOTSUP;
	r = admit(area);
	return r < 0 ? r : settled(area, area->backend->export_read_only(area->state));
}

int ashmem_seal(struct ashmem_area *area)
{
	int r = check_sized(area);

	if (r < 0)
		return r;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_SEAL))
		return -ENOTSUP;
	r = admit(area);
	return r < 0 ? r : settled(area, area->backend->seal(area->state));
}

int ashmem_import(int fd, struct ashmem_area **area)
{
	const struct ashmem_backend *backend;
	void *state;

	if (!area)
		return -EINVAL;
	int r = backend_import(fd, &backend, &state);
	if (r < 0)
		return r;
	struct ashmem_area *imported = area_of(backend, state);
	if (!imported)
		return -ENOMEM;
	*area = imported;
	return settled(imported, 0);
}
