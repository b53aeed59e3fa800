/* SPDX-License-Identifier: MIT */
/*
 * Queues of notices: rings of a fixed size, and for each area a bit per queue, "all of it".
 *
 * A queue that is full gives up the notices of the area that has one more, and sets that area's
 * bit. So it needs no memory, and no purge is left untold. Entries have no reference to their area:
 * its end takes them out, so that a queue that nobody empties keeps nothing alive.
 *
 * Invariants, with the mutex held: an area with a bit of a queue has no entry in that queue's ring;
 * the areas with any bit are in the list `whole`; a queue's event is raised just if it has an entry
 * or an area with its bit.
 *
 * Locks: `queues_mutex` guards all of it. It is a leaf, and no function of the program runs with
 * it: so a program may fetch with its own locks held, whatever those are.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ashmem/notice.h>

#include "base/cancel.h"
#include "base/descriptor.h"
#include "base/fork.h"
#include "base/structs.h"
#include "handle/handle.h"
#include "purge/queue.h"

#define QUEUES_MAX 8
#define ENTRIES_DEFAULT 256
#define ENTRIES_MAX (1u << 20)

struct entry {
	struct ashmem_area *area;
	uint64_t offset, length;
};

struct ashmem_purge_queue {
	int event_fd;
	int is_inherited; /* its event is the parent's */
	uint32_t bit;
	uint32_t areas_whole; /* areas that have the bit */
	uint32_t first, count, capacity;
	struct entry entry[];
};

static pthread_mutex_t queues_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct ashmem_purge_queue *queues[QUEUES_MAX];
static uint32_t nr_queues; /* atomic; without inherited ones */
static struct ashmem_area *whole;

void queues_before_fork(void)
{
	pthread_mutex_lock(&queues_mutex);
}

void queues_after_fork(void)
{
	pthread_mutex_unlock(&queues_mutex);
}

/* -- areas of which all is told -- */

static void set_whole(struct ashmem_purge_queue *queue, struct ashmem_area *area)
{
	if (!area->whole_bits) {
		area->whole_prev = NULL;
		area->whole_next = whole;
		if (whole)
			whole->whole_prev = area;
		whole = area;
	}
	area->whole_bits |= queue->bit;
	queue->areas_whole++;
}

static void clear_whole(struct ashmem_purge_queue *queue, struct ashmem_area *area)
{
	area->whole_bits &= ~queue->bit;
	queue->areas_whole--;
	if (area->whole_bits)
		return;
	if (area->whole_prev)
		area->whole_prev->whole_next = area->whole_next;
	else
		whole = area->whole_next;
	if (area->whole_next)
		area->whole_next->whole_prev = area->whole_prev;
}

static struct ashmem_area *first_whole(const struct ashmem_purge_queue *queue)
{
	struct ashmem_area *area = whole;

	while (area && !(area->whole_bits & queue->bit))
		area = area->whole_next;
	return area;
}

/* -- one queue; the mutex is held -- */

static struct entry *entry_at(struct ashmem_purge_queue *queue, uint32_t i)
{
	return &queue->entry[(queue->first + i) % queue->capacity];
}

static int has_any(const struct ashmem_purge_queue *queue)
{
	return queue->count > 0 || queue->areas_whole > 0;
}

/* Raise or lower the event, if that has changed. It never blocks. */
static void tell_event(struct ashmem_purge_queue *queue, int had_any)
{
	uint64_t number = 1;

	if (has_any(queue) == had_any)
		return;
	/* By number: read() and write() are points where a thread can be cancelled. */
	syscall(had_any ? SYS_read : SYS_write, queue->event_fd, &number, sizeof(number));
}

static void drop_entries(struct ashmem_purge_queue *queue, const struct ashmem_area *area)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < queue->count; i++)
		if (entry_at(queue, i)->area != area)
			*entry_at(queue, kept++) = *entry_at(queue, i);
	queue->count = kept;
}

/* Make the last entry longer if it is a neighbour. */
static int extend(struct ashmem_purge_queue *queue, const struct entry *fresh)
{
	struct entry *last = queue->count ? entry_at(queue, queue->count - 1) : NULL;

	if (!last || last->area != fresh->area)
		return 0;
	if (last->offset + last->length == fresh->offset)
		last->length += fresh->length;
	else if (fresh->offset + fresh->length == last->offset)
		*last = (struct entry){fresh->area, fresh->offset, last->length + fresh->length};
	else
		return 0;
	return 1;
}

static void put(struct ashmem_purge_queue *queue, const struct entry *fresh)
{
	int had_any = has_any(queue);

	if ((fresh->area->whole_bits & queue->bit) || extend(queue, fresh))
		return;
	if (queue->count < queue->capacity) {
		*entry_at(queue, queue->count++) = *fresh;
	} else {
		drop_entries(queue, fresh->area);
		set_whole(queue, fresh->area);
	}
	tell_event(queue, had_any);
}

/* -- all queues -- */

int queues_any(void)
{
	return __atomic_load_n(&nr_queues, __ATOMIC_RELAXED) > 0;
}

void queues_put(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	struct entry fresh = {area, offset, length};
	uint64_t size;

	area_learn_size(area, &size); /* it is needed when the area is told as a whole */
	pthread_mutex_lock(&queues_mutex);
	for (unsigned i = 0; i < QUEUES_MAX; i++)
		if (queues[i] && !queues[i]->is_inherited)
			put(queues[i], &fresh);
	pthread_mutex_unlock(&queues_mutex);
}

