/* SPDX-License-Identifier: MIT */
/*
 * The debug mode "trap-unpinned": unpinned pages are inaccessible in the shared mappings that the
 * library has made.
 *
 * A mutex is held around every call of the backend that pins or unpins and the mprotect(2) that
 * follows, so that a page is left as the last of several threads made it. The backend is asked each
 * time what a page shall be: accessible if it is pinned or held by this process. Slow, and simple
 * enough to be believed.
 *
 * Locks: `trap_mutex` comes after the purge's (a backend may pin within its `purge`) and before the
 * table's mutex and everything of a backend. An operation of a backend that is called with it held
 * may call the library again: a frame says that this thread has the mutex already.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "area/debug.h"
#include "base/fork.h"
#include "base/pages.h"
#include "base/sys.h"

struct mapping {
	struct ashmem_area *area;
	uintptr_t start, end;
	uint64_t offset; /* in the area */
	int prot;        /* as it was mapped */
};

/* Holds of this process, page by page; a release need not have the shape of a hold. */
struct held {
	struct held *next;
	struct ashmem_area *area;
	uint64_t pages;
	uint32_t holds[];
};

static pthread_mutex_t trap_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct mapping *mappings;
static size_t mapping_count, mapping_room;
static struct held *helds;

void trap_before_fork(void)
{
	pthread_mutex_lock(&trap_mutex);
}

void trap_after_fork(void)
{
	pthread_mutex_unlock(&trap_mutex);
}

static void lock(struct context *frame)
{
	*frame = (struct context){.flags = CONTEXT_TRAP};
	if (!context_is_within(CONTEXT_TRAP))
		pthread_mutex_lock(&trap_mutex);
	context_push(frame);
}

static void unlock(struct context *frame)
{
	context_pop(frame);
	if (!context_is_within(CONTEXT_TRAP))
		pthread_mutex_unlock(&trap_mutex);
}

/* -- the list of mappings; the mutex is held -- */

