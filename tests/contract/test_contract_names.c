/* SPDX-License-Identifier: MIT */
/*
 * Contract, rules 4 and 5: names and sizes, their limits and errors, and what /proc/PID/maps shows.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/contract.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST_NAME = ASHMEM_NAME_LEN - 1, LONGEST_MEMFD_NAME = 249 };

static const char *name_of(struct ashmem_area *area)
{
	static char name[ASHMEM_NAME_LEN];

	memset(name, 'X', sizeof name);
	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	return name;
}

/* Rule 4 */

CONTRACT_TEST(name, set_name_is_read_back)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_set_name(area, "dalvik heap/7 \xc3\xa4"), 0);
	expect_str(name_of(area), "dalvik heap/7 \xc3\xa4");
	ashmem_close(area);
}

CONTRACT_TEST(name, empty_name_means_unset)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_set_name(area, "something"), 0);
	expect_eq(ashmem_set_name(area, ""), 0);
	expect_str(name_of(area), ASHMEM_NAME_DEF);
	ashmem_close(area);
}

CONTRACT_TEST(name, name_of_255_bytes_is_kept_whole)
{
	struct ashmem_area *area = area_of_pages(1);
	char longest[ASHMEM_NAME_LEN];

	memset(longest, 'n', LONGEST_NAME);
	longest[LONGEST_NAME] = '\0';
	longest[LONGEST_NAME - 1] = 'z';
	expect_eq(ashmem_set_name(area, longest), 0);
	expect_str(name_of(area), longest);
	ashmem_close(area);
}

CONTRACT_TEST(name, longer_name_is_cut_to_255_bytes)
{
	struct ashmem_area *by_set = area_of_pages(1);
	struct ashmem_area *by_create;
	char too_long[700];
	char cut[ASHMEM_NAME_LEN];
	size_t i;

	for (i = 0; i < sizeof too_long - 1; i++)
		too_long[i] = (char)('a' + i % 26);
	too_long[sizeof too_long - 1] = '\0';
	memcpy(cut, too_long, LONGEST_NAME);
	cut[LONGEST_NAME] = '\0';
	expect_eq(ashmem_set_name(by_set, too_long), 0);
	expect_str(name_of(by_set), cut);
	expect_eq(ashmem_create(too_long, 1, 0, &by_create), 0);
	expect_str(name_of(by_create), cut);
	ashmem_close(by_set);
	ashmem_close(by_create);
}

CONTRACT_TEST(name, shorter_name_replaces_a_longer_one)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_set_name(area, "a rather long name"), 0);
	expect_eq(ashmem_set_name(area, "b"), 0);
	expect_str(name_of(area), "b");
	ashmem_close(area);
}

CONTRACT_TEST(name, set_name_after_materialising_is_refused)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_set_name(area, "first"), 0);
	expect(ashmem_fd(area) >= 0);
	expect_eq(ashmem_set_name(area, "second"), -EINVAL);
	expect_eq(ashmem_set_name(area, ""), -EINVAL);
	expect_str(name_of(area), "first");
	ashmem_close(area);
}

CONTRACT_TEST(name, null_is_refused)
{
	struct ashmem_area *area = area_of_pages(1);
	char name[8] = "before";

	expect_eq(ashmem_set_name(area, NULL), -EINVAL);
	expect_eq(ashmem_set_name(NULL, "x"), -EINVAL);
	expect_eq(ashmem_get_name(NULL, name, sizeof name), -EINVAL);
	expect_eq(ashmem_get_name(area, NULL, 10), -EINVAL);
	expect_str(name, "before");
	ashmem_close(area);
}

CONTRACT_TEST(name, buffer_too_small_for_the_name_is_left_alone)
{
	struct ashmem_area *area = area_of_pages(1);
	char name[12] = "untouched";

	expect_eq(ashmem_get_name(area, name, strlen(ASHMEM_NAME_DEF)), -ERANGE);
	expect_eq(ashmem_set_name(area, "12345"), 0);
	expect_eq(ashmem_get_name(area, name, 5), -ERANGE);
	expect_eq(ashmem_get_name(area, name, 0), -ERANGE);
	expect_str(name, "untouched");
	expect_eq(ashmem_get_name(area, name, 6), 0);
	expect_str(name, "12345");
	ashmem_close(area);
}

CONTRACT_TEST(name, get_name_writes_no_more_than_the_buffer)
{
	struct ashmem_area *area = area_of_pages(1);
	char name[10];

	memset(name, '#', sizeof name);
	expect_eq(ashmem_set_name(area, "abc"), 0);
	expect_eq(ashmem_get_name(area, name, 4), 0);
	expect_eq(memcmp(name, "abc\0######", sizeof name), 0);
	ashmem_close(area);
}

/* Rule 4, /proc/PID/maps */

