/* SPDX-License-Identifier: MIT */
/*
 * Contract, section 3: where libashmem is better than the driver, D1 to D7 and D10 to D12 (D9 is in
 * test_contract_prot.c). What the library itself sees to holds with both backends; what only its
 * own purging can do is skipped with the driver, by name of the rule.
 */
#define _GNU_SOURCE 1
#include "support/abilities.h"
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB ((uint64_t)1 << 30)

/* D1 */

/* Pages 0-1 purged, 2-3 live, all one range with a purge mark. */
static struct view half_purged_view(void)
{
	struct view view = view_make(6);

	fill_pages(&view, 0, 6, 0x3c);
	unpin_pages(view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	unpin_pages(view.area, 1, 3);
	return view;
}

CONTRACT_TEST(better, d1_live_pages_merged_into_a_purged_range_are_reclaimed)
{
	struct view view;

	skip_on_kernel("D1: the driver forgets these pages");
	view = half_purged_view();
	expect(pages_hold(&view, 2, 2, 0x3c));
	expect_eq(ashmem_shrink_count(), 2);
	expect_eq(ashmem_purge_all(), 2);
	expect(pages_hold(&view, 0, 4, 0));
	expect(pages_hold(&view, 4, 2, 0x3c));
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(ashmem_purge_all(), 0);
	view_drop(&view);
}

CONTRACT_TEST(better, d1_shrink_frees_live_pages_of_a_purged_range)
{
	struct view view;

	skip_on_kernel("D1: the driver forgets these pages");
	view = half_purged_view();
	expect_eq(ashmem_shrink(1), 2);
	expect_eq(ashmem_shrink(1), 0);
	expect(pages_hold(&view, 0, 4, 0));
	view_drop(&view);
}

CONTRACT_TEST(better, d1_answers_of_pin_are_unchanged)
{
	struct view view = half_purged_view();

	expect_eq(pin_pages(view.area, 3, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 2, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_WAS_PURGED);
	expect(pages_hold(&view, 2, 2, 0x3c));
	view_drop(&view);
}

CONTRACT_TEST(better, d1_merged_range_has_the_age_of_the_merge)
{
	struct view view, other;

	skip_on_kernel("D1: the driver forgets these pages");
	other = view_make(3);
	view = view_make(6);
	unpin_pages(view.area, 0, 2);
	expect_eq(ashmem_shrink(1), 2);
	unpin_pages(other.area, 0, 3);
	unpin_pages(view.area, 1, 3);
	expect_eq(ashmem_shrink(1), 3);
	expect_eq(pin_pages(other.area, 0, 3), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_shrink(1), 2);
	view_drop(&view);
	view_drop(&other);
}

/* D2 */

static void expect_end_is_nothing(uint64_t size_bytes)
{
	struct view view = view_of(area_of_bytes(size_bytes));
	uint64_t end = view.pages * page_bytes();

	expect_eq(ashmem_get_pin_status(view.area, end, 0), ASHMEM_IS_PINNED);
	expect_eq(ashmem_unpin(view.area, end, 0), 0);
	expect_eq(ashmem_get_pin_status(view.area, end, 0), ASHMEM_IS_PINNED);
	expect_eq(ashmem_get_pin_status(view.area, 0, 0), ASHMEM_IS_PINNED);
	expect_eq(purge_everything(), 0);
	expect_eq(ashmem_pin(view.area, end, 0), ASHMEM_NOT_PURGED);
	unpin_pages(view.area, 0, view.pages);
	expect_eq(purge_everything(), view.pages);
	expect_eq(ashmem_get_pin_status(view.area, end, 0), ASHMEM_IS_PINNED);
	expect_eq(ashmem_unpin(view.area, end, 0), 0);
	expect_eq(ashmem_pin(view.area, end, 0), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 0, view.pages), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(better, d2_length_zero_at_the_aligned_end_is_nothing_to_do)
{
	expect_end_is_nothing(3 * page_bytes());
	expect_end_is_nothing(2 * page_bytes() + 1);
}

CONTRACT_TEST(better, d2_length_zero_behind_the_aligned_end_is_refused)
{
	struct view view = view_make(2);

	expect_eq(ashmem_pin(view.area, 3 * page_bytes(), 0), -EINVAL);
	expect_eq(ashmem_unpin(view.area, 3 * page_bytes(), 0), -EINVAL);
	expect_eq(ashmem_get_pin_status(view.area, 3 * page_bytes(), 0), -EINVAL);
	view_drop(&view);
}

/* D3 */

static unsigned char *map_page_at(struct ashmem_area *area, uint64_t offset)
{
	void *base = NULL;

	expect_eq(ashmem_map(area, offset, page_bytes(), PROT_RW, MAP_SHARED, &base), 0);
	return base;
}

CONTRACT_TEST(better, d3_pages_of_a_64_gib_area_are_pinned_and_purged_one_by_one)
{
	uint64_t size = 64 * GIB, page = page_bytes(), far = size - page;
	struct ashmem_area *area;
	unsigned char *middle, *last;

	skip_on_kernel("D3: the driver's offsets have 32 bits");
	skip_without_far_mappings();
	area = area_of_bytes(size);
	expect_eq(ashmem_get_size(area), size);
	middle = map_page_at(area, 5 * GIB);
	last = map_page_at(area, far);
	middle[0] = 1;
	last[0] = 2;
	expect_eq(ashmem_unpin(area, 5 * GIB, page), 0);
	expect_eq(ashmem_get_pin_status(area, 1 * GIB, page), ASHMEM_IS_PINNED);
	expect_eq(ashmem_get_pin_status(area, 5 * GIB, page), ASHMEM_IS_UNPINNED);
	expect_eq(ashmem_get_pin_status(area, 6 * GIB, 0), ASHMEM_IS_PINNED);
	expect_eq(ashmem_purge_all(), 1);
	expect_eq(middle[0], 0);
	expect_eq(last[0], 2);
	expect_eq(ashmem_pin(area, 0, 5 * GIB), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_pin(area, 4 * GIB, 2 * GIB), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_unpin(area, far, 0), 0);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(last[0], 0);
	ashmem_close(area);
}

CONTRACT_TEST(better, d3_whole_64_gib_can_be_unpinned_and_purged)
{
	uint64_t size = 64 * GIB;
	struct ashmem_area *area;
	unsigned char *first, *last;

	skip_on_kernel("D3: the driver's offsets have 32 bits");
	skip_without_far_mappings();
	area = area_of_bytes(size);
	first = map_page_at(area, 0);
	last = map_page_at(area, size - page_bytes());
	first[0] = last[7] = 9;
	expect_eq(ashmem_unpin(area, 0, 0), 0);
	expect_eq(ashmem_pin(area, 33 * GIB, 1 * GIB), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_purge_all(), (int64_t)(63 * GIB / page_bytes()));
	expect_eq(first[0], 0);
	expect_eq(last[7], 0);
	expect_eq(ashmem_pin(area, 33 * GIB, 1 * GIB), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_pin(area, 34 * GIB, 0), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_pin(area, 0, 33 * GIB), ASHMEM_WAS_PURGED);
	ashmem_close(area);
}

CONTRACT_TEST(better, d3_far_offsets_can_be_read_and_sought)
{
	struct ashmem_area *area;
	unsigned char *base, byte = 0;

	skip_on_kernel("D3: the driver's offsets have 32 bits");
	skip_without_far_mappings();
	area = area_of_bytes(64 * GIB);
	base = map_page_at(area, 40 * GIB);
	base[5] = 0x42;
	expect_eq(ashmem_pread(area, &byte, 1, 40 * GIB + 5), 1);
	expect_eq(byte, 0x42);
	expect_eq(ashmem_seek(area, 0, SEEK_DATA), (int64_t)(40 * GIB));
	expect_eq(ashmem_seek(area, 0, SEEK_END), (int64_t)(64 * GIB));
	ashmem_close(area);
}

CONTRACT_TEST(better, d3_driver_is_never_asked_for_more_than_32_bits)
{
	struct ashmem_area *area = NULL;
	uint64_t largest = 4 * GIB - page_bytes();

	if (!backend_is_kernel())
		contract_skip("D3: only the driver has 32-bit offsets");
	expect_eq(ashmem_create(NULL, 6 * GIB, 0, &area), -EOVERFLOW);
	expect_eq(ashmem_create(NULL, 4 * GIB, 0, &area), -EOVERFLOW);
	expect_eq(ashmem_create(NULL, largest + 1, 0, &area), -EOVERFLOW);
	expect(area == NULL);
	expect_eq(ashmem_create(NULL, largest, 0, &area), 0);
	expect_eq(ashmem_set_size(area, 4 * GIB), -EOVERFLOW);
	expect_eq(ashmem_get_size(area), largest);
	expect(ashmem_fd(area) >= 0);
	expect_eq(ashmem_unpin(area, largest - page_bytes(), 0), 0);
	expect_eq(ashmem_get_pin_status(area, 0, largest - page_bytes()), ASHMEM_IS_PINNED);
	expect_eq(ashmem_get_pin_status(area, 0, 0), ASHMEM_IS_UNPINNED);
	expect_eq(ashmem_pin(area, 0, 0), ASHMEM_NOT_PURGED);
	ashmem_close(area);
}

/* D4 */

enum { SPLIT_PAGES = 2000 };

static void split_without_memory(void *argument)
{
	struct view *view = argument;
	struct rlimit nothing = {0, 0};
	uint64_t page;

	expect_eq(setrlimit(RLIMIT_AS, &nothing), 0);
	expect_eq(setrlimit(RLIMIT_DATA, &nothing), 0);
	for (page = 1; page < SPLIT_PAGES; page += 2)
		expect_eq(pin_pages(view->area, page, 1), ASHMEM_NOT_PURGED);
}

CONTRACT_TEST(better, d4_pin_that_splits_needs_no_memory)
{
	struct view view = view_make(SPLIT_PAGES);
	uint64_t page;

	unpin_pages(view.area, 0, SPLIT_PAGES);
	run_child(split_without_memory, &view);
	for (page = 0; page < SPLIT_PAGES; page++)
		expect_eq(status_pages(view.area, page, 1),
			page % 2 ? ASHMEM_IS_PINNED : ASHMEM_IS_UNPINNED);
	expect_eq(purge_everything(), SPLIT_PAGES / 2);
	view_drop(&view);
}

/* D5 */

CONTRACT_TEST(better, d5_shrinking_counts_pages_not_ranges)
{
	struct view view;

	skip_on_kernel("D5: only the kernel shrinks the driver's areas");
	view = view_make(20);
	unpin_pages(view.area, 0, 5);
	unpin_pages(view.area, 6, 1);
	unpin_pages(view.area, 8, 1);
	unpin_pages(view.area, 10, 3);
	expect_eq(ashmem_shrink(1), 5);
	expect_eq(ashmem_shrink(2), 2);
	expect_eq(ashmem_shrink_count(), 3);
	expect_eq(ashmem_shrink(100), 3);
	view_drop(&view);
}

enum { STOPS = 40, LARGE_PAGES = 4096 };

static void purge_a_large_area_for_ever(void *argument)
{
	struct view *large = argument;

	for (;;) {
		fill_pages(large, 0, large->pages, 1);
		unpin_pages(large->area, 0, large->pages);
		expect(ashmem_purge_all() >= 0);
		expect(ashmem_pin(large->area, 0, 0) >= 0);
	}
}

/*
 * The purger is stopped wherever it happens to be; nobody else's area waits for it (a wait would
 * time out).
 */
CONTRACT_TEST(better, d5_pins_elsewhere_do_not_wait_for_a_purge)
{
	struct view large, other;
	pid_t purger;
	int stop, status;

	skip_on_kernel("D5: the driver makes the whole system wait");
	large = view_make(LARGE_PAGES);
	purger = child_start(purge_a_large_area_for_ever, &large);
	other = view_make(4);
	for (stop = 0; stop < STOPS; stop++) {
		usleep(1000 + 137 * (unsigned int)stop);
		expect_eq(kill(purger, SIGSTOP), 0);
		expect_eq(waitpid(purger, &status, WUNTRACED), purger);
		expect(WIFSTOPPED(status));
		unpin_pages(other.area, 0, 4);
		expect_eq(status_pages(other.area, 0, 4), ASHMEM_IS_UNPINNED);
		expect_eq(pin_pages(other.area, 0, 4), ASHMEM_NOT_PURGED);
		expect_eq(kill(purger, SIGCONT), 0);
	}
	kill(purger, SIGKILL);
	child_wait(purger);
	view_drop(&large);
	view_drop(&other);
}

/* D6 */

CONTRACT_TEST(better, d6_no_mapping_reaches_past_the_area)
{
	struct ashmem_area *area = area_of_pages(4);
	void *base = NULL;
	uint64_t offset_pages, length_pages;

	for (offset_pages = 0; offset_pages <= 6; offset_pages++) {
		for (length_pages = 1; length_pages <= 6; length_pages++) {
			int want = offset_pages + length_pages <= 4 ? 0 : -EINVAL;

			expect_eq(ashmem_map(area, offset_pages * page_bytes(),
					  length_pages * page_bytes(), PROT_READ, MAP_SHARED,
					  &base),
				want);
			if (want == 0)
				ashmem_unmap(base, length_pages * page_bytes());
		}
	}
	ashmem_close(area);
}

/* D7 */

CONTRACT_TEST(better, d7_private_mapping_shows_the_present_bytes)
{
	struct view view;
	void *base = NULL;
	unsigned char *copy;

	skip_on_kernel("D7: the driver shows zeroes");
	view = view_make(2);
	fill_pages(&view, 0, 2, 0x61);
	expect_eq(ashmem_map(view.area, 0, 2 * page_bytes(), PROT_RW, MAP_PRIVATE, &base), 0);
	copy = base;
	expect_eq(copy[0], 0x61);
	expect_eq(copy[2 * page_bytes() - 1], 0x61);
	copy[0] = 1;
	fill_pages(&view, 0, 2, 0x62);
	expect_eq(copy[0], 1);
	expect_eq(copy[page_bytes()], 0x62);
	expect_eq(ashmem_unmap(base, 2 * page_bytes()), 0);
	view_drop(&view);
}

CONTRACT_TEST(better, d7_uncopied_pages_of_a_private_mapping_show_a_purge)
{
	struct view view;
	void *base = NULL;
	unsigned char *copy;

	skip_on_kernel("D7: the driver shows zeroes");
	view = view_make(2);
	fill_pages(&view, 0, 2, 0x61);
	expect_eq(ashmem_map(view.area, 0, 2 * page_bytes(), PROT_RW, MAP_PRIVATE, &base), 0);
	copy = base;
	expect_eq(copy[0], 0x61);
	copy[page_bytes()] = 0x63;
	unpin_pages(view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	expect_eq(copy[0], 0);
	expect_eq(copy[page_bytes()], 0x63);
	expect_eq(copy[page_bytes() + 1], 0x61);
	expect_eq(ashmem_unmap(base, 2 * page_bytes()), 0);
	view_drop(&view);
}

/* D10 */

/* A range is split, and younger ranges are unpinned after that: both parts go before those. */
CONTRACT_TEST(better, d10_both_parts_of_a_split_range_keep_their_age)
{
	struct view view;

	skip_on_kernel("D10: the driver makes the right part the newest");
	view = full_view(9);
	unpin_pages(view.area, 0, 5);
	unpin_pages(view.area, 6, 1);
	expect_eq(pin_pages(view.area, 2, 1), ASHMEM_NOT_PURGED);
	unpin_pages(view.area, 8, 1);
	expect_eq(ashmem_shrink(4), 4);
	expect_str(purge_picture(&view), "PP.PP....");
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&view), "PP.PP.P..");
	view_drop(&view);
}

/* The same where the area holds nothing else, and where both parts are split again. */
CONTRACT_TEST(better, d10_parts_of_parts_keep_their_age)
{
	struct view old, young;

	skip_on_kernel("D10: the driver makes the right part the newest");
	old = full_view(7);
	young = full_view(1);
	unpin_pages(old.area, 0, 7);
	unpin_pages(young.area, 0, 1);
	expect_eq(pin_pages(old.area, 3, 1), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(old.area, 1, 1), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(old.area, 5, 1), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_shrink(4), 4);
	expect_str(purge_picture(&old), "P.P.P.P");
	expect_str(purge_picture(&young), ".");
	view_drop(&old);
	view_drop(&young);
}

/* D11 */

/* A thousand times what this machine could have, mapped whole: nothing is charged for it. */
CONTRACT_TEST(better, d11_mapping_an_area_charges_no_memory)
{
	uint64_t most = ((uint64_t)1 << 32) - 3, want = (uint64_t)1 << 40;
	uint64_t pages = want / page_bytes() < most ? want / page_bytes() : most;
	struct ashmem_area *area = NULL;
	void *base = NULL;

	skip_on_kernel("D11: the driver charges the size");
	if (sizeof(void *) < 8)
		contract_skip("no address space for it");
	expect_eq(ashmem_create("vast", pages * page_bytes(), 0, &area), 0);
	int r = ashmem_map(area, 0, pages * page_bytes(), PROT_RW, MAP_SHARED, &base);
	if (r == -ENOMEM)
		contract_skip("address space is limited here");
	expect_eq(r, 0);
	*(char *)base = 1;
	expect_eq(ashmem_unmap(base, pages * page_bytes()), 0);
	ashmem_close(area);
}

/* D12 */

CONTRACT_TEST(better, d12_pread_leaves_the_position_alone)
{
	struct view view = full_view(2);
	char bytes[16];

	expect_eq(ashmem_seek(view.area, 5, SEEK_SET), 5);
	expect_eq(ashmem_pread(view.area, bytes, sizeof bytes, page_bytes()), sizeof bytes);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), 5);
	expect_eq(ashmem_pread(view.area, bytes, sizeof bytes, 0), sizeof bytes);
	expect_eq(ashmem_read(view.area, bytes, 3), 3);
	expect_eq(ashmem_seek(view.area, 2, SEEK_CUR), 10);
	view_drop(&view);
}
