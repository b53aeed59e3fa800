/* SPDX-License-Identifier: MIT */
/*
 * What the public headers declare is visible, all else is hidden: every source of the library is
 * compiled as if it began with this file. No mark on a function can be forgotten, and the headers
 * stay free of compiler words.
 */
#ifndef ASHMEM_LIB_EXPORTS_H
#define ASHMEM_LIB_EXPORTS_H

#pragma GCC visibility push(default)
#include <ashmem/ashmem.h>
#pragma GCC visibility pop

#endif /* ASHMEM_LIB_EXPORTS_H */
