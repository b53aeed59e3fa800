/* SPDX-License-Identifier: MIT */
/*
 * The driver's calls (device.h). The order in which errors are found is the driver's, measured by
 * tests/run/answers.c.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"
#include "maps.h"
#include "reach.h"
#include "watch.h"

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

/* The driver's numbers and its structure, from the contract. */
struct range {
	uint32_t offset;
	uint32_t length;
};

#define NAME_BYTES 256
#define SET_NAME _IOW(0x77, 1, char[NAME_BYTES])
#define GET_NAME _IOR(0x77, 2, char[NAME_BYTES])
#define SET_SIZE _IOW(0x77, 3, uint64_t)
#define SET_SIZE_32 _IOW(0x77, 3, uint32_t)
#define GET_SIZE _IO(0x77, 4)
#define SET_PROT_MASK _IOW(0x77, 5, uint64_t)
#define SET_PROT_MASK_32 _IOW(0x77, 5, uint32_t)
#define GET_PROT_MASK _IO(0x77, 6)
#define PIN _IOW(0x77, 7, struct range)
#define UNPIN _IOW(0x77, 8, struct range)
#define GET_PIN_STATUS _IO(0x77, 9)
#define PURGE_ALL_CACHES _IO(0x77, 10)
#define GET_FILE_ID _IOR(0x77, 11, uint64_t)
#define GET_FILE_ID_32 _IOR(0x77, 11, uint32_t)

static int answer(int64_t r)
{
	if (r >= 0)
		return (int)r;
	errno = (int)-r;
	return -1;
}

/* -- open -- */

/* An area and its descriptor, or a negative errno. Another thread may fork in between: anew. */
static int make_area(const char *name, uint64_t size_bytes, struct ashmem_area **area)
{
	int fd = -EBUSY;

	while (fd == -EBUSY) {
		int r = ashmem_create(name, size_bytes, 0, area);
		if (r < 0)
			return r;
		fd = ashmem_export_early(*area);
		if (fd < 0)
			ashmem_close(*area);
	}
	return fd;
}

