/* SPDX-License-Identifier: MIT */
/*
 * Least recently unpinned first, when memory is really short: unpins many ranges of several areas
 * in a known order, has some of them purged, and compares which.
 *
 * On the driver another process takes memory, little by little, until the kernel has called the
 * driver's shrinker for a part of the ranges; that only works where memory is small and nothing
 * else can be reclaimed, so in a guest. On the memfd backend, which no kernel shrinks, it is
 * ashmem_shrink(). ASHMEM_BACKEND names the backend.
 *
 * Prints PASS or FAIL a test, and "N passed, N failed, N skipped"; exits 0, 1, or 77 if memory
 * could not be made short.
 */
#define _GNU_SOURCE 1
#include <ashmem/ashmem.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	RANGES = 600,
	RANGE_PAGES = 16,
	STRIDE_PAGES = RANGE_PAGES + 1, /* a page between ranges, so that none touch */
	IN_AREA = 200,
	AREAS = RANGES / IN_AREA,
	STEP_BYTES = 512 << 10,
	PATIENCE_SECONDS = 30,
};

static struct area {
	struct ashmem_area *area;
	unsigned char *base;
} areas[AREAS];

static uint64_t page;
static uint64_t age[RANGES], last_age; /* when the contract says that a range was unpinned */
static int purged[RANGES];
static int passed, failed;

static void result(int ok, const char *what)
{
	printf("%s %s\n", ok ? "PASS" : "FAIL", what);
	fflush(stdout);
	passed += ok;
	failed += !ok;
}

static void must(int64_t r, const char *what)
{
	if (r >= 0)
		return;
	printf("FAIL %s: %s\n0 passed, 1 failed, 0 skipped\n", what, strerror((int)-r));
	exit(1);
}

/* -- ranges by number -- */

static uint64_t offset_of(int range)
{
	return (uint64_t)(range % IN_AREA) * STRIDE_PAGES * page;
}

static struct area *area_of(int range)
{
	return &areas[range / IN_AREA];
}

static void unpin(int range, int first_page, int pages)
{
	must(ashmem_unpin(area_of(range)->area, offset_of(range) + (uint64_t)first_page * page,
		     (uint64_t)pages * page),
		"ashmem_unpin");
}

static int pin(int range)
{
	int r = ashmem_pin(area_of(range)->area, offset_of(range), RANGE_PAGES * page);

	must(r, "ashmem_pin");
	return r;
}

/* Whether a page is zeroes; reading through the descriptor takes no memory for it. */
static int is_lost(int range, int which)
{
	unsigned char byte = 1;

	must(ashmem_pread(area_of(range)->area, &byte, 1,
		     offset_of(range) + (uint64_t)which * page),
		"ashmem_pread");
	return byte == 0;
}

static int count_purged(void)
{
	int count = 0;

	for (int range = 0; range < RANGES; range++) {
		purged[range] = is_lost(range, 0);
		count += purged[range];
	}
	return count;
}

/* -- the order -- */

static void make_areas(void)
{
	size_t bytes = (size_t)(IN_AREA * STRIDE_PAGES * page);

	for (int i = 0; i < AREAS; i++) {
		void *base = NULL;

		must(ashmem_create("pressure", bytes, 0, &areas[i].area), "ashmem_create");
		must(ashmem_map(areas[i].area, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, &base),
			"ashmem_map");
		areas[i].base = base;
		memset(base, 0x5a, bytes);
	}
}

