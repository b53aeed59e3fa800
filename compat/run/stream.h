/* SPDX-License-Identifier: MIT */
/*
 * Streams on areas (hooks_stream.c). Called with no lock.
 */
#ifndef ASHMEM_COMPAT_RUN_STREAM_H
#define ASHMEM_COMPAT_RUN_STREAM_H

#include "libc.h"

/*
 * The number has become an area's, or another file's. If it is that of a standard stream, stdin and
 * so on name a stream of ours as long as it is an area's: libc's own would show what is below.
 */
RUN_HIDDEN void streams_follow(int fd, int is_area);

#endif /* ASHMEM_COMPAT_RUN_STREAM_H */
