/* SPDX-License-Identifier: MIT */
/*
 * The edge to the kernel; see sys.h. Each fallback names the version that needs it.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/sys.h"

#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1u
#define MFD_ALLOW_SEALING 2u
#endif
#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 8u
#endif
#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_WIPEONFORK /* Linux 4.14 */
#define MADV_WIPEONFORK 18
#endif
#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE 1
#define FALLOC_FL_PUNCH_HOLE 2
#endif
#ifndef F_OFD_SETLK /* Linux 3.15 */
#define F_OFD_SETLK 37
#endif
/* Past the end of any area: locks on the data are readers' pins. */
#define RECORD_LOCK_BYTE ((off_t)1 << 62)
#define FUTEX_WAIT_OP 0
#define FUTEX_WAKE_OP 1

int sys_memfd_create(const char *name)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	/*
	 * Since 6.3 a system can demand that the flag be given (vm.memfd_noexec); before, it is
	 * unknown: EINVAL.
	 */
	long fd = syscall(SYS_memfd_create, name, flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_memfd_create, name, flags);
	if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EACCES))
		return -ENODEV;
	fd = descriptor_above_std((int)fd);
	return fd < 0 ? -errno : (int)fd;
}

/* All memfds, but those of huge pages, are on one device. */
static dev_t memfds;
static int memfds_are_known;

static int is_on_known_device(const struct stat *status)
{
	return __atomic_load_n(&memfds_are_known, __ATOMIC_ACQUIRE) && status->st_dev == memfds;
}

/* Learn the device; 0 if that cannot be done now. */
static int learn_device(void)
{
	struct stat probe;

	if (__atomic_load_n(&memfds_are_known, __ATOMIC_ACQUIRE))
		return 1;
	int memfd = sys_memfd_create("ashmem-probe");
	if (memfd < 0)
		return 0;
	int r = fstat(memfd, &probe);
	close(memfd);
	if (r < 0)
		return 0;
	memfds = probe.st_dev;
	__atomic_store_n(&memfds_are_known, 1, __ATOMIC_RELEASE);
	return 1;
}

int sys_is_huge(int fd, const struct stat *status)
{
	struct statfs file_system;

	return !is_on_known_device(status) && fstatfs(fd, &file_system) == 0 &&
		(unsigned long)file_system.f_type == HUGETLBFS_MAGIC;
}

int sys_is_memfd_file(int fd, const struct stat *status)
{
	/* Not known now: assume so. */
	return !learn_device() || is_on_known_device(status) || sys_is_huge(fd, status);
}

int sys_is_memfd(int fd)
{
	struct stat status;

	return fstat(fd, &status) < 0 || sys_is_memfd_file(fd, &status);
}

static int record_lock(int fd, short type)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = RECORD_LOCK_BYTE, .l_len = 1};

	if (fcntl(fd, F_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : errno == ENOLCK ? -ENOMEM : -errno;
}

int sys_lock_file(int fd)
{
	return record_lock(fd, F_WRLCK);
}

void sys_unlock_file(int fd)
{
	record_lock(fd, F_UNLCK);
}

int sys_lock_range(int fd, enum sys_range_lock kind, uint64_t offset, uint64_t length)
{
	static const short types[] = {F_UNLCK, F_RDLCK, F_WRLCK};
	struct flock lock = {
		.l_type = types[kind],
		.l_whence = SEEK_SET,
		.l_start = (off_t)offset,
		.l_len = (off_t)length,
	};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EINVAL)
		return -ENOTSUP; /* sandboxes that know no such locks */
	return errno == EACCES ? -EAGAIN : errno == ENOLCK ? -ENOMEM : -errno;
}

int sys_find_lock(int fd, uint64_t offset, uint64_t length, uint64_t *start, uint64_t *end)
{
	struct flock lock = {
		.l_type = F_WRLCK, /* which every lock is in the way of */
		.l_whence = SEEK_SET,
		.l_start = (off_t)offset,
		.l_len = (off_t)length,
	};

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return errno == EINVAL ? -ENOTSUP : -errno;
	if (lock.l_type == F_UNLCK)
		return 0;
	*start = (uint64_t)lock.l_start;
	*end = lock.l_len ? *start + (uint64_t)lock.l_len : UINT64_MAX; /* 0: to the end */
	return 1;
}

int sys_is_range_locked(int fd, uint64_t offset, uint64_t length)
{
	uint64_t start, end;

	return sys_find_lock(fd, offset, length, &start, &end);
}

int sys_read_implies_exec(void)
{
	int persona = personality(0xffffffff);

	return persona != -1 && (persona & READ_IMPLIES_EXEC); /* a sandbox may refuse to tell */
}

size_t sys_known_page_size;

size_t sys_ask_page_size(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);

	__atomic_store_n(&sys_known_page_size, size, __ATOMIC_RELAXED);
	return size;
}

int sys_read_file(const char *path, char *text, size_t size)
{
	int fd = descriptor_above_std(open(path, O_RDONLY | O_CLOEXEC));

	if (fd < 0)
		return -errno;
	ssize_t got = read(fd, text, size - 1);
	int error = errno;
	close(fd);
	if (got < 0)
		return -error;
	text[got] = '\0';
	return (int)got;
}

