/* SPDX-License-Identifier: MIT */
/*
 * The mappings of areas (maps.h), in no order: programs have few.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "maps.h"

struct map {
	uintptr_t start, end;
	uintptr_t limit; /* where the area's memory ends, seen from here */
	int prot_most;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sigset_t mask_before; /* of the thread that has the mutex */
static struct map *maps;
static size_t count, room; /* `count` is read without the mutex: 0 makes every call cheap */

/* With the mutex held no signal comes, for a handler may map memory too. */
static void lock(void)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&mutex);
	mask_before = before;
}

static void unlock(void)
{
	const sigset_t before = mask_before;

	pthread_mutex_unlock(&mutex);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static uintptr_t page_up(uintptr_t address)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	return (address + page - 1) / page * page;
}

/* With the mutex held: room for so many more. */
static int make_room(size_t more)
{
	if (count + more <= room)
		return 0;
	/* Not from malloc: a program's own may call mmap(2), and so a hook, with the mutex held. */
	size_t wanted = 2 * (count + more) + 4096 / sizeof(*maps);
	struct map *larger = libc_mmap(NULL, wanted * sizeof(*maps), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (larger == MAP_FAILED)
		return -ENOMEM;
	if (maps) {
		memcpy(larger, maps, count * sizeof(*maps));
		libc_munmap(maps, room * sizeof(*maps));
	}
	maps = larger;
	room = wanted;
	return 0;
}

int maps_reserve(void)
{
	lock();
	int r = make_room(2); /* it may split another one */
	unlock();
	return r;
}

/* With the mutex held: keep of a mapping what lies outside; the second part goes to the end. */
static void cut(size_t i, uintptr_t start, uintptr_t end)
{
	struct map *map = &maps[i];

	if (map->start < start && map->end > end && make_room(1) == 0) {
		maps[count] = maps[i];
		maps[count++].start = end;
		maps[i].end = start;
	} else if (map->start < start) {
		map->end = start;
	} else if (map->end > end) {
		map->start = end;
	} else {
		maps[i] = maps[--count];
	}
}

static void forget(uintptr_t start, uintptr_t end)
{
	for (size_t i = count; i-- > 0;)
		if (maps[i].start < end && maps[i].end > start)
			cut(i, start, end);
}

void maps_add(void *addr, size_t length, int prot_most, size_t limit)
{
	uintptr_t start = (uintptr_t)addr;

	lock();
	forget(start, page_up(start + length));
	if (make_room(1) == 0)
		maps[count++] = (struct map){.start = start,
			.end = page_up(start + length),
			.limit = start + limit,
			.prot_most = prot_most};
	unlock();
}

void maps_forget(void *addr, size_t length)
{
	if (__atomic_load_n(&count, __ATOMIC_RELAXED) == 0)
		return;
	lock();
	forget((uintptr_t)addr, page_up((uintptr_t)addr + length));
	unlock();
}

int maps_protect(void *addr, size_t length, int prot, int (*really)(void *, size_t, int))
{
	uintptr_t start = (uintptr_t)addr, end = page_up(start + length);

	if (__atomic_load_n(&count, __ATOMIC_RELAXED) == 0)
		return really(addr, length, prot);
	lock();
	int most = ~0, r = -1;
	for (size_t i = 0; i < count; i++)
		if (maps[i].start < end && maps[i].end > start)
			most &= maps[i].prot_most | ~7;
	if (prot & ~most & 7)
		errno = EACCES;
	else
		r = really(addr, length, prot);
	unlock();
	return r;
}

int maps_find(const void *addr, int *prot_most, size_t *limit)
{
	uintptr_t at = (uintptr_t)addr;
	int found = 0;

	if (__atomic_load_n(&count, __ATOMIC_RELAXED) == 0)
		return 0;
	lock();
	for (size_t i = 0; i < count && !found; i++)
		if (maps[i].start <= at && at < maps[i].end) {
			*prot_most = maps[i].prot_most;
			*limit = maps[i].limit - at;
			found = 1;
		}
	unlock();
	return found;
}

void maps_start(void)
{
	pthread_atfork(lock, unlock, unlock);
}
