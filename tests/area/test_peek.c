/* SPDX-License-Identifier: MIT */
/*
 * peek.h: looking at an area, and purging in it, by a descriptor alone, as a process does that does
 * not hold the area.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEEDS_MEMFD() skip_on_kernel("the driver's areas have no state in their descriptor")

static struct ashmem_peek_result peek_at(int fd)
{
	struct ashmem_peek_result peek = {.struct_size = sizeof(peek)};

	expect_eq(ashmem_peek(fd, &peek), 0);
	return peek;
}

static int64_t purge_fd(int fd, uint64_t most, uint64_t newest)
{
	struct ashmem_purge_fd_options options = {
		.struct_size = sizeof(options), .most_pages = most, .newest_key = newest};

	return ashmem_purge_fd(fd, &options);
}

/* A view whose pages hold memory. */
static struct view full_pages(uint64_t pages)
{
	struct view view = view_make(pages);

	memset(view.base, 1, pages * page_bytes());
	return view;
}

CONTRACT_TEST(peek, sees_what_statistics_say)
{
	NEEDS_MEMFD();
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_create("peeked", 20 * page_bytes(), 0, &area), 0);
	struct view view = view_of(area);
	memset(view.base, 1, 20 * page_bytes());
	unpin_pages(view.area, 0, 3);
	unpin_pages(view.area, 10, 5);
	expect_eq(ashmem_shrink(3), 3);
	struct ashmem_peek_result peek = peek_at(ashmem_fd(view.area));
	struct ashmem_area_stats stats = stats_of(view.area);

	expect_eq(peek.size_bytes, ashmem_get_size(view.area));
	expect_eq(peek.unpinned_ranges, stats.unpinned_ranges);
	expect_eq(peek.unpinned_pages, 8);
	expect_eq(peek.evictable_pages, 5);
	expect_eq(peek.resident_pages, stats.resident_pages);
	expect_eq(peek.purged_pages, 3);
	expect_eq(peek.prot, PROT_READ | PROT_WRITE | PROT_EXEC);
	expect_eq(peek.busy + peek.sealed + peek.damaged, 0);
	expect_str(peek.name, "peeked");
	view_drop(&view);
}

CONTRACT_TEST(peek, keys_order_areas_as_purges_do)
{
	NEEDS_MEMFD();
	struct view first = full_pages(2), second = full_pages(2);
	unpin_pages(second.area, 0, 1);
	unpin_pages(first.area, 0, 1);
	uint64_t late = peek_at(ashmem_fd(first.area)).oldest_key;
	uint64_t early = peek_at(ashmem_fd(second.area)).oldest_key;
	expect(early < late);
	/* No key above the limit is purged. */
	expect_eq(purge_fd(ashmem_fd(first.area), 0, early), 0);
	expect_eq(purge_fd(ashmem_fd(second.area), 0, early), 1);
	expect_eq(peek_at(ashmem_fd(second.area)).oldest_key, UINT64_MAX);
	view_drop(&first);
	view_drop(&second);
}

CONTRACT_TEST(peek, serials_tell_areas_apart)
{
	NEEDS_MEMFD();
	struct view one = full_pages(1), other = full_pages(1);
	struct ashmem_peek_result peek = peek_at(ashmem_fd(one.area));
	struct ashmem_peek_result second = peek_at(ashmem_fd(other.area));
	struct ashmem_purge_fd_options options = {
		.struct_size = sizeof(options), .serial = {peek.serial[0], peek.serial[1]}};

	expect(memcmp(peek.serial, second.serial, sizeof(peek.serial)) != 0);
	unpin_pages(one.area, 0, 1);
	unpin_pages(other.area, 0, 1);
	expect_eq(ashmem_purge_fd(ashmem_fd(other.area), &options), -ESTALE);
	expect_eq(pin_pages(other.area, 0, 1), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_purge_fd(ashmem_fd(one.area), &options), 1);
	expect_eq(pin_pages(one.area, 0, 1), ASHMEM_WAS_PURGED);
	view_drop(&one);
	view_drop(&other);
}

CONTRACT_TEST(peek, purges_no_more_than_wanted_and_nothing_pinned)
{
	NEEDS_MEMFD();
	struct view view = full_pages(64);
	int fd = ashmem_fd(view.area);

	for (uint32_t i = 0; i < 64; i += 2)
		unpin_pages(view.area, i, 1);
	expect_eq(purge_fd(fd, 10, 0), 10);
	expect_eq(peek_at(fd).evictable_pages, 22);
	expect_eq(purge_fd(fd, 0, 0), 22);
	expect_eq(purge_fd(fd, 0, 0), 0);
	for (uint32_t i = 1; i < 64; i += 2)
		expect_eq(view.base[i * page_bytes()], 1);
	view_drop(&view);
}

CONTRACT_TEST(peek, held_pages_stay)
{
	NEEDS_MEMFD();
	struct view view = full_pages(4);

	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_hold(view.area, 0, page_bytes()), ASHMEM_NOT_PURGED);
	expect_eq(purge_fd(ashmem_fd(view.area), 0, 0), 0);
	expect_eq(view.base[0], 1);
	expect_eq(ashmem_release(view.area, 0, page_bytes(), 0), 0);
	view_drop(&view);
}

