/* SPDX-License-Identifier: MIT */
/*
 * Mappings: mmap(2) of an area goes through the library, which keeps to the mask and to the area's
 * size; maps.h remembers what a mapping may become.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"
#include "files.h"
#include "maps.h"

/* A mapping by libc, and its place. */
static void *made(void *mapped, size_t length)
{
	if (mapped != MAP_FAILED)
		maps_forget(mapped, length);
	return mapped;
}

static void *map_file(struct run_file *file, void *addr, size_t length, int prot, int flags,
	int64_t offset)
{
	void *mapped;
	int r = device_map(file, addr, length, prot, flags, offset, &mapped), error = errno;

	files_put(file);
	errno = error;
	return r < 0 ? MAP_FAILED : mapped;
}

#define HOOK_MMAP(name, offset_type)                                                           \
	RUN_HOOK void *name(void *addr, size_t length, int prot, int flags, int fd,            \
		offset_type offset)                                                            \
	{                                                                                      \
		struct run_file *file = flags & MAP_ANONYMOUS ? NULL : files_get_checked(fd);  \
		return file ? map_file(file, addr, length, prot, flags, offset)                \
			    : made(NEXT(name)(addr, length, prot, flags, fd, offset), length); \
	}

HOOK_MMAP(mmap, off_t)
#ifdef __GLIBC__
HOOK_MMAP(mmap64, off64_t)
#endif

RUN_HOOK int munmap(void *addr, size_t length)
{
	int r = NEXT(munmap)(addr, length);

	if (r == 0)
		maps_forget(addr, length);
	return r;
}

RUN_HOOK int mprotect(void *addr, size_t length, int prot)
{
	return maps_protect(addr, length, prot, NEXT(mprotect));
}

RUN_HOOK void *mremap(void *addr, size_t length, size_t new_length, int flags, ...)
{
	const int keep_old = 4; /* MREMAP_DONTUNMAP */
	va_list list;
	int most;
	size_t limit;

	va_start(list, flags);
	void *wanted = va_arg(list, void *);
	va_end(list);
	int found = maps_find(addr, &most, &limit);
	if (found && new_length > limit) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	void *mapped = NEXT(mremap)(addr, length, new_length, flags, wanted);
	if (mapped == MAP_FAILED)
		return mapped;
	if (length > 0 && !(flags & keep_old))
		maps_forget(addr, length);
	if (found)
		maps_add(mapped, new_length, most, limit);
	else
		maps_forget(mapped, new_length);
	return mapped;
}
