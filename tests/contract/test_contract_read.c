/* SPDX-License-Identifier: MIT */
/*
 * Contract, rule 8: reading at the position and at an offset, the one position an area has, seeking
 * in all five ways, and their errors.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* An area of two and a half pages whose byte i is pattern(i). */
static unsigned char pattern(uint64_t i)
{
	return (unsigned char)(i * 7 + i / 251 + 1);
}

static uint64_t patterned_bytes(void)
{
	return 2 * page_bytes() + page_bytes() / 2;
}

static struct view patterned_view(void)
{
	struct view view = view_of(area_of_bytes(patterned_bytes()));
	uint64_t i;

	for (i = 0; i < view.pages * page_bytes(); i++)
		view.base[i] = pattern(i);
	return view;
}

static void expect_pattern(const unsigned char *got, uint64_t offset, uint64_t length)
{
	uint64_t i;

	for (i = 0; i < length; i++)
		expect(got[i] == pattern(offset + i));
}

/* Size 0 and unmaterialised areas */

CONTRACT_TEST(read, size_zero_reads_as_end_of_file)
{
	struct ashmem_area *area = area_of_bytes(0);
	char byte = 9;

	expect_eq(ashmem_read(area, &byte, 1), 0);
	expect_eq(ashmem_pread(area, &byte, 1, 0), 0);
	expect_eq(ashmem_pread(area, &byte, 1, 1000), 0);
	expect_eq(byte, 9);
	ashmem_close(area);
}

CONTRACT_TEST(read, size_zero_cannot_be_sought)
{
	struct ashmem_area *area = area_of_bytes(0);

	expect_eq(ashmem_seek(area, 0, SEEK_SET), -EINVAL);
	expect_eq(ashmem_seek(area, 0, SEEK_END), -EINVAL);
	expect_eq(ashmem_seek(area, 0, SEEK_HOLE), -EINVAL);
	ashmem_close(area);
}

CONTRACT_TEST(read, unmaterialised_area_is_a_bad_descriptor)
{
	struct ashmem_area *area = area_of_pages(1);
	char byte = 9;
	int whence;

	expect_eq(ashmem_read(area, &byte, 1), -EBADF);
	expect_eq(ashmem_pread(area, &byte, 1, 0), -EBADF);
	for (whence = SEEK_SET; whence <= SEEK_HOLE; whence++)
		expect_eq(ashmem_seek(area, 0, whence), -EBADF);
	expect_eq(byte, 9);
	ashmem_close(area);
}

CONTRACT_TEST(read, null_is_refused)
{
	struct view view = view_make(1);
	char byte = 9;

	expect_eq(ashmem_read(NULL, &byte, 1), -EINVAL);
	expect_eq(ashmem_pread(NULL, &byte, 1, 0), -EINVAL);
	expect_eq(ashmem_seek(NULL, 0, SEEK_SET), -EINVAL);
	expect_eq(ashmem_read(view.area, NULL, 1), -EINVAL);
	expect_eq(ashmem_pread(view.area, NULL, 1, 0), -EINVAL);
	expect_eq(ashmem_read(view.area, NULL, 0), 0);
	expect_eq(ashmem_pread(view.area, NULL, 0, 0), 0);
	view_drop(&view);
}

CONTRACT_TEST(read, unwritable_buffer_is_a_fault_and_moves_nothing)
{
	struct view view = patterned_view();
	void *forbidden = mmap(NULL, page_bytes(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect(forbidden != MAP_FAILED);
	expect_eq(ashmem_seek(view.area, 3, SEEK_SET), 3);
	expect_eq(ashmem_read(view.area, forbidden, 10), -EFAULT);
	expect_eq(ashmem_pread(view.area, forbidden, 10, 0), -EFAULT);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), 3);
	munmap(forbidden, page_bytes());
	view_drop(&view);
}

/* Reading */

