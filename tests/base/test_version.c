/* SPDX-License-Identifier: MIT */
/*
 * version.h: the macros, the running library's version as number and text, and the predicate "at
 * least".
 */
#include "support/contract.h"

#include <ashmem/version.h>

#include <stdint.h>
#include <stdio.h>

CONTRACT_TEST(version, running_library_is_the_one_compiled_against)
{
	expect_eq(ashmem_version(), ASHMEM_VERSION);
}

CONTRACT_TEST(version, number_holds_major_minor_and_patch)
{
	uint32_t version = ashmem_version();

	expect_eq(version >> 16, ASHMEM_VERSION_MAJOR);
	expect_eq(version >> 8 & 0xff, ASHMEM_VERSION_MINOR);
	expect_eq(version & 0xff, ASHMEM_VERSION_PATCH);
}

CONTRACT_TEST(version, text_says_what_the_number_says)
{
	char text[40];

	snprintf(text, sizeof text, "%d.%d.%d", ASHMEM_VERSION_MAJOR, ASHMEM_VERSION_MINOR,
		ASHMEM_VERSION_PATCH);
	expect_str(ashmem_version_string(), text);
	expect(ashmem_version_string() == ashmem_version_string());
}

CONTRACT_TEST(version, is_at_least_itself_and_everything_older)
{
	expect_eq(ashmem_version_at_least(ASHMEM_VERSION_MAJOR, ASHMEM_VERSION_MINOR,
			  ASHMEM_VERSION_PATCH),
		1);
	expect_eq(ashmem_version_at_least(0, 0, 0), 1);
	expect_eq(ashmem_version_at_least(0, 9, 0), 1);
	expect_eq(ashmem_version_at_least(0, 8, 255), 1);
}

CONTRACT_TEST(version, is_not_at_least_anything_newer)
{
	uint32_t major = ASHMEM_VERSION_MAJOR, minor = ASHMEM_VERSION_MINOR;

	expect_eq(ashmem_version_at_least(major, minor, ASHMEM_VERSION_PATCH + 1), 0);
	expect_eq(ashmem_version_at_least(major, minor + 1, 0), 0);
	expect_eq(ashmem_version_at_least(major + 1, 0, 0), 0);
}

/* Numbers too large for their place in the packed form must not wrap into an older version. */
CONTRACT_TEST(version, large_numbers_do_not_wrap)
{
	expect_eq(ashmem_version_at_least(0, 0, 256), 1);
	expect_eq(ashmem_version_at_least(0, 256, 0), ASHMEM_VERSION_MAJOR > 0);
	expect_eq(ashmem_version_at_least(65536, 0, 0), 0);
	expect_eq(ashmem_version_at_least(UINT32_MAX, UINT32_MAX, UINT32_MAX), 0);
	expect_eq(ashmem_version_at_least(ASHMEM_VERSION_MAJOR, ASHMEM_VERSION_MINOR, UINT32_MAX),
		0);
}
