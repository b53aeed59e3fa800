/* SPDX-License-Identifier: MIT */
/*
 * The library's calls of libc and the kernel: `check` renames them to these. Each is counted, can
 * be made to fail, and what it hands out is remembered until it is given back.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"
#include "kernel/abi.h"

struct fault fault;

static __thread int is_followed;

/* -- failing -- */

void fault_arm(enum call kind, uint32_t at, int error, int other_threads)
{
	fault.kind = kind;
	fault.at = at;
	fault.error = error;
	fault.threads = (uint32_t)other_threads;
	fault.calls = fault.hits = 0;
	memset(fault.count, 0, sizeof(fault.count));
	is_followed = 1;
	__atomic_store_n(&fault.armed, 1, __ATOMIC_SEQ_CST);
}

void fault_follow_me(void)
{
	is_followed = 1;
}

void fault_disarm(void)
{
	__atomic_store_n(&fault.armed, 0, __ATOMIC_SEQ_CST);
}

static void misuse(const char *what)
{
	if (!fault.wrong[0])
		snprintf(fault.wrong, sizeof(fault.wrong), "%s", what);
}

/* Those that are cancellation points in glibc or musl, or that POSIX allows to be. */
static int is_cancellation_point(enum call kind)
{
	switch (kind) {
	case CALL_GETLINE:
	case CALL_FOPEN:
	case CALL_ACCESS:
	case CALL_NANOSLEEP:
	case CALL_CLOSE:
	case CALL_CONNECT:
	case CALL_SEND:
	case CALL_SENDMSG:
	case CALL_RECVMSG:
	case CALL_EPOLL_WAIT:
	case CALL_POLL:
	case CALL_FALLOCATE:
	case CALL_OPEN:
	case CALL_OPENAT:
	case CALL_READ:
	case CALL_PREAD:
	case CALL_PWRITE:
	case CALL_WRITE:
	case CALL_WAKE:
		return 1;
	default:
		return 0;
	}
}

/* A thread that is cancelled in the library would leave it half done for good. */
static void check_cancellation(enum call kind)
{
	int state, ours;

	if (!is_cancellation_point(kind))
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_setcancelstate(state, &ours);
	if (state != PTHREAD_CANCEL_DISABLE) {
		char what[80];
		snprintf(what, sizeof(what), "call %d could be cancelled", (int)kind);
		misuse(what);
	}
}

/* 0: go on; else the failure, and errno is set. */
static int fails(enum call kind)
{
	if (__atomic_load_n(&fault.armed, __ATOMIC_SEQ_CST))
		check_cancellation(kind);
	if (!__atomic_load_n(&fault.armed, __ATOMIC_SEQ_CST) || is_followed == (int)fault.threads)
		return 0;
	uint32_t call = __atomic_fetch_add(&fault.calls, 1, __ATOMIC_SEQ_CST);
	uint32_t number = __atomic_fetch_add(&fault.count[kind], 1, __ATOMIC_SEQ_CST);
	if (call < sizeof(fault.log) / sizeof(fault.log[0]))
		fault.log[call] = kind;
	int again = (fault.error & FAULT_ALWAYS) && fault.hits > 0;
	if (kind != fault.kind || (number != fault.at && !again))
		return 0;
	fault.hits++;
	int error = fault.error & ~FAULT_ALWAYS;
	errno = error < FAULT_SHORT ? error : 0;
	return error;
}

/* -- what is held -- */

