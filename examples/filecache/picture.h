/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_PICTURE_H
#define FILECACHE_PICTURE_H

#include "protocol.h"

/* Print the page map of all data areas. 0, or a negative errno. */
int picture_print(const struct share *share);

#endif /* FILECACHE_PICTURE_H */
