/* SPDX-License-Identifier: MIT */
/*
 * The registry of backends, for the area layer. The table itself is public: <ashmem/backend.h>.
 */
#ifndef ASHMEM_LIB_HANDLE_BACKENDS_H
#define ASHMEM_LIB_HANDLE_BACKENDS_H

#include <ashmem/backend.h>

/* How many there can be: built in and added. */
#define BACKENDS_MAX 10

/*
 * The backend for a new area: selected, or named by the environment, or the best that works. 0,
 * -ENODEV, -ENOENT.
 */
int backend_choose(const struct ashmem_backend **chosen);

/*
 * The backend that recognises a descriptor, with the state it made. -EINVAL if none does, or the
 * backend's error.
 */
int backend_import(int fd, const struct ashmem_backend **chosen, void **state);

#endif /* ASHMEM_LIB_HANDLE_BACKENDS_H */
