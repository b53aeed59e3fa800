/* SPDX-License-Identifier: MIT */
/*
 * Control blocks with nonsense in them, before an import and under a living area. The layout is not
 * known here: bytes behind PAGE_ALIGN(size) of the descriptor are changed. Each trial must end with
 * an answer that area.h names: no crash (memory outside of the area would be one), no hang, no
 * descriptor left. Trials run in children, which hold nothing else.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/hostile.h"
#include "support/random.h"
#include "support/strangers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS_FOR_TRIALS = 7, TRIALS = 400, RANGES = 40 };

/* The control block of a descriptor, mapped writable as a hostile peer would. */
struct target {
	int fd;
	unsigned char *bytes;
	uint64_t length;
	uint64_t data_bytes;
};

static struct target target_of(int fd, uint64_t data_bytes)
{
	struct target target = {fd, NULL, fd_bytes(fd) - data_bytes, data_bytes};
	void *base = mmap(NULL, (size_t)target.length, PROT_RW, MAP_SHARED, fd, (off_t)data_bytes);

	expect(base != MAP_FAILED);
	target.bytes = base;
	return target;
}

static void target_drop(struct target *target)
{
	munmap(target->bytes, (size_t)target->length);
	close(target->fd);
}

/* A sealed copy of a stranger's area, to be spoiled. */
static struct target fresh_target(int original, uint64_t data_bytes)
{
	struct target target = target_of(copied_memfd(original, fd_bytes(original)), data_bytes);

