/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_SCREEN_H
#define FILECACHE_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

/* Find out what standard output is. */
void screen_init(void);

/* Whether colours are wanted. */
bool screen_has_colour(void);

/* Print to standard output, out of the way of the progress bar. */
void screen_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Print one line to standard error: "filecache: ...". */
void screen_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Show how far `what` is. Cheap to call often: draws only what has changed. */
void screen_progress(const char *what, uint64_t done, uint64_t total);

/* A path with every byte escaped that could confuse a terminal. Valid until the next call. */
const char *screen_path(const char *path);

/* Bytes in MiB, for "%.1f MiB". */
double screen_mib(uint64_t bytes);

#endif /* FILECACHE_SCREEN_H */
