/* SPDX-License-Identifier: MIT */
/*
 * Maps a file at an address that suits huge pages: a huge page of the file must lie at a multiple
 * of its size in memory too.
 *
 * Gain, in turns with plain mmap(2), three runs each, on a 2-processor machine with a load of 16,
 * so noisy: ashmem_populate() of 4 MiB took 300 to 358 ns a page, and 2,550 to 2,640 without,
 * because no whole huge page lay in the mapping. memfd/huge_pages.c needs it as well. Everything
 * works without it.
 *
 * Costs a reservation of address space and up to three system calls more. Where there is no room
 * for the reservation, a plain mmap(2) is made. No lock, no state.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/map_aligned.h"
#include "base/pages.h"
#include "base/sys.h"

void *map_aligned(size_t length, int prot, int flags, int fd, off_t offset)
{
	size_t huge = sys_huge_bytes();
	void *room = MAP_FAILED;

	if (length >= huge && length <= SIZE_MAX - huge)
		room = mmap(NULL, length + huge, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return mmap(NULL, length, prot, flags, fd, offset);

	/* To a huge page, the address lies as the offset does. */
	size_t before = (size_t)((uint64_t)offset - (uintptr_t)room) % huge;
	unsigned char *base = (unsigned char *)room + before;
	void *addr = mmap(base, length, prot, flags | MAP_FIXED, fd, offset);
	if (addr == MAP_FAILED) {
		/*
		 * With mlockall(MCL_FUTURE) the kernel counts the reservation as locked memory, and
		 * the mapping that is to replace it once more.
		 */
		munmap(room, length + huge);
		return mmap(NULL, length, prot, flags, fd, offset);
	}
	if (before > 0)
		munmap(room, before);
	size_t mapped = (size_t)pages_round_up(length);
	munmap(base + mapped, huge - before);
	return addr;
}