CONTRACT_TEST(read, pread_matches_the_memory_everywhere)
{
	struct view view = patterned_view();
	unsigned char got[300];
	uint64_t offset;

	for (offset = 0; offset + sizeof got < patterned_bytes(); offset += 97) {
		expect_eq(ashmem_pread(view.area, got, sizeof got, offset), sizeof got);
		expect_pattern(got, offset, sizeof got);
	}
	view_drop(&view);
}

CONTRACT_TEST(read, reading_stops_at_the_size_not_at_the_page_end)
{
	struct view view = patterned_view();
	unsigned char got[64];

	memset(got, 0xee, sizeof got);
	expect_eq(ashmem_pread(view.area, got, sizeof got, patterned_bytes() - 10), 10);
	expect_pattern(got, patterned_bytes() - 10, 10);
	expect_eq(got[10], 0xee);
	expect_eq(ashmem_seek(view.area, -4, SEEK_END), patterned_bytes() - 4);
	expect_eq(ashmem_read(view.area, got, sizeof got), 4);
	expect_pattern(got, patterned_bytes() - 4, 4);
	view_drop(&view);
}

CONTRACT_TEST(read, reading_past_the_end_gives_zero)
{
	struct view view = patterned_view();
	unsigned char byte = 0xee;

	expect_eq(ashmem_pread(view.area, &byte, 1, patterned_bytes()), 0);
	expect_eq(ashmem_pread(view.area, &byte, 1, 3 * page_bytes()), 0);
	expect_eq(ashmem_pread(view.area, &byte, 1, (uint64_t)1 << 40), 0);
	expect_eq(ashmem_seek(view.area, 0, SEEK_END), patterned_bytes());
	expect_eq(ashmem_read(view.area, &byte, 1), 0);
	expect_eq(byte, 0xee);
	view_drop(&view);
}

CONTRACT_TEST(read, pread_refuses_offsets_beyond_int64)
{
	struct view view = patterned_view();
	unsigned char byte = 0xee;

	expect_eq(ashmem_pread(view.area, &byte, 1, (uint64_t)INT64_MAX + 1), -EINVAL);
	expect_eq(ashmem_pread(view.area, &byte, 1, UINT64_MAX), -EINVAL);
	expect_eq(byte, 0xee);
	view_drop(&view);
}

CONTRACT_TEST(read, whole_area_can_be_read_at_once)
{
	struct view view = patterned_view();
	size_t room = 4 * (size_t)page_bytes();
	unsigned char *got = mmap(NULL, room, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect(got != MAP_FAILED);
	expect_eq(ashmem_read(view.area, got, room), patterned_bytes());
	expect_pattern(got, 0, patterned_bytes());
	expect_eq(got[patterned_bytes()], 0);
	munmap(got, room);
	view_drop(&view);
}

CONTRACT_TEST(read, purged_pages_read_as_zeroes)
{
	struct view view = patterned_view();
	unsigned char got[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	static const unsigned char zeroes[8];

	unpin_pages(view.area, 1, 1);
	expect_eq(purge_everything(), 1);
	expect_eq(ashmem_pread(view.area, got, sizeof got, page_bytes() + 16), sizeof got);
	expect_eq(memcmp(got, zeroes, sizeof got), 0);
	expect_eq(ashmem_pread(view.area, got, sizeof got, 0), sizeof got);
	expect_pattern(got, 0, sizeof got);
	view_drop(&view);
}

CONTRACT_TEST(read, unpinned_but_unpurged_pages_read_as_they_were)
{
	struct view view = patterned_view();
	unsigned char got[8];

	unpin_pages(view.area, 1, 1);
	expect_eq(ashmem_pread(view.area, got, sizeof got, page_bytes()), sizeof got);
	expect_pattern(got, page_bytes(), sizeof got);
	view_drop(&view);
}

/* The position */

CONTRACT_TEST(read, read_moves_the_position_and_pread_does_not)
{
	struct view view = patterned_view();
	unsigned char got[10];

	expect_eq(ashmem_read(view.area, got, 10), 10);
	expect_pattern(got, 0, 10);
	expect_eq(ashmem_pread(view.area, got, 10, 1000), 10);
	expect_eq(ashmem_read(view.area, got, 10), 10);
	expect_pattern(got, 10, 10);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), 20);
	expect_eq(ashmem_read(view.area, got, 0), 0);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), 20);
	view_drop(&view);
}

