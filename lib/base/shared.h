/* SPDX-License-Identifier: MIT */
/*
 * Memory that others change at the same time: loads, stores and barriers for memory shared between
 * processes, and what a thread has for itself. Macros only; every room may include it.
 */
#ifndef ASHMEM_LIB_BASE_SHARED_H
#define ASHMEM_LIB_BASE_SHARED_H

#include <stdint.h> /* so that __GLIBC__ is known */

/*
 * Load and store of shared memory: exactly once, whatever the compiler would prefer. A value that
 * was checked is then the value that is used, and a process that dies has stored all or nothing.
 */
#define SHARED_LOAD(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define SHARED_STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELAXED)

/*
 * Keeps the compiler from moving stores across. A process dies at an instruction, with all its
 * earlier stores done and no later one: so this is all the order that crash safety needs.
 */
#define CRASH_BARRIER() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/*
 * Fences between threads. The thread sanitizer knows none and warns; what they order is in shared
 * memory, which it does not see.
 */
#if defined(__SANITIZE_THREAD__)
#define FENCE(order) __atomic_signal_fence(order)
#else
#define FENCE(order) __atomic_thread_fence(order)
#endif

/*
 * musl loads no library that needs static TLS by dlopen; glibc keeps a reserve for it, and it is
 * faster.
 */
#ifdef __GLIBC__
#define THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
#else
#define THREAD_LOCAL __thread
#endif

#endif /* ASHMEM_LIB_BASE_SHARED_H */
