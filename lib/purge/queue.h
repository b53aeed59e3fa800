/* SPDX-License-Identifier: MIT */
/*
 * Queues of notices, which the program fetches: see <ashmem/notice.h>. A purge puts in what it has
 * freed when it holds no lock, with a reference to the area.
 */
#ifndef ASHMEM_LIB_PURGE_QUEUE_H
#define ASHMEM_LIB_PURGE_QUEUE_H

#include <stdint.h>

struct ashmem_area;

/* Whether any queue is open in this process. */
int queues_any(void);
/* These bytes are gone: into every queue. Allocates nothing and calls nothing of the program. */
void queues_put(struct ashmem_area *area, uint64_t offset, uint64_t length);
/* The area ends: what is told of it goes out of every queue. */
void queues_forget(struct ashmem_area *area);

#endif /* ASHMEM_LIB_PURGE_QUEUE_H */
