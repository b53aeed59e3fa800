/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe lock: waiting is bounded, whatever stands in the word, and the thread ids that are
 * remembered do not outlive a fork, libc's or a bare one.
 */
#define _GNU_SOURCE 1
#include "support/abilities.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/locks.h"
#include "support/tools.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/sys.h"

/* -- bounded waiting -- */

static void hold_until_told(void *argument)
{
	struct shared *shared = argument;

	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	gate_open(&shared->locked);
	gate_wait(&shared->go);
	lock_release(&shared->word);
	gate_open(&shared->locked);
}

struct bounded {
	uint32_t *word;
	int result;
	double seconds;
	void *pending;
};

static void *wait_bounded(void *argument)
{
	struct bounded *bounded = argument;
	double begun = seconds_now();

	bounded->result = lock_acquire(bounded->word);
	bounded->seconds = seconds_now() - begun;
	bounded->pending = pending_word();
	return NULL;
}

/* All at once, because each takes the five seconds. */
CONTRACT_TEST(lock_wait, waiting_is_bounded_whatever_the_word_says)
{
	static const uint32_t nonsense[] = {
		1, 0x3fffffff, 0x7fffffff, 0x80000001, 0xffffffff, 0x40000001, 0x12345678};
	enum { STOPPED = sizeof(nonsense) / sizeof(nonsense[0]), WAITS = STOPPED + 1 };
	struct shared *shared = shared_begin();
	struct bounded waits[WAITS];
	uint32_t words[STOPPED];
	pthread_t threads[WAITS];
	pid_t child = child_start(hold_until_told, shared);

	gate_wait(&shared->locked);
	kill(child, SIGSTOP);
	for (int i = 0; i < WAITS; i++) {
		if (i < STOPPED)
			words[i] = nonsense[i]; /* these look locked for ever */
		waits[i] = (struct bounded){.word = i < STOPPED ? &words[i] : &shared->word};
		expect_eq(pthread_create(&threads[i], NULL, wait_bounded, &waits[i]), 0);
	}
	for (int i = 0; i < WAITS; i++) {
		pthread_join(threads[i], NULL);
		expect_eq(waits[i].result, -ETIMEDOUT);
		expect(waits[i].seconds >= 4.9 && waits[i].seconds < 15);
		expect(waits[i].pending == NULL);
	}
	expect_eq(owner_of(&shared->word), (uint32_t)child);

	kill(child, SIGCONT);
	gate_open(&shared->go);
	gate_wait(&shared->locked);
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	lock_release(&shared->word);
	child_join(child);
	shared_end(shared);
}

static void wait_and_release(void *argument)
{
	struct shared *shared = argument;

	gate_open(&shared->locked);
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	lock_release(&shared->word);
}

/*
 * A waiter that got no processor for longer than the bound has not seen the owner do nothing for so
 * long.
 */
CONTRACT_TEST(lock_wait, time_in_which_the_waiter_could_not_run_does_not_count)
{
	struct shared *shared = shared_begin();
	int status;
	pid_t child;

	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	child = child_start(wait_and_release, shared);
	gate_wait(&shared->locked);
	nap(100);
	expect_eq(kill(child, SIGSTOP), 0);
	expect_eq(waitpid(child, &status, WUNTRACED), child);
	nap((unsigned)(LOCK_TIMEOUT_NS / 1000000) + 100);
	expect_eq(kill(child, SIGCONT), 0);
	nap(100);
	lock_release(&shared->word);
	child_join(child);
	shared_end(shared);
}

