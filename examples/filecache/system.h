/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_SYSTEM_H
#define FILECACHE_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

/* Monotonic time, for measuring. */
uint64_t system_now_ns(void);

/* A reproducible random number; advances `state`, which may start as any value. */
uint64_t system_random(uint64_t *state);

/* Make SIGINT, SIGTERM and SIGHUP end the program in an orderly way: loops ask
 * system_interrupted(), the end is system_die_of_signal(). */
void system_catch_signals(void);
bool system_interrupted(void);
void system_die_of_signal(void);

#endif /* FILECACHE_SYSTEM_H */
