/* SPDX-License-Identifier: MIT */
/*
 * What the library's calls are compared with.
 *
 * - An empty system call, getppid by number: what any design that asks the kernel pays at least, so
 *   that two of them are the floor of a pin and unpin by ioctl.
 * - Lock and unlock of a process-shared robust pthread mutex: the ready-made way to guard state
 *   that processes share.
 * - A bare word: one compare-and-swap to pin, a clock read and one compare-and-swap to unpin. It is
 *   the floor of designs with one word for a whole region and no ranges, as browsers have.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

struct reference_costs reference_costs;

struct shared_page {
	pthread_mutex_t mutex;
	uint64_t word __attribute__((aligned(64)));
};

static struct shared_page *shared_page;

static double run_syscalls(void *context, uint64_t count)
{
	double begin = busy_ns();

	(void)context;
	for (uint64_t i = 0; i < count; i++)
		syscall(SYS_getppid);
	return busy_since(begin);
}

static double run_mutex(void *context, uint64_t count)
{
	struct shared_page *page = context;
	double begin = busy_ns();

	for (uint64_t i = 0; i < count; i++) {
		pthread_mutex_lock(&page->mutex);
		pthread_mutex_unlock(&page->mutex);
	}
	return busy_since(begin);
}

static double run_word(void *context, uint64_t count)
{
	uint64_t *word = &((struct shared_page *)context)->word;
	double begin = busy_ns();

	for (uint64_t i = 0; i < count; i++) {
		uint64_t unlocked = __atomic_load_n(word, __ATOMIC_RELAXED), locked = 1;
		__atomic_compare_exchange_n(word, &unlocked, locked, 0, __ATOMIC_SEQ_CST,
			__ATOMIC_RELAXED);
		__atomic_compare_exchange_n(word, &locked, (uint64_t)now_ns() & ~(uint64_t)1, 0,
			__ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	return busy_since(begin);
}

struct timed reference_syscalls(unsigned count)
{
	return (struct timed){.run = run_syscalls, .units = 1.0 / count};
}

struct timed reference_mutexes(unsigned count)
{
	return (struct timed){.run = run_mutex, .context = shared_page, .units = 1.0 / count};
}

struct timed reference_word(void)
{
	return (struct timed){.run = run_word, .context = shared_page};
}

static void make_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attributes;
	int error = pthread_mutexattr_init(&attributes);

	if (!error)
		error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (!error)
		error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	if (!error)
		error = pthread_mutex_init(mutex, &attributes);
	if (error)
		die("a robust mutex", -error);
	pthread_mutexattr_destroy(&attributes);
}

void references_start(void)
{
	struct series series;

	shared_page = mmap(NULL, sizeof(*shared_page), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared_page == MAP_FAILED)
		die_errno("mmap");
	make_mutex(&shared_page->mutex);
	struct timed things[] = {reference_syscalls(1), reference_mutexes(1), reference_word()};
	measure(things, 3, &series);
	reference_costs.syscall = median_of(series.ns[0], series.rounds);
	reference_costs.mutex = median_of(series.ns[1], series.rounds);
	reference_costs.word = median_of(series.ns[2], series.rounds);
	reference_costs.clock = clock_ns();
}
