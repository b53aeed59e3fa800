/* SPDX-License-Identifier: MIT */
/*
 * Making regions, pins that are real, descriptors as handles, and that nothing is left of closed
 * ones.
 */
#define _GNU_SOURCE 1
#include "regions.h"

#include <ashmem/ashmem.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void is_a_descriptor(void)
{
	int fd = ashmem_create_region("picture", 2 * page_bytes() + 5);

	EXPECT(fd > 2);
	EXPECT(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	EXPECT(ashmem_valid(fd) == 1);
	EXPECT(ashmem_get_size_region(fd) == (int)(2 * page_bytes() + 5));
	unsigned char *base = map_of(fd, 3, RW);
	EXPECT(base[0] == 0 && base[3 * page_bytes() - 1] == 0);
	memset(base, 7, 3 * page_bytes());
	EXPECT(close(fd) == 0);
	EXPECT(base[0] == 7);
	EXPECT(ashmem_valid(fd) == 0);
}

static void has_its_name_in_maps(void)
{
	int fd = ashmem_create_region("by this name", page_bytes()), found = 0;
	char line[4096];
	FILE *maps;

	map_of(fd, 1, RW);
	maps = fopen("/proc/self/maps", "re");
	EXPECT(maps != NULL);
	while (fgets(line, sizeof(line), maps))
		found += strstr(line, "/dev/ashmem/by this name") != NULL;
	fclose(maps);
	EXPECT(found > 0);
	fd = ashmem_create_region(NULL, page_bytes());
	EXPECT(fd >= 0 && ashmem_valid(fd) == 1);
}

static void pins_are_real(void)
{
	int fd = region_of(4);
	unsigned char *base = map_of(fd, 4, RW);

	memset(base, 9, 4 * page_bytes());
	EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_NOT_PURGED);
	EXPECT(ashmem_unpin_region(fd, page_bytes(), 2 * page_bytes()) == 0);
	EXPECT(base[page_bytes()] == 9);
	EXPECT(purge_now() == 2);
	EXPECT(base[0] == 9 && base[page_bytes()] == 0 && base[3 * page_bytes()] == 9);
	EXPECT(ashmem_pin_region(fd, 0, page_bytes()) == ASHMEM_NOT_PURGED);
	EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_WAS_PURGED);
	EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_NOT_PURGED);
	EXPECT(purge_now() == 0);
}

static void names_what_is_wrong(void)
{
	int fd = region_of(2);

	EXPECT_ERROR(ashmem_create_region("none", 0), EINVAL);
	if (sizeof(size_t) > 4) /* else no size is too large */
		EXPECT_ERROR(ashmem_create_region("most", SIZE_MAX / 2), EFBIG);
	EXPECT_ERROR(ashmem_pin_region(fd, 1, 0), EINVAL);
	EXPECT_ERROR(ashmem_pin_region(fd, 0, 3 * page_bytes()), EINVAL);
	EXPECT_ERROR(ashmem_unpin_region(fd, 0, 1), EINVAL);
	EXPECT_ERROR(ashmem_set_prot_region(fd, 8), EINVAL);
	close(fd);
	EXPECT_ERROR(ashmem_pin_region(fd, 0, 0), EBADF);
	EXPECT_ERROR(ashmem_unpin_region(fd, 0, 0), EBADF);
	EXPECT_ERROR(ashmem_set_prot_region(fd, PROT_READ), EBADF);
	EXPECT_ERROR(ashmem_get_size_region(fd), EBADF);
	EXPECT_ERROR(ashmem_get_size_region(-1), EBADF);
}

static void expect_no_region(int fd)
{
	EXPECT(fd >= 0);
	EXPECT(ashmem_valid(fd) == 0);
	EXPECT_ERROR(ashmem_pin_region(fd, 0, 0), ENOTTY);
	EXPECT_ERROR(ashmem_unpin_region(fd, 0, 0), ENOTTY);
	EXPECT_ERROR(ashmem_set_prot_region(fd, PROT_READ), ENOTTY);
	EXPECT_ERROR(ashmem_get_size_region(fd), ENOTTY);
	EXPECT(ASharedMemory_getSize(fd) == 0);
	EXPECT_ERROR(ASharedMemory_setProt(fd, PROT_READ), ENOTTY);
}

