/* SPDX-License-Identifier: MIT */
/*
 * Cancellation (pthreads(7)): no call of the library is a cancellation point, and no function that
 * it calls for the program is one. Each call is made by a thread that was cancelled and does not
 * know yet: the call returns, the thread ends at its own next point, and the library works on.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/every_call.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct every_world world;
static const struct every_call *call;
static int returned; /* from the call */

static void cancelled_thread_end(void *unused)
{
	(void)unused;
}

static void *cancelled_thread(void *unused)
{
	pthread_cleanup_push(cancelled_thread_end, NULL);
	pthread_cancel(pthread_self());
	call->run(&world);
	returned = 1;
	pthread_testcancel();
	pthread_cleanup_pop(1);
	return unused;
}

/* What would hang if a mutex were left locked; alarm(2) ends it then. */
static void expect_library_works(void)
{
	struct ashmem_area *area = area_of_pages(4);
	pid_t child;

	expect(map_whole(area, PROT_RW) != NULL);
	unpin_pages(area, 0, 4);
	expect(ashmem_shrink(EVERY_PAGES) >= 0);
	expect(ashmem_purge_all() >= 0);
	expect(pin_pages(area, 0, 4) >= 0);
	expect(status_pages(world.view.area, 0, EVERY_PAGES) >= 0);
	expect(ashmem_pin(world.view.area, 0, 0) >= 0);
	ashmem_close(area);
	child = fork();
	if (child == 0)
		_exit(0);
	expect_eq(child_wait(child), 0);
	call->run(&world);
}

static void cancel_one(void *argument)
{
	struct holdings before;
	pthread_t thread;
	void *result;

	call = argument;
	alarm(20);
	every_world_make(&world, pthread_testcancel);
	call->run(&world);
	before = holdings_now();
	expect_eq(pthread_create(&thread, NULL, cancelled_thread, NULL), 0);
	expect_eq(pthread_join(thread, &result), 0);
	expect_msg(returned, "%s: the thread was cancelled within", call->name);
	expect_msg(result == PTHREAD_CANCELED, "%s: the request was lost", call->name);
	if (holdings_now().descriptors != before.descriptors)
		contract_fail(__FILE__, __LINE__, "%s: descriptors %d, then %d", call->name,
			before.descriptors, holdings_now().descriptors);
	expect_library_works();
}

CONTRACT_TEST(contract_cancel, no_call_is_a_cancellation_point)
{
	uint32_t count;
	const struct every_call *calls = every_call(&count);

	expect(count > 50);
	for (uint32_t i = 0; i < count; i++) {
		int status = child_wait(child_start(cancel_one, (void *)(uintptr_t)&calls[i]));
		expect_msg(status == 0, "%s: status %x%s", calls[i].name, status,
			WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ", hung" : "");
	}
}

static void make_and_unpin(struct every_world *unused)
{
	struct ashmem_area *area = NULL;
	void *at;

	(void)unused;
	if (ashmem_create("first", page_bytes(), 0, &area) < 0)
		return;
	if (ashmem_map(area, 0, page_bytes(), PROT_RW, MAP_SHARED, &at) == 0)
		munmap(at, page_bytes());
	ashmem_unpin(area, 0, 0);
	ashmem_close(area);
}

/* Its first call of the library is a thread's, so that what is made once is made there. */
static void cancel_the_first(void *unused)
{
	static const struct every_call first = {"first", make_and_unpin};
	pthread_t thread;
	void *result;

	(void)unused;
	alarm(20);
	call = &first;
	expect_eq(pthread_create(&thread, NULL, cancelled_thread, NULL), 0);
	expect_eq(pthread_join(thread, &result), 0);
	expect(returned);
	every_world_make(&world, pthread_testcancel);
	expect_library_works();
}

CONTRACT_TEST(contract_cancel, a_first_call_is_none_either)
{
	run_child(cancel_the_first, NULL);
}

/* The handlers that fork calls materialise areas, so they come to libc's points too. */
static void fork_it(struct every_world *unused)
{
	struct ashmem_area *newborn = NULL;
	pid_t child;

	(void)unused;
	if (ashmem_create("newborn", page_bytes(), 0, &newborn) < 0)
		return;
	child = fork();
	if (child == 0)
		_exit(0);
	ashmem_close(newborn);
	int before;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	while (child > 0 && waitpid(child, NULL, 0) < 0)
		;
	pthread_setcancelstate(before, &before);
}

CONTRACT_TEST(contract_cancel, fork_is_none_either)
{
	static const struct every_call forking = {"fork", fork_it};

	run_child(cancel_one, (void *)(uintptr_t)&forking);
}