uint64_t sys_now_ns(void)
{
	/* In a sandbox without a clock, ages are wrong and nothing else is. */
	struct timespec now = {.tv_sec = 0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int random_of_kernel(void *bytes, size_t size)
{
#ifdef SYS_getrandom
	if (syscall(SYS_getrandom, bytes, size, 0) == (long)size)
		return 1;
#endif
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t got = read(fd, bytes, size);
	close(fd);
	return got == (ssize_t)size;
}

void sys_random(void *bytes, size_t size)
{
	if (random_of_kernel(bytes, size))
		return;
	uint64_t state = sys_now_ns() ^ (uint64_t)getpid() << 32 ^ (uintptr_t)&state;
	for (size_t i = 0; i < size; i++) {
		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		((unsigned char *)bytes)[i] = (unsigned char)(state >> 56);
	}
}

/* ftruncate(2) and the like end a process that is over this limit by SIGXFSZ. */
static int is_over_file_limit(uint64_t size_bytes)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
		size_bytes > limit.rlim_cur;
}

int sys_truncate(int fd, uint64_t size_bytes)
{
	int r;

	if (size_bytes > 0 && is_over_file_limit(size_bytes))
		return -EFBIG;

	do
		r = ftruncate(fd, (off_t)size_bytes);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == EINVAL ? -EFBIG : -errno;
	return 0;
}

int64_t sys_read_at(int fd, void *bytes, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = pread(fd, (char *)bytes + done, size - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (int64_t)done;
}

static int write_all(int fd, const void *bytes, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t put =
			pwrite(fd, (const char *)bytes + done, size - done, (off_t)(offset + done));
		if (put < 0 && errno != EINTR)
			return -errno;
		done += put < 0 ? 0 : (size_t)put;
	}
	return 0;
}

/* 1 if O_APPEND was set: then pwrite(2) writes to the end of the file, wherever it should. */
static int stop_appending(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_APPEND) && fcntl(fd, F_SETFL, flags & ~O_APPEND) == 0;
}

int sys_write_at(int fd, const void *bytes, size_t size, uint64_t offset)
{
	const int patience = 100; /* with a peer that sets the flag again and again */
	int r = 0;

	if (is_over_file_limit(offset + size))
		return -EFBIG;
	stop_appending(fd);
	for (int i = 0; i < patience; i++) {
		r = write_all(fd, bytes, size, offset);
		if (r < 0 || !stop_appending(fd))
			return r;
	}
	return -EUCLEAN;
}

uint64_t sys_find_data(int fd, uint64_t from)
{
	off_t data = lseek(fd, (off_t)from, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? UINT64_MAX : from;
	return (uint64_t)data;
}

uint64_t sys_data_bytes(int fd, uint64_t from)
{
	uint64_t bytes = 0;

	for (;;) {
		off_t data = lseek(fd, (off_t)from, SEEK_DATA);
		if (data < 0) /* ENXIO: no more */
			return bytes;
		off_t hole = lseek(fd, data, SEEK_HOLE);
		if (hole <= data)
			return bytes;
		bytes += (uint64_t)(hole - data);
		from = (uint64_t)hole;
	}
}

int sys_collapse(void *addr, size_t length)
{
	return madvise(addr, length, MADV_COLLAPSE) < 0 ? -errno : 0;
}

static int populate(unsigned char *from, unsigned char *to)
{
	if (from == to || madvise(from, (size_t)(to - from), MADV_POPULATE_READ) == 0)
		return 0;
	return errno == EINVAL ? -ENOTSUP : -errno;
}

int sys_populate(void *addr, size_t length)
{
	unsigned char *from = addr, *end = from + length;
	size_t huge = sys_huge_bytes();

	while (from < end) {
		size_t to_border = huge - (uintptr_t)from % huge, left = (size_t)(end - from);
		unsigned char *to = from + (to_border < left ? to_border : left);
		/* A huge page is made of what is there, so of one page at least. */
		if ((size_t)(to - from) == huge && populate(from, from + sys_page_size()) == 0 &&
			sys_collapse(from, huge) == 0) {
			from = to;
			continue;
		}
		int r = populate(from, to);
		if (r < 0)
			return r;
		from = to;
	}
	return 0;
}

int sys_allocate(int fd, uint64_t offset, uint64_t length)
{
	int r;

	do
		r = fallocate(fd, 0, (off_t)offset, (off_t)length);
	while (r < 0 && errno == EINTR);
	return r < 0 && (errno == ENOSPC || errno == ENOMEM) ? -ENOMEM : 0;
}

int sys_punch(int fd, uint64_t offset, uint64_t length)
{
	int r;

	do
		r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			(off_t)length);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int sys_seal_writing(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	/* Kernels that do not know the seal say that first. */
	if (seals >= 0 && (seals & F_SEAL_SEAL))
		return -EPERM;
	return fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0 ? -errno : 0;
}

int sys_is_write_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SYS_WRITE_SEALS);
}

