/* SPDX-License-Identifier: MIT */
/*
 * Words in shared memory that belong to a process as long as it lives.
 *
 * Each handle that writes has a ticket: a number that no other ever had, and a lock on the byte of
 * that number beyond the end of the file, on a description that its children do not share. A word
 * belongs to the ticket that it contains; if nobody has the lock on its byte, its owner is dead and
 * the word is free. The handle's mutex is held where a ticket may be made.
 */
#ifndef ASHMEM_LIB_CACHE_OWNER_H
#define ASHMEM_LIB_CACHE_OWNER_H

#include "cache/cache.h"

/* Have room_fd and a ticket: 0, -ENOTSUP, -EMFILE, ... The handle's mutex is held. */
int owner_begin(struct ashmem_cache *cache);

/* Make the word ours: 1, or 0 if another one that lives has it. A second time is another one. */
int owner_claim(struct ashmem_cache *cache, uint64_t *word, uint64_t ticket);
/* Give it back, if it is that ticket's. */
void owner_yield(uint64_t *word, uint64_t ticket);

#endif /* ASHMEM_LIB_CACHE_OWNER_H */