/* Another process, which does not hold the area: through /proc, as a service does. */
struct other {
	pid_t owner;
	int fd;
	uint64_t pages;
};

static void purge_as_another(void *context)
{
	const struct other *other = context;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)other->owner, other->fd);
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	expect(fd >= 0);
	expect_eq(peek_at(fd).evictable_pages, other->pages);
	expect_eq(purge_fd(fd, 0, 0), other->pages);
}

CONTRACT_TEST(peek, another_process_purges_through_proc)
{
	NEEDS_MEMFD();
	struct view view = full_pages(8);
	struct other other = {getpid(), ashmem_fd(view.area), 4};

	unpin_pages(view.area, 2, 4);
	run_child(purge_as_another, &other);
	expect_eq(pin_pages(view.area, 2, 4), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(peek, a_read_only_descriptor_can_be_looked_at_alone)
{
	NEEDS_MEMFD();
	struct view view = full_pages(2);
	int fd = ashmem_export_read_only(view.area);

	unpin_pages(view.area, 0, 1);
	expect(fd >= 0);
	expect_eq(peek_at(fd).evictable_pages, 1);
	expect_eq(peek_at(fd).readers, 1);
	expect_eq(purge_fd(fd, 0, 0), -EACCES);
	close(fd);
	view_drop(&view);
}

CONTRACT_TEST(peek, a_sealed_area_has_nothing_to_purge)
{
	struct ashmem_area *area = NULL;
	int r;

	NEEDS_MEMFD();
	expect_eq(ashmem_create("sealed", 2 * page_bytes(), ASHMEM_CREATE_ALLOW_SEAL, &area), 0);
	struct view view = view_of(area);
	unpin_pages(view.area, 0, 1);
	r = ashmem_seal(view.area);
	if (r == -ENOTSUP)
		contract_skip("the kernel has no F_SEAL_FUTURE_WRITE (Linux 5.1)");
	expect_eq(r, 0);
	struct ashmem_peek_result peek = peek_at(ashmem_fd(view.area));
	expect_eq(peek.sealed, 1);
	expect_eq(peek.evictable_pages, 0);
	view_drop(&view);
}

/* The first 32 bits of struct control are its lock. */
static off_t place_of_lock(struct view *view)
{
	struct stat status;

	expect_eq(fstat(ashmem_fd(view->area), &status), 0);
	return status.st_size - 2048;
}

/* A peer that holds it for ever. */
static void lock_for_ever(struct view *view, int busy)
{
	uint32_t word = busy ? 1 : 0; /* init never dies */

	expect_eq(pwrite(ashmem_fd(view->area), &word, sizeof(word), place_of_lock(view)),
		(ssize_t)sizeof(word));
}

static uint32_t word_of_lock(struct view *view)
{
	uint32_t word;

	expect_eq(pread(ashmem_fd(view->area), &word, sizeof(word), place_of_lock(view)),
		(ssize_t)sizeof(word));
	return word;
}

CONTRACT_TEST(peek, nobody_waits_for_a_locked_area)
{
	NEEDS_MEMFD();
	struct view view = full_pages(4);

	unpin_pages(view.area, 0, 2);
	lock_for_ever(&view, 1);
	expect_eq(peek_at(ashmem_fd(view.area)).busy, 1);
	expect_eq(purge_fd(ashmem_fd(view.area), 0, 0), -EAGAIN);
	expect_eq(word_of_lock(&view), 1); /* whoever sleeps for it leaves a mark */
	lock_for_ever(&view, 0);
	expect_eq(purge_fd(ashmem_fd(view.area), 0, 0), 2);
	view_drop(&view);
}

CONTRACT_TEST(peek, what_is_no_area_is_refused)
{
	struct ashmem_peek_result peek = {.struct_size = sizeof(peek), .purged_pages = 77};
	struct ashmem_purge_fd_options options = {.struct_size = sizeof(options), .wait_ms = 5001};
	int pipes[2], memfd = memfd_create("no area", MFD_CLOEXEC);

	expect_eq(pipe(pipes), 0);
	expect_eq(ashmem_peek(-1, &peek), -EBADF);
	expect_eq(ashmem_peek(pipes[0], &peek), -ENOTTY);
	expect_eq(ashmem_peek(pipes[1], &peek), -EBADF);
	expect_eq(ashmem_peek(memfd, &peek), -ENOTTY);
	expect_eq(ashmem_peek(memfd, NULL), -EINVAL);
	expect_eq(ashmem_purge_fd(memfd, NULL), -ENOTTY);
	expect_eq(ashmem_purge_fd(memfd, &options), -EINVAL);
	peek.struct_size = 0;
	expect_eq(ashmem_peek(memfd, &peek), -EINVAL);
	expect_eq(peek.purged_pages, 77);
	close(pipes[0]);
	close(pipes[1]);
	close(memfd);
}
