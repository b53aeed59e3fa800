/* SPDX-License-Identifier: MIT */
/*
 * The kernel backend: one open file of /dev/ashmem is one area, and the driver keeps its state.
 *
 * The area layer has checked the arguments. Left to do is what the driver cannot express or does in
 * another way (measured on ashmem_linux.ko of Linux 5.10, 64-bit and 32-bit callers):
 * - sizes come back as 32 bits, ranges must end below 4 GiB: whole_size(), ask_range();
 * - the first mapping decides whether memory is charged at once or page by page: MAP_NORESERVE;
 * - pread and lseek know another position than read does: position_of();
 * - two reads at once can get the same bytes; here threads take turns, processes do not;
 * - private mappings show zeroes: map_copied().
 *
 * Locks: `mutex` guards the list of areas, their `refs` and the node; an area's own mutex its size
 * and position. An area's mutex comes after `mutex`, both after the library's others (process.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend.h"
#include "kernel_abi.h"
#include "process.h"
#include "sys.h"

#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)
#define GIB_4 ((uint64_t)1 << 32)

struct kernel_area {
	int fd;
	uint32_t refs;
	struct kernel_area *prev, *next;
	pthread_mutex_t mutex;
	uint64_t size_bytes;   /* final once materialised; before, what this process set last */
	uint32_t materialised; /* atomic */
};

enum { NODE_UNKNOWN, NODE_NONE, NODE_PLAIN, NODE_BOOT_ID };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kernel_area *areas;
static int node; /* atomic: which one answers */
/* Written once, before `node` says that it is the one. */
static char boot_id_node[sizeof(KERNEL_NODE) + KERNEL_BOOT_ID_LEN];

void kernel_before_fork(void)
{
	pthread_mutex_lock(&mutex);
	for (struct kernel_area *area = areas; area; area = area->next)
		pthread_mutex_lock(&area->mutex);
}

void kernel_after_fork(void)
{
	for (struct kernel_area *area = areas; area; area = area->next)
		pthread_mutex_unlock(&area->mutex);
	pthread_mutex_unlock(&mutex);
}

/* ioctl(2) with a negative errno. */
static int ask(int fd, unsigned long request, unsigned long argument)
{
	int r = ioctl(fd, request, argument);

	return r == -1 ? -errno : r;
}

/*
 * A call on a range. A range that ends at 4 GiB overflows in the driver; its "to the end" is cut to
 * 32 bits in areas that large, so it is not used.
 */
static int ask_range(int fd, unsigned long request, uint64_t offset, uint64_t length)
{
	struct kernel_range range = {(uint32_t)offset, (uint32_t)length};

	if (offset + length > UINT32_MAX || offset + length < offset)
		return -EOVERFLOW;
	return ask(fd, request, (uintptr_t)&range);
}

/* Whether the area is materialised: 1, 0, or a negative errno. Changes nothing in the driver. */
static int ask_materialised(int fd)
{
	int r = ask_range(fd, KERNEL_GET_PIN_STATUS, 0, sys_page_size());

	if (r == -EINVAL)
		return 0;
	return r < 0 ? r : 1;
}

