/* SPDX-License-Identifier: MIT */
/*
 * Newborns that parent and child share (birth.h). A peer can have written what is read from the
 * shared page, so it is checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/sys.h"
#include "memfd/birth.h"

/* A new name goes into the half that is not in use, so that a crash leaves a whole one. */
struct birth {
	uint32_t lock;
	uint32_t materialised;
	uint32_t prot;
	uint32_t name_in_use;
	uint64_t size_bytes;
	char name[2][ASHMEM_NAME_LEN];
};

void birth_make(struct memfd_area *area, int fd)
{
	struct birth *birth = mmap(NULL, sizeof(*birth), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (birth == MAP_FAILED) {
		close(fd);
		return;
	}
	birth->prot = (uint32_t)area->prot;
	birth->size_bytes = area->size_bytes;
	strcpy(birth->name[0], area->name);
	area->fd = fd;
	area->birth = birth;
}

void birth_drop(struct memfd_area *area)
{
	if (area->birth)
		munmap(area->birth, sizeof(*area->birth));
	area->birth = NULL;
}

static int is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & MEMFD_SIZE_SEALS) == MEMFD_SIZE_SEALS;
}

int birth_begin_work(struct memfd_area *area)
{
	struct birth *birth = area->birth;
	int r = lock_acquire(&birth->lock);

	if (r < 0)
		return r;
	uint32_t prot = __atomic_load_n(&birth->prot, __ATOMIC_RELAXED);
	uint64_t size_bytes = __atomic_load_n(&birth->size_bytes, __ATOMIC_RELAXED);
	if ((prot & ~(uint32_t)MEMFD_NEWBORN_PROT) || size_bytes > control_max_size()) {
		lock_release(&birth->lock);
		return -EUCLEAN;
	}
	area->prot = (int)prot;
	area->size_bytes = size_bytes;
	memcpy(area->name, birth->name[birth->name_in_use & 1], sizeof(area->name));
	area->name[ASHMEM_NAME_LEN - 1] = '\0';
	/*
	 * A sealed file has its final size: the process that sealed it may have died before it set
	 * `materialised`, or before it wrote the state, which is then made of what was just read.
	 */
	if (!__atomic_load_n(&birth->materialised, __ATOMIC_RELAXED) && !is_sealed(area->fd))
		return 0;
	lock_release(&birth->lock);
	return 1;
}

void birth_end_work(struct memfd_area *area)
{
	struct birth *birth = area->birth;
	uint32_t other = !(birth->name_in_use & 1);

	strcpy(birth->name[other], area->name);
	birth->prot = (uint32_t)area->prot;
	birth->size_bytes = area->size_bytes;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	birth->name_in_use = other;
	lock_release(&birth->lock);
}

void birth_leave(struct birth *birth, int materialised)
{
	if (materialised)
		__atomic_store_n(&birth->materialised, 1, __ATOMIC_RELAXED);
	lock_release(&birth->lock);
}

int birth_is_over(const struct birth *birth)
{
	return __atomic_load_n(&birth->materialised, __ATOMIC_ACQUIRE) != 0;
}
