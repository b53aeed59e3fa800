/* SPDX-License-Identifier: MIT */
/*
 * The version that is running, from the headers that the library itself was built with.
 */
#include <ashmem/version.h>

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

uint32_t ashmem_version(void)
{
	return ASHMEM_VERSION;
}

const char *ashmem_version_string(void)
{
	return TEXT(ASHMEM_VERSION_MAJOR) "." TEXT(ASHMEM_VERSION_MINOR) "." TEXT(
		ASHMEM_VERSION_PATCH);
}

int ashmem_version_at_least(uint32_t major, uint32_t minor, uint32_t patch)
{
	/* Not by comparing packed numbers: the caller's may be larger than a byte. */
	const uint32_t ours[] = {ASHMEM_VERSION_MAJOR, ASHMEM_VERSION_MINOR, ASHMEM_VERSION_PATCH};
	const uint32_t wanted[] = {major, minor, patch};

	for (int i = 0; i < 3; i++)
		if (wanted[i] != ours[i])
			return wanted[i] < ours[i];
	return 1;
}
