/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe lock; see lock.h.
 *
 * The word: 0 free; else the owner's thread id with FUTEX_WAITERS if somebody may sleep; FUTEX_OWNER_DIED, set by the
 * kernel when the owner died. Order that matters, in program order of one thread (it dies at an instruction):
 *   1. list_op_pending = word   2. word = tid   ... critical section ...   3. word = 0   4. wake   5. list_op_pending = NULL
 * Dead between 1 and 2: the word is not ours, and the kernel leaves it. Between 2 and 3: the kernel sets OWNER_DIED.
 * Between 3 and 5: the kernel wakes a waiter in our place if nobody took the lock; else a sleeper's slice ends.
 *
 * Thread ids are cached per thread. A child of fork must not use its parent's: a word that the kernel wipes in the child, and
 * as a second line an atfork handler, tell the cache that it is stale.
 */
#include <errno.h>
#include <pthread.h>

#include "lock.h"
#include "sys.h"

#define WORD_WAITERS 0x80000000u
#define WORD_OWNER_DIED 0x40000000u
#define WORD_TID 0x3fffffffu

/* Tries before sleeping: a critical section takes tens of nanoseconds, a sleep microseconds. */
#define SPINS 100
/* Longest sleep: bounds the delay if a peer died between release and wake. */
#define SLICE_NS 20000000u

struct thread_state {
	struct sys_robust_head *head;
	uint32_t tid;
	uint32_t generation;
};

static THREAD_LOCAL struct thread_state thread_state;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t *wiped;          /* reads 0 in a child until it sets its own generation */
static uint32_t last_generation; /* of this process or its ancestors */

static void after_fork_in_child(void)
{
	if (wiped)
		__atomic_store_n(wiped, 0, __ATOMIC_RELAXED);
}

static void start(void)
{
	wiped = sys_wiped_on_fork();
	last_generation = 1;
	pthread_atfork(NULL, NULL, after_fork_in_child);
}

uint32_t lock_fork_generation(void)
{
	pthread_once(&once, start);
	if (!wiped)
		return 0;
	uint32_t generation = __atomic_load_n(wiped, __ATOMIC_RELAXED);
	if (generation == 0) {
		generation = __atomic_add_fetch(&last_generation, 1, __ATOMIC_RELAXED);
		__atomic_store_n(wiped, generation, __ATOMIC_RELAXED);
	}
	return generation;
}

static __attribute__((noinline)) void refresh_thread(struct thread_state *self)
{
	uint32_t generation = lock_fork_generation();

	self->tid = sys_gettid() & WORD_TID;
	/* A child of a bare clone has its parent's list at the same place, but the kernel does not know of it. */
	self->head = sys_robust_head(self->head);
	self->generation = generation;
}

static struct thread_state *current_thread(void)
{
	struct thread_state *self = &thread_state;

	/* generation is 0 in a new thread, and stays 0 where a fork cannot be noticed: ask the kernel each time */
	if (self->generation == 0 ||
		self->generation != __atomic_load_n(wiped, __ATOMIC_RELAXED))
		refresh_thread(self);
	return self;
}

static void set_pending(struct thread_state *self, uint32_t *word)
{
	if (!self->head)
		return;
	/* Pairs with the kernel's walk when this thread dies: order against the word in program order only. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(void *volatile *)&self->head->list_op_pending =
		word ? (char *)word - self->head->futex_offset : NULL;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static int try_word(uint32_t *word, uint32_t *seen, uint32_t value)
{
	/* Acquire: pairs with the release in lock_release(). */
	return __atomic_compare_exchange_n(word, seen, value, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
#endif
}

/*
 * Contended, or the owner died. list_op_pending is set around each try only, not while waiting: in another PID namespace the owner may
 * have the thread id that we have here, and our death must not look like its.
 */
static __attribute__((noinline)) int acquire_slowly(uint32_t *word, struct thread_state *self)
{
	uint64_t deadline = 0;
	uint32_t waiters = 0; /* once we slept, others may still sleep: keep the mark */

	for (unsigned tries = 0;; tries++) {
		uint64_t left = LOCK_TIMEOUT_NS;
		if (tries >= SPINS) {
			uint64_t now = sys_now_ns();
			if (deadline == 0)
				deadline = now + LOCK_TIMEOUT_NS;
			if (now >= deadline)
				return -ETIMEDOUT;
			left = deadline - now;
		}

		uint32_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
		if ((seen & WORD_TID) == 0) {
			int died = (seen & WORD_OWNER_DIED) != 0;
			set_pending(self, word);
			if (try_word(word, &seen, self->tid | (seen & WORD_WAITERS) | waiters))
				return died ? LOCK_OWNER_DIED : LOCK_ACQUIRED;
			set_pending(self, NULL);
		} else if (tries < SPINS) {
			relax();
		} else if ((seen & WORD_WAITERS) || try_word(word, &seen, seen | WORD_WAITERS)) {
			waiters = WORD_WAITERS;
			sys_futex_wait(word, seen | WORD_WAITERS, left < SLICE_NS ? left : SLICE_NS);
		}
	}
}

int lock_acquire(uint32_t *word)
{
	struct thread_state *self = current_thread();
	uint32_t free_word = 0;

	set_pending(self, word);
	if (__builtin_expect(try_word(word, &free_word, self->tid), 1))
		return LOCK_ACQUIRED;
	set_pending(self, NULL);
	return acquire_slowly(word, self);
}

int lock_release(uint32_t *word)
{
	/* Release: pairs with the acquire in try_word(). */
	uint32_t was = __atomic_exchange_n(word, 0, __ATOMIC_RELEASE);
	int waited = (was & WORD_WAITERS) != 0;

	if (waited)
		sys_futex_wake(word, 1);
	set_pending(&thread_state, NULL);
	return waited;
}
