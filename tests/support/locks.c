/* SPDX-License-Identifier: MIT */
/* What the tests of the lock share: see locks.h. */
#define _GNU_SOURCE 1
#include "support/locks.h"
#include "support/contract.h"
#include "support/tools.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/sys.h"

struct shared *shared_begin(void)
{
	struct shared *shared = shared_memory(sizeof(*shared));

	gate_make(&shared->locked);
	gate_make(&shared->go);
	return shared;
}

void shared_end(struct shared *shared)
{
	gate_drop(&shared->locked);
	gate_drop(&shared->go);
	munmap(shared, sizeof(*shared));
}

void nap(unsigned milliseconds)
{
	struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};

	nanosleep(&time, NULL);
}

void *pending_word(void)
{
	struct sys_robust_head *head = NULL;
	size_t length = 0;

	if (syscall(SYS_get_robust_list, 0, &head, &length) < 0 || !head)
		return NULL;
	return head->list_op_pending ? (char *)head->list_op_pending + head->futex_offset : NULL;
}

uint32_t owner_of(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED) & 0x3fffffff;
}

/* Emulators of user programs leave the dead's locks as they are. */
static void die_with_a_mutex(void *argument)
{
	pthread_mutex_lock(argument);
	_exit(0);
}

void skip_without_owner_death(void)
{
	pthread_mutex_t *mutex = shared_memory(sizeof(*mutex));
	pthread_mutexattr_t attributes;
	int died;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(mutex, &attributes);
	child_wait(child_start(die_with_a_mutex, mutex));
	died = pthread_mutex_trylock(mutex) == EOWNERDEAD;
	if (died) { /* it must not stay in our own list */
		pthread_mutex_consistent(mutex);
		pthread_mutex_unlock(mutex);
	}
	munmap(mutex, sizeof(*mutex));
	if (!died)
		contract_skip("nobody tells of dead owners here (qemu-user?)");
}

void expect_owner_died(struct shared *shared)
{
	double begun = seconds_now();

	expect_eq(lock_acquire(&shared->word), LOCK_OWNER_DIED);
	expect(seconds_now() - begun < 2);
	expect_eq(owner_of(&shared->word), sys_gettid());
	expect(pending_word() == &shared->word);
	lock_release(&shared->word);
	expect_eq(shared->word, 0);
	expect(pending_word() == NULL);
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	lock_release(&shared->word);
}

void wait_in_child(void *argument)
{
	struct shared *shared = argument;

	gate_open(&shared->locked);
	lock_acquire(&shared->word);
	_exit(2); /* not reached: killed while it waits */
}

void *wait_in_thread(void *argument)
{
	struct waiter *waiter = argument;

	waiter->result = lock_acquire(&waiter->shared->word);
	waiter->at = seconds_now();
	if (waiter->result >= 0)
		lock_release(&waiter->shared->word);
	return NULL;
}