/* Materialise. PROT_NONE is within every mask. */
static int materialise(int fd)
{
	size_t page = sys_page_size();
	void *first = mmap(NULL, page, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (first == MAP_FAILED)
		return -errno;
	munmap(first, page);
	return 0;
}

/* -- the node -- */

/* Whether an open file behaves like the driver's: 0, -ENODEV, or an error that does not tell. */
static int try_driver(int fd)
{
	size_t page = sys_page_size();

	if (ask(fd, KERNEL_GET_PROT_MASK, 0) != PROT_ALL || ask(fd, KERNEL_GET_SIZE, 0) != 0 ||
		ask(fd, KERNEL_SET_SIZE, page) != 0 || ask(fd, KERNEL_GET_SIZE, 0) != (int)page ||
		ask_materialised(fd) != 0)
		return -ENODEV;
	int r = materialise(fd);
	if (r < 0)
		return r;
	return ask_range(fd, KERNEL_GET_PIN_STATUS, 0, page) == ASHMEM_IS_PINNED ? 0 : -ENODEV;
}

/* Errors of a process that is out of something, or was interrupted: the next try may succeed. */
static int is_passing(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EAGAIN ||
	       error == -EINTR;
}

static int try_node(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = try_driver(fd);
	close(fd);
	return r;
}

/* Write down the name of the node that has the boot id. `mutex` is held. */
static int name_boot_id_node(void)
{
	char id[KERNEL_BOOT_ID_LEN];

	if (boot_id_node[0])
		return 0;
	int fd = open(KERNEL_BOOT_ID, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t got = read(fd, id, sizeof(id));
	int r = got < 0 ? -errno : got == sizeof(id) ? 0 : -ENODEV;
	close(fd);
	if (r < 0)
		return r;
	memcpy(boot_id_node, KERNEL_NODE, sizeof(KERNEL_NODE) - 1);
	memcpy(boot_id_node + sizeof(KERNEL_NODE) - 1, id, sizeof(id));
	return 0;
}

/* The node that answers, or a negative errno that is not to be remembered. `mutex` is held. */
static int find_node(void)
{
	int r = name_boot_id_node();

	if (r == 0)
		r = try_node(boot_id_node);
	if (r == 0)
		return NODE_BOOT_ID;
	if (is_passing(r))
		return r;
	r = try_node(KERNEL_NODE);
	if (is_passing(r))
		return r;
	return r == 0 ? NODE_PLAIN : NODE_NONE;
}

static int kernel_probe(void *userdata)
{
	/* Acquire: pairs with the release below; the node's name is written before. */
	int known = __atomic_load_n(&node, __ATOMIC_ACQUIRE);

	(void)userdata;
	if (known == NODE_UNKNOWN) {
		int r = process_start();
		if (r < 0)
			return r;
		pthread_mutex_lock(&mutex);
		known = find_node();
		if (known >= 0)
			__atomic_store_n(&node, known, __ATOMIC_RELEASE);
		pthread_mutex_unlock(&mutex);
	}
	if (known < 0)
		return known;
	return known == NODE_NONE ? -ENODEV : 0;
}

/* A new open file of the driver. If the node cannot be opened, the next call looks for another. */
static int open_node(void)
{
	int r = kernel_probe(NULL);

	if (r < 0)
		return r;
	int known = __atomic_load_n(&node, __ATOMIC_ACQUIRE);
	int fd = open(known == NODE_BOOT_ID ? boot_id_node : KERNEL_NODE, O_RDWR | O_CLOEXEC);
	if (fd >= 0 || is_passing(-errno))
		return fd < 0 ? -errno : fd;
	__atomic_store_n(&node, NODE_UNKNOWN, __ATOMIC_RELAXED);
	return -ENODEV;
}

/* -- life -- */

static int set_size(int fd, uint64_t size_bytes)
{
	if (size_bytes > (uint64_t)UINT32_MAX * sys_page_size())
		return -EFBIG;
	if (size_bytes > SIZE_MAX)
		return -EOVERFLOW;
	return ask(fd, KERNEL_SET_SIZE, (unsigned long)size_bytes);
}

static int set_name(int fd, const char *name)
{
	char padded[KERNEL_NAME_LEN];

	/* The ABI has all of the 256 bytes; the 5.10 driver reads to the NUL. */
	strncpy(padded, name, sizeof(padded) - 1);
	padded[sizeof(padded) - 1] = '\0';
	return ask(fd, KERNEL_SET_NAME, (uintptr_t)padded);
}

/* Make the state of an open file and take it over; NULL if there is no memory. `mutex` is held. */
static struct kernel_area *adopt(int fd, uint64_t size_bytes)
{
	struct kernel_area *area = calloc(1, sizeof(*area));

	if (!area)
		return NULL;
	pthread_mutex_init(&area->mutex, NULL);
	area->fd = fd;
	area->refs = 1;
	area->size_bytes = size_bytes;
	area->next = areas;
	if (areas)
		areas->prev = area;
	areas = area;
	return area;
}

static int kernel_create(
	void *userdata, const char *name, uint64_t size_bytes, uint32_t flags, void **state)
{
	struct kernel_area *area = NULL;
	int r, fd = open_node();

	(void)userdata;
	(void)flags;
	if (fd < 0)
		return fd;
	r = size_bytes ? set_size(fd, size_bytes) : 0;
	if (r == 0 && name[0])
		r = set_name(fd, name);
	if (r == 0) {
		pthread_mutex_lock(&mutex);
		area = adopt(fd, size_bytes);
		pthread_mutex_unlock(&mutex);
		r = area ? 0 : -ENOMEM;
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	*state = area;
	return 0;
}

/* Whether a descriptor is the driver's, by its answers. */
static int is_driver(int fd)
{
	char name[KERNEL_NAME_LEN];
	struct stat status;

	/* To other devices these numbers may mean something; spare them where that is easy. */
	if (fstat(fd, &status) < 0 || !S_ISCHR(status.st_mode))
		return 0;
	memset(name, '?', sizeof(name));
	if (ask(fd, KERNEL_GET_NAME, (uintptr_t)name) != 0 || !memchr(name, '\0', sizeof(name)))
		return 0;
	int prot = ask(fd, KERNEL_GET_PROT_MASK, 0);
	return prot >= 0 && prot <= PROT_ALL && ask_materialised(fd) >= 0;
}

/* Whether two descriptors are one open file: 1, or 0 also if the kernel does not say. */
static int is_same_file(int a, int b)
{
#ifdef SYS_kcmp
	/* 0 is KCMP_FILE. Kernels without CONFIG_KCMP, and sandboxes, refuse it. */
	return syscall(SYS_kcmp, getpid(), getpid(), 0, a, b) == 0;
#else
	return 0;
#endif
}

/*
 * An area that the process has already gets the state it has, if the kernel tells that it is the
 * same open file. Where it does not, the area gets a second state, and works: everything that is
 * shared is in the driver.
 */
static int kernel_import(void *userdata, int fd, void **state)
{
	int mode = fcntl(fd, F_GETFL), r = process_start();
	struct kernel_area *area;

	(void)userdata;
	if (r < 0)
		return r;
	if (mode < 0 || (mode & O_PATH))
		return -EBADF;
	if (!is_driver(fd))
		return -ENOTTY;
	if ((mode & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	pthread_mutex_lock(&mutex);
	for (area = areas; area && !is_same_file(area->fd, fd);)
		area = area->next;
	if (area) {
		area->refs++;
	} else {
		int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		area = copy < 0 ? NULL : adopt(copy, 0);
		r = copy < 0 ? -errno : area ? 0 : -ENOMEM;
		if (copy >= 0 && !area)
			close(copy);
	}
	pthread_mutex_unlock(&mutex);
	if (r == 0)
		*state = area;
	return r;
}

static void kernel_close(void *state)
{
	struct kernel_area *area = state;

	pthread_mutex_lock(&mutex);
	int last = --area->refs == 0;
	if (last) {
		if (area->prev)
			area->prev->next = area->next;
		else
			areas = area->next;
		if (area->next)
			area->next->prev = area->prev;
	}
	pthread_mutex_unlock(&mutex);
	if (last) {
		close(area->fd);
		pthread_mutex_destroy(&area->mutex);
		free(area);
	}
}

/* -- name, size, protection -- */

static int kernel_set_name(void *state, const char *name)
{
	const struct kernel_area *area = state;

	return set_name(area->fd, name);
}

static int kernel_get_name(void *state, char *name)
{
	const struct kernel_area *area = state;
	char answer[KERNEL_NAME_LEN] = "";
	int r = ask(area->fd, KERNEL_GET_NAME, (uintptr_t)answer);

	if (r < 0)
		return r;
	answer[sizeof(answer) - 1] = '\0';
	/* An area that was given just this name cannot be told from one without, and need not. */
	strcpy(name, strcmp(answer, ASHMEM_NAME_DEF) == 0 ? "" : answer);
	return 0;
}

static int kernel_set_size(void *state, uint64_t size_bytes)
{
	struct kernel_area *area = state;

	pthread_mutex_lock(&area->mutex);
	int r = set_size(area->fd, size_bytes);
	if (r == 0)
		area->size_bytes = size_bytes;
	pthread_mutex_unlock(&area->mutex);
	return r;
}

static int has_byte(int fd, uint64_t offset)
{
	char byte;

	return pread(fd, &byte, 1, (off_t)offset) == 1;
}

/* The size of a materialised area whose low 32 bits are known: found by what can be read. */
static uint64_t whole_size(int fd, uint32_t low)
{
	uint64_t size = low;

	if (!has_byte(fd, size + GIB_4 - 1))
		return size;
	for (uint64_t bit = (uint64_t)1 << 62; bit >= GIB_4; bit >>= 1)
		if (has_byte(fd, size + bit - 1))
			size += bit;
	return size;
}

/* The area's mutex is held. */
static int learn_size(struct kernel_area *area, uint64_t *size_bytes)
{
	/* In this order: if it is materialised, the size is final. */
	int r = ask_materialised(area->fd);

	if (r < 0)
		return r;
	/* Any 32 bits may be a size, also those that libc takes for an error. */
	uint32_t low = (uint32_t)ask(area->fd, KERNEL_GET_SIZE, 0);
	if (r) {
		area->size_bytes = whole_size(area->fd, low);
		/* Release: pairs with the acquire in kernel_get_size(). */
		__atomic_store_n(&area->materialised, 1, __ATOMIC_RELEASE);
	}
	/* What another process set while nothing is materialised is known up to 4 GiB. */
	*size_bytes = (uint32_t)area->size_bytes == low ? area->size_bytes : low;
	return r;
}

static int kernel_get_size(void *state, uint64_t *size_bytes, int *materialised)
{
	struct kernel_area *area = state;
	int r = 1;

	if (__atomic_load_n(&area->materialised, __ATOMIC_ACQUIRE)) {
		*size_bytes = area->size_bytes;
	} else {
		pthread_mutex_lock(&area->mutex);
		r = learn_size(area, size_bytes);
		pthread_mutex_unlock(&area->mutex);
	}
	if (r < 0)
		return r;
	*materialised = r;
	return 0;
}

static int kernel_set_prot(void *state, int prot)
{
	const struct kernel_area *area = state;

	return ask(area->fd, KERNEL_SET_PROT_MASK, (unsigned long)prot);
}

static int kernel_get_prot(void *state)
{
	const struct kernel_area *area = state;

	return ask(area->fd, KERNEL_GET_PROT_MASK, 0);
}

/* -- memory -- */

static int kernel_get_fd(void *state)
{
	const struct kernel_area *area = state;

	if (__atomic_load_n(&area->materialised, __ATOMIC_RELAXED))
		return area->fd;
	int r = materialise(area->fd);
	return r < 0 ? r : area->fd;
}

static int is_zero(const unsigned char *bytes, size_t length)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* Copy the area's bytes to `to`, which reads as zeroes: what is zero takes no memory there. */
static int copy_bytes(int fd, unsigned char *to, size_t length, uint64_t offset)
{
	enum { SLICE = 4096 };
	unsigned char chunk[4 * SLICE];
	size_t done = 0;

	while (done < length) {
		size_t want = length - done < sizeof(chunk) ? length - done : sizeof(chunk);
		ssize_t got = pread(fd, chunk, want, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		for (size_t i = 0; i < (size_t)got; i += SLICE) {
			size_t part = (size_t)got - i < SLICE ? (size_t)got - i : SLICE;
			if (!is_zero(chunk + i, part))
				memcpy(to + done + i, chunk + i, part);
		}
		done += (size_t)got;
	}
	return 0;
}

/*
 * Reading ends at the size; what lies behind it in the last page only a mapping shows. `to` is
 * where that page belongs. Under a mask without READ nobody has seen such bytes, and nobody will.
 */
static int copy_tail(int fd, unsigned char *to, uint64_t size_bytes)
{
	size_t page = sys_page_size(), in_page = (size_t)(size_bytes % page);
	unsigned char *last =
		mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)(size_bytes - in_page));

	if (last == MAP_FAILED)
		return errno == EPERM ? 0 : -errno;
	if (!is_zero(last + in_page, page - in_page))
		memcpy(to + in_page, last + in_page, page - in_page);
	munmap(last, page);
	return 0;
}

/* Give a private mapping, which shows zeroes, the area's bytes as its own copies. */
static int fill_private(
	struct kernel_area *area, unsigned char *mapped, size_t length, uint64_t offset, int prot)
{
	size_t page = sys_page_size();
	uint64_t size, last;
	int materialised, r = kernel_get_size(area, &size, &materialised);

	if (r < 0)
		return r;
	length = (length + page - 1) & ~(page - 1);
	if (!(prot & PROT_WRITE) && mprotect(mapped, length, PROT_WRITE) < 0)
		return -errno;
	r = copy_bytes(area->fd, mapped, length, offset);
	last = size - size % page;
	if (r == 0 && last < size && last >= offset && last - offset < length)
		r = copy_tail(area->fd, mapped + (last - offset), size);
	if (r == 0 && !(prot & PROT_WRITE) && mprotect(mapped, length, prot) < 0)
		r = -errno;
	return r;
}

/*
 * D7, under a mask that has WRITE: the driver's private mapping, whose limits are right, filled
 * with what the area holds now. Later changes of the area do not show in it; mmap(2) leaves that
 * open. It takes memory for what is not zero, and time for reading it all.
 */
static int map_copied(struct kernel_area *area, uint64_t offset, size_t length, int prot,
	int map_flags, void **addr)
{
	int r = kernel_get_fd(area);

	if (r < 0)
		return r;
	void *mapped = mmap(*addr, length, prot, map_flags, area->fd, (off_t)offset);
	if (mapped == MAP_FAILED)
		return -errno;
	r = fill_private(area, mapped, length, offset, prot);
	if (r < 0) {
		munmap(mapped, length);
		return r;
	}
	*addr = mapped;
	return 0;
}

static int kernel_map(
	void *state, uint64_t offset, size_t length, int prot, int map_flags, void **addr)
{
	struct kernel_area *area = state;
	void *place = map_flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) ? *addr : NULL;
	int mask = kernel_get_prot(area);

	if (mask < 0)
		return mask;
	if ((map_flags & MAP_TYPE) == MAP_PRIVATE) {
		if (mask & PROT_WRITE) {
			int r = map_copied(area, offset, length, prot, map_flags, &place);
			if (r == 0)
				*addr = place;
			/* Unless the mask lost WRITE meanwhile. */
			if (r == 0 || (kernel_get_prot(area) & PROT_WRITE))
				return r;
		}
		/* D7, where nobody can ever write: shared and private mappings are the same. */
		map_flags = (map_flags & ~MAP_TYPE) | MAP_SHARED;
	}
	void *mapped =
		mmap(place, length, prot, map_flags | MAP_NORESERVE, area->fd, (off_t)offset);
	if (mapped == MAP_FAILED)
		return -errno;
	*addr = mapped;
	return 0;
}

/* The size of an area that is materialised. */
static int final_size(struct kernel_area *area, uint64_t *size_bytes)
{
	int materialised, r = kernel_get_size(area, size_bytes, &materialised);

	return r < 0 || materialised ? r : -EBADF;
}

static int64_t kernel_read(void *state, void *buf, size_t length)
{
	struct kernel_area *area = state;
	uint64_t size;
	int r = final_size(area, &size);

	if (r < 0)
		return r;
	if (length > size)
		length = (size_t)size;
	pthread_mutex_lock(&area->mutex);
	ssize_t got = read(area->fd, buf, length);
	int error = errno;
	pthread_mutex_unlock(&area->mutex);
	/* Position plus length do not fit: far behind the end. */
	if (got < 0 && error == EINVAL)
		return 0;
	return got < 0 ? -error : got;
}

static int64_t kernel_pread(void *state, void *buf, size_t length, uint64_t offset)
{
	struct kernel_area *area = state;
	uint64_t size;
	int r = final_size(area, &size);

	if (r < 0)
		return r;
	if (offset >= size)
		return 0;
	if (length > size - offset)
		length = (size_t)(size - offset);
	ssize_t got = pread(area->fd, buf, length, (off_t)offset);
	return got < 0 ? -errno : got;
}

/*
 * The position that read uses, or a negative errno if others' locks are in the way.
 *
 * The driver has two: the open file's, and one of the memory behind it. read starts from the first
 * and moves both, pread moves the second, lseek counts SEEK_CUR from the second and sets both. So
 * after a pread SEEK_CUR must not be left to the driver, and no call tells the first position. A
 * lock can be placed relative to it, though, and be asked for in absolute terms: it belongs to the
 * open file, so it is in the way of the process's own locks (fcntl(2)); its length tells it from
 * locks of others. /proc/self/fdinfo has the number too, but not for a process that changed its
 * user id.
 */
static int64_t position_of(int fd)
{
	const off_t mark_length = ((off_t)1 << 40) + getpid();

	for (int tries = 0; tries < 3; tries++) {
		struct flock mark = {.l_type = F_RDLCK, .l_whence = SEEK_CUR, .l_len = mark_length};
		struct flock found = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		if (fcntl(fd, F_OFD_SETLK, &mark) < 0)
			return -errno;
		int r = fcntl(fd, F_GETLK, &found) < 0 ? -errno : 0;
		/* All of the file: the position may have moved meanwhile. */
		mark = (struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET};
		fcntl(fd, F_OFD_SETLK, &mark);
		if (r < 0)
			return r;
		if (found.l_type == F_RDLCK && found.l_len == mark_length && found.l_pid == -1)
			return found.l_start;
	}
	return -EAGAIN;
}

/* SEEK_CUR. If others' locks hide the position, the driver's answer: right but after a pread. */
static int64_t seek_from_position(int fd, int64_t offset)
{
	int64_t sum = 0, position = position_of(fd);

	if (position >= 0 && offset == 0)
		return position;
	if (position >= 0 && __builtin_add_overflow(position, offset, &sum))
		return -EINVAL;
	off_t r = position < 0 ? lseek(fd, offset, SEEK_CUR) : lseek(fd, sum, SEEK_SET);
	return r < 0 ? -errno : r;
}

static int64_t kernel_seek(void *state, int64_t offset, int whence)
{
	struct kernel_area *area = state;
	int64_t r;

	pthread_mutex_lock(&area->mutex);
	if (whence == SEEK_CUR) {
		r = seek_from_position(area->fd, offset);
	} else {
		r = lseek(area->fd, (off_t)offset, whence);
		if (r < 0)
			r = -errno;
	}
	pthread_mutex_unlock(&area->mutex);
	return r;
}

/* -- pinning and purging -- */

static int kernel_pin(void *state, uint64_t offset, uint64_t length)
{
	const struct kernel_area *area = state;

	return ask_range(area->fd, KERNEL_PIN, offset, length);
}

static int kernel_unpin(void *state, uint64_t offset, uint64_t length)
{
	const struct kernel_area *area = state;

	return ask_range(area->fd, KERNEL_UNPIN, offset, length);
}

static int kernel_get_pin_status(void *state, uint64_t offset, uint64_t length)
{
	const struct kernel_area *area = state;

	return ask_range(area->fd, KERNEL_GET_PIN_STATUS, offset, length);
}

static int64_t kernel_purge_all(void *userdata)
{
	int fd = open_node();

	(void)userdata;
	if (fd < 0)
		return fd;
	int r = ask(fd, KERNEL_PURGE_ALL, 0);
	close(fd);
	return r;
}

const struct ashmem_backend backend_kernel = {
	.struct_size = sizeof(struct ashmem_backend),
	.name = "kernel",
	.capabilities = ASHMEM_BACKEND_CAP_PURGE_ALL,
	.probe = kernel_probe,
	.create = kernel_create,
	.import = kernel_import,
	.close = kernel_close,
	.set_name = kernel_set_name,
	.get_name = kernel_get_name,
	.set_size = kernel_set_size,
	.get_size = kernel_get_size,
	.set_prot = kernel_set_prot,
	.get_prot = kernel_get_prot,
	.get_fd = kernel_get_fd,
	.map = kernel_map,
	.read = kernel_read,
	.pread = kernel_pread,
	.seek = kernel_seek,
	.pin = kernel_pin,
	.unpin = kernel_unpin,
	.get_pin_status = kernel_get_pin_status,
	.purge_all = kernel_purge_all,
};
