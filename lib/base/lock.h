/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe lock: one 32-bit word in shared memory that holds the owner's thread id.
 *
 * If the owner dies, at whatever instruction, the kernel marks the word and wakes a waiter, and the
 * next to acquire the lock learns of it. No pointer lies in shared memory: while a thread holds or
 * takes the lock, `list_op_pending` of its own robust list names the word (get_robust_list(2)), and
 * that is all the kernel needs.
 *
 * A thread can hold one such lock at a time, must not call into libpthread's robust mutexes
 * meanwhile, and must release it itself. A signal handler that asks for one while the call that it
 * interrupted holds one gets -EDEADLK, and nothing changes. Waiting is bounded. The word trusts
 * nobody: a peer that writes nonsense into it costs the others the bounded wait.
 */
#ifndef ASHMEM_LIB_BASE_LOCK_H
#define ASHMEM_LIB_BASE_LOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/shared.h"
#include "base/sys.h"
#include "base/wait.h"

/* How long lock_acquire() waits at most. */
#define LOCK_TIMEOUT_NS WAIT_TIMEOUT_NS

/* The lock was free or handed over. */
#define LOCK_ACQUIRED 0
/* The lock is held now, and its last owner died with it: what it guards may be half changed. */
#define LOCK_OWNER_DIED 1

/*
 * The word: 0 is free; else the owner's thread id and these marks, as the kernel's robust futexes
 * have them.
 */
#define LOCK_WAITERS 0x80000000u /* somebody may sleep */
#define LOCK_DEAD 0x40000000u    /* set by the kernel: the owner died */
#define LOCK_TID 0x3fffffffu

/* What a thread needs to take a lock. */
struct lock_thread {
	uint32_t generation; /* of the process that this was learned in */
	uint32_t tid;
	/*
	 * where the kernel looks if this thread dies: list_op_pending of its robust list, or
	 * `nowhere`
	 */
	void **pending;
	long futex_offset;            /* of that list: from what is pending to the word */
	void *nowhere;                /* where there is no list, deaths go unnoticed */
	struct sys_robust_head *head; /* the list, or NULL */
};

/* Of no process: nothing is known yet, or a fork could not be noticed. */
#define LOCK_NO_GENERATION UINT32_MAX

extern THREAD_LOCAL struct lock_thread lock_thread;
extern uint32_t *lock_wiped; /* the pointer is atomic, and so is the word */

void lock_refresh_thread(struct lock_thread *self);
int lock_acquire_slowly(uint32_t *word, struct lock_thread *self);

static inline struct lock_thread *lock_current_thread(void)
{
	struct lock_thread *self = &lock_thread;

	/*
	 * The pointer changes once, before any generation is given. Acquire: pairs with the release
	 * in start().
	 */
	const uint32_t *wiped = __atomic_load_n(&lock_wiped, __ATOMIC_ACQUIRE);

	if (__builtin_expect(self->generation != __atomic_load_n(wiped, __ATOMIC_RELAXED), 0))
		lock_refresh_thread(self);
	return self;
}

/* Tell the kernel which word to look at if this thread dies. */
static inline void lock_set_pending(struct lock_thread *self, uint32_t *word)
{
	/*
	 * Pairs with the kernel's walk when this thread dies: order against the word in program
	 * order only.
	 */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(void *volatile *)self->pending = (char *)word - self->futex_offset;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* The kernel looks at no word. */
static inline void lock_clear_pending(struct lock_thread *self)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(void *volatile *)self->pending = NULL;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/*
 * Whether this thread holds a lock or is about to: its signal handler is asking, then. One compare
 * and one jump in each taking of a lock.
 */
static inline int lock_is_nested(const struct lock_thread *self)
{
	return *(void *volatile *)self->pending != NULL;
}

static inline int lock_try(uint32_t *word, uint32_t *seen, uint32_t value)
{
	/* Acquire: pairs with the release in lock_release(). */
	return __atomic_compare_exchange_n(word, seen, value, 0, __ATOMIC_ACQUIRE,
		__ATOMIC_RELAXED);
}

/* 1 if the lock was free, and is held now; else lock_acquire_slowly() comes next. */
static inline int lock_acquire_at_once(uint32_t *word)
{
	struct lock_thread *self = lock_current_thread();
	uint32_t free_word = 0;

	if (__builtin_expect(lock_is_nested(self), 0))
		return 0;
	lock_set_pending(self, word);
	if (__builtin_expect(lock_try(word, &free_word, self->tid), 1))
		return 1;
	lock_clear_pending(self);
	return 0;
}

/* LOCK_ACQUIRED, LOCK_OWNER_DIED, -ETIMEDOUT, or -EDEADLK. */
static inline int lock_acquire(uint32_t *word)
{
	if (lock_acquire_at_once(word))
		return LOCK_ACQUIRED;
	return lock_acquire_slowly(word, lock_current_thread());
}

/* Returns 1 if somebody was waiting, else 0. */
static inline int lock_release(uint32_t *word)
{
	/* Release: pairs with the acquire in lock_try(). */
	uint32_t was = __atomic_exchange_n(word, 0, __ATOMIC_RELEASE);
	int waited = (was & LOCK_WAITERS) != 0;

	if (__builtin_expect(waited, 0))
		sys_futex_wake(word, 1);
	lock_clear_pending(&lock_thread);
	return waited;
}

/* Other waiting, which began then, uses up the patience of the call too (base/context.h). */
void lock_use_patience(uint64_t begun_ns);

/* A number that differs between a process and its children; 0 only if that cannot be known. */
uint32_t lock_fork_generation(void);

#endif /* ASHMEM_LIB_BASE_LOCK_H */
