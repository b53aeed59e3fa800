/* SPDX-License-Identifier: MIT */
/*
 * Many threads on a few areas: each pins, unpins, uses and checks pages of its own (stress.h), all
 * purge, import, close and make areas, and some fork. Clean under the thread sanitizer.
 * ASHMEM_STRESS_SECONDS (5) says how long; exits 0 if all went well.
 */
#define _GNU_SOURCE 1
#include "support/stress.h"
#include "support/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 6, STEPS_BETWEEN_FORKS = 5000 };

static struct stress_page records[THREADS][STRESS_AREAS][STRESS_STRIPE];
static double deadline;

/* A child has all areas; while it lives, its pages are those of the thread that forked it. */
static void fork_and_wait(struct stress_worker *worker)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		alarm(60);
		stress_take_over(worker);
		for (int i = 0; i < 100; i++)
			stress_step(worker);
		stress_take_over(worker);
		_exit(0);
	}
	stress_expect(child > 0);
	while (waitpid(child, &status, 0) < 0)
		stress_expect(errno == EINTR);
	if (status != 0)
		stress_fail("a child ended with wait status %#x", (unsigned)status);
	/* The records are the thread's own, the values that the child wrote are not in them. */
	for (int area = 0; area < STRESS_AREAS; area++)
		for (int page = 0; page < STRESS_STRIPE; page++)
			worker->pages[area][page].state = STRESS_IN_DOUBT;
	stress_take_over(worker);
}

static void *work(void *argument)
{
	struct stress_worker *worker = argument;

	stress_take_over(worker);
	while (seconds_now() < deadline) {
		for (int i = 0; i < 100; i++)
			stress_step(worker);
		/* To valgrind, what the other threads held is lost in a child. */
		if (!under_valgrind() && stress_random(worker, STEPS_BETWEEN_FORKS / 100) == 0)
			fork_and_wait(worker);
	}
	stress_take_over(worker);
	return NULL;
}

int main(void)
{
	struct stress_worker maker = {.number = 0}, workers[THREADS];
	uint64_t steps = 0, purged = 0, kept = 0;
	pthread_t threads[THREADS];

	stress_make_areas(&maker, THREADS);
	deadline = seconds_now() + stress_seconds();
	for (int i = 0; i < THREADS; i++) {
		workers[i] = maker;
		workers[i].number = i;
		workers[i].random =
			random_from(0x9e3779b97f4a7c15u * (uint64_t)(i + 1) ^ (uint64_t)getpid());
		workers[i].pages = records[i];
		stress_expect(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		steps += workers[i].steps;
		purged += workers[i].purged;
		kept += workers[i].kept;
	}
	stress_check_areas(&maker);
	printf("%" PRIu64 " steps of %d threads; pages found whole %" PRIu64 ", purged %" PRIu64
	       "\n",
		steps, THREADS, kept, purged);
	stress_expect(purged > 0 && kept > 0);
	for (int i = 0; i < STRESS_AREAS; i++) {
		ashmem_unmap(maker.base[i], (size_t)ashmem_get_size(maker.area[i]));
		ashmem_close(maker.area[i]);
	}
	return 0;
}
