/* SPDX-License-Identifier: MIT */
/*
 * Early descriptors: those of newborns, handed out before there is memory (early.c).
 *
 * The memfd then holds a record of name, size and mask, by which all processes that have the
 * descriptor share the newborn. Whoever materialises the area does so in that memfd.
 *
 * The mutex of table.c is held in all of these but early_is_record(). It comes before the lock on
 * the file, which is between processes.
 */
#ifndef ASHMEM_LIB_MEMFD_EARLY_H
#define ASHMEM_LIB_MEMFD_EARLY_H

#include "memfd/area.h"

/* Give a newborn without descriptor one: a duplicate of it, or a negative errno. */
int early_make(struct memfd_area *area);
/* Whether the file holds a record and is not materialised: 1, 0 or a negative errno. */
int early_is_record(int fd);

/*
 * Learn what others did: 0, and the file is locked until early_end_work(); 1 if
 * somebody has materialised the area, and it is not locked; or -EUCLEAN, -ETIMEDOUT.
 */
int early_begin_work(struct memfd_area *area);
void early_end_work(struct memfd_area *area);
/* Tell the others name, size and mask: 0 or a negative errno. */
int early_tell(struct memfd_area *area);
/*
 * Put size and state into the file, so that only the seals are missing. If they do not follow, or
 * it fails, early_take_back() must.
 */
int early_lay_out(struct memfd_area *area);
void early_take_back(struct memfd_area *area);

/* Whether the file, now sealed, has the length that was laid out. */
int early_is_whole(const struct memfd_area *area);

/* Somebody has materialised the area. */
int early_is_over(const struct memfd_area *area);

#endif /* ASHMEM_LIB_MEMFD_EARLY_H */
