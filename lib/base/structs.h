/* SPDX-License-Identifier: MIT */
/*
 * Public structures that grow: each begins with `size_t struct_size`, set by the caller to the
 * bytes it knows. The rule that users go by stands in <ashmem/ashmem.h>, "Structures that grow";
 * every such structure passes through one of these two.
 */
#ifndef ASHMEM_LIB_BASE_STRUCTS_H
#define ASHMEM_LIB_BASE_STRUCTS_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/*
 * Fill the caller's structure from ours of `ours_size` bytes; `struct_size` stays, what we do not
 * know becomes 0.
 */
static inline void struct_copy_out(void *theirs, const void *ours, size_t ours_size)
{
	size_t their_size, size;

	memcpy(&their_size, theirs, sizeof(their_size));
	size = their_size < ours_size ? their_size : ours_size;
	memcpy((char *)theirs + sizeof(their_size), (const char *)ours + sizeof(their_size),
		size - sizeof(their_size));
	if (their_size > size)
		memset((char *)theirs + size, 0, their_size - size);
}

/*
 * Take the caller's structure into ours of `ours_size` bytes, whose members the caller may not know
 * stay as they are. 0, -EINVAL, or -E2BIG: a newer program's wish that we do not know must not pass
 * for granted.
 */
static inline int struct_copy_in(void *ours, size_t ours_size, const void *theirs)
{
	const unsigned char *bytes = (const unsigned char *)theirs;
	size_t their_size;

	memcpy(&their_size, theirs, sizeof(their_size));
	if (their_size < sizeof(their_size))
		return -EINVAL;
	for (size_t i = ours_size; i < their_size; i++)
		if (bytes[i])
			return -E2BIG;
	memcpy(ours, theirs, their_size < ours_size ? their_size : ours_size);
	return 0;
}

#endif /* ASHMEM_LIB_BASE_STRUCTS_H */
