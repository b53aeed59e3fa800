/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_VERSION_H
#define ASHMEM_VERSION_H

/**
 * @file
 * @brief The version of libashmem, at compile time and at run time.
 *
 * @defgroup ashmem_version Version
 * @brief The libashmem version at compile time and at run time.
 * @{
 */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Major version of these headers. A change breaks the ABI, and the soname changes with it. */
#define ASHMEM_VERSION_MAJOR 0
/** Minor version of these headers. A change adds to the interface. */
#define ASHMEM_VERSION_MINOR 9
/** Patch version of these headers. A change fixes without adding. */
#define ASHMEM_VERSION_PATCH 0

/** The version of these headers as one number: `major << 16 | minor << 8 | patch`. */
#define ASHMEM_VERSION \
	((ASHMEM_VERSION_MAJOR << 16) | (ASHMEM_VERSION_MINOR << 8) | ASHMEM_VERSION_PATCH)

/**
 * @brief Version of the library that is running, as one number.
 *
 * Compare it with #ASHMEM_VERSION, the version that the program was compiled against.
 *
 * @return `major << 16 | minor << 8 | patch`; never fails.
 *
 * Threads: any thread, any time.
 * @since 0.9
 */
uint32_t ashmem_version(void);

/**
 * @brief Version of the library that is running, as text.
 *
 * @return "major.minor.patch", a static string that the library owns and never changes.
 *
 * Threads: any thread, any time.
 * @since 0.9
 */
const char *ashmem_version_string(void);

/**
 * @brief Check that the running library has at least a version.
 *
 * @param[in] major  Major version wanted.
 * @param[in] minor  Minor version wanted.
 * @param[in] patch  Patch version wanted.
 * @return 1 if the running library is that version or a later one, else 0.
 *
 * Threads: any thread, any time.
 * @since 0.9
 */
int ashmem_version_at_least(uint32_t major, uint32_t minor, uint32_t patch);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_VERSION_H */
