/* SPDX-License-Identifier: MIT */
/*
 * How the library gets through fork. Each file with a mutex has a pair of functions that lock and
 * unlock it, and some have one that puts the child in order; fork.c calls them in the order in
 * which the mutexes nest.
 */
#ifndef ASHMEM_LIB_BASE_FORK_H
#define ASHMEM_LIB_BASE_FORK_H

/* Install the fork handlers, once. 0 or -ENOMEM. */
int process_start(void);

void caches_before_fork(void); /* cache/handles.c */
void caches_after_fork(void);
void caches_after_fork_in_child(void);
void relief_before_fork(void); /* pressure/relief.c */
void relief_after_fork(void);
void areas_before_fork(void); /* purge/areas.c: one purge at a time */
void areas_after_fork(void);
void trap_before_fork(void); /* area/trap.c */
void trap_after_fork(void);
void table_before_fork(void); /* handle/table.c */
void table_after_fork(void);
void budgets_before_fork(void); /* purge/budget_count.c */
void budgets_after_fork(void);
void backends_before_fork(void); /* handle/backends.c */
void backends_after_fork(void);
void memfd_before_fork(void);
void memfd_after_fork(void);
void memfd_after_fork_in_child(void);
void kernel_before_fork(void);
void kernel_after_fork(void);
void notices_before_fork(void); /* purge/notices.c */
void notices_after_fork(void);
void notices_after_fork_in_child(void);
void names_before_fork(void); /* area/names_places.c */
void names_after_fork(void);
void names_after_fork_in_child(void);
void queues_before_fork(void); /* purge/queue.c */
void queues_after_fork(void);
void queues_after_fork_in_child(void);
void registry_before_fork(void); /* purge/registry.c */
void registry_after_fork(void);
void registry_after_fork_in_child(void);

#endif /* ASHMEM_LIB_BASE_FORK_H */
