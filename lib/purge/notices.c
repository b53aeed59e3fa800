/* SPDX-License-Identifier: MIT */
/*
 * Notices of purges (notices.h), and the subscribers.
 *
 * `notices_mutex` guards the table of subscribers. It is a leaf: nothing of the library is called
 * with it held, and no subscriber. A slot says how many threads are in its subscriber. The end of a
 * subscription waits until that is 0, unless a subscriber asks for it: two that waited for each
 * other would never end.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include "base/cancel.h"
#include "base/context.h"
#include "base/fork.h"
#include "base/pages.h"
#include "base/shared.h"
#include "base/sys.h"
#include "handle/handle.h"
#include "purge/notices.h"
#include "purge/queue.h"

#define SUBSCRIBERS_MAX 8

struct subscriber {
	int id; /* 0: free */
	int ended;
	uint32_t running; /* calls under way; the slot is free again when an ended one has none */
	ashmem_purge_fn fn;
	void *userdata;
};

static pthread_mutex_t notices_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t returned = PTHREAD_COND_INITIALIZER;
static struct subscriber subscribers[SUBSCRIBERS_MAX];
static int last_id;
static uint32_t subscribed; /* atomic: how many there are */

void notices_before_fork(void)
{
	pthread_mutex_lock(&notices_mutex);
}

void notices_after_fork(void)
{
	pthread_mutex_unlock(&notices_mutex);
}

void notices_after_fork_in_child(void)
{
	/* The other threads are not here, and so do not return. */
	for (unsigned i = 0; i < SUBSCRIBERS_MAX; i++) {
		subscribers[i].running = context_subscribers(&subscribers[i]);
		if (subscribers[i].ended && subscribers[i].running == 0)
			subscribers[i] = (struct subscriber){.id = 0};
	}
	pthread_cond_init(&returned, NULL);
}

/* -- noting -- */

int notices_full(const struct notices *notices)
{
	return notices->count > NOTICES_MAX - NOTICES_RESERVE;
}

static uint32_t room(const void *context)
{
	const struct notices *notices = context;

	return NOTICES_MAX - notices->count;
}

/*
 * Make the last notice reach over these bytes as well, and what lies between. Only for a registered
 * backend that purges more pieces at once than it may (backend.h): ours look at the room.
 */
static void widen(struct notices *notices, uint64_t offset, uint64_t length)
{
	uint64_t *start = &notices->notice[notices->count - 1].offset;
	uint64_t *bytes = &notices->notice[notices->count - 1].length, end = *start + *bytes;

	end = offset + length > end ? offset + length : end;
	*start = offset < *start ? offset : *start;
	*bytes = end - *start;
}

/* From below, also with a control lock held: these bytes are gone. */
static void add(void *context, uint64_t offset, uint64_t length)
{
	struct notices *notices = context;

	if (!notices->area)
		return;
	if (notices->count > notices->first_of_area) {
		uint64_t start = notices->notice[notices->count - 1].offset;
		uint64_t end = start + notices->notice[notices->count - 1].length;
		if (notices->count == NOTICES_MAX || end == offset || offset + length == start) {
			widen(notices, offset, length);
			return;
		}
	}
	assert(notices->count < NOTICES_MAX); /* the purge has looked at notices_full() */
	notices->notice[notices->count].area = notices->area;
	notices->notice[notices->count].offset = offset;
	notices->notice[notices->count].length = length;
	notices->count++;
}

void ashmem_backend_note_purged(uint64_t offset, uint64_t length)
{
	context_note_purged(offset, length);
}

void notices_begin(struct notices *notices, struct context *frame)
{
	notices->wanted = queues_any() || __atomic_load_n(&subscribed, __ATOMIC_RELAXED) > 0;
	notices->count = notices->first_of_area = 0;
	notices->area = NULL;
	frame->note = notices->wanted ? add : NULL;
	frame->room = room;
	frame->notes = notices;
}

void notices_begin_area(struct notices *notices, struct ashmem_area *area)
{
	notices->area = area;
	notices->first_of_area = notices->count;
}

