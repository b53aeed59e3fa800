/* SPDX-License-Identifier: MIT */
/* The counts of a memfd area: stats.c. */
#ifndef ASHMEM_LIB_MEMFD_STATS_H
#define ASHMEM_LIB_MEMFD_STATS_H

/* The operation of the backend: `stats` is a struct ashmem_area_stats. */
int memfd_get_stats(void *state, void *stats);

#endif /* ASHMEM_LIB_MEMFD_STATS_H */