enum { HELD_MAX = 512 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *allocated[HELD_MAX], *files[HELD_MAX];
static struct mapping {
	void *address;
	size_t bytes;
} mapping[HELD_MAX];

static void hold(void **table, void *what)
{
	if (!what)
		return;
	pthread_mutex_lock(&mutex);
	for (int i = 0; i < HELD_MAX; i++)
		if (!table[i]) {
			table[i] = what;
			break;
		}
	pthread_mutex_unlock(&mutex);
}

static int let_go(void **table, void *what)
{
	int found = 0;

	pthread_mutex_lock(&mutex);
	for (int i = 0; i < HELD_MAX && !found; i++)
		if (table[i] == what) {
			table[i] = NULL;
			found = 1;
		}
	pthread_mutex_unlock(&mutex);
	return found;
}

static size_t whole_pages(size_t bytes)
{
	size_t page = (size_t)page_bytes();

	return (bytes + page - 1) / page * page;
}

static void mapping_put(unsigned char *from, unsigned char *to)
{
	for (int i = 0; i < HELD_MAX && from < to; i++)
		if (!mapping[i].address) {
			mapping[i] = (struct mapping){from, (size_t)(to - from)};
			return;
		}
}

/*
 * Whatever is held of these bytes is so no more; what lies left and right of them stays. How many
 * bytes it was.
 */
static size_t mapping_cut(void *address, size_t bytes)
{
	unsigned char *from = address, *to = from + whole_pages(bytes);
	size_t found = 0;

	for (int i = 0; i < HELD_MAX; i++) {
		unsigned char *its_from = mapping[i].address, *its_to = its_from + mapping[i].bytes;
		if (!its_from || its_to <= from || to <= its_from)
			continue;
		unsigned char *cut_from = its_from > from ? its_from : from,
			      *cut_to = its_to < to ? its_to : to;
		found += (size_t)(cut_to - cut_from);
		mapping[i].address = NULL;
		mapping_put(its_from, cut_from);
		mapping_put(cut_to, its_to);
	}
	return found;
}

static void mapping_add(void *address, size_t bytes)
{
	pthread_mutex_lock(&mutex);
	mapping_cut(address, bytes); /* MAP_FIXED */
	mapping_put(address, (unsigned char *)address + whole_pages(bytes));
	pthread_mutex_unlock(&mutex);
}

/* Whether all of it was held. */
static int mapping_remove(void *address, size_t bytes)
{
	pthread_mutex_lock(&mutex);
	int found = mapping_cut(address, bytes) == whole_pages(bytes);
	pthread_mutex_unlock(&mutex);
	return found;
}

void mapping_forget(void *address)
{
	pthread_mutex_lock(&mutex);
	for (int i = 0; i < HELD_MAX; i++)
		if (mapping[i].address == address)
			mapping[i].address = NULL;
	pthread_mutex_unlock(&mutex);
}

void held_now(struct held *held)
{
	memset(held, 0, sizeof(*held));
	for (int i = 0; i < HELD_MAX; i++) {
		held->allocations += allocated[i] != NULL;
		held->files += files[i] != NULL;
		held->mappings += mapping[i].address != NULL;
		held->mapped_bytes += mapping[i].address ? mapping[i].bytes : 0;
	}
	for (int fd = 0; fd < 512; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			held->descriptors[fd / 64] |= UINT64_C(1) << fd % 64;
}

int held_equal(const struct held *a, const struct held *b)
{
	return a->allocations == b->allocations && a->files == b->files &&
		a->mappings == b->mappings && a->mapped_bytes == b->mapped_bytes &&
		memcmp(a->descriptors, b->descriptors, sizeof(a->descriptors)) == 0;
}

const char *held_text(const struct held *held)
{
	static char text[2][200];
	static int which;
	int descriptors = 0;

	which = !which;
	for (int i = 0; i < 8; i++)
		descriptors += __builtin_popcountll(held->descriptors[i]);
	snprintf(text[which], sizeof(text[which]),
		"%d allocations, %d files, %d mappings of %zu bytes, %d descriptors",
		held->allocations, held->files, held->mappings, held->mapped_bytes, descriptors);
	return text[which];
}

/* -- memory -- */

void *faulty_malloc(size_t size)
{
	void *memory = fails(CALL_MALLOC) ? NULL : malloc(size);

	hold(allocated, memory);
	return memory;
}

void *faulty_calloc(size_t count, size_t size)
{
	void *memory = fails(CALL_CALLOC) ? NULL : calloc(count, size);

	hold(allocated, memory);
	return memory;
}

void *faulty_realloc(void *memory, size_t size)
{
	if (fails(CALL_REALLOC))
		return NULL;
	if (memory && !let_go(allocated, memory))
		misuse("moves what is not allocated");
	void *moved = realloc(memory, size);
	hold(allocated, moved);
	return moved;
}

void faulty_free(void *memory)
{
	if (memory && !let_go(allocated, memory))
		misuse("frees what is not allocated");
	free(memory);
}

ssize_t faulty_getdelim(char **line, size_t *size, int delimiter, FILE *file)
{
	char *before = *line;

	if (fails(CALL_GETLINE))
		return -1;
	ssize_t got = getdelim(line, size, delimiter, file);
	if (*line != before) {
		if (before)
			let_go(allocated, before);
		hold(allocated, *line);
	}
	return got;
}

void *faulty_mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
	if (fails(CALL_MMAP))
		return MAP_FAILED;
	void *mapped = mmap(address, length, prot, flags, fd, offset);
	if (mapped == MAP_FAILED)
		return mapped;
	driver_mapped(fd);
	mapping_add(mapped, length);
	return mapped;
}

int faulty_munmap(void *address, size_t length)
{
	if (fails(CALL_MUNMAP))
		return -1;
	if (!mapping_remove(address, length))
		misuse("unmaps what it did not map");
	return munmap(address, length);
}

int faulty_mprotect(void *address, size_t length, int prot)
{
	return fails(CALL_MPROTECT) ? -1 : mprotect(address, length, prot);
}

int faulty_madvise(void *address, size_t length, int advice)
{
	if (fails(CALL_MADVISE))
		return -1;
	if (advice == MADV_WIPEONFORK) /* kept for good, once a process */
		mapping_remove(address, length);
	return madvise(address, length, advice);
}

int faulty_mlock(const void *address, size_t length)
{
	return fails(CALL_MLOCK) ? -1 : mlock(address, length);
}

/* -- files -- */

FILE *faulty_fopen(const char *path, const char *mode)
{
	FILE *file = fails(CALL_FOPEN) ? NULL : fopen(path, mode);

	hold(files, file);
	return file;
}

int faulty_fclose(FILE *file)
{
	if (!let_go(files, file))
		misuse("closes a FILE that is not open");
	return fclose(file);
}

DIR *faulty_opendir(const char *path)
{
	DIR *directory = fails(CALL_OPENDIR) ? NULL : opendir(path);

	hold(files, directory);
	return directory;
}

DIR *faulty_fdopendir(int fd)
{
	DIR *directory = fails(CALL_FDOPENDIR) ? NULL : fdopendir(fd);

	hold(files, directory);
	return directory;
}

struct dirent *faulty_readdir(DIR *directory)
{
	return fails(CALL_READDIR) ? NULL : readdir(directory);
}

int faulty_closedir(DIR *directory)
{
	if (!let_go(files, directory))
		misuse("closes a directory that is not open");
	return closedir(directory);
}

int faulty_access(const char *path, int mode)
{
	return fails(CALL_ACCESS) ? -1 : access(path, mode);
}

int faulty_open(const char *path, int flags, ...)
{
	if (fails(CALL_OPEN))
		return -1;
	int fd = driver_open(path);
	return fd != -2 ? fd : open(path, flags, 0600);
}

int faulty_openat(int directory, const char *path, int flags, ...)
{
	return fails(CALL_OPENAT) ? -1 : openat(directory, path, flags, 0600);
}

int faulty_mkdirat(int directory, const char *path, mode_t mode)
{
	return fails(CALL_MKDIRAT) ? -1 : mkdirat(directory, path, mode);
}

int faulty_unlinkat(int directory, const char *path, int flags)
{
	return fails(CALL_UNLINKAT) ? -1 : unlinkat(directory, path, flags);
}

int faulty_flock(int fd, int operation)
{
	return fails(CALL_FLOCK) ? -1 : flock(fd, operation);
}

ssize_t faulty_readlink(const char *path, char *text, size_t size)
{
	return fails(CALL_READLINK) ? -1 : readlink(path, text, size);
}

/* A descriptor is gone whatever close(2) says. */
int faulty_close(int fd)
{
	int error = fails(CALL_CLOSE);

	if (close(fd) < 0) {
		misuse("closes a descriptor that is not open");
		return -1;
	}
	errno = error;
	return error ? -1 : 0;
}

int faulty_stat(const char *path, struct stat *status)
{
	return fails(CALL_STAT) ? -1 : stat(path, status);
}

int faulty_fstat(int fd, struct stat *status)
{
	if (fails(CALL_FSTAT))
		return -1;
	int r = fstat(fd, status);
	if (r == 0 && driver_owns(fd))
		status->st_mode = (status->st_mode & ~(mode_t)S_IFMT) | S_IFCHR;
	return r;
}

int faulty_fstatfs(int fd, struct statfs *status)
{
	return fails(CALL_FSTATFS) ? -1 : fstatfs(fd, status);
}

int faulty_ftruncate(int fd, off_t length)
{
	return fails(CALL_FTRUNCATE) ? -1 : ftruncate(fd, length);
}

int faulty_fallocate(int fd, int mode, off_t offset, off_t length)
{
	return fails(CALL_FALLOCATE) ? -1 : fallocate(fd, mode, offset, length);
}

int faulty_fchmod(int fd, mode_t mode)
{
	return fails(CALL_FCHMOD) ? -1 : fchmod(fd, mode);
}

off_t faulty_lseek(int fd, off_t offset, int whence)
{
	return fails(CALL_LSEEK) ? -1 : lseek(fd, offset, whence);
}

/* -1, 0, or half of what was asked for. */
static int cut(int error, size_t *length)
{
	if (error == 0 || error == FAULT_SHORT) {
		*length = error ? (*length + 1) / 2 : *length;
		return 0;
	}
	return 1;
}

ssize_t faulty_read(int fd, void *bytes, size_t length)
{
	int error = fails(CALL_READ);

	if (cut(error, &length))
		return error == FAULT_NONE ? 0 : -1;
	if (driver_owns(fd)) {
		int64_t most = driver_limit(fd, lseek(fd, 0, SEEK_CUR), length);
		if (most < 0) {
			errno = (int)-most;
			return -1;
		}
		length = (size_t)most;
	}
	return read(fd, bytes, length);
}

ssize_t faulty_pread(int fd, void *bytes, size_t length, off_t offset)
{
	int error = fails(CALL_PREAD);

	if (cut(error, &length))
		return error == FAULT_NONE ? 0 : -1;
	if (driver_owns(fd)) {
		int64_t most = driver_limit(fd, offset, length);
		if (most < 0) {
			errno = (int)-most;
			return -1;
		}
		length = (size_t)most;
	}
	return pread(fd, bytes, length, offset);
}

ssize_t faulty_pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	int error = fails(CALL_PWRITE);

