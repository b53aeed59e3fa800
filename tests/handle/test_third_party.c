/* SPDX-License-Identifier: MIT */
/*
 * Areas of a backend that a third party registered (support/toy_backend.h): every public call
 * reaches it with arguments that are checked, its capabilities are respected, and its areas take
 * part in purging.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/strangers.h"
#include "support/toy_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

CHILD_TEST(third_party, name_size_and_mask_reach_the_backend)
{
	struct ashmem_area *area = NULL;
	char name[ASHMEM_NAME_LEN] = "";

	toy_use(0);
	expect_eq(ashmem_create("teddy", 10, 0, &area), 0);
	expect_eq(toy_calls.creates, 1);
	expect(toy_calls.last_userdata_ok);
	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_str(name, "teddy");
	expect_eq(ashmem_set_name(area, ""), 0);
	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_str(name, ASHMEM_NAME_DEF);
	expect_eq(ashmem_set_size(area, 20), 0);
	expect_eq(ashmem_get_size(area), 20);
	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
	expect_eq(ashmem_set_prot(area, PROT_RWX), -EINVAL);
	expect_eq(ashmem_get_prot(area), PROT_RW);
	ashmem_close(area);
	expect_eq(toy_calls.closes, 1);
}

CHILD_TEST(third_party, long_names_are_cut_before_they_reach_the_backend)
{
	struct ashmem_area *area = NULL;
	char too_long[400], name[ASHMEM_NAME_LEN];

	toy_use(0);
	memset(too_long, 'l', sizeof too_long - 1);
	too_long[sizeof too_long - 1] = '\0';
	expect_eq(ashmem_create(too_long, 10, 0, &area), 0);
	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_eq(strlen(name), ASHMEM_NAME_LEN - 1);
	ashmem_close(area);
}

CHILD_TEST(third_party, memory_calls_reach_the_backend)
{
	struct view view;
	char bytes[4] = "";

	toy_use(0);
	view = view_make(2);
	memcpy(view.base + 5, "abcd", 4);
	expect_eq(ashmem_pread(view.area, bytes, 4, 5), 4);
	expect_eq(memcmp(bytes, "abcd", 4), 0);
	expect_eq(ashmem_seek(view.area, 7, SEEK_SET), 7);
	expect_eq(ashmem_read(view.area, bytes, 2), 2);
	expect_eq(memcmp(bytes, "cd", 2), 0);
	expect_eq(ashmem_set_size(view.area, 5), -EINVAL);
	view_drop(&view);
}

CHILD_TEST(third_party, pins_reach_the_backend_with_whole_ranges)
{
	struct view view;

	toy_use(0);
	view = view_make(6);
	expect_eq(ashmem_unpin(view.area, 2 * page_bytes(), 0), 0);
	expect_str(pin_picture(view.area, 6), "..UUUU");
	expect_eq(ashmem_pin(view.area, 4 * page_bytes(), 0), ASHMEM_NOT_PURGED);
	expect_str(pin_picture(view.area, 6), "..UU..");
	view_drop(&view);
}

CHILD_TEST(third_party, arguments_are_checked_before_the_backend_is_asked)
{
	struct ashmem_area *area;
	struct view view;
	void *base = NULL;
	char byte;

	toy_use(0);
	area = area_of_pages(2);
	expect_eq(ashmem_pin(area, 0, 0), -EINVAL);
	expect_eq(ashmem_pread(area, &byte, 1, 0), -EBADF);
	expect_eq(ashmem_map(area, 0, 3 * page_bytes(), PROT_READ, MAP_SHARED, &base), -EINVAL);
	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	expect_eq(ashmem_map(area, 0, 1, PROT_WRITE, MAP_SHARED, &base), -EPERM);
	ashmem_close(area);
	view = view_make(2);
	expect_eq(ashmem_pin(view.area, 1, 0), -EINVAL);
	expect_eq(ashmem_pin(view.area, 0, 3 * page_bytes()), -EINVAL);
	expect_eq(ashmem_pin(view.area, 2 * page_bytes(), 0), ASHMEM_NOT_PURGED);
	expect_eq(toy_calls.pins, 0);
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	expect_eq(toy_calls.pins, 1);
	view_drop(&view);
}

CHILD_TEST(third_party, missing_capabilities_are_not_supported_or_left_out)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof stats};
	struct view view;

	toy_use(0);
	view = view_make(4);
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_area_get_stats(view.area, &stats), -ENOTSUP);
	expect_eq(ashmem_find_unpinned(view.area, 0, NULL, NULL, NULL), -ENOTSUP);
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(ashmem_shrink(4), 0);
	expect_eq(ashmem_purge_all(), 0);
	expect_eq(pin_pages(view.area, 0, 4), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CHILD_TEST(third_party, inspection_reaches_the_backend)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof stats};
	uint64_t offset = 0, length = 0;
	uint32_t state = 0;
	struct view view;

	toy_use(TOY_INSPECT);
	view = view_make(4);
	unpin_pages(view.area, 2, 1);
	expect_eq(ashmem_find_unpinned(view.area, 0, &offset, &length, &state), 1);
	expect_eq(offset, 2 * page_bytes());
	expect_eq(length, page_bytes());
	expect_eq(state, ASHMEM_RANGE_EVICTABLE);
	expect_eq(ashmem_find_unpinned(view.area, 0, NULL, NULL, NULL), 1);
	expect_eq(ashmem_area_get_stats(view.area, &stats), 0);
	expect_eq(stats.size_pages, 4);
	expect_eq(stats.evictable_pages, 1);
	expect_eq(stats.recoveries, 4711);
	view_drop(&view);
}

CHILD_TEST(third_party, areas_of_several_backends_are_purged_in_one_order)
{
	struct view toy, first, last;

	toy_use(TOY_LRU);
	toy = view_make(4);
	expect_eq(ashmem_backend_select("memfd"), 0);
	first = view_make(4);
	last = view_make(4);
	unpin_pages(first.area, 0, 1);
	unpin_pages(toy.area, 1, 2);
	unpin_pages(last.area, 0, 3);
	expect_eq(ashmem_shrink_count(), 6);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(pin_pages(first.area, 0, 1), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_shrink(1), 2);
	expect_eq(ashmem_shrink_count(), 3);
	expect_eq(pin_pages(toy.area, 1, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(last.area, 0, 3), ASHMEM_NOT_PURGED);
	view_drop(&toy);
	view_drop(&first);
	view_drop(&last);
}

CHILD_TEST(third_party, purge_all_takes_areas_of_every_backend)
{
	struct view toy, other;

	toy_use(TOY_LRU);
	toy = view_make(4);
	expect_eq(ashmem_backend_select("memfd"), 0);
	other = view_make(4);
	fill_pages(&toy, 0, 4, 1);
	unpin_pages(toy.area, 0, 2);
	unpin_pages(other.area, 0, 3);
	expect_eq(ashmem_purge_all(), 5);
	expect(pages_hold(&toy, 0, 2, 0));
	expect(pages_hold(&toy, 2, 2, 1));
	view_drop(&toy);
	view_drop(&other);
}

CHILD_TEST(third_party, backend_that_purges_elsewhere_is_asked_to)
{
	struct view toy, other;

	toy_use(TOY_PURGE_ALL);
	toy = view_make(4);
	expect_eq(ashmem_backend_select("memfd"), 0);
	other = view_make(4);
	unpin_pages(other.area, 0, 3);
	expect_eq(ashmem_purge_all(), TOY_PURGE_ALL_PAGES + 3);
	expect_eq(toy_calls.purge_alls, 1);
	expect(toy_calls.last_userdata_ok);
	view_drop(&toy);
	view_drop(&other);
}

/* Importing */