	expect_eq(fcntl(target.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	return target;
}

static uint64_t data_bytes_with_ranges(void)
{
	return (STRANGER_PAGES + 2 * RANGES) * page_bytes();
}

static int is_documented_import(int result)
{
	return result == 0 || result == -EPERM || result == -EPROTO || result == -EUCLEAN ||
		result == -EFBIG || result == -EINVAL || result == -ETIMEDOUT;
}

/* Import a spoiled area and use whatever comes of it. */
static int import_and_exercise(int fd, int *timed_out)
{
	struct ashmem_area *area = NULL;
	struct holdings before = holdings_now();
	int result = ashmem_import(fd, &area);

	expect_msg(is_documented_import(result), "import answers %d", result);
	*timed_out |= result == -ETIMEDOUT;
	if (result == 0) {
		*timed_out |= exercise_area(area);
		ashmem_close(area);
	} else {
		expect(area == NULL);
	}
	expect_holdings(&before);
	return result;
}

static int time_is_up(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - start->tv_sec >= SECONDS_FOR_TRIALS;
}

/* Before the import */

struct tally {
	int original;
	int incompatible;
	int damaged;
};

/* Change each byte that is not zero, one at a time. */
static void spoil_each_byte_in_use(void *argument)
{
	struct tally *tally = argument;
	struct target original = target_of(tally->original, data_bytes_with_ranges());
	struct timespec start;
	int timed_out = 0;
	uint64_t i;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (i = original.length; i-- > 0 && !timed_out && !time_is_up(&start);) {
		struct target target;
		int result;

		if (original.bytes[i] == 0)
			continue;
		target = fresh_target(tally->original, data_bytes_with_ranges());
		target.bytes[i] ^= (unsigned char)(i % 3 == 0 ? 0xff : 1 << i % 8);
		result = import_and_exercise(target.fd, &timed_out);
		tally->incompatible += result == -EPROTO;
		tally->damaged += result == -EUCLEAN;
		target_drop(&target);
	}
}

CONTRACT_TEST(corrupt, changed_bytes_are_refused_or_harmless)
{
	struct tally *tally;

	skip_on_kernel("the driver's state is not in reach");
	tally = shared_memory(sizeof *tally);
	tally->original = stranger_fd_with_ranges(RANGES);
	run_child(spoil_each_byte_in_use, tally);
	expect(tally->damaged > 0);
	/* The bytes that say version, page size and byte order are among them. */
	expect(tally->incompatible > 0);
	close(tally->original);
	munmap(tally, sizeof *tally);
}

/*
 * Somewhere that matters more often than not: near bytes in use, or anywhere. Only at bytes in use
 * if `careful`, because the lock of an idle area is zero, and a lock with nonsense in it costs the
 * full wait.
 */
static uint64_t random_place(struct random_source *random, const struct target *target, int careful)
{
	uint64_t place = random_below(random, target->length);
	int attempts;

	if (!careful && random_below(random, 8) == 0)
		return place;
	for (attempts = 0; attempts < 10000 && target->bytes[place] == 0; attempts++)
		place = random_below(random, target->length);
	return careful ? place : (place + random_below(random, 8)) % target->length;
}

static unsigned char random_byte(struct random_source *random)
{
	static const unsigned char liked[] = {0, 1, 2, 0x7f, 0x80, 0xff};

	if (random_below(random, 2))
		return liked[random_below(random, sizeof liked)];
	return (unsigned char)random_next(random);
}

static void spoil_at_random(struct random_source *random, struct target *target, int careful)
{
	uint64_t count = 1 + random_below(random, 24);

	while (count-- > 0)
		target->bytes[random_place(random, target, careful)] = random_byte(random);
}

static void import_spoiled_copies(void *argument)
{
	int original = *(int *)argument;
	struct random_source random = random_from(test_seed("spoiled before import"));
	struct timespec start;
	int trial, timed_out = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (trial = 0; trial < TRIALS && !time_is_up(&start); trial++) {
		struct target target = fresh_target(original, data_bytes_with_ranges());

		spoil_at_random(&random, &target, timed_out);
		import_and_exercise(target.fd, &timed_out);
		target_drop(&target);
	}
	fprintf(stderr, "%d spoiled copies\n", trial);
}

CONTRACT_TEST(corrupt, random_damage_before_import_is_refused_or_harmless)
{
	int original;

	skip_on_kernel("the driver's state is not in reach");
	original = stranger_fd_with_ranges(RANGES);
	run_child(import_spoiled_copies, &original);
	close(original);
}

static void import_noise(void *argument)
{
	struct random_source random = random_from(test_seed("noise"));
	int trial, timed_out = 0;

	(void)argument;
	for (trial = 0; trial < 60 && !timed_out; trial++) {
		uint64_t i, pages = 2 + random_below(&random, 6);
		struct target target = target_of(foreign_memfd(pages * page_bytes()), 0);

		for (i = 0; i < target.length; i++)
			target.bytes[i] = random_byte(&random);
		expect_eq(fcntl(target.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
		import_and_exercise(target.fd, &timed_out);
		target_drop(&target);
	}
}

CONTRACT_TEST(corrupt, memfds_full_of_noise_are_refused_or_plain)
{
	run_child(import_noise, NULL);
}

CONTRACT_TEST(corrupt, control_block_of_zeroes_is_refused_or_plain)
{
	struct target target;
	struct ashmem_area *area = NULL;
	int fd, result;

	skip_on_kernel("the driver's state is not in reach");
	fd = stranger_fd(PROT_RWX);
	target = fresh_target(fd, STRANGER_PAGES * page_bytes());
	memset(target.bytes, 0, (size_t)target.length);
	result = ashmem_import(target.fd, &area);
	expect_msg(is_documented_import(result), "import answers %d", result);
	if (result == 0) {
		expect_eq(ashmem_unpin(area, 0, 0), -ENOTSUP);
		ashmem_close(area);
	}
	target_drop(&target);
	close(fd);
}

/* Under a living area */

/* A damaged area is named, and keeps nobody from purging the others. */
static void expect_others_purged(struct view *bystander)
{
	int64_t result;

	fill_pages(bystander, 0, 2, 0x55);
	unpin_pages(bystander->area, 0, 1);
	result = ashmem_purge_all();
	expect(result >= 0 || result == -EUCLEAN || result == -ETIMEDOUT);
	expect_eq(pin_pages(bystander->area, 0, 2), ASHMEM_WAS_PURGED);
	expect(pages_hold(bystander, 0, 1, 0));
	expect(pages_hold(bystander, 1, 1, 0x55));
}

static void spoil_living_areas(void *argument)
{
	int original = *(int *)argument;
	struct random_source random = random_from(test_seed("spoiled alive"));
	struct view bystander = view_make(2);
	struct timespec start;
	int trial, timed_out = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	/*
	 * One trial in four is noticed: on a slow machine a few seconds may not hold one of them.
	 */
	for (trial = 0; trial < TRIALS && (damage_reports == 0 || !time_is_up(&start)); trial++) {
		struct target target = fresh_target(original, data_bytes_with_ranges());
		struct ashmem_area *area = NULL;

		expect_eq(ashmem_import(target.fd, &area), 0);
		timed_out |= exercise_area(area);
		spoil_at_random(&random, &target, timed_out);
		timed_out |= exercise_area(area);
		expect_others_purged(&bystander);
		ashmem_close(area);
		target_drop(&target);
	}
	fprintf(stderr, "%d spoiled areas, %d calls noticed it\n", trial, damage_reports);
	expect(damage_reports > 0); /* EUCLEAN is how that is said */
}

CONTRACT_TEST(corrupt, random_damage_under_a_living_area_is_noticed_or_harmless)
{
	int original;

	skip_on_kernel("the driver's state is not in reach");
	original = stranger_fd_with_ranges(RANGES);
	run_child(spoil_living_areas, &original);
	close(original);
}

static void scribble_for_ever(void *argument)
{
	struct target *target = argument;
	struct random_source random = random_from(test_seed("scribbler"));

	for (;;)
		target->bytes[random_place(&random, target, 0)] = random_byte(&random);
}

/*
 * Each round has a fresh area, a scribbler beside it, and a bystander that nothing may happen to.
 */
static int suffer_a_scribbler(int original, struct view *bystander)
{
	struct target target = fresh_target(original, data_bytes_with_ranges());
	struct ashmem_area *area = NULL;
	pid_t scribbler;
	int round, timed_out = 0;

	expect_eq(ashmem_import(target.fd, &area), 0);
	scribbler = child_start(scribble_for_ever, &target);
	for (round = 0; round < 40 && !timed_out; round++)
		timed_out = exercise_area(area);
	kill(scribbler, SIGKILL);
	child_wait(scribbler);
	expect(pages_hold(bystander, 0, 4, 0x55));
	expect_eq(ashmem_get_pin_status(bystander->area, 0, 0), ASHMEM_IS_PINNED);
	ashmem_close(area);
	target_drop(&target);
	return timed_out;
}

static void suffer_scribblers(void *argument)
{
	struct view bystander = view_make(4);
	struct timespec start;
	int round;

	fill_pages(&bystander, 0, 4, 0x55);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (round = 0; round < 10 && !time_is_up(&start); round++) {
		if (suffer_a_scribbler(*(int *)argument, &bystander))
			break;
	}
	view_drop(&bystander);
}

CONTRACT_TEST(corrupt, peer_that_scribbles_all_the_time_is_harmless)
{
	int original;

	skip_on_kernel("the driver's state is not in reach");
	original = stranger_fd_with_ranges(RANGES);
	run_child(suffer_scribblers, &original);
	close(original);
}

/* With a lock word as well that names a holder that does not exist. */
CONTRACT_TEST(corrupt, all_ones_are_reported_in_bounded_time_and_data_survive)
{
	struct target target;
	struct ashmem_area *area = NULL;
	struct view view;
	int fd, result;

	skip_on_kernel("the driver's state is not in reach");
	fd = stranger_fd(PROT_RWX);
	target = fresh_target(fd, STRANGER_PAGES * page_bytes());
	expect_eq(ashmem_import(target.fd, &area), 0);
	view = view_of(area);
	memset(target.bytes, 0xff, (size_t)target.length);
	result = ashmem_pin(area, 0, 0);
	expect(result == -EUCLEAN || result == -ETIMEDOUT);
	expect(pages_hold(&view, 4, 1, STRANGER_BYTE + 4));
	fill_pages(&view, 4, 1, 1);
	expect(pages_hold(&view, 4, 1, 1));
	view_drop(&view);
	target_drop(&target);
	close(fd);
}
