/* SPDX-License-Identifier: MIT */
/* What a descriptor is, and whether this process has its area already: find.c. */
#ifndef ASHMEM_LIB_MEMFD_FIND_H
#define ASHMEM_LIB_MEMFD_FIND_H

#include <stdint.h>

/* Operations of the backend. */
int memfd_find(void *userdata, int fd, void **state);
int memfd_fd_kind(void *userdata, int fd);
int memfd_get_id(void *state, uint64_t *device, uint64_t *inode);

#endif /* ASHMEM_LIB_MEMFD_FIND_H */
