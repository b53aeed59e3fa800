/* SPDX-License-Identifier: MIT */
/*
 * ashmem_export_read_only(), and what a peer can do with such a descriptor.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/strangers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* Exporting */

CONTRACT_TEST(readers, export_leaves_the_area_writable)
{
	struct view view;
	void *base = NULL;
	int fd;

	skip_on_kernel("the driver has no read-only export");
	view = view_make(2);
	fd = ashmem_export_read_only(view.area);
	expect(fd >= 0);
	expect(fd != ashmem_fd(view.area));
	expect_eq(ashmem_get_prot(view.area), PROT_RWX);
	expect_eq(ashmem_map(view.area, 0, page_bytes(), PROT_RW, MAP_SHARED, &base), 0);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	expect_eq(fcntl(ashmem_fd(view.area), F_GETFL) & O_ACCMODE, O_RDWR);
	unpin_pages(view.area, 0, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_WAS_PURGED);
	close(fd);
	view_drop(&view);
}

CONTRACT_TEST(readers, kernel_allows_no_writing_through_an_export)
{
	struct view view;
	struct stat status;
	void *base;
	int fd;

	skip_on_kernel("the driver has no read-only export");
	view = view_make(2);
	fill_pages(&view, 0, 2, 'a');
	fd = ashmem_export_read_only(view.area);
	expect(fd >= 0);
	expect_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	expect(mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, fd, 0) == MAP_FAILED);
	expect_eq(errno, EACCES);
	base = mmap(NULL, page_bytes(), PROT_READ, MAP_SHARED, fd, 0);
	expect(base != MAP_FAILED);
	expect_eq(mprotect(base, page_bytes(), PROT_RW), -1);
	expect_eq(munmap(base, page_bytes()), 0);
	expect_eq(pwrite(fd, "x", 1, 0), -1);
	expect_eq(ftruncate(fd, 0), -1);
	expect_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)page_bytes()),
		-1);
	expect_eq(fstat(fd, &status), 0);
	expect_eq(status.st_mode & 0777, 0444);
	expect(pages_hold(&view, 0, 2, 'a'));
	close(fd);
	view_drop(&view);
}

CONTRACT_TEST(readers, each_export_is_a_description_of_its_own)
{
	struct view view;
	int one, two;

	skip_on_kernel("the driver has no read-only export");
	view = view_make(1);
	one = ashmem_export_read_only(view.area);
	two = ashmem_export_read_only(view.area);
	expect(one >= 0 && two >= 0);
	expect_eq(lseek(one, 100, SEEK_SET), 100);
	expect_eq(lseek(two, 0, SEEK_CUR), 0);
	close(one);
	close(two);
	view_drop(&view);
}

CONTRACT_TEST(readers, export_materialises_and_refuses_what_has_no_size)
{
	struct ashmem_area *area;
	int fd;

	skip_on_kernel("the driver has no read-only export");
	area = area_of_bytes(0);
	expect_eq(ashmem_export_read_only(NULL), -EINVAL);
	expect_eq(ashmem_export_read_only(area), -EINVAL);
	expect_eq(ashmem_set_size(area, page_bytes()), 0);
	fd = ashmem_export_read_only(area);
	expect(fd >= 0);
	expect_eq(ashmem_set_size(area, 1), -EINVAL);
	close(fd);
	ashmem_close(area);
}

/* Pinning */

enum how { EXPORTED, MASKED, REOPENED };

struct birth_order {
	int socket_fd;
	uint64_t pages;
	enum how how;
};

static void make_pair_and_leave(void *argument)
{
	struct birth_order *order = argument;
	struct view view = view_make(order->pages);
	int fds[2];

	fds[1] = fcntl(ashmem_fd(view.area), F_DUPFD_CLOEXEC, 0);
	if (order->how == MASKED)
		expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	if (order->how == EXPORTED)
		fds[0] = ashmem_export_read_only(view.area);
	else
		fds[0] = order->how == MASKED ? ashmem_fd(view.area) : reopen_fd(fds[1], O_RDONLY);
	expect(fds[0] >= 0 && fds[1] >= 0);
	send_descriptors(order->socket_fd, &fds[0], 1);
	send_descriptors(order->socket_fd, &fds[1], 1);
}

/*
 * Two handles of this process on one area, which a child made: imported read-only first and
 * writable then. In the other order both would be the writable one.
 */
static struct ashmem_area *make_pair(uint64_t pages, enum how how, struct view *view)
{
	struct birth_order order = {.pages = pages, .how = how};
	struct ashmem_area *reader = NULL, *owner = NULL;
	int ends[2], fds[2];

