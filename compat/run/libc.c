/* SPDX-License-Identifier: MIT */
/*
 * libc's own functions (libc.h), and those by which the library within reaches the system.
 *
 * The library within keeps a descriptor or two for each area. Programs expect the lowest free
 * number from open(2), and some close all numbers that they do not know. So these descriptors are
 * moved up, and noted as hidden (files.h): close(2) and its kin leave them alone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "files.h"
#include "libc.h"

#ifdef __GLIBC__
#define real_open NEXT(open64)
#define real_openat NEXT(openat64)
#define real_fcntl NEXT(fcntl64)
#define real_fstat NEXT(fstat64)
#define real_stat NEXT(stat64)
#define real_fstatat NEXT(fstatat64)
#define real_mmap NEXT(mmap64)
#define real_lseek NEXT(lseek64)
#define real_pread NEXT(pread64)
#define real_pwrite NEXT(pwrite64)
#define real_ftruncate NEXT(ftruncate64)
#define real_fallocate NEXT(fallocate64)
#define real_fopen NEXT(fopen64)
#else
#define real_open NEXT(open)
#define real_openat NEXT(openat)
#define real_fcntl NEXT(fcntl)
#define real_fstat NEXT(fstat)
#define real_stat NEXT(stat)
#define real_fstatat NEXT(fstatat)
#define real_mmap NEXT(mmap)
#define real_lseek NEXT(lseek)
#define real_pread NEXT(pread)
#define real_pwrite NEXT(pwrite)
#define real_ftruncate NEXT(ftruncate)
#define real_fallocate NEXT(fallocate)
#define real_fopen NEXT(fopen)
#endif

void *libc_find(const char *name)
{
	int error = errno;
	void *found = dlsym(RTLD_NEXT, name);

	if (!found) {
		fprintf(stderr, "ashmem-run: libc has no %s\n", name);
		abort();
	}
	errno = error;
	return found;
}

/* -- for the preload library -- */

int libc_open(const char *path, int flags)
{
	return real_open(path, flags);
}

int libc_close(int fd)
{
	return NEXT(close)(fd);
}

int libc_fcntl(int fd, int command, long argument)
{
	return real_fcntl(fd, command, argument);
}

int libc_fstat(int fd, run_stat *status)
{
	return real_fstat(fd, status);
}

int libc_stat(const char *path, run_stat *status)
{
	return real_stat(path, status);
}

int libc_stat_at(int folder, const char *path, run_stat *status)
{
	return real_fstatat(folder, path, status, 0);
}

void *libc_mmap(void *addr, size_t length, int prot, int flags, int fd, run_offset offset)
{
	return real_mmap(addr, length, prot, flags, fd, offset);
}

int libc_munmap(void *addr, size_t length)
{
	return NEXT(munmap)(addr, length);
}

/* -- for the library within: redefine.syms -- */

/* The lowest number for a descriptor of the library: above what programs name and expect. */
static int lowest_hidden(void)
{
	const int usual = 1024;
	struct rlimit limit;
	int numbers = usual;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)usual)
		numbers = (int)limit.rlim_cur;
	return numbers / 4 * 3;
}

/* Note a new descriptor of the library as hidden, moved up if there is room. */
static int hide(int fd)
{
	if (fd < 0)
		return fd;
	int low = lowest_hidden();
	if (fd < low) {
		int moved = real_fcntl(fd, F_DUPFD_CLOEXEC, low);
		if (moved >= 0) {
			NEXT(close)(fd);
			fd = moved;
		}
	}
	files_hide(fd);
	return fd;
}

RUN_HIDDEN int within_open(const char *path, int flags, ...);
int within_open(const char *path, int flags, ...)
{
	va_list list;

	va_start(list, flags);
	mode_t mode = va_arg(list, mode_t);
	va_end(list);
	return hide(real_open(path, flags, mode));
}

RUN_HIDDEN int within_openat(int folder, const char *path, int flags, ...);
int within_openat(int folder, const char *path, int flags, ...)
{
	va_list list;

	va_start(list, flags);
	mode_t mode = va_arg(list, mode_t);
	va_end(list);
	return hide(real_openat(folder, path, flags, mode));
}

RUN_HIDDEN int within_close(int fd);
int within_close(int fd)
{
	files_show(fd);
	return NEXT(close)(fd);
}

RUN_HIDDEN int within_fcntl(int fd, int command, ...);
int within_fcntl(int fd, int command, ...)
{
	va_list list;

	va_start(list, command);
	void *argument = va_arg(list, void *);
	va_end(list);
	if (command != F_DUPFD_CLOEXEC)
		return real_fcntl(fd, command, argument);
	int low = lowest_hidden();
	int copy = real_fcntl(fd, command, low);
	if (copy < 0)
		copy = real_fcntl(fd, command, argument);
	if (copy >= 0)
		files_hide(copy);
	return copy;
}

RUN_HIDDEN int within_epoll_create1(int flags);
int within_epoll_create1(int flags)
{
	return hide(NEXT(epoll_create1)(flags));
}

RUN_HIDDEN int within_eventfd(unsigned value, int flags);
int within_eventfd(unsigned value, int flags)
{
	return hide(NEXT(eventfd)(value, flags));
}

RUN_HIDDEN int within_timerfd_create(int clock, int flags);
int within_timerfd_create(int clock, int flags)
{
	return hide(NEXT(timerfd_create)(clock, flags));
}

RUN_HIDDEN int within_socket(int domain, int type, int protocol);
int within_socket(int domain, int type, int protocol)
{
	return hide(NEXT(socket)(domain, type, protocol));
}

