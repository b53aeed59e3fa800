/* SPDX-License-Identifier: MIT */
/*
 * Queues of notices: what is fetched, what a full queue keeps of it, and that a program may fetch
 * and purge with its locks held.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define NEEDS_NOTICES() skip_on_kernel("the driver does not tell what it purges")

static struct ashmem_purge_queue *queue_of(uint32_t entries)
{
	struct ashmem_purge_queue_options options = {
		.struct_size = sizeof options, .entries = entries};
	struct ashmem_purge_queue *queue = NULL;

	expect_eq(ashmem_purge_queue_open(&options, &queue), 0);
	return queue;
}

static int is_readable(const struct ashmem_purge_queue *queue)
{
	struct pollfd pollfd = {.fd = ashmem_purge_queue_fd(queue), .events = POLLIN};

	expect(pollfd.fd > STDERR_FILENO);
	return poll(&pollfd, 1, 0);
}

/* The next notice is of these pages. */
static void expect_next(struct ashmem_purge_queue *queue, struct ashmem_area *area, uint64_t first,
	uint64_t count, uint32_t flags)
{
	struct ashmem_purge_notice notice = {.struct_size = sizeof notice};

	expect(is_readable(queue));
	expect_eq(ashmem_purge_queue_next(queue, &notice), 1);
	expect(notice.area == area);
	expect_eq(notice.offset, first * page_bytes());
	expect_eq(notice.length, count * page_bytes());
	expect_eq(notice.flags, flags);
}

static void expect_empty(struct ashmem_purge_queue *queue)
{
	struct ashmem_purge_notice notice = {.struct_size = sizeof notice, .length = 7};

	expect_eq(is_readable(queue), 0);
	expect_eq(ashmem_purge_queue_next(queue, &notice), 0);
	expect_eq(notice.length, 7);
}

CONTRACT_TEST(purge_queue, purges_are_fetched_in_order)
{
	struct ashmem_purge_queue *queue, *other;

	NEEDS_NOTICES();
	queue = queue_of(0);
	other = queue_of(0);
	struct view a = view_make(16), b = view_make(16);
	expect_empty(queue);
	unpin_pages(b.area, 4, 2);
	unpin_pages(a.area, 0, 1);
	unpin_pages(b.area, 9, 1);
	expect_eq(ashmem_shrink(4), 4);
	for (int i = 0; i < 2; i++) {
		expect_next(queue, b.area, 4, 2, 0);
		expect_next(queue, a.area, 0, 1, 0);
		expect_next(queue, b.area, 9, 1, 0);
		expect_empty(queue);
		struct ashmem_purge_queue *first = queue;
		queue = other;
		other = first;
	}
	unpin_pages(a.area, 5, 1);
	ashmem_purge_queue_close(other);
	expect_eq(ashmem_purge_all(), 1);
	expect_next(queue, a.area, 5, 1, 0);
	expect_empty(queue);
	ashmem_purge_queue_close(queue);
	view_drop(&a);
	view_drop(&b);
}

CONTRACT_TEST(purge_queue, full_queue_tells_of_the_whole_area)
{
	struct ashmem_purge_queue *queue;

	NEEDS_NOTICES();
	queue = queue_of(3);
	struct view a = view_make(16), b = view_make(8), c = view_make(4);
	unpin_pages(b.area, 1, 1);
	for (uint64_t page = 0; page < 8; page += 2)
		unpin_pages(a.area, page, 1);
	expect_eq(ashmem_purge_all(), 5);
	/* What of the others is in the queue stays. */
	expect_next(queue, a.area, 0, 16, ASHMEM_PURGE_NOTICE_WHOLE);
	expect_next(queue, b.area, 1, 1, 0);
	expect_empty(queue);

	for (uint64_t page = 9; page < 15; page += 2)
		unpin_pages(a.area, page, 1);
	unpin_pages(c.area, 0, 1);
	unpin_pages(b.area, 4, 1);
	expect_eq(ashmem_shrink(5), 5);
	unpin_pages(c.area, 2, 1); /* told already */
	expect_eq(ashmem_shrink(5), 1);
	uint64_t wholes = 0;
	for (int i = 0; i < 2; i++) {
		struct ashmem_purge_notice notice = {.struct_size = sizeof notice};
		expect_eq(ashmem_purge_queue_next(queue, &notice), 1);
		expect_eq(notice.flags, ASHMEM_PURGE_NOTICE_WHOLE);
		wholes += notice.area == b.area ? 1 : notice.area == c.area ? 16 : 1000;
	}
	expect_eq(wholes, 17);
	for (uint64_t page = 9; page < 15; page += 2)
		expect_next(queue, a.area, page, 1, 0);
	expect_empty(queue);
	ashmem_purge_queue_close(queue);
	view_drop(&a);
	view_drop(&b);
	view_drop(&c);
}