/* A descriptor of the program's own, the lowest that is free, for one of the library's. */
static int make_own(int fd, int flags)
{
	int own = libc_fcntl(fd, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
	int error = errno;

	files_show(fd);
	libc_close(fd);
	errno = error == EINVAL ? EMFILE : error;
	return own;
}

static int finish_open(struct ashmem_area *area, int own, int flags)
{
	struct run_file *file = files_new(area, own, flags & O_ACCMODE);

	if (!file) {
		libc_close(own);
		ashmem_close(area);
		return answer(-ENOMEM);
	}
	if (flags & O_NONBLOCK)
		libc_fcntl(own, F_SETFL, O_NONBLOCK);
	files_note_flags(own, flags);
	files_set(own, file);
	files_put(file);
	return own;
}

int device_open(int flags)
{
	struct ashmem_area *area;

	if (flags & O_DIRECTORY)
		return answer(-ENOTDIR);
	if ((flags & O_DIRECT) && !(flags & O_PATH))
		return answer(-EINVAL);
	if ((flags & O_CREAT) && (flags & O_EXCL))
		return answer(-EEXIST);
	if (flags & O_PATH)
		return libc_open("/dev/null", flags & ~(O_CREAT | O_TRUNC));
	int fd = make_area(NULL, 0, &area);
	if (fd < 0)
		return answer(fd);
	int own = make_own(fd, flags);
	if (own < 0) {
		ashmem_close(area);
		return -1;
	}
	return finish_open(area, own, flags);
}

/* -- name, size, mask -- */

/*
 * An area that no other process has gets its name anew, so that /proc/PID/maps shows it: the file
 * below cannot change its name. If this fails, only that is missing.
 */
static void make_named(struct run_file *file, int own, const char *name)
{
	struct ashmem_area *area, *former = file->area;

	if (file->shared || file->former || !name[0] || ashmem_is_materialised(former) != 0)
		return;
	int fd = make_area(name, ashmem_get_size(former), &area);
	if (fd < 0)
		return;
	int mask = ashmem_get_prot(former);
	if (mask < 0 || ashmem_set_prot(area, mask) < 0) {
		files_show(fd);
		libc_close(fd);
		ashmem_close(area);
		return;
	}
	libc_fcntl(fd, F_SETFL, libc_fcntl(own, F_GETFL, 0));
	files_note_flags(fd, files_noted_flags(own));
	files_replace(file, fd);
	__atomic_store_n(&file->area, area, __ATOMIC_SEQ_CST);
	files_show(fd);
	libc_close(fd);
	/* A call of another thread that is under way may use it; one that begins now does not. */
	if (__atomic_load_n(&file->refs, __ATOMIC_SEQ_CST) == file->slots + 1)
		ashmem_close(former);
	else
		file->former = former;
}

static int set_name(struct run_file *file, int own, const char *from)
{
	char name[NAME_BYTES];
	int r = reach_read_string(name, from, sizeof(name));

	if (r < 0)
		return r;
	name[NAME_BYTES - 1] = '\0';
	r = ashmem_set_name(file->area, name);
	if (r == 0)
		make_named(file, own, name);
	return r;
}

static int get_name(struct run_file *file, char *to)
{
	char name[NAME_BYTES];
	int r = ashmem_get_name(file->area, name, sizeof(name));

	return r < 0 ? r : reach_write(to, name, strlen(name) + 1);
}

static int set_prot(struct run_file *file, unsigned long mask)
{
	return mask & ~(unsigned long)RWX ? -EINVAL : ashmem_set_prot(file->area, (int)mask);
}

static int get_id(struct run_file *file, void *to, size_t size)
{
	uint64_t device, inode;
	int r = ashmem_is_materialised(file->area);

	if (r <= 0)
		return r < 0 ? r : -EINVAL;
	r = ashmem_get_id(file->area, &device, &inode);
	if (r < 0)
		return r;
	uint32_t short_id = (uint32_t)inode;
	return size == sizeof(short_id) ? reach_write(to, &short_id, size)
					: reach_write(to, &inode, size);
}

/* -- pins -- */

static int use_range(struct run_file *file, unsigned long number, const struct range *from)
{
	struct range range;

	if (!reach_can_read(from, sizeof(*from)))
		return -EFAULT;
	memcpy(&range, from, sizeof(range));
	switch (number) {
	case PIN:
		return ashmem_pin(file->area, range.offset, range.length);
	case UNPIN:
		if (watch_is_due)
			watch_begin();
		return ashmem_unpin(file->area, range.offset, range.length);
	default:
		return ashmem_get_pin_status(file->area, range.offset, range.length);
	}
}

static int64_t other_ioctl(struct run_file *file, int fd, unsigned long number, void *argument)
{
	unsigned long value = (unsigned long)(uintptr_t)argument;

	switch (number) {
	case SET_NAME:
		return set_name(file, fd, argument);
	case GET_NAME:
		return get_name(file, argument);
	case SET_SIZE:
		return ashmem_set_size(file->area, value);
	case SET_SIZE_32:
		return ashmem_set_size(file->area, (uint32_t)value);
	case GET_SIZE:
		return (int64_t)ashmem_get_size(file->area);
	case SET_PROT_MASK:
		return set_prot(file, value);
	case SET_PROT_MASK_32:
		return set_prot(file, (uint32_t)value);
	case GET_PROT_MASK:
		return ashmem_get_prot(file->area);
	case PURGE_ALL_CACHES:
		return ashmem_purge_all();
	case GET_FILE_ID:
		return get_id(file, argument, sizeof(uint64_t));
	case GET_FILE_ID_32:
		return get_id(file, argument, sizeof(uint32_t));
	default:
		return -ENOTTY;
	}
}

int device_ioctl(struct run_file *file, int fd, unsigned long number, void *argument)
{
	if (number == PIN || number == UNPIN || number == GET_PIN_STATUS)
		return answer(use_range(file, number, argument));
	switch (number) {
	case FIOCLEX:
	case FIONCLEX:
	case FIONBIO:
	case FIOASYNC:
	case _IO(0, 2): /* FIGETBSZ */
		return NEXT(ioctl)(fd, number, argument);
	default:
		return answer(other_ioctl(file, fd, number, argument));
	}
}

/* -- memory -- */

/* What mmap(2) checks first. */
static int check_place(const void *addr, size_t length, int flags, int64_t offset)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int is_fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);

	return length == 0 || offset % (int64_t)page != 0 ||
			(is_fixed && (uintptr_t)addr % page != 0)
		? -EINVAL
		: 0;
}

/* Then, after it has found a place, and before it asks the driver. */
static int check_file(const struct run_file *file, int prot, int flags)
{
	int kind = flags & MAP_TYPE;

	if (kind != MAP_SHARED && kind != MAP_SHARED_VALIDATE && kind != MAP_PRIVATE)
		return -EINVAL;
	if (kind == MAP_SHARED_VALIDATE && (flags & ~(MAP_TYPE | 0x7ffff | MAP_FIXED_NOREPLACE)))
		return -EOPNOTSUPP;
	if (!file_can_read(file) ||
		(kind != MAP_PRIVATE && (prot & PROT_WRITE) && !file_can_write(file)))
		return -EACCES;
	return 0;
}

