/* SPDX-License-Identifier: MIT */
/* What a test has to know of the tool that it runs under. */
#ifndef TESTS_SUPPORT_TOOLS_H
#define TESTS_SUPPORT_TOOLS_H

#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER 1
#endif
#endif
#ifndef UNDER_THREAD_SANITIZER
#define UNDER_THREAD_SANITIZER 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef UNDER_ADDRESS_SANITIZER
#define UNDER_ADDRESS_SANITIZER 0
#endif

/* Whether valgrind runs this process: a pass takes some thirty times as long, and ptrace shows
 * valgrind's code. */
int under_valgrind(void);

/* So many, or a share of it where everything is slow. */
uint64_t less_if_slow(uint64_t count);

/* ASHMEM_TEST_OPS, or less_if_slow(200,000): operations of a random trace. */
uint64_t test_operations(void);

/* Seconds of CLOCK_MONOTONIC. */
double seconds_now(void);

#endif
