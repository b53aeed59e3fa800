/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe lock: one owner at a time among threads and processes, and deaths of owners of
 * every kind. Bounded waiting and what fork does are in test_lock_fork.c.
 */
#define _GNU_SOURCE 1
#include "support/children.h"
#include "support/contract.h"
#include "support/locks.h"
#include "support/tools.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/sys.h"

enum { WORKERS = 4, ROUNDS = 50000 };

/* -- one owner at a time -- */

/* Returns how often the lock failed. */
static int work(struct shared *shared)
{
	int wrong = 0;

	for (uint64_t i = less_if_slow(ROUNDS); i > 0; i--) {
		if (lock_acquire(&shared->word) != LOCK_ACQUIRED)
			return wrong + 1;
		wrong += shared->a != shared->b;
		shared->a++;
		if (i % 4096 == 0)
			nap(1); /* long enough that others go to sleep */
		shared->b++;
		lock_release(&shared->word);
	}
	return wrong;
}

static void *work_in_thread(void *argument)
{
	return (void *)(intptr_t)work(argument);
}

static void work_in_child(void *argument)
{
	expect_eq(work(argument), 0);
}

CONTRACT_TEST(lock, one_thread_at_a_time)
{
	struct shared *shared = shared_begin();
	pthread_t threads[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		expect_eq(pthread_create(&threads[i], NULL, work_in_thread, shared), 0);
	for (int i = 0; i < WORKERS; i++) {
		void *wrong;
		pthread_join(threads[i], &wrong);
		expect_eq((intptr_t)wrong, 0);
	}
	expect_eq(shared->a, WORKERS * less_if_slow(ROUNDS));
	expect_eq(shared->b, shared->a);
	expect_eq(shared->word, 0);
	shared_end(shared);
}

CONTRACT_TEST(lock, one_process_at_a_time)
{
	struct shared *shared = shared_begin();
	pid_t children[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		children[i] = child_start(work_in_child, shared);
	for (int i = 0; i < WORKERS; i++)
		child_join(children[i]);
	expect_eq(shared->a, WORKERS * less_if_slow(ROUNDS));
	expect_eq(shared->word, 0);
	shared_end(shared);
}

CONTRACT_TEST(lock, the_word_holds_the_owners_thread_id)
{
	struct shared *shared = shared_begin();

	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	expect_eq(shared->word, sys_gettid());
	expect_eq(lock_release(&shared->word), 0);
	expect_eq(shared->word, 0);
	shared_end(shared);
}

/* The robust list names the word while it is held, and nothing afterwards. */
CONTRACT_TEST(lock, nothing_is_left_pending_after_release)
{
	struct shared *shared;

	skip_without_owner_death();
	shared = shared_begin();
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	expect(pending_word() == &shared->word);
	lock_release(&shared->word);
	expect(pending_word() == NULL);
	expect_eq(lock_acquire(&shared->other_word), LOCK_ACQUIRED);
	expect(pending_word() == &shared->other_word);
	lock_release(&shared->other_word);
	expect(pending_word() == NULL);
	shared_end(shared);
}

static void hold_for_a_while(void *argument)
{
	struct shared *shared = argument;

	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	gate_open(&shared->locked);
	nap(200);
	expect_eq(lock_release(&shared->word), 1);
	expect(pending_word() == NULL);
}

CONTRACT_TEST(lock, waiting_ends_when_the_owner_releases)
{
	struct shared *shared;
	pid_t child;

	skip_without_owner_death();
	shared = shared_begin();
	child = child_start(hold_for_a_while, shared);
	gate_wait(&shared->locked);
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	expect_eq(owner_of(&shared->word), sys_gettid());
	/*
	 * We slept, and others may have as well: whoever got the lock after a sleep wakes the next.
	 */
	expect(shared->word & LOCK_WAITERS);
	expect(pending_word() == &shared->word);
	lock_release(&shared->word);
	expect(pending_word() == NULL);
	child_join(child);
	shared_end(shared);
}

/* -- deaths -- */

static void lock_and_wait_for_death(void *argument)
{
	struct shared *shared = argument;

	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	shared->a++;
	gate_open(&shared->locked);
	for (;;)
		pause();
}

CONTRACT_TEST(lock, death_by_a_signal_is_noticed)
{
	struct shared *shared = shared_begin();
	pid_t child;

	skip_without_owner_death();
	child = child_start(lock_and_wait_for_death, shared);
	gate_wait(&shared->locked);
	kill(child, SIGKILL);
	child_wait(child);
	expect_owner_died(shared);
	shared_end(shared);
}

static void lock_and_exit(void *argument)
{
	expect_eq(lock_acquire(&((struct shared *)argument)->word), LOCK_ACQUIRED);
	_exit(0);
}

CONTRACT_TEST(lock, exit_of_the_owner_is_noticed)
{
	struct shared *shared = shared_begin();

	skip_without_owner_death();
	run_child(lock_and_exit, shared);
	expect_owner_died(shared);
	shared_end(shared);
}

static void *lock_and_end_thread(void *argument)
{
	return (void *)(intptr_t)lock_acquire(&((struct shared *)argument)->word);
}

CONTRACT_TEST(lock, end_of_one_thread_of_many_is_noticed)
{
	struct shared *shared = shared_begin();
	pthread_t thread;
	void *result;

	skip_without_owner_death();
	expect_eq(pthread_create(&thread, NULL, lock_and_end_thread, shared), 0);
	pthread_join(thread, &result);
	expect_eq((intptr_t)result, LOCK_ACQUIRED);
	expect_owner_died(shared);
	shared_end(shared);
}

static void lock_and_exec(void *argument)
{
	expect_eq(lock_acquire(&((struct shared *)argument)->word), LOCK_ACQUIRED);
	execlp("sleep", "sleep", "20", (char *)NULL);
	_exit(127);
}

CONTRACT_TEST(lock, exec_of_the_owner_is_noticed)
{
	struct shared *shared = shared_begin();
	pid_t child;
	int ended;

	skip_without_owner_death();
	child = child_start(lock_and_exec, shared);
	while (shared->word == 0 || owner_of(&shared->word) != 0)
		nap(10);
	expect_owner_died(shared);
	ended = waitpid(child, NULL, WNOHANG) != 0;
	kill(child, SIGKILL);
	if (!ended)
		child_wait(child);
	expect_msg(!ended, "it was not exec that ended the ownership");
	shared_end(shared);
}

CONTRACT_TEST(lock, sleepers_wake_when_the_owner_dies)
{
	struct shared *shared = shared_begin();
	struct waiter waiters[3];
	pthread_t threads[3];
	double killed;
	int deaths = 0;
	pid_t child;

	skip_without_owner_death();
	child = child_start(lock_and_wait_for_death, shared);
	gate_wait(&shared->locked);
	for (int i = 0; i < 3; i++) {
		waiters[i] = (struct waiter){.shared = shared};
		expect_eq(pthread_create(&threads[i], NULL, wait_in_thread, &waiters[i]), 0);
	}
	nap(100);
	killed = seconds_now();
	kill(child, SIGKILL);
	child_wait(child);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		expect(waiters[i].result >= 0);
		expect(waiters[i].at - killed < 2);
		deaths += waiters[i].result == LOCK_OWNER_DIED;
	}
	/* One of them took it over; the others got it from each other. */
	expect_eq(deaths, 1);
	shared_end(shared);
}

CONTRACT_TEST(lock, death_of_a_waiter_changes_nothing)
{
	struct shared *shared = shared_begin();
	pid_t child;

	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	child = child_start(wait_in_child, shared);
	gate_wait(&shared->locked);
	nap(100);
	kill(child, SIGKILL);
	child_wait(child);
	expect_eq(owner_of(&shared->word), sys_gettid());
	expect_eq(shared->word & 0x40000000u, 0);
	lock_release(&shared->word);
	expect_eq(lock_acquire(&shared->word), LOCK_ACQUIRED);
	lock_release(&shared->word);
	shared_end(shared);
}

/* Killed anywhere in a hundred rounds: never stuck, and torn only if the death was noticed. */
static void work_for_ever(void *argument)
{
	struct shared *shared = argument;

	for (;;) {
		int r = lock_acquire(&shared->word);
		expect(r >= 0);
		if (r == LOCK_OWNER_DIED)
			shared->b = shared->a;
		expect_eq(shared->a, shared->b);
		shared->a++;
		shared->b++;
		lock_release(&shared->word);
	}
}

CONTRACT_TEST(lock, nobody_is_ever_stuck_behind_the_killed)
{
	struct shared *shared = shared_begin();
	uint64_t rounds = less_if_slow(300);
	double begun = seconds_now();

	skip_without_owner_death();
	for (uint64_t i = 0; i < rounds; i++) {
		pid_t first = child_start(work_for_ever, shared);
		pid_t second = child_start(work_for_ever, shared);
		nap(1);
		kill(first, SIGKILL);
		child_wait(first);
		uint64_t before = __atomic_load_n(&shared->a, __ATOMIC_RELAXED);
		for (int wait = 0; wait < 2000 && shared->a == before; wait++)
			nap(1);
		expect_msg(__atomic_load_n(&shared->a, __ATOMIC_RELAXED) != before,
			"the other is stuck: word %#x", (unsigned)shared->word);
		kill(second, SIGKILL);
		child_wait(second);
		int r = lock_acquire(&shared->word);
		expect(r >= 0);
		if (r == LOCK_OWNER_DIED)
			shared->b = shared->a;
		expect_eq(shared->a, shared->b);
		lock_release(&shared->word);
		if (seconds_now() - begun > 3)
			break;
	}
	shared_end(shared);
}
