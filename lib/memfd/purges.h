/* SPDX-License-Identifier: MIT */
/* Operations of the memfd backend: <ashmem/backend.h> says what each does. */
#ifndef ASHMEM_LIB_MEMFD_PURGES_H
#define ASHMEM_LIB_MEMFD_PURGES_H

#include <stdint.h>

uint64_t memfd_evictable(void *state);
uint64_t memfd_present(void *state);
uint64_t memfd_resident(void *state);
int memfd_oldest(void *state, uint64_t *key);
void memfd_begin_purge(void *state);
int64_t memfd_purge(void *state, uint64_t newest, uint64_t nr_pages);
int64_t memfd_purge_range(void *state, uint64_t *offset, uint64_t end);

#endif /* ASHMEM_LIB_MEMFD_PURGES_H */