	return cut(error, &length) ? -1 : pwrite(fd, bytes, length, offset);
}

ssize_t faulty_write(int fd, const void *bytes, size_t length)
{
	/* Only eventfds are written eight bytes at once. */
	int error = fails(length == 8 ? CALL_WAKE : CALL_WRITE);

	return cut(error, &length) ? -1 : write(fd, bytes, length);
}

int faulty_pipe2(int ends[2], int flags)
{
	return fails(CALL_PIPE) ? -1 : pipe2(ends, flags);
}

int faulty_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;

	va_start(arguments, request);
	unsigned long argument = va_arg(arguments, unsigned long);
	va_end(arguments);
	if (fails(request == KERNEL_PIN || request == KERNEL_UNPIN ? CALL_IOCTL_PIN : CALL_IOCTL))
		return -1;
	return driver_owns(fd) ? driver_ioctl(fd, request, argument) : ioctl(fd, request, argument);
}

static enum call fcntl_kind(int command)
{
	switch (command) {
	case F_GETFL:
		return CALL_GETFL;
	case F_DUPFD_CLOEXEC:
		return CALL_DUPFD;
	case F_GET_SEALS:
		return CALL_GET_SEALS;
	case F_ADD_SEALS:
		return CALL_ADD_SEALS;
	case F_SETLK:
		return CALL_SETLK;
	case F_GETLK:
		return CALL_GETLK;
	case F_OFD_SETLK:
		return CALL_OFD_SETLK;
	case F_OFD_GETLK:
		return CALL_OFD_GETLK;
	default:
		return CALL_OTHER_FCNTL;
	}
}

