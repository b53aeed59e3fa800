/* SPDX-License-Identifier: MIT */
/* The program of every project here: what was unpinned is purged, and pin says so. */
#include <ashmem/ashmem.h>

#include <stdio.h>
#include <sys/mman.h>

#define BYTES (1u << 20)

int main(void)
{
	struct ashmem_area *area = NULL;
	void *addr = NULL;
	int lost;

	if (ashmem_version() != ASHMEM_VERSION || ashmem_backend_select("memfd") < 0 ||
		ashmem_create("consumer", BYTES, 0, &area) < 0 ||
		ashmem_map(area, 0, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, &addr) < 0)
		return 1;
	*(char *)addr = 'x';
	if (ashmem_unpin(area, 0, 0) < 0 || ashmem_shrink(1) <= 0)
		return 2;
	lost = ashmem_pin(area, 0, 0) == ASHMEM_WAS_PURGED && *(char *)addr == 0;
	printf("libashmem %s\n", ashmem_version_string());
	ashmem_unmap(addr, BYTES);
	ashmem_close(area);
	return lost ? 0 : 3;
}
