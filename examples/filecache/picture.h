/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_PICTURE_H
#define FILECACHE_PICTURE_H

#include <ashmem/ashmem.h>

/* Print the page map of an area. 0, or a negative errno. */
int picture_print(struct ashmem_area *area);

#endif /* FILECACHE_PICTURE_H */
