/* SPDX-License-Identifier: MIT */
/* The memfd backend's table, for the registry of backends. */
#ifndef ASHMEM_LIB_MEMFD_BACKEND_H
#define ASHMEM_LIB_MEMFD_BACKEND_H

#include <ashmem/backend.h>

extern const struct ashmem_backend backend_memfd;

#endif /* ASHMEM_LIB_MEMFD_BACKEND_H */