static void refuses_foreign_files(void)
{
	int memfd = memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING), ends[2];

	EXPECT(ftruncate(memfd, 65536) == 0);
	EXPECT(pipe(ends) == 0);
	expect_no_region(memfd);
	expect_no_region(ends[0]);
	expect_no_region(open("/dev/null", O_RDWR | O_CLOEXEC));
	expect_no_region(open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
	EXPECT(areas_now() == 0);
}

static void creating_and_closing_leaves_one_area(void)
{
	int before = 0;

	for (int i = 0; i < 200; i++) {
		int fd = region_of(16);
		EXPECT(ashmem_unpin_region(fd, 0, 0) == 0);
		EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_NOT_PURGED);
		close(fd);
		if (i == 0)
			before = descriptors_now();
	}
	EXPECT(areas_now() == 1);
	EXPECT(descriptors_now() == before);
}

static void closed_regions_go_before_a_purge(void)
{
	int fds[50];

	for (int i = 0; i < 50; i++)
		fds[i] = region_of(2);
	EXPECT(areas_now() == 50);
	EXPECT(ashmem_unpin_region(fds[7], 0, 0) == 0);
	memset(map_of(fds[7], 2, RW), 1, 2 * page_bytes());
	for (int i = 0; i < 50; i++)
		if (i != 7)
			close(fds[i]);
	EXPECT(ashmem_shrink(1) > 0);
	EXPECT(areas_now() == 1);
	EXPECT(ashmem_pin_region(fds[7], 0, 0) == ASHMEM_WAS_PURGED);
}

static void many_open_ones_do_not_hide_closed_ones(void)
{
	enum { OPEN = 60, CHURN = 300 };

	for (int i = 0; i < OPEN; i++)
		region_of(1);
	for (int i = 0; i < CHURN; i++)
		close(region_of(1));
	EXPECT(areas_now() <= OPEN + OPEN / 2);
}

static void duplicates_are_the_same_region(void)
{
	int fd = region_of(2), copy = dup(fd);
	unsigned char *base = map_of(fd, 2, RW);

	memset(base, 3, 2 * page_bytes());
	EXPECT(ashmem_unpin_region(copy, 0, 0) == 0);
	EXPECT(areas_now() == 1);
	close(fd);
	EXPECT(purge_now() == 2);
	EXPECT(ashmem_pin_region(copy, 0, 0) == ASHMEM_WAS_PURGED);
	/* Also one that the library has not seen, after the region's own was closed and swept. */
	int other = dup(copy);
	close(copy);
	close(region_of(1));
	EXPECT(ashmem_shrink_count() == 0);
	EXPECT(areas_now() == 0);
	EXPECT(ashmem_unpin_region(other, 0, 0) == 0);
	EXPECT(purge_now() == 2);
	EXPECT(ashmem_pin_region(other, 0, 0) == ASHMEM_WAS_PURGED);
}

static void a_number_that_is_used_again_is_another_file(void)
{
	int fd = region_of(2), other = region_of(4);

	EXPECT(ashmem_unpin_region(fd, 0, 0) == 0);
	EXPECT(dup2(other, fd) == fd);
	EXPECT(ashmem_get_size_region(fd) == (int)(4 * page_bytes()));
	EXPECT(ashmem_unpin_region(fd, 0, page_bytes()) == 0);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	EXPECT(dup2(null, fd) == fd);
	EXPECT_ERROR(ashmem_pin_region(fd, 0, 0), ENOTTY);
	EXPECT(ashmem_valid(fd) == 0);
	EXPECT(ashmem_pin_region(other, 0, 0) == ASHMEM_NOT_PURGED);
}

const struct region_case basic_cases[] = {
	{"is_a_descriptor", is_a_descriptor},
	{"has_its_name_in_maps", has_its_name_in_maps},
	{"pins_are_real", pins_are_real},
	{"names_what_is_wrong", names_what_is_wrong},
	{"refuses_foreign_files", refuses_foreign_files},
	{"creating_and_closing_leaves_one_area", creating_and_closing_leaves_one_area},
	{"closed_regions_go_before_a_purge", closed_regions_go_before_a_purge},
	{"many_open_ones_do_not_hide_closed_ones", many_open_ones_do_not_hide_closed_ones},
	{"duplicates_are_the_same_region", duplicates_are_the_same_region},
	{"a_number_that_is_used_again_is_another_file",
		a_number_that_is_used_again_is_another_file},
	{NULL, NULL},
};