/* Unpin all in an order that jumps about among areas and offsets; then some of them again. */
static void unpin_all(void)
{
	int half[RANGES] = {0};

	for (int i = 0; i < RANGES; i++) {
		int range = i * 229 % RANGES;

		half[range] = i % 11 == 3;
		if (half[range]) /* more of it follows */
			unpin(range, 0, RANGE_PAGES / 2);
		else
			unpin(range, 0, RANGE_PAGES);
		age[range] = ++last_age;
	}
	for (int i = 0; i < RANGES; i++) {
		int range = i * 331 % RANGES;

		if (half[range]) { /* grown: young */
			unpin(range, RANGE_PAGES / 4, RANGE_PAGES - RANGE_PAGES / 4);
			age[range] = ++last_age;
		} else if (i % 7 == 2) { /* used and given back: young */
			pin(range);
			unpin(range, 0, RANGE_PAGES);
			age[range] = ++last_age;
		} else if (i % 3 == 1) { /* inside what is unpinned: no younger for it */
			unpin(range, 1, RANGE_PAGES / 2);
		}
	}
}

/* No range that is older than a purged one is left. */
static int is_oldest_first(void)
{
	uint64_t youngest = 0;
	int wrong = 0;

	for (int range = 0; range < RANGES; range++)
		if (purged[range] && age[range] > youngest)
			youngest = age[range];
	for (int range = 0; range < RANGES; range++)
		wrong += !purged[range] && age[range] < youngest;
	if (wrong)
		printf("%d ranges were left though they are older than others that went\n", wrong);
	return wrong == 0;
}

static void check_all(void)
{
	int whole = 1, pinned_lost = 0, truthful = 1;

	result(is_oldest_first(), "least recently unpinned ranges went first");
	for (int range = 0; range < RANGES; range++) {
		for (int which = 1; which < RANGE_PAGES; which++)
			whole &= is_lost(range, which) == purged[range];
		pinned_lost += is_lost(range, RANGE_PAGES);
	}
	result(whole, "ranges went as a whole");
	result(pinned_lost == 0, "pinned pages between them stayed");
	for (int range = 0; range < RANGES; range++)
		truthful &= pin(range) == (purged[range] ? ASHMEM_WAS_PURGED : ASHMEM_NOT_PURGED);
	result(truthful, "pin told which");
}

/* -- shortage -- */

/* The child: takes a step's worth of memory for each byte that comes, and says so. */
static void take_memory(int in, int out)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(in, &byte, 1) == 1) {
		unsigned char *more = mmap(NULL, STEP_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (more == MAP_FAILED)
			break;
		memset(more, 1, STEP_BYTES);
		if (write(out, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

/* The kernel may take its time, but it must not kill: 1 if the child answered. */
static int take_step(int to, int from)
{
	struct pollfd answer = {from, POLLIN, 0};
	char byte = 'm';

	return write(to, &byte, 1) == 1 && poll(&answer, 1, PATIENCE_SECONDS * 1000) == 1 &&
		read(from, &byte, 1) == 1;
}

static int press(void)
{
	int to[2], from[2], count = 0, alive = 1;
	pid_t child;

	signal(SIGPIPE, SIG_IGN);
	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		must(-errno, "pipe2");
	child = fork();
	if (child < 0)
		must(-errno, "fork");
	if (child == 0) {
		close(to[1]);
		close(from[0]);
		take_memory(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	for (int step = 0; alive && count < RANGES / 4; step++) {
		alive = take_step(to[1], from[0]);
		count = count_purged();
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return count_purged();
}

int main(void)
{
	int count, is_kernel;

	page = (uint64_t)sysconf(_SC_PAGESIZE);
	make_areas();
	is_kernel = strcmp(ashmem_backend_name(areas[0].area), "kernel") == 0;
	unpin_all();
	if (is_kernel)
		press();
	else
		must(ashmem_shrink(RANGES / 3 * RANGE_PAGES), "ashmem_shrink");
	count = count_purged();
	printf("%s: %d of %d ranges were purged %s\n", ashmem_backend_name(areas[0].area), count,
		RANGES, is_kernel ? "under memory pressure" : "by ashmem_shrink()");
	if (count == 0 || count == RANGES) {
		puts("memory could not be made short by the right amount");
		puts("0 passed, 0 failed, 1 skipped");
		return 77;
	}
	check_all();
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