/* Room for two more: 0 or -ENOMEM. */
static int make_room(void)
{
	if (mapping_count + 2 <= mapping_room)
		return 0;
	size_t room = 2 * mapping_room + 16;
	struct mapping *larger = realloc(mappings, room * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	mappings = larger;
	mapping_room = room;
	return 0;
}

/* Nothing of ours is mapped at these addresses any more. There is room for one more. */
static void forget_addresses(uintptr_t start, uintptr_t end)
{
	for (size_t i = 0; i < mapping_count;) {
		struct mapping *m = &mappings[i];
		if (m->end <= start || m->start >= end) {
			i++;
			continue;
		}
		struct mapping right = *m;
		int has_left = m->start < start;
		int has_right = m->end > end;
		m->end = start;
		right.start = end;
		right.offset += end - m->start;
		if (has_left && has_right)
			mappings[mapping_count++] = right;
		else if (has_right)
			*m = right;
		else if (!has_left)
			*m = mappings[--mapping_count];
		i += has_left || has_right;
	}
}

/* -- rights; the mutex is held -- */

static void allow(const struct mapping *m, uintptr_t start, uintptr_t end, int is_allowed)
{
	void *addr = (void *)start;

	if (mprotect(addr, end - start, is_allowed ? m->prot : PROT_NONE) == 0 || !is_allowed)
		return;
	/* Too many mappings for a part of it; the whole makes fewer. */
	mprotect((void *)m->start, m->end - m->start, m->prot);
}

/* The same in all mappings of the area. */
static void allow_everywhere(const struct ashmem_area *area, uint64_t offset, uint64_t length,
	int is_allowed)
{
	for (size_t i = 0; i < mapping_count; i++) {
		const struct mapping *m = &mappings[i];
		uint64_t m_end = m->offset + (m->end - m->start);
		uint64_t start = offset > m->offset ? offset : m->offset;
		uint64_t end = offset + length < m_end ? offset + length : m_end;
		if (m->area == area && start < end)
			allow(m, m->start + (uintptr_t)(start - m->offset),
				m->start + (uintptr_t)(end - m->offset), is_allowed);
	}
}

static struct held *find_held(const struct ashmem_area *area)
{
	struct held *held = helds;

	while (held && held->area != area)
		held = held->next;
	return held;
}

/* Whether this process may use the page. If the backend does not say, it may. */
static int may_use(struct ashmem_area *area, const struct held *held, uint64_t offset)
{
	uint64_t page = offset / sys_page_size();

	if (held && page < held->pages && held->holds[page] > 0)
		return 1;
	return area->backend->get_pin_status(area->state, offset, sys_page_size()) !=
		ASHMEM_IS_UNPINNED;
}

/* Make all mappings of the area say what holds for these pages. */
static void settle(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	const struct held *held = find_held(area);
	uint64_t end = offset + length, at = offset, step = sys_page_size();

	if (area->backend->get_pin_status(area->state, offset, length) != ASHMEM_IS_UNPINNED) {
		allow_everywhere(area, offset, length, 1);
		return;
	}
	while (at < end) {
		uint64_t run = at;
		int is_allowed = may_use(area, held, at);
		do
			run += step;
		while (run < end && may_use(area, held, run) == is_allowed);
		allow_everywhere(area, at, run - at, is_allowed);
		at = run;
	}
}

/* -- what calls do -- */

void trap_begin(struct context *frame)
{
	lock(frame);
}

int trap_end(struct context *frame, struct ashmem_area *area, uint64_t offset, uint64_t length,
	int result)
{
	if (result >= 0)
		settle(area, offset, length);
	unlock(frame);
	return result;
}

int trap_prepare_hold(struct ashmem_area *area)
{
	uint64_t pages;

	if (find_held(area))
		return 0;
	int r = area_size_pages(area, &pages);
	if (r < 0)
		return r;
	struct held *held = calloc(1, sizeof(*held) + pages * sizeof(held->holds[0]));
	if (!held)
		return -ENOMEM;
	held->area = area;
	held->pages = pages;
	held->next = helds;
	helds = held;
	return 0;
}

void trap_count_hold(struct ashmem_area *area, uint64_t offset, uint64_t length, int by)
{
	struct held *held = find_held(area);
	uint64_t page = offset / sys_page_size(), end = (offset + length) / sys_page_size();

	for (; held && page < end && page < held->pages; page++)
		held->holds[page] += (uint32_t)by;
}

int trap_add_mapping(struct ashmem_area *area, void *addr, uint64_t length, uint64_t offset,
	int prot, int map_flags)
{
	uintptr_t start = (uintptr_t)addr, end = start + (uintptr_t)pages_round_up(length);
	struct context frame;

	lock(&frame);
	int r = make_room();
	if (r == 0) {
		forget_addresses(start, end); /* MAP_FIXED, or unmapped without our knowledge */
		if ((map_flags & MAP_TYPE) != MAP_PRIVATE) {
			mappings[mapping_count++] =
				(struct mapping){area, start, end, offset, prot};
			settle(area, offset, end - start);
		}
	}
	unlock(&frame);
	return r;
}

int trap_unmap(void *addr, size_t length)
{
	uintptr_t start = (uintptr_t)addr, end = start + (uintptr_t)pages_round_up(length);
	struct context frame;

	lock(&frame);
	int r = make_room();
	if (r == 0 && munmap(addr, length) < 0)
		r = -errno;
	if (r == 0)
		forget_addresses(start, end);
	unlock(&frame);
	return r;
}

void trap_forget_area(struct ashmem_area *area)
{
	struct held **link = &helds;
	struct context frame;

	lock(&frame);
	for (size_t i = 0; i < mapping_count;) {
		struct mapping *m = &mappings[i];
		if (m->area != area) {
			i++;
			continue;
		}
		allow(m, m->start, m->end, 1);
		*m = mappings[--mapping_count];
	}
	while (*link && (*link)->area != area)
		link = &(*link)->next;
	if (*link) {
		struct held *held = *link;
		*link = held->next;
		free(held);
	}
	unlock(&frame);
}

void trap_stop(void)
{
	struct context frame;

	lock(&frame);
	for (size_t i = 0; i < mapping_count; i++)
		allow(&mappings[i], mappings[i].start, mappings[i].end, 1);
	free(mappings);
	mappings = NULL;
	mapping_count = mapping_room = 0;
	while (helds) {
		struct held *held = helds;
		helds = held->next;
		free(held);
	}
	unlock(&frame);
}
