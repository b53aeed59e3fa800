/* SPDX-License-Identifier: MIT */
/*
 * A /proc and cgroups made of plain files, and a clock that the test moves, for the tests of memory
 * pressure. Plain files tell no events, which is as on kernels that know no triggers: levels come
 * from looking.
 */
#ifndef TESTS_SUPPORT_FAKE_SYSTEM_H
#define TESTS_SUPPORT_FAKE_SYSTEM_H

#include <ashmem/ashmem.h>

#include <stdint.h>

#define MIB_BYTES ((uint64_t)1 << 20)

/* An empty one takes the place of the real one; the service manager's variables are unset. */
void fake_system_begin(void);

/* Back to the real one; all files are removed. */
void fake_system_end(void);

/* The path of a name in it; static. */
const char *fake_path(const char *name);

/* Write a file, with the directories it is in. */
void fake_write(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fake_remove(const char *name);

/* What a file holds, at most `size` bytes; its length. */
int64_t fake_read(const char *name, void *bytes, uint64_t size);

/* The process is in cgroup `path` of version 1 or 2, mounted at cg1 or cg2. */
void fake_cgroup(int version, const char *path);

/* A stall file with so many microseconds in total. */
void fake_stalls(const char *name, uint64_t total_us);

/* So many of 1,024 MiB are available. */
void fake_available(uint64_t mib);

void fake_clock_step(uint64_t milliseconds);

/* Open with a named source (NULL: auto); expects success. */
struct ashmem_pressure *fake_open(const char *source);

/* The answer of opening. */
int fake_open_answer(const char *source);

/* What ashmem_pressure_explain() says; static. */
const char *fake_explanation(struct ashmem_pressure *pressure);

/* Whether these words are in it. */
int fake_says(struct ashmem_pressure *pressure, const char *what);

struct ashmem_pressure_status fake_status(struct ashmem_pressure *pressure);

#endif