static void read_ten_bytes(void *area)
{
	unsigned char got[10];

	expect_eq(ashmem_read(area, got, 10), 10);
	expect_pattern(got, 5, 10);
}

CONTRACT_TEST(read, position_is_shared_between_processes)
{
	struct view view = patterned_view();

	expect_eq(ashmem_seek(view.area, 5, SEEK_SET), 5);
	run_child(read_ten_bytes, view.area);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), 15);
	view_drop(&view);
}

CONTRACT_TEST(read, position_survives_the_loss_of_write_rights)
{
	struct view view = patterned_view();
	unsigned char got[10];

	expect_eq(ashmem_read(view.area, got, 10), 10);
	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	expect_eq(ashmem_read(view.area, got, 10), 10);
	expect_pattern(got, 10, 10);
	view_drop(&view);
}

CONTRACT_TEST(read, mask_does_not_bind_reading)
{
	struct view view = patterned_view();
	unsigned char byte = 0;

	expect_eq(ashmem_set_prot(view.area, PROT_NONE), 0);
	expect_eq(ashmem_pread(view.area, &byte, 1, 7), 1);
	expect_eq(byte, pattern(7));
	view_drop(&view);
}

/* Seeking */

CONTRACT_TEST(seek, set_cur_and_end_move_as_lseek_does)
{
	struct view view = patterned_view();

	expect_eq(ashmem_seek(view.area, 100, SEEK_SET), 100);
	expect_eq(ashmem_seek(view.area, 20, SEEK_CUR), 120);
	expect_eq(ashmem_seek(view.area, -119, SEEK_CUR), 1);
	expect_eq(ashmem_seek(view.area, 0, SEEK_END), patterned_bytes());
	expect_eq(ashmem_seek(view.area, -1, SEEK_END), patterned_bytes() - 1);
	expect_eq(ashmem_seek(view.area, 0, SEEK_SET), 0);
	view_drop(&view);
}

CONTRACT_TEST(seek, position_may_lie_behind_the_end)
{
	struct view view = patterned_view();
	char byte;

	expect_eq(ashmem_seek(view.area, 50, SEEK_END), patterned_bytes() + 50);
	expect_eq(ashmem_read(view.area, &byte, 1), 0);
	expect_eq(ashmem_seek(view.area, (int64_t)1 << 33, SEEK_SET), (int64_t)1 << 33);
	expect_eq(ashmem_read(view.area, &byte, 1), 0);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), (int64_t)1 << 33);
	view_drop(&view);
}

CONTRACT_TEST(seek, negative_positions_are_refused_and_move_nothing)
{
	struct view view = patterned_view();

	expect_eq(ashmem_seek(view.area, 10, SEEK_SET), 10);
	expect_eq(ashmem_seek(view.area, -1, SEEK_SET), -EINVAL);
	expect_eq(ashmem_seek(view.area, -11, SEEK_CUR), -EINVAL);
	expect_eq(ashmem_seek(view.area, -(int64_t)patterned_bytes() - 1, SEEK_END), -EINVAL);
	expect_eq(ashmem_seek(view.area, INT64_MIN, SEEK_CUR), -EINVAL);
	expect_eq(ashmem_seek(view.area, INT64_MIN, SEEK_END), -EINVAL);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), 10);
	view_drop(&view);
}

