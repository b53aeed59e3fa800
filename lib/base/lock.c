/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe lock; see lock.h.
 *
 * The word: 0 free; else the owner's thread id with FUTEX_WAITERS if somebody may sleep;
 * FUTEX_OWNER_DIED, set by the kernel when the owner died. Order that matters, in program order of
 * one thread (it dies at an instruction):
 *   1. list_op_pending = word   2. word = tid   ... critical section ...   3. word = 0   4. wake
 *      5. list_op_pending = NULL
 * Dead between 1 and 2: the word is not ours, and the kernel leaves it. Between 2 and 3: the kernel
 * sets OWNER_DIED. Between 3 and 5: the kernel wakes a waiter in our place if nobody took the lock;
 * else a sleeper's slice ends.
 *
 * Thread ids are cached per thread. A child of fork must not use its parent's: a word that the
 * kernel wipes in the child, and as a second line an atfork handler, tell the cache that it is
 * stale.
 */
#include <errno.h>
#include <pthread.h>

#include "base/context.h"
#include "base/lock.h"
#include "base/shared.h"
#include "base/sys.h"

/* Tries before sleeping: a critical section takes tens of nanoseconds, a sleep microseconds. */
#define SPINS 100
/* Longest sleep: bounds the delay if a peer died between release and wake. */
#define SLICE_NS WAIT_STEP_NS

THREAD_LOCAL struct lock_thread lock_thread = {.generation = LOCK_NO_GENERATION};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t not_wiped;
/* reads 0 in a child until it sets its own generation; always 0 where the kernel does not wipe */
uint32_t *lock_wiped = &not_wiped;
static uint32_t last_generation; /* of this process or its ancestors */

static void after_fork_in_child(void)
{
	__atomic_store_n(lock_wiped, 0, __ATOMIC_RELAXED);
}

static void start(void)
{
	uint32_t *wiped = sys_wiped_on_fork();

	if (wiped)
		__atomic_store_n(&lock_wiped, wiped, __ATOMIC_RELEASE);
	last_generation = 1;
	pthread_atfork(NULL, NULL, after_fork_in_child);
}

uint32_t lock_fork_generation(void)
{
	pthread_once(&once, start);
	if (lock_wiped == &not_wiped)
		return 0;
	uint32_t generation = __atomic_load_n(lock_wiped, __ATOMIC_RELAXED);
	if (generation == 0) {
		generation = __atomic_add_fetch(&last_generation, 1, __ATOMIC_RELAXED);
		__atomic_store_n(lock_wiped, generation, __ATOMIC_RELAXED);
	}
	return generation;
}

void lock_refresh_thread(struct lock_thread *self)
{
	uint32_t generation = lock_fork_generation(), tid = sys_gettid() & LOCK_TID;
	int is_child = self->tid != 0 && self->tid != tid;

	self->tid = tid;
	/*
	 * A child of a bare clone has its parent's list at the same place, but the kernel does not
	 * know of it.
	 */
	self->head = sys_robust_head(self->head);
	self->pending = self->head ? &self->head->list_op_pending : &self->nowhere;
	self->futex_offset = self->head ? self->head->futex_offset : 0;
	if (is_child) /* what the thread that forked held is not the child's */
		lock_clear_pending(self);
	self->generation = generation != 0 ? generation : LOCK_NO_GENERATION;
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
 * What the calling thread may still wait: LOCK_TIMEOUT_NS for each lock; or what is left of that
 * for all locks of a call that takes several, and a moment for each, if the call has pushed a frame
 * with its patience (base/context.h). So peers of many areas, or one that holds a lock again and
 * again, cannot make it wait longer. Within a purge there is no such moment, and the purge bounds
 * each wait (purge/areas.c): 0 is one try, without a sleep.
 */
static uint64_t lock_patience(void)
{
	const uint64_t *left_ns = context_patience();
	uint64_t longest_ns = context_longest_wait();

	if (!left_ns)
		return LOCK_TIMEOUT_NS;
	if (longest_ns == UINT64_MAX)
		return *left_ns > SLICE_NS ? *left_ns : SLICE_NS;
	return longest_ns < *left_ns ? longest_ns : *left_ns;
}

static void use_patience(uint64_t waited_ns)
{
	uint64_t *left_ns = context_patience();

	if (left_ns)
		*left_ns -= waited_ns < *left_ns ? waited_ns : *left_ns;
}

void lock_use_patience(uint64_t begun_ns)
{
	uint64_t now_ns = sys_now_ns();

	use_patience(now_ns > begun_ns ? now_ns - begun_ns : 0);
}

/*
 * Contended, or the owner died. list_op_pending is set around each try only, not while waiting: in
 * another PID namespace the owner may have the thread id that we have here, and our death must not
 * look like its.
 */
int lock_acquire_slowly(uint32_t *word, struct lock_thread *self)
{
	struct wait wait;
	uint64_t patience_ns = 0; /* until we wait; then never */
	uint32_t waiters = 0;     /* once we slept, others may still sleep: keep the mark */

	if (lock_is_nested(self))
		return -EDEADLK;
	for (unsigned tries = 0;; tries++) {
		uint32_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
		if ((seen & LOCK_TID) == 0) {
			int died = (seen & LOCK_DEAD) != 0;
			lock_set_pending(self, word);
			if (lock_try(word, &seen, self->tid | (seen & LOCK_WAITERS) | waiters)) {
				if (patience_ns) {
					wait_is_over(&wait);
					use_patience(patience_ns - wait.left_ns);
				}
				return died ? LOCK_OWNER_DIED : LOCK_ACQUIRED;
			}
			lock_clear_pending(self);
		}
		if (tries < SPINS) {
			relax();
			continue;
		}
		if (!patience_ns) {
			patience_ns = lock_patience();
			if (!patience_ns)
				return -ETIMEDOUT;
			wait_begin(&wait, patience_ns);
		} else if (wait_is_over(&wait)) {
			use_patience(patience_ns);
			return -ETIMEDOUT;
		}
		if ((seen & LOCK_TID) &&
			((seen & LOCK_WAITERS) || lock_try(word, &seen, seen | LOCK_WAITERS))) {
			waiters = LOCK_WAITERS;
			sys_futex_wait(word, seen | LOCK_WAITERS,
				wait.left_ns < SLICE_NS ? wait.left_ns : SLICE_NS);
		}
	}
}
