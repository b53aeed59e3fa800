/* SPDX-License-Identifier: MIT */
/* The kernel backend's table, for the registry of backends. */
#ifndef ASHMEM_LIB_KERNEL_BACKEND_H
#define ASHMEM_LIB_KERNEL_BACKEND_H

#include <ashmem/backend.h>

extern const struct ashmem_backend backend_kernel;

#endif /* ASHMEM_LIB_KERNEL_BACKEND_H */
