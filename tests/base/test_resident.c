/* SPDX-License-Identifier: MIT */
/*
 * The library's code kept in memory.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"
#include "support/tools.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ashmem/ashmem.h>

#include "base/resident.h"

static long locked_kib(void)
{
	char line[256];
	long kib = -1;
	FILE *file = fopen("/proc/self/status", "re");

	while (file && kib < 0 && fgets(line, sizeof line, file))
		sscanf(line, "VmLck: %ld kB", &kib);
	if (file)
		fclose(file);
	return kib;
}

static void skip_unless_locked(int r)
{
	if (UNDER_ADDRESS_SANITIZER || UNDER_THREAD_SANITIZER)
		contract_skip("sanitizers lock no memory");
	if (r == -ENOMEM || r == -EPERM || r == -EAGAIN)
		contract_skip("RLIMIT_MEMLOCK allows no memory to be locked");
	if (r == -E2BIG)
		contract_skip("it is part of a large program");
	expect_eq(r, 0);
}

CONTRACT_TEST(resident, the_code_is_locked_once_however_often_that_is_asked)
{
	skip_unless_locked(resident_lock_code());
	long once = locked_kib();

	expect(once > 0);
	expect_eq(resident_lock_code(), 0);
	expect_eq(locked_kib(), once);
}

CONTRACT_TEST(resident, areas_made_later_are_not_locked)
{
	struct ashmem_area *area;
	void *address;

	skip_unless_locked(resident_lock_code());
	long before = locked_kib();
	expect_eq(ashmem_create("later", 64 << 20, 0, &area), 0);
	expect_eq(ashmem_map(area, 0, 64 << 20, PROT_READ, MAP_SHARED, &address), 0);
	expect_eq(locked_kib(), before);
	ashmem_close(area);
}

CONTRACT_TEST(resident, without_the_right_nothing_happens)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_MEMLOCK, &none) != 0)
		contract_skip("the limit cannot be set");
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mlock(page, 4096) == 0)
		contract_skip("the limit does not bind this user");
	int r = resident_lock_code();
	expect(r == -EPERM || r == -ENOMEM || r == -E2BIG);
}

CONTRACT_TEST(resident, an_urgent_watch_locks_it_and_says_so)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = "available", .priority = 1};
	struct ashmem_pressure *pressure;
	char why[2000];

	skip_unless_locked(resident_lock_code());
	expect_eq(munlockall(), 0);
	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	expect_eq(locked_kib(), 0);
	expect_eq(ashmem_pressure_run(pressure), 0);
	expect(locked_kib() > 0);
	for (int i = 0; i < 10000; i++) {
		expect(ashmem_pressure_explain(pressure, why, sizeof why) > 0);
		if (strstr(why, "thread:"))
			break;
		usleep(1000);
	}
	expect(strstr(why, "its code stays in memory"));
	ashmem_pressure_close(pressure);
}