static void expect_in_maps(struct ashmem_area *area, const char *want)
{
	struct view view = view_of(area);
	char line[1024];

	expect(maps_line(view.base, line, sizeof line));
	expect_msg(strstr(line, want) != NULL, "\"%s\" is not in: %s", want, line);
	view_drop(&view);
}

CONTRACT_TEST(name, maps_shows_the_name)
{
	struct ashmem_area *area = area_of_pages(2);

	expect_eq(ashmem_set_name(area, "picture cache"), 0);
	expect_in_maps(area,
		backend_is_kernel() ? "/dev/ashmem/picture cache"
				    : "/memfd:/dev/ashmem/picture cache");
}

CONTRACT_TEST(name, maps_shows_unnamed_areas_as_ashmem)
{
	expect_in_maps(area_of_pages(1),
		backend_is_kernel() ? "/dev/ashmem" : "/memfd:/dev/ashmem");
}

CONTRACT_TEST(name, maps_shows_the_last_name_set)
{
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_create("created", page_bytes(), 0, &area), 0);
	expect_eq(ashmem_set_name(area, "renamed"), 0);
	expect_in_maps(area, "/dev/ashmem/renamed");
}

CONTRACT_TEST(name, maps_shows_a_long_name_as_far_as_the_backend_can)
{
	struct ashmem_area *area = area_of_pages(1);
	char name[ASHMEM_NAME_LEN];
	char shown[sizeof "/dev/ashmem/" + ASHMEM_NAME_LEN];

	memset(name, 'q', LONGEST_NAME);
	name[LONGEST_NAME] = '\0';
	expect_eq(ashmem_set_name(area, name), 0);
	expect(ashmem_fd(area) >= 0);
	expect_str(name_of(area), name);
	snprintf(shown, sizeof shown, "/dev/ashmem/%s", name);
	if (!backend_is_kernel())
		shown[LONGEST_MEMFD_NAME] = '\0';
	expect_in_maps(area, shown);
}

/* Rule 5 */

CONTRACT_TEST(size, get_size_returns_the_bytes_set_not_the_pages)
{
	struct ashmem_area *area = area_of_bytes(page_bytes() + 1);

	expect_eq(ashmem_get_size(area), page_bytes() + 1);
	expect_eq(ashmem_set_size(area, 1), 0);
	expect_eq(ashmem_get_size(area), 1);
	expect_eq(ashmem_set_size(area, 3 * page_bytes() - 1), 0);
	expect_eq(ashmem_get_size(area), 3 * page_bytes() - 1);
	expect(ashmem_fd(area) >= 0);
	expect_eq(ashmem_get_size(area), 3 * page_bytes() - 1);
	ashmem_close(area);
}

CONTRACT_TEST(size, zero_is_allowed)
{
	struct ashmem_area *area = area_of_pages(4);
	void *base = NULL;

	expect_eq(ashmem_set_size(area, 0), 0);
	expect_eq(ashmem_get_size(area), 0);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED, &base), -EINVAL);
	expect_eq(ashmem_set_size(area, 1), 0);
	expect_eq(ashmem_get_size(area), 1);
	ashmem_close(area);
}

CONTRACT_TEST(size, pages_round_up)
{
	struct view view = view_of(area_of_bytes(page_bytes() + 1));

	expect_eq(view.pages, 2);
	view.base[2 * page_bytes() - 1] = 9;
	expect_eq(view.base[2 * page_bytes() - 1], 9);
	expect_eq(ashmem_unpin(view.area, 0, 2 * page_bytes()), 0);
	expect_eq(ashmem_unpin(view.area, 0, 3 * page_bytes()), -EINVAL);
	view_drop(&view);
}

CONTRACT_TEST(size, set_size_after_materialising_is_refused)
{
	struct ashmem_area *area = area_of_pages(2);

	expect(ashmem_fd(area) >= 0);
	expect_eq(ashmem_set_size(area, page_bytes()), -EINVAL);
	expect_eq(ashmem_set_size(area, 0), -EINVAL);
	expect_eq(ashmem_get_size(area), 2 * page_bytes());
	ashmem_close(area);
}

CONTRACT_TEST(size, null_area_has_no_size)
{
	expect_eq(ashmem_set_size(NULL, 1), -EINVAL);
	expect_eq(ashmem_get_size(NULL), 0);
}

CONTRACT_TEST(size, more_pages_than_can_be_counted_are_refused)
{
	struct ashmem_area *area = area_of_bytes(10);

	expect_eq(ashmem_set_size(area, (uint64_t)(UINT32_MAX - 3) * page_bytes() + 1), -EFBIG);
	expect_eq(ashmem_set_size(area, UINT64_MAX), -EFBIG);
	expect_eq(ashmem_get_size(area), 10);
	ashmem_close(area);
}