CONTRACT_TEST(purge_queue, closed_areas_are_told_no_more)
{
	struct ashmem_purge_queue *queue;

	NEEDS_NOTICES();
	queue = queue_of(2);
	struct view many = view_make(16), one = view_make(8), stays = view_make(8);
	for (uint64_t page = 0; page < 8; page += 2)
		unpin_pages(many.area, page, 1);
	unpin_pages(one.area, 1, 1);
	unpin_pages(stays.area, 3, 1);
	expect_eq(ashmem_shrink(6), 6);
	view_drop(&many); /* it was told as a whole */
	view_drop(&one);
	expect_next(queue, stays.area, 3, 1, 0);
	expect_empty(queue);
	unpin_pages(stays.area, 5, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect(is_readable(queue));
	view_drop(&stays);
	expect_empty(queue);
	ashmem_purge_queue_close(queue);
}

/* The program's lock is held around everything, and there is nobody to wait for. */
CONTRACT_TEST(purge_queue, unpin_purges_and_index_is_kept_under_one_lock)
{
	struct ashmem_budget_options limit = {.struct_size = sizeof limit};
	struct ashmem_purge_notice notice = {.struct_size = sizeof notice};
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct ashmem_purge_queue *queue;
	int is_there[64] = {0}, count = 0;

	NEEDS_NOTICES();
	queue = queue_of(0);
	struct view view = view_make(64);
	limit.unpinned_bytes = 8 * page_bytes();
	expect_eq(ashmem_budget_set_limits(ashmem_budget_process(), &limit), 0);
	for (uint64_t i = 0; i < 64; i++) {
		pthread_mutex_lock(&mutex);
		is_there[i] = 1;
		unpin_pages(view.area, i, 1);
		while (ashmem_purge_queue_next(queue, &notice) > 0)
			for (uint64_t at = 0; at < notice.length; at += page_bytes())
				is_there[(notice.offset + at) / page_bytes()] = 0;
		pthread_mutex_unlock(&mutex);
	}
	for (int i = 0; i < 64; i++)
		count += is_there[i] == (i >= 56);
	expect_eq(count, 64);
	ashmem_budget_close(ashmem_budget_process());
	ashmem_purge_queue_close(queue);
	view_drop(&view);
}

struct fetchers {
	struct ashmem_purge_queue *queue;
	uint64_t pages;
	int is_over;
};

static void *fetch(void *argument)
{
	struct fetchers *fetchers = argument;
	struct ashmem_purge_notice notice = {.struct_size = sizeof notice};

	for (;;) {
		int over = __atomic_load_n(&fetchers->is_over, __ATOMIC_SEQ_CST);
		int got = ashmem_purge_queue_next(fetchers->queue, &notice);
		if (got == 1)
			__atomic_add_fetch(&fetchers->pages, notice.length / page_bytes(),
				__ATOMIC_SEQ_CST);
		if (got == 0 && over)
			return NULL;
	}
}

CONTRACT_TEST(purge_queue, each_notice_goes_to_one_thread)
{
	struct fetchers fetchers = {.pages = 0};
	pthread_t threads[3];

	NEEDS_NOTICES();
	fetchers.queue = queue_of(4096);
	struct view view = view_make(1000);
	for (int i = 0; i < 3; i++)
		expect_eq(pthread_create(&threads[i], NULL, fetch, &fetchers), 0);
	for (uint64_t page = 0; page < 1000; page += 2)
		unpin_pages(view.area, page, 1);
	for (int i = 0; i < 100; i++)
		expect(ashmem_shrink(5) == 5);
	__atomic_store_n(&fetchers.is_over, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 3; i++)
		expect_eq(pthread_join(threads[i], NULL), 0);
	expect_eq(fetchers.pages, 500);
	ashmem_purge_queue_close(fetchers.queue);
	view_drop(&view);
}

static struct view shared_view;

static void in_child(void *argument)
{
	struct ashmem_purge_notice notice = {.struct_size = sizeof notice};
	struct ashmem_purge_queue *inherited = argument, *own = queue_of(0);

	expect_eq(ashmem_purge_queue_next(inherited, &notice), -ESTALE);
	expect_eq(ashmem_purge_queue_fd(inherited), -ESTALE);
	expect_eq(ashmem_shrink(1), 1);
	expect_next(own, shared_view.area, 5, 1, 0);
	expect_empty(own);
	ashmem_purge_queue_close(inherited);
	ashmem_purge_queue_close(own);
}

CONTRACT_TEST(purge_queue, child_of_fork_opens_its_own)
{
	struct ashmem_purge_queue *queue;

	NEEDS_NOTICES();
	queue = queue_of(0);
	shared_view = view_make(8);
	unpin_pages(shared_view.area, 1, 1);
	unpin_pages(shared_view.area, 5, 1);
	expect_eq(ashmem_shrink(1), 1);
	run_child(in_child, queue);
	expect_next(queue, shared_view.area, 1, 1, 0);
	expect_empty(queue);
	ashmem_purge_queue_close(queue);
	view_drop(&shared_view);
}

CONTRACT_TEST(purge_queue, wrong_arguments_are_refused_and_nothing_stays_open)
{
	struct ashmem_purge_queue_options options = {.struct_size = sizeof options};
	struct ashmem_purge_notice notice = {.struct_size = sizeof notice - 1};
	struct ashmem_purge_queue *queues[8], *more = NULL;
	struct holdings before = holdings_now();

	expect_eq(ashmem_purge_queue_open(&options, NULL), -EINVAL);
	options.entries = (1u << 20) + 1;
	expect_eq(ashmem_purge_queue_open(&options, &more), -EINVAL);
	options.struct_size = 1;
	expect_eq(ashmem_purge_queue_open(&options, &more), -EINVAL);
	for (int i = 0; i < 8; i++)
		expect_eq(ashmem_purge_queue_open(NULL, &queues[i]), 0);
	expect_eq(ashmem_purge_queue_open(NULL, &more), -ENOSPC);
	expect(!more);
	expect_eq(ashmem_purge_queue_next(queues[0], &notice), 0);
	notice.struct_size = 1;
	expect_eq(ashmem_purge_queue_next(queues[0], &notice), -EINVAL);
	expect_eq(ashmem_purge_queue_next(queues[0], NULL), -EINVAL);
	expect_eq(ashmem_purge_queue_next(NULL, &notice), -EINVAL);
	expect_eq(ashmem_purge_queue_fd(NULL), -EINVAL);
	for (int i = 0; i < 8; i++)
		ashmem_purge_queue_close(queues[i]);
	ashmem_purge_queue_close(NULL);
	expect_holdings(&before);
}