int sys_reopen_read_only(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* Else open would wait until a lease is given up, 45 seconds by default. */
	int copy = descriptor_above_std(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	if (copy < 0 && (errno == ENOENT || errno == EACCES || errno == EPERM))
		return -ENOTSUP;
	if (copy < 0)
		return -errno;
	fcntl(copy, F_SETFL, 0);
	return copy;
}

void sys_futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	/*
	 * SYS_futex takes the kernel's old timespec of two longs; newer 32-bit ports have
	 * SYS_futex_time64 only.
	 */
#ifdef SYS_futex
	struct {
		long sec, nsec;
	} timeout = {(long)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
	syscall(SYS_futex, word, FUTEX_WAIT_OP, value, &timeout, NULL, 0);
#else
	struct {
		int64_t sec, nsec;
	} timeout = {(int64_t)(timeout_ns / 1000000000u), (int64_t)(timeout_ns % 1000000000u)};
	syscall(SYS_futex_time64, word, FUTEX_WAIT_OP, value, &timeout, NULL, 0);
#endif
}

void sys_futex_wake(uint32_t *word, int count)
{
#ifdef SYS_futex
	syscall(SYS_futex, word, FUTEX_WAKE_OP, count, NULL, NULL, 0);
#else
	syscall(SYS_futex_time64, word, FUTEX_WAKE_OP, count, NULL, NULL, 0);
#endif
}

uint32_t sys_gettid(void)
{
	return (uint32_t)syscall(SYS_gettid);
}

static struct sys_robust_head *get_robust_head(void)
{
	struct sys_robust_head *head = NULL;
	size_t length = 0;

	if (syscall(SYS_get_robust_list, 0, &head, &length) < 0 || length < sizeof(*head))
		return NULL;
	return head;
}

/*
 * The list as libc keeps it, found through a robust mutex that is locked: for sandboxes that let a
 * thread register its list and not ask for it. NULL where it is not known how, or where it is not
 * certain.
 */
static struct sys_robust_head *head_of_locked(pthread_mutex_t *mutex)
{
#if defined(__GLIBC__) && defined(__PTHREAD_MUTEX_HAVE_PREV) && __PTHREAD_MUTEX_HAVE_PREV
	/* The mutex locked last comes first, and points back at the head. */
	struct sys_robust_head *head = (void *)mutex->__data.__list.__prev;
	const void *node = &mutex->__data.__list.__next;

	if (head && head->next == node &&
		(char *)head->next + head->futex_offset == (char *)&mutex->__data.__lock)
		return head;
#else
	(void)mutex;
#endif
	return NULL;
}

struct sys_robust_head *sys_robust_head(struct sys_robust_head *inherited)
{
	struct sys_robust_head *head = get_robust_head(), *found = NULL;
	pthread_mutexattr_t attr;
	pthread_mutex_t mutex;

	if (!head && inherited && syscall(SYS_set_robust_list, inherited, sizeof(*inherited)) == 0)
		head = inherited;
	if (head)
		return head;
	/*
	 * glibc registers every thread's list at its start; musl at the thread's first robust
	 * mutex.
	 */
	if (pthread_mutexattr_init(&attr) != 0)
		return NULL;
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	/* musl: for shared ones only */
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (pthread_mutex_init(&mutex, &attr) == 0) {
		if (pthread_mutex_lock(&mutex) == 0) {
			found = head_of_locked(&mutex);
			pthread_mutex_unlock(&mutex);
		}
		pthread_mutex_destroy(&mutex);
	}
	pthread_mutexattr_destroy(&attr);
	head = get_robust_head();
	if (head || !found)
		return head;
	/*
	 * The kernel has it since the thread began, or takes it now. If it does neither, it was
	 * forbidden before the thread began, and nobody can tell.
	 */
	syscall(SYS_set_robust_list, found, sizeof(*found));
	return found;
}

int sys_become_urgent(int priority, int *nice_value)
{
	const int fifo = 1, reset_on_fork = 0x40000000; /* of <sched.h>, where libc may hide them */
	struct rlimit limit;

	/* Not through libc: musl does not do it. 0 is the calling thread. */
	if (syscall(SYS_sched_setscheduler, 0, fifo | reset_on_fork, &priority) == 0)
		return 0;
	int r = -errno;
	/*
	 * The limit counts from 1, for a nice value of 19, to 40; so does the last of these calls.
	 */
	if (syscall(SYS_setpriority, PRIO_PROCESS, 0, -20) < 0 &&
		getrlimit(RLIMIT_NICE, &limit) == 0 && limit.rlim_cur > 0 && limit.rlim_cur < 40)
		syscall(SYS_setpriority, PRIO_PROCESS, 0, 20 - (int)limit.rlim_cur);
	*nice_value = 20 - (int)syscall(SYS_getpriority, PRIO_PROCESS, 0);
	return r;
}

uint32_t *sys_wiped_on_fork(void)
{
	size_t size = sys_page_size();
	uint32_t *word =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (word == MAP_FAILED)
		return NULL;
	if (madvise(word, size, MADV_WIPEONFORK) < 0) {
		munmap(word, size);
		return NULL;
	}
	*word = 1;
	return word;
}