int faulty_fcntl(int fd, int command, ...)
{
	va_list arguments;

	va_start(arguments, command);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (fails(fcntl_kind(command)))
		return -1;
	return fcntl(fd, command, argument);
}

/* -- sockets, epoll -- */

int faulty_socket(int domain, int type, int protocol)
{
	return fails(CALL_SOCKET) ? -1 : socket(domain, type, protocol);
}

int faulty_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	return fails(CALL_CONNECT) ? -1 : connect(fd, address, length);
}

int faulty_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	return fails(CALL_GETSOCKOPT) ? -1 : getsockopt(fd, level, name, value, length);
}

int faulty_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	return fails(CALL_SETSOCKOPT) ? -1 : setsockopt(fd, level, name, value, length);
}

ssize_t faulty_send(int fd, const void *bytes, size_t length, int flags)
{
	int error = fails(CALL_SEND);

	return cut(error, &length) ? -1 : send(fd, bytes, length, flags);
}

ssize_t faulty_sendmsg(int fd, const struct msghdr *message, int flags)
{
	return fails(CALL_SENDMSG) ? -1 : sendmsg(fd, message, flags);
}

ssize_t faulty_recvmsg(int fd, struct msghdr *message, int flags)
{
	int error = fails(CALL_RECVMSG);

	if (error && error != FAULT_CUT)
		return -1;
	ssize_t got = recvmsg(fd, message, flags);
	if (error && got >= 0) {
		struct cmsghdr *header = CMSG_FIRSTHDR(message);
		int received;
		if (header) {
			memcpy(&received, CMSG_DATA(header), sizeof(received));
			close(received);
		}
		message->msg_controllen = 0;
		message->msg_flags |= MSG_CTRUNC;
	}
	return got;
}

