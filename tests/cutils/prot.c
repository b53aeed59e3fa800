/* SPDX-License-Identifier: MIT */
/*
 * Protection: libcutils' way, which binds a descriptor and lets purges go on, and the NDK's, which
 * binds everybody and ends them.
 */
#define _GNU_SOURCE 1
#include "regions.h"

#include <ashmem/ashmem.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int ndk_region_of(size_t pages)
{
	int fd = ASharedMemory_create("test", pages * page_bytes());

	EXPECT(fd >= 0);
	return fd;
}

static void set_prot_only_removes(int (*set_prot)(int fd, int prot), int fd)
{
	EXPECT(set_prot(fd, RW) == 0);
	EXPECT(set_prot(fd, RW) == 0);
	EXPECT_ERROR(set_prot(fd, RW | PROT_EXEC), EINVAL);
	EXPECT(set_prot(fd, PROT_READ) == 0);
	EXPECT_ERROR(set_prot(fd, RW), EINVAL);
	EXPECT_ERROR(set_prot(fd, PROT_READ | PROT_EXEC), EINVAL);
	EXPECT(set_prot(fd, PROT_READ) == 0);
}

static void cutils_only_removes(void)
{
	set_prot_only_removes(ashmem_set_prot_region, region_of(1));
}

static void cutils_binds_the_descriptor(void)
{
	int fd = region_of(2), earlier = dup(fd), kept = dup(fd);
	unsigned char *base = map_of(fd, 2, RW);

	EXPECT(fcntl(kept, F_SETFD, 0) == 0);
	EXPECT(ashmem_set_prot_region(fd, PROT_READ) == 0);
	expect_no_map(fd, 2, RW);
	expect_no_map(fd, 2, PROT_WRITE);
	unsigned char *view = map_of(fd, 2, PROT_READ);
	EXPECT(mprotect(view, page_bytes(), RW) < 0 && errno == EACCES);
	base[0] = 5; /* a mapping that was there keeps its rights */
	EXPECT(view[0] == 5);
	map_of(earlier, 2, RW)[0] = 6; /* and so does a duplicate, as documented */
	EXPECT(view[0] == 6);
	EXPECT(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	EXPECT(fcntl(kept, F_GETFD) == 0);
	EXPECT(ashmem_get_size_region(fd) == (int)(2 * page_bytes()));
	EXPECT(ashmem_valid(fd) == 1);
}

static void cutils_keeps_the_inherit_flag(void)
{
	int fd = region_of(1);

	EXPECT(fcntl(fd, F_SETFD, 0) == 0);
	EXPECT(ashmem_set_prot_region(fd, PROT_READ) == 0);
	EXPECT(fcntl(fd, F_GETFD) == 0);
}

static void cutils_can_be_purged_afterwards(void)
{
	int fd = region_of(16);
	unsigned char *base = map_of(fd, 16, RW);

	memset(base, 1, 16 * page_bytes());
	EXPECT(ashmem_set_prot_region(fd, PROT_READ) == 0);
	EXPECT(ashmem_unpin_region(fd, 0, 0) == 0);
	EXPECT(ashmem_shrink_count() == 16);
	EXPECT(purge_now() == 16);
	EXPECT(base[0] == 0);
	EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_WAS_PURGED);
}

static void set_prot_leaks_nothing(void)
{
	int fd = region_of(1), before;

	EXPECT(ashmem_set_prot_region(fd, PROT_READ) == 0);
	close(fd);
	close(region_of(1));
	before = descriptors_now();
	for (int i = 0; i < 20; i++) {
		fd = region_of(1);
		EXPECT(ashmem_set_prot_region(fd, PROT_READ) == 0);
		close(fd);
	}
	EXPECT(areas_now() == 1);
	close(region_of(1));
	EXPECT(descriptors_now() == before);
}

static void ndk_has_the_documented_results(void)
{
	int fd = ndk_region_of(3);

	EXPECT(ASharedMemory_create("none", 0) == -EINVAL);
	EXPECT(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	EXPECT(ASharedMemory_getSize(fd) == 3 * page_bytes());
	EXPECT(ASharedMemory_getSize(-1) == 0);
	EXPECT(ashmem_valid(fd) == 1);
	EXPECT(ashmem_get_size_region(fd) == (int)(3 * page_bytes()));
	memset(map_of(fd, 3, RW), 1, 3 * page_bytes());
	EXPECT(ashmem_unpin_region(fd, 0, 0) == 0);
	EXPECT(purge_now() == 3);
	EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_WAS_PURGED);
	set_prot_only_removes(ASharedMemory_setProt, fd);
}

static void skip_without_seal(void)
{
	struct ashmem_area *area;

	EXPECT(ashmem_create("probe", page_bytes(), ASHMEM_CREATE_ALLOW_SEAL, &area) == 0);
	if (ashmem_seal(area) == -ENOTSUP)
		skip("the kernel has no F_SEAL_FUTURE_WRITE (Linux 5.1)");
	ashmem_close(area);
}

static void ndk_binds_every_duplicate_and_ends_purging(void)
{
	int fd = ndk_region_of(4), earlier = dup(fd);
	unsigned char *base = map_of(fd, 4, RW);

	skip_without_seal();
	memset(base, 8, 4 * page_bytes());
	EXPECT(ASharedMemory_setProt(fd, PROT_READ) == 0);
	expect_no_map(fd, 4, RW);
	expect_no_map(earlier, 4, RW);
	EXPECT(map_of(earlier, 4, PROT_READ)[0] == 8);
	base[0] = 9;
	EXPECT(ashmem_unpin_region(fd, 0, 0) == 0);
	EXPECT(purge_now() == 0);
	EXPECT(base[0] == 9 && base[page_bytes()] == 8);
	EXPECT(ashmem_pin_region(fd, 0, 0) == ASHMEM_NOT_PURGED);
}

static void each_door_takes_the_others_regions(void)
{
	int fd = region_of(4), earlier = dup(fd);

	memset(map_of(fd, 4, RW), 8, 4 * page_bytes());
	EXPECT(ASharedMemory_setProt(fd, PROT_READ) == 0);
	expect_no_map(fd, 4, RW);
	map_of(earlier, 4, RW);
	EXPECT(ashmem_unpin_region(fd, 0, 0) == 0);
	EXPECT(purge_now() == 4);
	fd = ndk_region_of(1);
	EXPECT(ashmem_set_prot_region(fd, PROT_READ) == 0);
	expect_no_map(fd, 1, RW);
}

const struct region_case prot_cases[] = {
	{"cutils_only_removes", cutils_only_removes},
	{"cutils_binds_the_descriptor", cutils_binds_the_descriptor},
	{"cutils_keeps_the_inherit_flag", cutils_keeps_the_inherit_flag},
	{"cutils_can_be_purged_afterwards", cutils_can_be_purged_afterwards},
	{"set_prot_leaks_nothing", set_prot_leaks_nothing},
	{"ndk_has_the_documented_results", ndk_has_the_documented_results},
	{"ndk_binds_every_duplicate_and_ends_purging", ndk_binds_every_duplicate_and_ends_purging},
	{"each_door_takes_the_others_regions", each_door_takes_the_others_regions},
	{NULL, NULL},
};