RUN_HIDDEN int within_pipe2(int ends[2], int flags);
int within_pipe2(int ends[2], int flags)
{
	int r = NEXT(pipe2)(ends, flags);

	for (int i = 0; r == 0 && i < 2; i++)
		ends[i] = hide(ends[i]);
	return r;
}

RUN_HIDDEN long within_syscall(long number, long a, long b, long c, long d, long e, long f);
long within_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long r = NEXT(syscall)(number, a, b, c, d, e, f);

	return number == SYS_memfd_create ? hide((int)r) : r;
}

RUN_HIDDEN FILE *within_fopen(const char *path, const char *mode);
FILE *within_fopen(const char *path, const char *mode)
{
	return real_fopen(path, mode);
}

RUN_HIDDEN int within_fclose(FILE *stream);
int within_fclose(FILE *stream)
{
	return NEXT(fclose)(stream);
}

RUN_HIDDEN int within_fchmod(int fd, mode_t mode);
int within_fchmod(int fd, mode_t mode)
{
	return NEXT(fchmod)(fd, mode);
}

RUN_HIDDEN ssize_t within_readlink(const char *path, char *to, size_t size);
ssize_t within_readlink(const char *path, char *to, size_t size)
{
	return NEXT(readlink)(path, to, size);
}

RUN_HIDDEN ssize_t within_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t within_recvmsg(int fd, struct msghdr *message, int flags)
{
	return NEXT(recvmsg)(fd, message, flags);
}

RUN_HIDDEN ssize_t within_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t within_sendmsg(int fd, const struct msghdr *message, int flags)
{
	return NEXT(sendmsg)(fd, message, flags);
}

RUN_HIDDEN int within_stat(const char *path, run_stat *status);
int within_stat(const char *path, run_stat *status)
{
	return real_stat(path, status);
}

RUN_HIDDEN int within_fstat(int fd, run_stat *status);
int within_fstat(int fd, run_stat *status)
{
	return real_fstat(fd, status);
}

RUN_HIDDEN int within_access(const char *path, int mode);
int within_access(const char *path, int mode)
{
	return NEXT(access)(path, mode);
}

RUN_HIDDEN void *within_mmap(void *addr, size_t length, int prot, int flags, int fd,
	run_offset offset);
void *within_mmap(void *addr, size_t length, int prot, int flags, int fd, run_offset offset)
{
	return real_mmap(addr, length, prot, flags, fd, offset);
}

RUN_HIDDEN int within_munmap(void *addr, size_t length);
int within_munmap(void *addr, size_t length)
{
	return NEXT(munmap)(addr, length);
}

RUN_HIDDEN int within_mprotect(void *addr, size_t length, int prot);
int within_mprotect(void *addr, size_t length, int prot)
{
	return NEXT(mprotect)(addr, length, prot);
}

RUN_HIDDEN ssize_t within_read(int fd, void *bytes, size_t length);
ssize_t within_read(int fd, void *bytes, size_t length)
{
	return NEXT(read)(fd, bytes, length);
}

RUN_HIDDEN ssize_t within_write(int fd, const void *bytes, size_t length);
ssize_t within_write(int fd, const void *bytes, size_t length)
{
	return NEXT(write)(fd, bytes, length);
}

RUN_HIDDEN ssize_t within_pread(int fd, void *bytes, size_t length, run_offset offset);
ssize_t within_pread(int fd, void *bytes, size_t length, run_offset offset)
{
	return real_pread(fd, bytes, length, offset);
}

RUN_HIDDEN ssize_t within_pwrite(int fd, const void *bytes, size_t length, run_offset offset);
ssize_t within_pwrite(int fd, const void *bytes, size_t length, run_offset offset)
{
	return real_pwrite(fd, bytes, length, offset);
}

RUN_HIDDEN run_offset within_lseek(int fd, run_offset offset, int whence);
run_offset within_lseek(int fd, run_offset offset, int whence)
{
	return real_lseek(fd, offset, whence);
}

RUN_HIDDEN int within_ftruncate(int fd, run_offset length);
int within_ftruncate(int fd, run_offset length)
{
	return real_ftruncate(fd, length);
}

RUN_HIDDEN int within_fallocate(int fd, int mode, run_offset offset, run_offset length);
int within_fallocate(int fd, int mode, run_offset offset, run_offset length)
{
	return real_fallocate(fd, mode, offset, length);
}

RUN_HIDDEN int within_ioctl(int fd, unsigned long number, void *argument);
int within_ioctl(int fd, unsigned long number, void *argument)
{
	return NEXT(ioctl)(fd, number, argument);
}

/* The names of large files, which are other names for the same in programs of 64 bits. */
#define ALSO_64(name)                                      \
	extern __typeof__(within_##name) within_##name##64 \
		__attribute__((alias("within_" #name), visibility("hidden")))

/* And in programs of 32 bits whose times have 64. */
#define ALSO_TIME64(name)                                       \
	extern __typeof__(within_##name) within_##name##_time64 \
		__attribute__((alias("within_" #name), visibility("hidden")))

ALSO_TIME64(fcntl);
ALSO_TIME64(ioctl);
ALSO_64(fallocate);
ALSO_64(fcntl);
ALSO_64(fopen);
ALSO_64(fstat);
ALSO_64(ftruncate);
ALSO_64(lseek);
ALSO_64(mmap);
ALSO_64(open);
ALSO_64(openat);
ALSO_64(pread);
ALSO_64(pwrite);
ALSO_64(stat);
