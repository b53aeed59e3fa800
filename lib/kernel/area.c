/* SPDX-License-Identifier: MIT */
/*
 * The areas of the kernel backend: created, imported, closed; their name, size and protection mask.
 *
 * Two things take work: an import must find the area again that the process has already; and the
 * driver returns sizes as 32 bits, while areas can be larger.
 *
 * No lock is held when an operation is called (area.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ashmem/area.h>

#include "base/descriptor.h"
#include "base/fork.h"
#include "base/sys.h"
#include "kernel/abi.h"
#include "kernel/area.h"
#include "kernel/driver.h"
#include "kernel/node.h"
#include "range/range.h"

#define GIB_4 ((uint64_t)1 << 32)

static pthread_mutex_t kernel_areas_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kernel_area *areas;

void kernel_before_fork(void)
{
	kernel_node_before_fork();
	pthread_mutex_lock(&kernel_areas_mutex);
	for (struct kernel_area *area = areas; area; area = area->next)
		pthread_mutex_lock(&area->file_mutex);
}

void kernel_after_fork(void)
{
	for (struct kernel_area *area = areas; area; area = area->next)
		pthread_mutex_unlock(&area->file_mutex);
	pthread_mutex_unlock(&kernel_areas_mutex);
	kernel_node_after_fork();
}

/* -- life -- */

static int set_name(int fd, const char *name)
{
	char padded[KERNEL_NAME_LEN];

	/* The request hands over 256 bytes, though the 5.10 driver reads to the NUL only. */
	strncpy(padded, name, sizeof(padded) - 1);
	padded[sizeof(padded) - 1] = '\0';
	return kernel_driver_ask(fd, KERNEL_SET_NAME, (uintptr_t)padded);
}

static int set_size(int fd, uint64_t size_bytes)
{
	/* The memfd backend's limit, so that both return the same error. */
	if (size_bytes > (uint64_t)RANGE_MAX_PAGES * sys_page_size())
		return -EFBIG;
	/*
	 * D3: the driver takes larger ones, shows other processes their low 32 bits only, and
	 * cannot pin beyond.
	 */
	if (size_bytes > GIB_4 - sys_page_size())
		return -EOVERFLOW;
	return kernel_driver_ask(fd, KERNEL_SET_SIZE, (unsigned long)size_bytes);
}

/*
 * Make an area of an open file, which it takes over; NULL if there is no memory. kernel_areas_mutex
 * is held.
 */
static struct kernel_area *adopt(int fd, uint64_t size_bytes)
{
	struct kernel_area *area = calloc(1, sizeof(*area));

	if (!area || descriptor_learn(fd, &area->file) < 0) {
		free(area);
		close(fd);
		return NULL;
	}
	pthread_mutex_init(&area->file_mutex, NULL);
	area->fd = fd;
	area->refs = 1;
	area->size_bytes = size_bytes;
	area->next = areas;
	if (areas)
		areas->prev = area;
	areas = area;
	return area;
}

int kernel_area_create(void *userdata, const char *name, uint64_t size_bytes, uint32_t flags,
	void **state)
{
	int fd = kernel_node_open();

	(void)userdata;
	(void)flags;
	if (fd < 0)
		return fd;
	int r = size_bytes ? set_size(fd, size_bytes) : 0;
	if (r == 0 && name[0])
		r = set_name(fd, name);
	if (r < 0) {
		close(fd);
		return r;
	}
	pthread_mutex_lock(&kernel_areas_mutex);
	struct kernel_area *area = adopt(fd, size_bytes);
	pthread_mutex_unlock(&kernel_areas_mutex);
	if (!area)
		return -ENOMEM;
	*state = area;
	return 0;
}

/* Whether two descriptors are one open file: 1; 0 if not, or if the kernel does not say. */
static int is_same_file(int a, int b)
{
#ifdef SYS_kcmp
	/* 0 is KCMP_FILE. Kernels without CONFIG_KCMP, and sandboxes, refuse it. */
	return syscall(SYS_kcmp, getpid(), getpid(), 0, a, b) == 0;
#else
	(void)a;
	(void)b;
	return 0;
#endif
}

