/* SPDX-License-Identifier: MIT */
/*
 * How much stack each call takes: the table of the guide ("How much stack a call takes"), measured
 * on a stack that was painted before. Threads with small stacks rely on it.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/every_call.h"
#include "support/tools.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STACK = 512 << 10, PAINT = 0xa5, KIB = 1024 };

/* What the guide says, in KiB, for calls whose names begin so; the first that fits counts. */
static const struct {
	const char *names;
	uint32_t kib;
} bounds[] = {
	{"ashmem_pressure_", 40},
	{"ashmem_shrink", 40},
	{"ashmem_purge_all", 16},
	{"ashmem_purge_fd", 16},
	{"ashmem_purge_", 8},
	{"ashmem_purge", 16},
	{"ashmem_budget_", 16},   /* with the unpins that exceed one */
	{"ashmem_debug_set", 16}, /* with an unpin that purges */
	{"ashmem_", 8},
};

static struct every_world world;
static const struct every_call *call;

static void *make_call(void *unused)
{
	call->run(&world);
	return unused;
}

static void nothing(void)
{
}

static void no_call(struct every_world *unused)
{
	(void)unused;
}

/* Bytes of the stack that a thread which makes the call used, the thread's own included. */
static size_t stack_of(const struct every_call *measured)
{
	unsigned char *stack = mmap(NULL, STACK, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attributes;
	pthread_t thread;
	size_t untouched = 0;

	expect(stack != MAP_FAILED);
	memset(stack, PAINT, STACK);
	call = measured;
	pthread_attr_init(&attributes);
	expect_eq(pthread_attr_setstack(&attributes, stack, STACK), 0);
	expect_eq(pthread_create(&thread, &attributes, make_call, NULL), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attributes);
	while (untouched < STACK && stack[untouched] == PAINT)
		untouched++;
	munmap(stack, STACK);
	return STACK - untouched;
}

static uint32_t bound_of(const char *name)
{
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		if (strncmp(name, bounds[i].names, strlen(bounds[i].names)) == 0)
			return bounds[i].kib;
	return 0;
}

static void measure_each(void *unused)
{
	static const struct every_call none = {"none", no_call};
	uint32_t count;
	const struct every_call *calls = every_call(&count);
	size_t thread = stack_of(&none);

	(void)unused;
	every_world_make(&world, nothing);
	for (uint32_t i = 0; i < count; i++) {
		size_t bytes = stack_of(&calls[i]);
		bytes = bytes > thread ? bytes - thread : 0;
		if (getenv("ASHMEM_TEST_SHOW"))
			fprintf(stderr, "%-28s %6zu bytes of stack\n", calls[i].name, bytes);
		expect_msg(getenv("ASHMEM_TEST_SHOW") || bytes <= bound_of(calls[i].name) * KIB,
			"%s takes %zu bytes of stack", calls[i].name, bytes);
	}
}

CONTRACT_TEST(contract_stack, each_call_keeps_within_what_the_guide_says)
{
	if (UNDER_ADDRESS_SANITIZER || UNDER_THREAD_SANITIZER)
		contract_skip("a sanitizer makes frames larger");
	contract_skip_under_valgrind("valgrind's signal frames count too");
	run_child(measure_each, NULL);
}