static void forget_in(struct ashmem_purge_queue *queue, struct ashmem_area *area)
{
	int had_any = has_any(queue);

	drop_entries(queue, area);
	if (area->whole_bits & queue->bit)
		clear_whole(queue, area);
	if (!queue->is_inherited)
		tell_event(queue, had_any);
}

void queues_forget(struct ashmem_area *area)
{
	if (!queues_any())
		return;
	pthread_mutex_lock(&queues_mutex);
	for (unsigned i = 0; i < QUEUES_MAX; i++)
		if (queues[i])
			forget_in(queues[i], area);
	pthread_mutex_unlock(&queues_mutex);
}

static void empty(struct ashmem_purge_queue *queue)
{
	struct ashmem_area *area;

	queue->count = 0;
	while ((area = first_whole(queue)))
		clear_whole(queue, area);
}

/* The child does not touch the event, which would change what its parent polls. */
void queues_after_fork_in_child(void)
{
	for (unsigned i = 0; i < QUEUES_MAX; i++) {
		if (!queues[i])
			continue;
		empty(queues[i]);
		queues[i]->is_inherited = 1;
	}
	__atomic_store_n(&nr_queues, 0, __ATOMIC_RELAXED);
}

/* -- public calls -- */

/* NULL and errno on failure. */
static struct ashmem_purge_queue *make(uint32_t entries)
{
	struct ashmem_purge_queue *queue =
		calloc(1, sizeof(*queue) + entries * sizeof(struct entry));

	if (!queue)
		return NULL;
	queue->capacity = entries;
	queue->event_fd = descriptor_above_std(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (queue->event_fd < 0) {
		int error = errno;
		free(queue);
		errno = error;
		return NULL;
	}
	return queue;
}

static int publish(struct ashmem_purge_queue *queue)
{
	unsigned slot = 0;

	pthread_mutex_lock(&queues_mutex);
	while (slot < QUEUES_MAX && queues[slot])
		slot++;
	if (slot < QUEUES_MAX) {
		queue->bit = 1u << slot;
		queues[slot] = queue;
		__atomic_fetch_add(&nr_queues, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&queues_mutex);
	return slot < QUEUES_MAX ? 0 : -ENOSPC;
}

int ashmem_purge_queue_open(const struct ashmem_purge_queue_options *options,
	struct ashmem_purge_queue **queue)
{
	CANCEL_OFF;
	struct ashmem_purge_queue_options wishes = {.struct_size = sizeof(wishes)};
	int r = !queue ? -EINVAL : options ? struct_copy_in(&wishes, sizeof(wishes), options) : 0;

	if (r == 0 && wishes.entries > ENTRIES_MAX)
		r = -EINVAL;
	if (r == 0)
		r = process_start();
	if (r < 0)
		return r;
	struct ashmem_purge_queue *fresh = make(wishes.entries ? wishes.entries : ENTRIES_DEFAULT);
	if (!fresh)
		return -errno;
	r = publish(fresh);
	if (r < 0) {
		close(fresh->event_fd);
		free(fresh);
		return r;
	}
	*queue = fresh;
	return 0;
}

int ashmem_purge_queue_fd(const struct ashmem_purge_queue *queue)
{
	return !queue ? -EINVAL : queue->is_inherited ? -ESTALE : queue->event_fd;
}

/* Take one out: 1, or 0 if there is none. What concerns a whole area comes first. */
static int take(struct ashmem_purge_queue *queue, struct ashmem_purge_notice *notice)
{
	int had_any = has_any(queue);
	struct ashmem_area *area = queue->areas_whole ? first_whole(queue) : NULL;

	if (!had_any)
		return 0;
	if (area) {
		notice->area = area;
		notice->length = __atomic_load_n(&area->end_bytes, __ATOMIC_RELAXED);
		notice->flags = ASHMEM_PURGE_NOTICE_WHOLE;
		clear_whole(queue, area);
	} else {
		notice->area = entry_at(queue, 0)->area;
		notice->offset = entry_at(queue, 0)->offset;
		notice->length = entry_at(queue, 0)->length;
		queue->first = (queue->first + 1) % queue->capacity;
		queue->count--;
	}
	tell_event(queue, had_any);
	return 1;
}

int ashmem_purge_queue_next(struct ashmem_purge_queue *queue, struct ashmem_purge_notice *notice)
{
	CANCEL_OFF;
	struct ashmem_purge_notice all = {.struct_size = sizeof(all)};

	if (!queue || !notice || notice->struct_size < sizeof(notice->struct_size))
		return -EINVAL;
	if (queue->is_inherited)
		return -ESTALE;
	pthread_mutex_lock(&queues_mutex);
	int r = take(queue, &all);
	pthread_mutex_unlock(&queues_mutex);
	if (r > 0)
		struct_copy_out(notice, &all, sizeof(all));
	return r;
}

void ashmem_purge_queue_close(struct ashmem_purge_queue *queue)
{
	CANCEL_OFF;
	if (!queue)
		return;
	pthread_mutex_lock(&queues_mutex);
	empty(queue);
	for (unsigned i = 0; i < QUEUES_MAX; i++)
		if (queues[i] == queue)
			queues[i] = NULL;
	if (!queue->is_inherited)
		__atomic_fetch_sub(&nr_queues, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&queues_mutex);
	close(queue->event_fd);
	free(queue);
}