int faulty_epoll_create1(int flags)
{
	return fails(CALL_EPOLL_CREATE) ? -1 : epoll_create1(flags);
}

int faulty_epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
	return fails(CALL_EPOLL_CTL) ? -1 : epoll_ctl(set, operation, fd, event);
}

int faulty_epoll_wait(int set, struct epoll_event *events, int most, int timeout)
{
	return fails(CALL_EPOLL_WAIT) ? -1 : epoll_wait(set, events, most, timeout);
}

int faulty_eventfd(unsigned count, int flags)
{
	return fails(CALL_EVENTFD) ? -1 : eventfd(count, flags);
}

int faulty_timerfd_create(int clock, int flags)
{
	return fails(CALL_TIMERFD_CREATE) ? -1 : timerfd_create(clock, flags);
}

int faulty_timerfd_settime(int fd, int flags, const struct itimerspec *new_value,
	struct itimerspec *old)
{
	return fails(CALL_TIMERFD_SETTIME) ? -1 : timerfd_settime(fd, flags, new_value, old);
}

int faulty_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	return fails(CALL_POLL) ? -1 : poll(fds, count, timeout);
}

/* -- threads, clocks, the rest -- */

int faulty_clock_gettime(clockid_t clock, struct timespec *now)
{
	return fails(CALL_CLOCK_GETTIME) ? -1 : clock_gettime(clock, now);
}

int faulty_nanosleep(const struct timespec *time, struct timespec *left)
{
	return fails(CALL_NANOSLEEP) ? -1 : nanosleep(time, left);
}

int faulty_personality(unsigned long persona)
{
	return fails(CALL_PERSONALITY) ? -1 : personality(persona);
}

int faulty_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
	int error = fails(CALL_PTHREAD_ATFORK);

	return error ? error : pthread_atfork(before, parent, child);
}

int faulty_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
	void *argument)
{
	int error = fails(CALL_PTHREAD_CREATE);

	return error ? error : pthread_create(thread, attributes, fn, argument);
}

int faulty_pthread_mutexattr_init(pthread_mutexattr_t *attributes)
{
	int error = fails(CALL_ROBUST_MUTEX);

	return error ? error : pthread_mutexattr_init(attributes);
}

static enum call syscall_kind(long number)
{
	switch (number) {
	case SYS_memfd_create:
		return CALL_MEMFD_CREATE;
	case SYS_futex:
		return CALL_FUTEX;
	case SYS_get_robust_list:
		return CALL_GET_ROBUST_LIST;
	case SYS_set_robust_list:
		return CALL_SET_ROBUST_LIST;
	case SYS_read:
		return CALL_READ;
	case SYS_write:
		return CALL_WRITE;
	case SYS_kcmp:
		return CALL_KCMP;
	case SYS_getrandom:
		return CALL_GETRANDOM;
	case SYS_sched_setscheduler:
	case SYS_setpriority:
		return CALL_PRIORITY;
	default:
		return CALLS;
	}
}

long faulty_syscall(long number, ...)
{
	va_list arguments;
	long a[6];
	enum call kind = syscall_kind(number);

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (kind == CALLS && number != SYS_gettid &&
		number != SYS_getpriority) /* a call of which this test knows nothing */
		misuse("makes a system call that tests/faults/calls.c does not know");
	if (kind != CALLS && fails(kind))
		return -1;
	return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
