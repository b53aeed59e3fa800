/* SPDX-License-Identifier: MIT */
/*
 * What the library holds once a process, and how it gets through fork: each module with a mutex of
 * its own has a pair of functions that lock and unlock it, and fork.c calls them around fork in the
 * order in which the mutexes nest: relief, shrinker, trap, areas, budgets, backends, memfd, kernel;
 * and notices and shrinkers, which are leaves.
 */
#ifndef ASHMEM_LIB_BASE_FORK_H
#define ASHMEM_LIB_BASE_FORK_H

/* Install the fork handlers, once. 0 or -ENOMEM. */
int process_start(void);

void relief_before_fork(void);
void relief_after_fork(void);
void shrinker_before_fork(void);
void shrinker_after_fork(void);
void trap_before_fork(void);
void trap_after_fork(void);
void areas_before_fork(void);
void areas_after_fork(void);
void budgets_before_fork(void);
void budgets_after_fork(void);
void backends_before_fork(void);
void backends_after_fork(void);
void memfd_before_fork(void);
void memfd_after_fork(void);
void memfd_after_fork_in_child(void); /* before the one above */
void kernel_before_fork(void);
void kernel_after_fork(void);
void notices_before_fork(void);
void notices_after_fork(void);
void notices_after_fork_in_child(void); /* before the one above */
void shrinkers_before_fork(void);
void shrinkers_after_fork(void);
void shrinkers_after_fork_in_child(void); /* before the one above */

#endif /* ASHMEM_LIB_BASE_FORK_H */