CONTRACT_TEST(seek, positions_that_overflow_are_refused)
{
	struct view view = patterned_view();

	expect_eq(ashmem_seek(view.area, 10, SEEK_SET), 10);
	expect_eq(ashmem_seek(view.area, INT64_MAX, SEEK_CUR), -EINVAL);
	expect_eq(ashmem_seek(view.area, INT64_MAX, SEEK_END), -EINVAL);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), 10);
	view_drop(&view);
}

CONTRACT_TEST(seek, unknown_whence_is_refused)
{
	struct view view = patterned_view();

	expect_eq(ashmem_seek(view.area, 0, 5), -EINVAL);
	expect_eq(ashmem_seek(view.area, 0, -1), -EINVAL);
	expect_eq(ashmem_seek(view.area, 0, 1000), -EINVAL);
	view_drop(&view);
}

/* Six pages, the second and the fifth with data. */
static struct view view_with_holes(void)
{
	struct view view = view_of(area_of_bytes(6 * page_bytes() - 3));

	fill_pages(&view, 1, 1, 1);
	fill_pages(&view, 4, 1, 1);
	return view;
}

CONTRACT_TEST(seek, data_finds_the_next_page_written)
{
	struct view view = view_with_holes();
	uint64_t page = page_bytes();

	expect_eq(ashmem_seek(view.area, 0, SEEK_DATA), page);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), page);
	expect_eq(ashmem_seek(view.area, (int64_t)page + 5, SEEK_DATA), page + 5);
	expect_eq(ashmem_seek(view.area, 2 * (int64_t)page, SEEK_DATA), 4 * page);
	view_drop(&view);
}

CONTRACT_TEST(seek, hole_finds_the_next_page_not_written)
{
	struct view view = view_with_holes();
	uint64_t page = page_bytes();

	expect_eq(ashmem_seek(view.area, 7, SEEK_HOLE), 7);
	expect_eq(ashmem_seek(view.area, (int64_t)page, SEEK_HOLE), 2 * page);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), 2 * page);
	expect_eq(ashmem_seek(view.area, 4 * (int64_t)page + 1, SEEK_HOLE), 5 * page);
	view_drop(&view);
}

CONTRACT_TEST(seek, hole_of_a_full_area_is_its_size)
{
	struct view view = patterned_view();

	expect_eq(ashmem_seek(view.area, 0, SEEK_HOLE), patterned_bytes());
	expect_eq(ashmem_seek(view.area, (int64_t)patterned_bytes() - 1, SEEK_HOLE),
		patterned_bytes());
	view_drop(&view);
}

CONTRACT_TEST(seek, data_and_hole_outside_of_the_area_are_refused)
{
	struct view view = view_with_holes();
	int64_t size = (int64_t)ashmem_get_size(view.area);
	int64_t result;

	expect_eq(ashmem_seek(view.area, 1, SEEK_SET), 1);
	expect_eq(ashmem_seek(view.area, size, SEEK_DATA), -ENXIO);
	expect_eq(ashmem_seek(view.area, size, SEEK_HOLE), -ENXIO);
	expect_eq(ashmem_seek(view.area, size + 1, SEEK_DATA), -ENXIO);
	expect_eq(ashmem_seek(view.area, INT64_MAX, SEEK_HOLE), -ENXIO);
	expect_eq(ashmem_seek(view.area, 5 * (int64_t)page_bytes(), SEEK_DATA), -ENXIO);
	result = ashmem_seek(view.area, -1, SEEK_DATA);
	expect(result == -EINVAL || result == -ENXIO);
	result = ashmem_seek(view.area, -1, SEEK_HOLE);
	expect(result == -EINVAL || result == -ENXIO);
	expect_eq(ashmem_seek(view.area, 0, SEEK_CUR), 1);
	view_drop(&view);
}

CONTRACT_TEST(seek, purged_pages_are_holes)
{
	struct view view = view_with_holes();

	unpin_pages(view.area, 1, 1);
	expect_eq(purge_everything(), 1);
	expect_eq(ashmem_seek(view.area, 0, SEEK_DATA), 4 * page_bytes());
	view_drop(&view);
}
