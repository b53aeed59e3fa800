/* SPDX-License-Identifier: MIT */
/*
 * Whether the preload library stands in for the driver. It does not where the driver is there,
 * unless ASHMEM_BACKEND names "memfd".
 */
#ifndef ASHMEM_COMPAT_RUN_START_H
#define ASHMEM_COMPAT_RUN_START_H

#include "libc.h"

/* Starts it at the first call: constructors of other libraries may come before ours. */
RUN_HIDDEN int run_is_active(void);

/* The path of this library, for LD_PRELOAD; NULL if it is not known. */
RUN_HIDDEN const char *run_library(void);

#endif /* ASHMEM_COMPAT_RUN_START_H */