CHILD_TEST(third_party, descriptors_are_shown_to_registered_backends_first)
{
	struct ashmem_area *imported = NULL;
	struct view view;
	int copy;

	toy_use(0);
	view = view_make(2);
	copy = fcntl(ashmem_fd(view.area), F_DUPFD_CLOEXEC, 0);
	expect_eq(ashmem_import(copy, &imported), 0);
	expect_eq(toy_calls.imports, 1);
	expect(imported == view.area);
	close(copy);
	expect_eq(ashmem_import(ashmem_fd(view.area), &imported), 0);
	ashmem_close(imported);
	ashmem_close(imported);
	expect(toy_calls.closes <= 2);
	expect_eq(ashmem_get_size(view.area), 2 * page_bytes());
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	view_drop(&view);
	expect_eq(toy_calls.closes, 3); /* one for create, one for each import */
}

CHILD_TEST(third_party, descriptors_that_it_does_not_know_go_on_to_the_others)
{
	int stranger = stranger_fd(PROT_RWX), foreign = foreign_memfd(page_bytes());
	int other = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct ashmem_area *area = NULL, *nothing = NULL;

	toy_use(0);
	expect_eq(ashmem_import(stranger, &area), 0);
	expect(strcmp(ashmem_backend_name(area), "toy") != 0);
	ashmem_close(area);
	expect_eq(ashmem_import(foreign, &area), 0);
	expect_str(ashmem_backend_name(area), "memfd");
	ashmem_close(area);
	expect_eq(ashmem_import(other, &nothing), -EINVAL);
	expect(nothing == NULL);
	expect_eq(toy_calls.imports, 3);
	close(stranger);
	close(foreign);
	close(other);
}

static void add_bytes(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	uint64_t *bytes = userdata;

	(void)area;
	*bytes += offset == 0 ? length : 1;
}

CHILD_TEST(third_party, purges_that_it_does_not_tell_are_told_as_the_whole_area)
{
	struct view view;
	uint64_t bytes = 0;

	toy_use(ASHMEM_BACKEND_CAP_LRU);
	view = view_make(4);
	expect(ashmem_purge_subscribe(add_bytes, &bytes) > 0);
	ashmem_backend_note_purged(0, page_bytes()); /* outside of a purge nothing happens */
	unpin_pages(view.area, 1, 2);
	expect_eq(ashmem_shrink(1), 2);
	expect_eq(bytes, 4 * page_bytes());
	view_drop(&view);
}

CHILD_TEST(third_party, send_works_for_areas_of_any_backend)
{
	struct view view;
	struct ashmem_area *received = NULL;
	int ends[2];

	toy_use(0);
	view = view_make(1);
	make_socket_pair(ends);
	expect_eq(ashmem_send(ends[0], view.area), 0);
	expect_eq(ashmem_recv(ends[1], &received), 0);
	expect(received == view.area);
	ashmem_close(received);
	close(ends[0]);
	close(ends[1]);
	view_drop(&view);
	expect_eq(toy_calls.closes, 2);
}
