/* SPDX-License-Identifier: MIT */
/*
 * The level that a watch on memory pressure of this process published last, and the source of it:
 * for the statistics. The watch is in a room above, so it leaves the level here. Includes nothing
 * of the library. No lock: level and source are one word.
 */
#ifndef ASHMEM_LIB_AREA_PRESSURE_LAST_H
#define ASHMEM_LIB_AREA_PRESSURE_LAST_H

#include <stdint.h>

/*
 * A watch has looked. `source` is a name of the table in pressure/watch.h; another counts as
 * "none".
 */
void pressure_publish(uint32_t level, const char *source);

/*
 * What was published last, by whichever watch: ASHMEM_PRESSURE_NONE and "none" if no watch has
 * looked in this process. A static string. After fork the child knows what the parent knew.
 */
void pressure_last(uint32_t *level, const char **source);

#endif /* ASHMEM_LIB_AREA_PRESSURE_LAST_H */