void notices_end_area(struct notices *notices, int64_t freed)
{
	struct ashmem_area *area = notices->area;
	uint64_t size;

	if (!notices->wanted)
		return;
	if (freed > 0 && notices->count == notices->first_of_area) /* the backend did not say */
		add(notices, 0, area_learn_size(area, &size) < 0 ? 0 : pages_round_up(size));
	/* Not in add(): there an area is locked. */
	for (uint32_t i = notices->first_of_area; i < notices->count; i++)
		area_take(area);
	notices->area = NULL;
}

/* -- telling -- */

static void call(unsigned slot, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	struct subscriber *subscriber = &subscribers[slot];

	pthread_mutex_lock(&notices_mutex);
	int is_there = subscriber->id != 0 && !subscriber->ended;
	ashmem_purge_fn fn = subscriber->fn;
	void *userdata = subscriber->userdata;
	subscriber->running += (uint32_t)is_there;
	pthread_mutex_unlock(&notices_mutex);
	if (!is_there)
		return;

	struct context frame = {.subscriber = subscriber};
	context_push(&frame);
	fn(userdata, area, offset, length);
	context_pop(&frame);

	pthread_mutex_lock(&notices_mutex);
	if (--subscriber->running == 0 && subscriber->ended)
		*subscriber = (struct subscriber){.id = 0};
	pthread_cond_broadcast(&returned);
	pthread_mutex_unlock(&notices_mutex);
}

void notices_tell(struct notices *notices)
{
	/* All of them first: what a subscriber does may take long. */
	for (uint32_t i = 0; i < notices->count && queues_any(); i++)
		queues_put(notices->notice[i].area, notices->notice[i].offset,
			notices->notice[i].length);
	for (uint32_t i = 0; i < notices->count; i++) {
		for (unsigned slot = 0; slot < SUBSCRIBERS_MAX; slot++)
			call(slot, notices->notice[i].area, notices->notice[i].offset,
				notices->notice[i].length);
		area_put(notices->notice[i].area);
	}
}

/* -- subscribing -- */

int ashmem_purge_subscribe(ashmem_purge_fn fn, void *userdata)
{
	CANCEL_OFF;
	unsigned slot = 0;
	int id = -ENOSPC, r;

	if (!fn)
		return -EINVAL;
	r = process_start();
	if (r < 0)
		return r;
	pthread_mutex_lock(&notices_mutex);
	while (slot < SUBSCRIBERS_MAX && subscribers[slot].id != 0)
		slot++;
	if (slot < SUBSCRIBERS_MAX) {
		last_id = last_id < INT_MAX ? last_id + 1 : 1;
		id = last_id;
		subscribers[slot] = (struct subscriber){.id = id, .fn = fn, .userdata = userdata};
		__atomic_fetch_add(&subscribed, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&notices_mutex);
	return id;
}

int ashmem_purge_unsubscribe(int id)
{
	CANCEL_OFF;
	int r = -ENOENT;

	/* A subscriber that we waited for may wait for a lock that this thread has. */
	if (!context_may_purge())
		return -EDEADLK;
	pthread_mutex_lock(&notices_mutex);
	for (unsigned slot = 0; id > 0 && slot < SUBSCRIBERS_MAX; slot++) {
		struct subscriber *subscriber = &subscribers[slot];
		if (subscriber->id != id || subscriber->ended)
			continue;
		r = 0;
		subscriber->ended = 1;
		__atomic_fetch_sub(&subscribed, 1, __ATOMIC_RELAXED);
		/*
		 * The last call that returns empties the slot. It may be taken again before we
		 * look.
		 */
		if (subscriber->running == 0)
			*subscriber = (struct subscriber){.id = 0};
		while (context_subscribers(NULL) == 0 && subscriber->id == id)
			pthread_cond_wait(&returned, &notices_mutex);
		break;
	}
	pthread_mutex_unlock(&notices_mutex);
	return r;
}
