/* SPDX-License-Identifier: MIT */
/*
 * Purging when memory is short, as the kernel does for the driver: with ASHMEM_RUN_PURGE=1
 * (ashmem-run --purge) a process watches memory pressure from its first unpin on, in a thread of the
 * library within. No lock.
 */
#ifndef ASHMEM_COMPAT_RUN_WATCH_H
#define ASHMEM_COMPAT_RUN_WATCH_H

#include "libc.h"

/* Whether this process should begin to watch. */
extern RUN_HIDDEN int watch_is_due;

/* Begin. What fails is left out: the program is none the worse. */
RUN_HIDDEN void watch_begin(void);

/* Called once, before main. */
RUN_HIDDEN void watch_start(void);

#endif /* ASHMEM_COMPAT_RUN_WATCH_H */
