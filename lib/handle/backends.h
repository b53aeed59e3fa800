/* SPDX-License-Identifier: MIT */
/*
 * The registry of backends: which one makes an area, and which one knows a descriptor. The table of
 * operations is public: <ashmem/backend.h>.
 */
#ifndef ASHMEM_LIB_HANDLE_BACKENDS_H
#define ASHMEM_LIB_HANDLE_BACKENDS_H

#include <ashmem/backend.h>

/* The most there can be, built in and added. */
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

/* The same of an area that its backend has already: -ENOENT if none has, -EBADF. */
int backend_find(int fd, const struct ashmem_backend **chosen, void **state);

/* ashmem_fd_kind(). */
int backend_fd_kind(int fd);

#endif /* ASHMEM_LIB_HANDLE_BACKENDS_H */
