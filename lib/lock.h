/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe lock: one 32-bit word in shared memory that holds the owner's thread id.
 *
 * If the owner dies, at whatever instruction, the kernel marks the word and wakes a waiter, and the next to acquire
 * the lock learns of it. No pointer lies in shared memory: while a thread holds or takes the lock, `list_op_pending` of
 * its own robust list names the word (get_robust_list(2)), and that is all the kernel needs.
 *
 * A thread can hold one such lock at a time, must not call into libpthread's robust mutexes meanwhile, and must release it itself.
 * Waiting is bounded. The word trusts nobody: a peer that writes nonsense into it costs the others the bounded wait.
 */
#ifndef ASHMEM_LIB_LOCK_H
#define ASHMEM_LIB_LOCK_H

#include <stdint.h>

/* How long lock_acquire() waits at the most. */
#define LOCK_TIMEOUT_NS 5000000000u

/* The lock was free or handed over. */
#define LOCK_ACQUIRED 0
/* The lock is held now, and its last owner died with it: what it guards may be half changed. */
#define LOCK_OWNER_DIED 1

/* LOCK_ACQUIRED, LOCK_OWNER_DIED, or -ETIMEDOUT. */
int lock_acquire(uint32_t *word);
/* Returns 1 if somebody was waiting, else 0. */
int lock_release(uint32_t *word);

/* A number that differs between a process and its children; 0 only if it cannot be told. */
uint32_t lock_fork_generation(void);

#endif /* ASHMEM_LIB_LOCK_H */
