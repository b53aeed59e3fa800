/* SPDX-License-Identifier: MIT */
/*
 * Guards around what the library maps, and memory of our own to look after.
 *
 * The linker sends the library's mmap and munmap here (--wrap). A mapping of a file gets a megabyte
 * before and behind it that nobody may touch, so an index that leaves the area faults there instead
 * of meeting something by chance.
 */
#include "hostile.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"

#define GUARD_BYTES ((size_t)1 << 20)
#define MINE_BYTES ((size_t)1 << 18)

void *__real_mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *addr, size_t length);
void *__wrap_mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *addr, size_t length);

static size_t whole_pages(size_t length)
{
	return (size_t)pages_round_up(length);
}

#define GUARDED_MAX 4096
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *guarded[GUARDED_MAX];

static int guarded_swap(void *from, void *to)
{
	int found = 0;

	pthread_mutex_lock(&mutex);
	for (int i = 0; i < GUARDED_MAX && !found; i++)
		if (guarded[i] == from) {
			guarded[i] = to;
			found = 1;
		}
	pthread_mutex_unlock(&mutex);
	return found;
}

void *__wrap_mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	if (addr || fd < 0)
		return __real_mmap64(addr, length, prot, flags, fd, offset);
	size_t inside = whole_pages(length);
	char *room = __real_mmap64(NULL, inside + 2 * GUARD_BYTES, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return room;
	void *mapped =
		__real_mmap64(room + GUARD_BYTES, length, prot, flags | MAP_FIXED, fd, offset);
	if (mapped == MAP_FAILED || !guarded_swap(NULL, mapped)) {
		__real_munmap(room, inside + 2 * GUARD_BYTES);
		return MAP_FAILED;
	}
	return mapped;
}

int __wrap_munmap(void *addr, size_t length)
{
	if (guarded_swap(addr, NULL))
		return __real_munmap((char *)addr - GUARD_BYTES,
			whole_pages(length) + 2 * GUARD_BYTES);
	return __real_munmap(addr, length);
}

int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);
void (*before_punch)(void *argument);
void *before_punch_argument;

/* What an attacker does at exactly this moment. */
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
	if (before_punch)
		before_punch(before_punch_argument);
	return __real_fallocate64(fd, mode, offset, length);
}

off_t __real_lseek64(int fd, off_t offset, int whence);
off_t __wrap_lseek64(int fd, off_t offset, int whence);
uint64_t seeks;

off_t __wrap_lseek64(int fd, off_t offset, int whence)
{
	__atomic_fetch_add(&seeks, 1, __ATOMIC_RELAXED);
	return __real_lseek64(fd, offset, whence);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
unsigned slow_locks_ms;

/* Of many locks on a file. */
int __wrap_fcntl64(int fd, int command, ...)
{
	va_list arguments;

	va_start(arguments, command);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (slow_locks_ms && (command == F_OFD_SETLK || command == F_OFD_GETLK))
		sleep_ms(slow_locks_ms);
	return __real_fcntl64(fd, command, argument);
}

static unsigned char *mine;

static unsigned char mark_at(size_t i)
{
	return (unsigned char)(i * 7 + i / 251);
}

void guards_begin(void)
{
	mine = malloc(MINE_BYTES);
	must(mine);
	for (size_t i = 0; i < MINE_BYTES; i++)
		mine[i] = mark_at(i);
}

void guards_check(void)
{
	for (size_t i = 0; i < MINE_BYTES; i++)
		if (mine[i] != mark_at(i))
			fail("byte %zu of our own memory was changed", i);
}