	skip_on_kernel("the driver has no read-only peers");
	make_socket_pair(ends);
	order.socket_fd = ends[1];
	run_child(make_pair_and_leave, &order);
	fds[0] = receive_descriptor(ends[0]);
	fds[1] = receive_descriptor(ends[0]);
	expect_eq(ashmem_import(fds[0], &reader), 0);
	expect_eq(ashmem_import(fds[1], &owner), 0);
	expect(reader != owner);
	for (uint64_t page = 0; how == MASKED && page < pages; page++) /* give_memory() cannot */
		expect_eq(pwrite(fds[1], "", 1, (off_t)(page * page_bytes())), 1);
	close(fds[0]);
	close(fds[1]);
	close(ends[0]);
	close(ends[1]);
	*view = (struct view){.area = owner, .pages = pages};
	if (how == MASKED) /* the mask holds for everybody, but not for a raw mapping */
		return reader;
	*view = view_of(owner);
	return reader;
}

CONTRACT_TEST(readers, pinned_pages_are_not_purged)
{
	struct view view;
	struct ashmem_area *reader;

	reader = make_pair(8, EXPORTED, &view);
	fill_pages(&view, 0, 8, 'a');
	unpin_pages(view.area, 0, 8);
	expect_eq(status_pages(reader, 0, 8), ASHMEM_IS_UNPINNED);
	expect_eq(pin_pages(reader, 2, 2), ASHMEM_NOT_PURGED);
	expect_eq(status_pages(reader, 2, 2), ASHMEM_IS_PINNED);
	expect_eq(status_pages(reader, 1, 2), ASHMEM_IS_UNPINNED);
	/* a reader's pin is its own */
	expect_eq(status_pages(view.area, 2, 2), ASHMEM_IS_UNPINNED);
	expect_eq(ashmem_shrink(100), 0);
	expect_eq(purge_everything(), 8); /* were purgeable by the list, as they count */
	expect(pages_hold(&view, 0, 8, 'a'));
	expect_eq(ashmem_unpin(reader, 2 * page_bytes(), 2 * page_bytes()), 0);
	expect_eq(ashmem_shrink(1), 8);
	expect(pages_hold(&view, 0, 8, 0));
	expect_eq(pin_pages(reader, 2, 2), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(reader, 7, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 0, 8), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(reader, 2, 2), ASHMEM_NOT_PURGED);
	ashmem_close(reader);
	view_drop(&view);
}

CONTRACT_TEST(readers, purge_goes_on_behind_what_is_held)
{
	enum { RANGES = 300, HELD = 200 };
	struct view view;
	struct ashmem_area *reader;
	uint64_t i;

	reader = make_pair(2 * RANGES, EXPORTED, &view);
	fill_pages(&view, 0, 2 * RANGES, 'a');
	for (i = 0; i < RANGES; i++)
		unpin_pages(view.area, 2 * i, 1);
	/* More than one go passes over, the oldest ones, and one further on. */
	for (i = 0; i < HELD; i++)
		expect_eq(pin_pages(reader, 2 * i, 1), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(reader, 2 * (HELD + 2), 1), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_shrink(3), 3);
	expect(pages_hold(&view, 0, 2 * HELD, 'a'));
	expect_eq(first_byte(&view, 2 * HELD), 0);
	expect_eq(first_byte(&view, 2 * HELD + 2), 0);
	expect_eq(first_byte(&view, 2 * HELD + 4), 'a');
	expect_eq(first_byte(&view, 2 * HELD + 6), 0);
	expect_eq(ashmem_shrink_count(), RANGES - 3);
	expect_eq(purge_everything(), RANGES - 3);
	expect_eq(ashmem_shrink_count(), HELD + 1);
	expect_eq(ashmem_shrink(1), 0);
	/* What is let go is the oldest again. */
	expect_eq(ashmem_unpin(reader, 2 * 7 * page_bytes(), page_bytes()), 0);
	expect_eq(ashmem_shrink(10), 1);
	expect_eq(first_byte(&view, 14), 0);
	ashmem_close(reader);
	expect_eq(ashmem_shrink(1000), HELD);
	expect_eq(ashmem_shrink_count(), 0);
	view_drop(&view);
}

