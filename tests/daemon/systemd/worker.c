/* SPDX-License-Identifier: MIT */
/*
 * In the guest of `check`, in a unit with a limit of 96 MiB: unpins 60 MiB, waits until a daemon
 * may have seen them, and takes 60 MiB more. 0: it was purged, and nobody was killed.
 */
#include <ashmem/ashmem.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define BYTES (60 * MIB)

int main(void)
{
	struct ashmem_area *area;
	void *at;
	char *more;

	if (ashmem_create("worker", BYTES, 0, &area) < 0 ||
		ashmem_map(area, 0, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, &at) < 0)
		return 2;
	for (size_t i = 0; i < BYTES; i += MIB) {
		memset((char *)at + i, 1, MIB);
		if (ashmem_unpin(area, i, MIB) < 0)
			return 2;
	}
	sleep(3);
	more = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (more == MAP_FAILED)
		return 2;
	memset(more, 1, BYTES);
	printf("%s\n", ashmem_pin(area, 0, BYTES) == ASHMEM_WAS_PURGED ? "purged" : "not purged");
	return ashmem_unpin(area, 0, BYTES) < 0;
}
