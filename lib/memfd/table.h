/* SPDX-License-Identifier: MIT */
/*
 * The memfd areas of this process: table.c. The mutex that memfd_table_lock() takes is held in all
 * other functions.
 */
#ifndef ASHMEM_LIB_MEMFD_TABLE_H
#define ASHMEM_LIB_MEMFD_TABLE_H

#include <sys/stat.h>

struct memfd_area;

void memfd_table_lock(void);
void memfd_table_unlock(void);

void memfd_table_add_newborn(struct memfd_area *area);

/* A newborn that is in the list has a descriptor by now, which memfd_table_find_held() finds. */
void memfd_table_add_early(struct memfd_area *area);

/*
 * From now on the area is materialised and established, and an import of its descriptor finds it.
 */
void memfd_table_publish(struct memfd_area *area);
void memfd_table_remove(struct memfd_area *area);

/* The area whose descriptor this is, with one more reference, or NULL. */
struct memfd_area *memfd_table_find(int fd, const struct stat *status, int need_writable);

/*
 * The same by device, inode and length of the file alone, which costs no system call: a writable
 * one if there is one. Also newborns with an early descriptor.
 */
struct memfd_area *memfd_table_find_held(const struct stat *status);

/* `visit` may publish the area that it gets. */
void memfd_table_each_newborn(void (*visit)(struct memfd_area *area));
void memfd_table_each_established(void (*visit)(struct memfd_area *area));

#endif /* ASHMEM_LIB_MEMFD_TABLE_H */
