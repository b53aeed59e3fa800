/* SPDX-License-Identifier: MIT */
/* What stands in for the optional operations that a backend does not have. */
#ifndef ASHMEM_LIB_HANDLE_DEFAULTS_H
#define ASHMEM_LIB_HANDLE_DEFAULTS_H

#include <ashmem/backend.h>

/*
 * Fill in the operations that are NULL and not called for by a capability, so that no caller has to
 * check. `present` stays NULL: its default needs to know the backend (purge/budget_count.c).
 */
void defaults_fill(struct ashmem_backend *backend);

#endif /* ASHMEM_LIB_HANDLE_DEFAULTS_H */