/* Whether something is mapped where nothing may be replaced: that comes before other errors. */
static int is_taken(void *addr, size_t length, int flags)
{
	if (!(flags & MAP_FIXED_NOREPLACE))
		return 0;
	void *mapped = libc_mmap(addr, length, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (mapped == MAP_FAILED)
		return errno == EEXIST;
	libc_munmap(mapped, length);
	return mapped != addr;
}

/* The place that a program would like is a hint; the library takes demands alone. */
static int map_there(struct run_file *file, uint64_t offset, size_t length, int prot, int flags,
	void **mapped)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (*mapped && !(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
		void *hint = (void *)((uintptr_t)*mapped / page * page);
		if (ashmem_map(file->area, offset, length, prot, flags | MAP_FIXED_NOREPLACE,
			    &hint) == 0) {
			*mapped = hint;
			return 0;
		}
		*mapped = NULL;
	}
	return ashmem_map(file->area, offset, length, prot, flags, mapped);
}

int device_map(struct run_file *file, void *addr, size_t length, int prot, int flags,
	int64_t offset, void **mapped)
{
	int mask = 0, r = check_place(addr, length, flags, offset);

	if (r < 0)
		return answer(r);
	r = check_file(file, prot, flags);
	if (r == 0)
		r = maps_reserve();
	if (r == 0)
		r = mask = ashmem_get_prot(file->area);
	*mapped = addr;
	if (r >= 0)
		r = map_there(file, (uint64_t)offset, length, prot & RWX, flags, mapped);
	if (r < 0)
		return answer(is_taken(addr, length, flags) ? -EEXIST : r);
	if ((flags & MAP_TYPE) != MAP_PRIVATE && !file_can_write(file))
		mask &= ~PROT_WRITE;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t data = (ashmem_get_size(file->area) + page - 1) / page * page;
	maps_add(*mapped, length, mask, (size_t)(data - (uint64_t)offset));
	return 0;
}

/* -- data -- */

/* libashmem takes NULL for a mistake; here it is a bad address like another. */
static void *bad_if_null(void *bytes)
{
	return bytes ? bytes : (void *)1;
}

static ssize_t answer_bytes(int64_t r)
{
	if (r >= 0)
		return (ssize_t)r;
	errno = (int)-r;
	return -1;
}

/* What the kernel says of a buffer that no memory can hold, before it looks at the bytes. */
static int is_beyond_all(uint64_t length)
{
	return length > INT64_MAX;
}

ssize_t device_read(struct run_file *file, void *bytes, size_t length)
{
	if (!file_can_read(file))
		return answer(-EBADF);
	if (is_beyond_all(length))
		return answer(-EFAULT);
	return answer_bytes(ashmem_read(file->area, bad_if_null(bytes), length));
}

ssize_t device_pread(struct run_file *file, void *bytes, size_t length, int64_t offset)
{
	if (offset < 0)
		return answer(-EINVAL);
	if (!file_can_read(file))
		return answer(-EBADF);
	if (is_beyond_all(length))
		return answer(-EFAULT);
	return answer_bytes(ashmem_pread(file->area, bad_if_null(bytes), length, (uint64_t)offset));
}

ssize_t device_readv(struct run_file *file, const struct iovec *pieces, int count, int64_t offset)
{
	ssize_t done = 0;

	if (count < 0 || count > IOV_MAX || offset < -1)
		return answer(-EINVAL);
	if (count > 0 && !reach_can_read(pieces, (size_t)count * sizeof(*pieces)))
		return answer(-EFAULT);
	for (int i = 0; i < count; i++) {
		size_t length = pieces[i].iov_len;
		ssize_t got = offset < 0
			? device_read(file, pieces[i].iov_base, length)
			: device_pread(file, pieces[i].iov_base, length, offset + done);
		if (got < 0)
			return done ? done : -1;
		done += got;
		if ((size_t)got < length)
			break;
	}
	return done;
}

int64_t device_seek(struct run_file *file, int64_t offset, int whence)
{
	int64_t r = whence < SEEK_SET || whence > SEEK_HOLE
		? -EINVAL
		: ashmem_seek(file->area, offset, whence);

	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

int device_write(const struct run_file *file)
{
	return answer(file_can_write(file) ? -EINVAL : -EBADF);
}

int device_fallocate(const struct run_file *file, int64_t offset, int64_t length)
{
	if (offset < 0 || length <= 0)
		return answer(-EINVAL);
	return answer(file_can_write(file) ? -ENODEV : -EBADF);
}
