/* SPDX-License-Identifier: MIT */
/* As lib/exports.h: what these headers declare is visible, all else is hidden. */
#ifndef ASHMEM_CUTILS_EXPORTS_H
#define ASHMEM_CUTILS_EXPORTS_H

#pragma GCC visibility push(default)
#include <android/sharedmem.h>
#include <cutils/ashmem.h>
#pragma GCC visibility pop

#endif /* ASHMEM_CUTILS_EXPORTS_H */
