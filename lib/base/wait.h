/* SPDX-License-Identifier: MIT */
/*
 * Bounded waiting for a peer.
 *
 * Only time in which the caller could run counts: between two looks at the clock, at most
 * WAIT_STEP_NS. A thread that got no processor for long, or a process or machine that was stopped,
 * has not used up its wait, because it could not have seen the peer go on. So a waiting thread
 * looks at the clock at least that often, after a try and before the next pause.
 *
 * Includes the kernel edge (sys.h) alone, takes no lock. Every function returns a negative errno on
 * failure.
 */
#ifndef ASHMEM_LIB_BASE_WAIT_H
#define ASHMEM_LIB_BASE_WAIT_H

#include <stdint.h>

/* The longest wait, wherever a peer can make us wait. Tests build with less. */
#ifndef WAIT_TIMEOUT_NS
#define WAIT_TIMEOUT_NS 5000000000u
#endif

#define WAIT_STEP_NS 20000000u

struct wait {
	uint64_t left_ns;
	uint64_t looked_ns; /* when the clock was read last */
};

void wait_begin(struct wait *wait, uint64_t bound_ns);
int wait_is_over(struct wait *wait);

/* Sleep before the next try; the pause is shorter than WAIT_STEP_NS. -ETIMEDOUT if it is over. */
int wait_pause(struct wait *wait, uint32_t pause_ns);

/*
 * A record lock on a byte past a file's end, against other processes only: fcntl(2). -ETIMEDOUT
 * after WAIT_TIMEOUT_NS. sys_unlock_file() ends it.
 */
int wait_lock_file(int fd);

/*
 * sys_reopen_read_only(), waiting for peers with a lease on the file (fcntl(2), F_SETLEASE).
 * -ETIMEDOUT if one does not give it up within WAIT_TIMEOUT_NS.
 */
int wait_reopen_read_only(int fd);

#endif /* ASHMEM_LIB_BASE_WAIT_H */