CONTRACT_TEST(readers, held_range_does_not_keep_other_areas)
{
	struct view held, other;
	struct ashmem_area *reader;

	reader = make_pair(4, EXPORTED, &held);
	other = view_make(4);
	unpin_pages(held.area, 0, 1);
	unpin_pages(other.area, 0, 1);
	unpin_pages(held.area, 2, 1);
	unpin_pages(other.area, 2, 1);
	expect_eq(pin_pages(reader, 0, 1), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(pin_pages(other.area, 0, 1), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(pin_pages(held.area, 2, 1), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_shrink(100), 1);
	expect_eq(pin_pages(other.area, 2, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(held.area, 0, 1), ASHMEM_NOT_PURGED);
	ashmem_close(reader);
	view_drop(&held);
	view_drop(&other);
}

CONTRACT_TEST(readers, pins_are_a_state_page_by_page)
{
	struct view view;
	struct ashmem_area *reader;

	reader = make_pair(10, EXPORTED, &view);
	unpin_pages(view.area, 0, 10);
	expect_eq(pin_pages(reader, 0, 3), 0);
	expect_eq(pin_pages(reader, 2, 6), 0);
	unpin_pages(reader, 4, 1);
	expect_str(pin_picture(reader, 10), "....U...UU");
	unpin_pages(reader, 0, 2);
	expect_str(pin_picture(reader, 10), "UU..U...UU");
	expect_eq(pin_pages(reader, 1, 4), 0);
	expect_str(pin_picture(reader, 10), "U.......UU");
	unpin_pages(reader, 0, 10);
	unpin_pages(reader, 0, 10);
	expect_str(pin_picture(reader, 10), "UUUUUUUUUU");
	expect_eq(ashmem_shrink(1), 10);
	ashmem_close(reader);
	view_drop(&view);
}

CONTRACT_TEST(readers, mask_without_write_makes_readers_too)
{
	struct view view;
	struct ashmem_area *reader = make_pair(4, MASKED, &view);

	unpin_pages(view.area, 0, 4);
	expect_eq(pin_pages(reader, 1, 1), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_shrink(1), 0);
	ashmem_close(reader);
	expect_eq(ashmem_shrink(1), 4);
	ashmem_close(view.area);
}

/* D9 */
CONTRACT_TEST(readers, setting_the_mask_that_is_set_needs_no_rights)
{
	static const enum how hows[] = {EXPORTED, MASKED, REOPENED};

	for (unsigned i = 0; i < sizeof hows / sizeof *hows; i++) {
		struct view view;
		struct ashmem_area *reader = make_pair(1, hows[i], &view);
		int mask = ashmem_get_prot(reader);

		expect_eq(mask, hows[i] == MASKED ? PROT_READ : PROT_RWX);
		expect_eq(ashmem_set_prot(reader, mask), 0);
		expect_eq(ashmem_set_prot(reader, PROT_NONE), -EACCES);
		expect_eq(ashmem_set_prot(reader, 8), -EINVAL);
		expect_eq(ashmem_get_prot(reader), mask);
		ashmem_close(reader);
		ashmem_close(view.area);
	}
}

/* No owner promised to look for readers: a pin would be worth nothing. */
CONTRACT_TEST(readers, descriptor_that_the_library_did_not_make_read_only_cannot_pin)
{
	struct view view;
	struct ashmem_area *reader = make_pair(2, REOPENED, &view);

	expect_eq(pin_pages(reader, 0, 1), -EACCES);
	expect_eq(ashmem_unpin(reader, 0, 0), -EACCES);
	expect_eq(status_pages(reader, 0, 1), -EACCES);
	close(ashmem_export_read_only(view.area));
	expect_eq(pin_pages(reader, 0, 1), ASHMEM_NOT_PURGED);
	ashmem_close(reader);
	view_drop(&view);
}

struct reading {
	int socket_fd;
	struct gate pinned, leave;
	int result;
};

static void pin_and_wait(void *argument)
{
	struct reading *reading = argument;
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_recv(reading->socket_fd, &area), 0);
	expect_eq(pin_pages(area, 1, 2), reading->result);
	gate_open(&reading->pinned);
	gate_wait(&reading->leave);
}

static void hand_export(int socket_fd, struct ashmem_area *area)
{
	int fd = ashmem_export_read_only(area);

	expect(fd >= 0);
	send_descriptors(socket_fd, &fd, 1);
	close(fd);
}

CONTRACT_TEST(readers, death_of_a_reader_releases_its_pins)
{
	struct reading reading = {.result = ASHMEM_NOT_PURGED};
	struct view view;
	int ends[2];
	pid_t child;

	skip_on_kernel("the driver has no read-only export");
	make_socket_pair(ends);
	gate_make(&reading.pinned);
	gate_make(&reading.leave);
	reading.socket_fd = ends[1];
	child = child_start(pin_and_wait, &reading);
	view = view_make(4);
	unpin_pages(view.area, 0, 4);
	hand_export(ends[0], view.area);
	gate_wait(&reading.pinned);
	expect_eq(ashmem_shrink(1), 0);
	expect_eq(kill(child, SIGKILL), 0);
	child_wait(child);
	expect_eq(ashmem_shrink(1), 4);
	view_drop(&view);
}

struct inherited {
	struct ashmem_area *reader;
	struct gate released, leave;
};

static void hold_nothing(void *argument)
{
	struct inherited *inherited = argument;

	expect_eq(status_pages(inherited->reader, 0, 1), ASHMEM_IS_UNPINNED);
	gate_open(&inherited->released);
	gate_wait(&inherited->leave);
}

/* The child shares the parent's open file descriptions, locks and all. */
CONTRACT_TEST(readers, forked_child_neither_has_nor_keeps_its_parents_pins)
{
	struct inherited inherited;
	struct view view;
	pid_t child;

	inherited.reader = make_pair(2, EXPORTED, &view);
	gate_make(&inherited.released);
	gate_make(&inherited.leave);
	unpin_pages(view.area, 0, 2);
	expect_eq(pin_pages(inherited.reader, 0, 1), ASHMEM_NOT_PURGED);
	child = child_start(hold_nothing, &inherited);
	gate_wait(&inherited.released);
	expect_eq(ashmem_shrink(1), 0); /* the parent's still */
	ashmem_close(inherited.reader);
	expect_eq(ashmem_shrink(1), 2); /* and not the child's */
	gate_open(&inherited.leave);
	child_join(child);
	view_drop(&view);
}

static void take_the_lock_and_die(void *argument)
{
	struct reading *reading = argument;
	struct ashmem_area *area = NULL;
	struct stat status;
	unsigned char *end;

	expect_eq(ashmem_recv(reading->socket_fd, &area), 0);
	expect_eq(fstat(ashmem_fd(area), &status), 0);
	/* The control block is the last 2048 bytes; its first word is the lock. */
	end = mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, ashmem_fd(area),
		(off_t)((uint64_t)status.st_size - page_bytes()));
	expect(end != MAP_FAILED);
	*(volatile uint32_t *)(end + page_bytes() - 2048) = 0x40000000u;
}

/* Who can only read cannot recover: it answers in bounded time, and changes nothing. */
CONTRACT_TEST(readers, dead_owner_of_the_lock_bounds_a_pin)
{
	struct reading reading;
	struct view view;
	struct ashmem_area *reader;
	int ends[2];

	reader = make_pair(3, EXPORTED, &view);
	make_socket_pair(ends);
	unpin_pages(view.area, 0, 3);
	expect_eq(pin_pages(reader, 0, 1), ASHMEM_NOT_PURGED);
	reading.socket_fd = ends[1];
	expect_eq(ashmem_send(ends[0], view.area), 0);
	run_child(take_the_lock_and_die, &reading);
	expect_eq(pin_pages(reader, 0, 2), -ETIMEDOUT);
	expect_eq(status_pages(view.area, 0, 1), ASHMEM_IS_UNPINNED); /* recovers */
	expect_str(pin_picture(reader, 3), ".UU");
	expect_eq(ashmem_shrink(1), 0);
	expect_eq(pin_pages(reader, 0, 3), ASHMEM_NOT_PURGED);
	ashmem_close(reader);
	expect_eq(ashmem_shrink(1), 3);
	view_drop(&view);
}

/* A race: who pins for reading and is told NOT_PURGED finds the bytes, in every round. */
enum { RACE_PAGES = 16, RACE_ROUNDS = 3000 };

static void unpin_and_purge(void *argument)
{
	const struct view *view = argument;
	uint64_t page;

	for (page = 0;; page = (page + 1) % RACE_PAGES) {
		unpin_pages(view->area, page, 1);
		expect(ashmem_shrink(1) >= 0);
		/*
		 * Written before it is pinned: who reads the old mark is told of a loss, who does
		 * not finds the bytes.
		 */
		fill_pages(view, page, 1, 'a');
		expect(pin_pages(view->area, page, 1) >= 0);
		fill_pages(view, page, 1, 'a');
	}
}

CONTRACT_TEST(readers, not_purged_is_never_wrong)
{
	struct view view, reading;
	pid_t child;
	int i, again, kept = 0;

	reading.area = make_pair(RACE_PAGES, EXPORTED, &view);
	fill_pages(&view, 0, RACE_PAGES, 'a');
	reading.base = map_whole(reading.area, PROT_READ);
	child = child_start(unpin_and_purge, &view);
	for (i = 0; i < RACE_ROUNDS; i++) {
		uint64_t page = (uint64_t)i * 7 % RACE_PAGES;
		int r = pin_pages(reading.area, page, 1);

		expect(r >= 0);
		if (r == ASHMEM_NOT_PURGED) {
			kept++;
			for (again = 0; again < 40; again++)
				expect_msg(pages_hold(&reading, page, 1, 'a'),
					"page lost in round %d", i);
		}
		unpin_pages(reading.area, page, 1);
	}
	expect(kept > 0);
	expect_eq(kill(child, SIGKILL), 0);
	child_wait(child);
	expect_eq(ashmem_unmap(reading.base, RACE_PAGES * page_bytes()), 0);
	ashmem_close(reading.area);
	view_drop(&view);
}
