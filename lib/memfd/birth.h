/* SPDX-License-Identifier: MIT */
/*
 * Births: newborns that a process and the children that it forked share.
 *
 * A newborn has no memory, so a child could inherit nothing of it; but the child must share it
 * (contract rule 3). A fork handler makes a birth for it: a page shared by parent and child with
 * name, size and mask, and an empty memfd that both inherit. The process that materialises the area
 * first does so in that memfd; the others find it there.
 *
 * The mutex of table.c is held in all of these; it comes before the birth's lock, which is between
 * processes.
 */
#ifndef ASHMEM_LIB_MEMFD_BIRTH_H
#define ASHMEM_LIB_MEMFD_BIRTH_H

#include "memfd/area.h"

#define MEMFD_SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define MEMFD_NEWBORN_PROT (PROT_READ | PROT_WRITE | PROT_EXEC)

/*
 * Make a birth for the area with this empty memfd, which it takes over. Without memory the area
 * gets none, and the descriptor is closed.
 */
void birth_make(struct memfd_area *area, int fd);

/*
 * Learn what others did: 0, and the birth's lock is held, until birth_end_work() or birth_leave();
 * 1 if somebody has materialised the area, and the lock is not held; or -EUCLEAN, -ETIMEDOUT.
 */
int birth_begin_work(struct memfd_area *area);
/* Tell the others name, size and mask. */
void birth_end_work(struct memfd_area *area);
/* The area has its memory now, if `materialised`. */
void birth_leave(struct birth *birth, int materialised);

/* Somebody has said that the area is materialised. */
int birth_is_over(const struct birth *birth);
/* Forget it, if the area has one. */
void birth_drop(struct memfd_area *area);

#endif /* ASHMEM_LIB_MEMFD_BIRTH_H */