/* Whoever wrote nonsense takes it back and wakes nobody. */
CONTRACT_TEST(lock_wait, sleepers_find_a_word_that_becomes_free_without_a_wake)
{
	struct shared *shared = shared_begin();
	struct waiter waiter = {.shared = shared};
	pthread_t thread;
	double freed;

	__atomic_store_n(&shared->word, 0x2fffffff, __ATOMIC_RELAXED);
	expect_eq(pthread_create(&thread, NULL, wait_in_thread, &waiter), 0);
	nap(100);
	freed = seconds_now();
	__atomic_store_n(&shared->word, 0, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	expect_eq(waiter.result, LOCK_ACQUIRED);
	expect(waiter.at - freed < 2);
	shared_end(shared);
}

/* -- fork -- */

static void expect_own_id(void *argument)
{
	struct shared *shared = argument;

	expect_eq(lock_acquire(&shared->other_word), LOCK_ACQUIRED);
	expect_eq(shared->other_word, sys_gettid());
	expect_eq(sys_gettid(), (uint32_t)getpid());
	lock_release(&shared->other_word);
	shared->generation[1] = lock_fork_generation();
	expect_eq(lock_fork_generation(), shared->generation[1]);
}

CONTRACT_TEST(lock_fork, forked_child_uses_its_own_thread_id)
{
	struct shared *shared = shared_begin();

	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	lock_release(&shared->word);
	run_child(expect_own_id, shared);
	shared_end(shared);
}

static void expect_another_generation(void *argument)
{
	struct shared *shared = argument;

	shared->generation[2] = lock_fork_generation();
	run_child(expect_own_id, shared);
}

CONTRACT_TEST(lock_fork, generations_differ_between_relatives)
{
	struct shared *shared = shared_begin();

	shared->generation[0] = lock_fork_generation();
	expect(shared->generation[0] != 0);
	run_child(expect_another_generation, shared);
	expect_eq(lock_fork_generation(), shared->generation[0]);
	expect(shared->generation[0] != shared->generation[1]);
	expect(shared->generation[0] != shared->generation[2]);
	expect(shared->generation[1] != shared->generation[2]);
	shared_end(shared);
}

/* A child that libc knows nothing of. */
static pid_t raw_clone(void)
{
#if defined(__s390__) || defined(__CRIS__)
	return (pid_t)syscall(SYS_clone, 0, SIGCHLD, 0, 0, 0);
#else
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

CONTRACT_TEST(lock_fork, raw_clone_child_uses_its_own_thread_id)
{
	struct shared *shared;
	pid_t child;

	skip_without_wiping_on_fork();
	shared = shared_begin();
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	lock_release(&shared->word);
	child = raw_clone();
	if (child == 0) {
		int r = lock_acquire(&shared->word);
		int own = shared->word == sys_gettid();
		lock_release(&shared->word);
		_exit(r == LOCK_ACQUIRED && own ? 0 : 1);
	}
	child_join(child);
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	expect_eq(shared->word, sys_gettid());
	lock_release(&shared->word);
	shared_end(shared);
}

CONTRACT_TEST(lock_fork, death_of_a_raw_clone_child_is_noticed)
{
	struct shared *shared = shared_begin();
	pid_t child;

	skip_without_owner_death();
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	lock_release(&shared->word);
	child = raw_clone();
	if (child == 0) {
		lock_acquire(&shared->word);
		_exit(0);
	}
	child_join(child);
	expect_owner_died(shared);
	shared_end(shared);
}

static void do_nothing(void *argument)
{
	(void)argument;
}

CONTRACT_TEST(lock_fork, child_of_the_owner_does_not_own)
{
	struct shared *shared;
	pid_t child;

	skip_without_owner_death();
	shared = shared_begin();
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	/* The child dies with its copy of what is pending here: that must not look like our death.
	 */
	run_child(do_nothing, NULL);
	expect_eq(shared->word, sys_gettid());
	child = child_start(wait_in_child, shared);
	gate_wait(&shared->locked);
	nap(100);
	expect_eq(waitpid(child, NULL, WNOHANG), 0);
	expect_eq(lock_release(&shared->word), 1);
	expect_eq(WEXITSTATUS(child_wait(child)), 2); /* and got it then, and died with it */
	expect(lock_acquire(&shared->word) >= 0);
	lock_release(&shared->word);
	shared_end(shared);
}

static void *hold_in_thread(void *argument)
{
	struct shared *shared = argument;

	if (lock_acquire(&shared->word) != LOCK_ACQUIRED)
		return "not acquired";
	gate_open(&shared->locked);
	gate_wait(&shared->go);
	lock_release(&shared->word);
	return NULL;
}

CONTRACT_TEST(lock_fork, child_forked_while_another_thread_owns_does_not_own)
{
	struct shared *shared = shared_begin();
	pthread_t thread;
	void *result;

	expect_eq(pthread_create(&thread, NULL, hold_in_thread, shared), 0);
	gate_wait(&shared->locked);
	run_child(expect_own_id, shared);
	expect(owner_of(&shared->word) != 0);
	expect_eq(shared->word & 0x40000000u, 0);
	gate_open(&shared->go);
	pthread_join(thread, &result);
	expect(result == NULL);
	expect_eq(shared->word, 0);
	shared_end(shared);
}