/* The area that this process has of an open file, with one more reference, or NULL. */
static struct kernel_area *find(int fd)
{
	struct kernel_area *area = areas;

	while (area && !is_same_file(area->fd, fd))
		area = area->next;
	if (area)
		area->refs++;
	return area;
}

/*
 * The area of a descriptor, with one more reference. If the kernel does not say that we have it
 * already, it gets a second state, which works: everything that is shared is in the driver.
 * kernel_areas_mutex is held, so that two threads that import one area do not make two of it.
 */
static int find_or_adopt(int fd, struct kernel_area **found)
{
	struct kernel_area *area = find(fd);

	if (!area) {
		int copy = descriptor_duplicate(fd);
		if (copy < 0)
			return -errno;
		area = adopt(copy, 0);
		if (!area)
			return -ENOMEM;
	}
	*found = area;
	return 0;
}

int kernel_area_import(void *userdata, int fd, void **state)
{
	struct kernel_area *area = NULL;
	int mode = fcntl(fd, F_GETFL), r = process_start();

	(void)userdata;
	if (r < 0)
		return r;
	if (mode < 0 || (mode & O_PATH))
		return -EBADF;
	if (!kernel_driver_owns(fd))
		return -ENOTTY;
	/* It could never be mapped, not even to materialise: mmap(2) needs read access. */
	if ((mode & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	pthread_mutex_lock(&kernel_areas_mutex);
	r = find_or_adopt(fd, &area);
	pthread_mutex_unlock(&kernel_areas_mutex);
	if (r == 0)
		*state = area;
	return r;
}

/* kernel_areas_mutex is held. */
static void unlink_area(struct kernel_area *area)
{
	if (area->prev)
		area->prev->next = area->next;
	else
		areas = area->next;
	if (area->next)
		area->next->prev = area->prev;
}

void kernel_area_close(void *state)
{
	struct kernel_area *area = state;

	pthread_mutex_lock(&kernel_areas_mutex);
	int last = --area->refs == 0;
	if (last)
		unlink_area(area);
	pthread_mutex_unlock(&kernel_areas_mutex);
	if (last) {
		descriptor_close(area->fd, &area->file);
		pthread_mutex_destroy(&area->file_mutex);
		free(area);
	}
}

/* -- name -- */

int kernel_area_set_name(void *state, const char *name)
{
	const struct kernel_area *area = state;

	return set_name(area->fd, name);
}

int kernel_area_get_name(void *state, char *name)
{
	const struct kernel_area *area = state;
	char found[KERNEL_NAME_LEN] = "";
	int r = kernel_driver_ask(area->fd, KERNEL_GET_NAME, (uintptr_t)found);

	if (r < 0)
		return r;
	found[sizeof(found) - 1] = '\0';
	/* An area that was given just this name cannot be told from one without, and need not. */
	strcpy(name, strcmp(found, ASHMEM_NAME_DEF) == 0 ? "" : found);
	return 0;
}

/* -- size -- */

int kernel_area_set_size(void *state, uint64_t size_bytes)
{
	struct kernel_area *area = state;

	pthread_mutex_lock(&area->file_mutex);
	int r = set_size(area->fd, size_bytes);
	if (r == 0)
		area->size_bytes = size_bytes;
	pthread_mutex_unlock(&area->file_mutex);
	return r;
}

static int has_byte(int fd, uint64_t offset)
{
	char byte;

	return pread(fd, &byte, 1, (off_t)offset) == 1;
}

/* The size of a materialised area whose low 32 bits are known: found by what can be read.
 * Another program may have made it larger than this library does. */
static uint64_t whole_size(int fd, uint32_t low)
{
	uint64_t size = low;

	/* Nearly always one read is enough. */
	if (!has_byte(fd, size + GIB_4 - 1))
		return size;
	for (uint64_t bit = (uint64_t)1 << 62; bit >= GIB_4; bit >>= 1)
		if (has_byte(fd, size + bit - 1))
			size += bit;
	return size;
}

/* Ask the driver: 1 if the area is materialised, or 0. `file_mutex` is held. */
static int learn_size(struct kernel_area *area, uint64_t *size_bytes)
{
	/* In this order: if it is materialised, the size is final. */
	int r = kernel_driver_ask_materialised(area->fd);

	if (r < 0)
		return r;
	/* Any 32 bits may be a size, also those that libc takes for an error. */
	uint32_t low = (uint32_t)kernel_driver_ask(area->fd, KERNEL_GET_SIZE, 0);
	/* Not if another thread was first: others read the size without the mutex by now. */
	if (r && !__atomic_load_n(&area->materialised, __ATOMIC_RELAXED)) {
		area->size_bytes = whole_size(area->fd, low);
		/* Release: pairs with the acquire in kernel_area_get_size(). */
		__atomic_store_n(&area->materialised, 1, __ATOMIC_RELEASE);
	}
	/* What another process set is known up to 4 GiB, while nothing can be read. */
	*size_bytes = (uint32_t)area->size_bytes == low ? area->size_bytes : low;
	return r;
}

int kernel_area_get_size(void *state, uint64_t *size_bytes, int *materialised)
{
	struct kernel_area *area = state;
	int r = 1;

	/* Acquire: pairs with the release in learn_size(); the size is written before. */
	if (__atomic_load_n(&area->materialised, __ATOMIC_ACQUIRE)) {
		*size_bytes = area->size_bytes;
	} else {
		pthread_mutex_lock(&area->file_mutex);
		r = learn_size(area, size_bytes);
		pthread_mutex_unlock(&area->file_mutex);
	}
	if (r < 0)
		return r;
	*materialised = r;
	return 0;
}

/* -- protection -- */

int kernel_area_set_prot(void *state, int prot)
{
	const struct kernel_area *area = state;

	return kernel_driver_ask(area->fd, KERNEL_SET_PROT_MASK, (unsigned long)prot);
}

int kernel_area_get_prot(void *state)
{
	const struct kernel_area *area = state;

	return kernel_driver_ask(area->fd, KERNEL_GET_PROT_MASK, 0);
}

/* -- descriptor -- */

int kernel_area_materialise(struct kernel_area *area, int charge)
{
	if (descriptor_check(area->fd, &area->file) < 0)
		return -EBADF;
	/* Relaxed: nothing else is read. */
	if (__atomic_load_n(&area->materialised, __ATOMIC_RELAXED))
		return 0;
	return kernel_driver_materialise(area->fd, charge);
}

/* Nobody has said how it is to be charged; page by page, it cannot fail for want of memory. */
int kernel_area_get_fd(void *state)
{
	struct kernel_area *area = state;
	int r = kernel_area_materialise(area, MAP_NORESERVE);

	return r < 0 ? r : area->fd;
}

int kernel_area_export_early(void *state)
{
	const struct kernel_area *area = state;

	if (descriptor_check(area->fd, &area->file) < 0)
		return -EBADF;
	int copy = descriptor_duplicate(area->fd);
	return copy < 0 ? -errno : copy;
}

/* -- descriptors of others -- */

int kernel_area_find(void *userdata, int fd, void **state)
{
	struct stat status;
	struct kernel_area *area = NULL;

	(void)userdata;
	pthread_mutex_lock(&kernel_areas_mutex);
	/* No system call for programs that have no area of the driver. */
	if (areas && fstat(fd, &status) == 0 && S_ISCHR(status.st_mode))
		area = find(fd);
	pthread_mutex_unlock(&kernel_areas_mutex);
	if (!area)
		return -ENOENT;
	*state = area;
	return 0;
}

int kernel_area_fd_kind(void *userdata, int fd)
{
	int mode = fcntl(fd, F_GETFL);

	(void)userdata;
	if (mode < 0)
		return -EBADF;
	if ((mode & O_PATH) || (mode & O_ACCMODE) == O_WRONLY || !kernel_driver_owns(fd))
		return -ENOTTY;
	return (mode & O_ACCMODE) == O_RDONLY ? ASHMEM_FD_READ_ONLY : ASHMEM_FD_AREA;
}

/* All its files are of one node. */
int kernel_area_get_id(void *state, uint64_t *device, uint64_t *inode)
{
	(void)state, (void)device, (void)inode;
	return -ENOTSUP;
}
