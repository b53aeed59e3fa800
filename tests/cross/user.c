/* SPDX-License-Identifier: MIT */
/*
 * What a user of the headers compiles, as C99, C11 or C++11: the main story of the interface. Says
 * what is wrong by its status.
 */
#include <ashmem/ashmem.h>

#include <string.h>
#include <sys/mman.h>

static int told;

static void listen_to_pressure(void *userdata, uint32_t level, uint32_t before,
	uint64_t purged_pages)
{
	(void)userdata, (void)before, (void)purged_pages;
	told += level != 0;
}

int main(void)
{
	ashmem_pressure_fn fn = listen_to_pressure;
	struct ashmem_area *area = NULL, *same = NULL;
	struct ashmem_area_stats stats;
	void *addr = NULL;

	if (ashmem_version() != (uint32_t)ASHMEM_VERSION || ashmem_backend_select("memfd") != 0)
		return 10;
	if (ashmem_create("user", 1 << 20, ASHMEM_CREATE_ALLOW_SEAL, &area) != 0)
		return 11;
	if (ashmem_map(area, 0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, &addr) != 0)
		return 12;
	memset(addr, 'u', 1 << 20);
	if (ashmem_import(ashmem_fd(area), &same) != 0 || same != area)
		return 13;
	if (ashmem_unpin(same, 0, 1 << 19) != 0 ||
		ashmem_get_pin_status(area, 0, 0) != ASHMEM_IS_UNPINNED)
		return 14;
	stats.struct_size = sizeof stats;
	if (ashmem_area_get_stats(area, &stats) != 0 || ashmem_purge_all() <= 0)
		return 15;
	if (ashmem_pin(area, 0, 0) != ASHMEM_WAS_PURGED || *(char *)addr != 0 ||
		((char *)addr)[1 << 19] != 'u')
		return 16;
	ashmem_unmap(addr, 1 << 20);
	ashmem_close(same);
	ashmem_close(area);
	return told + (fn == NULL);
}
