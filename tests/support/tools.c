/* SPDX-License-Identifier: MIT */
/* What a test has to know of the tool that it runs under: see tools.h. */
#define _GNU_SOURCE 1
#include "support/tools.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

int under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload") != NULL;
}

uint64_t less_if_slow(uint64_t count)
{
	if (under_valgrind())
		return count / 40 + 1;
	return UNDER_THREAD_SANITIZER ? count / 20 + 1 : count;
}

uint64_t test_operations(void)
{
	const char *text = getenv("ASHMEM_TEST_OPS");
	uint64_t operations = text ? strtoull(text, NULL, 0) : 0;

	return operations ? operations : less_if_slow(200000);
}

double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
