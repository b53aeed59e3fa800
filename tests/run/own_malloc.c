/* SPDX-License-Identifier: MIT */
/*
 * A program with a malloc of its own, which opens a file when it is first called and maps every
 * piece anew: the preload library runs into its own hooks by it. Many mappings, so that its tables
 * grow. The exit status says whether all went well; a deadlock ends by the check's time limit.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver.h"

enum { HEAD = 64, MAPPINGS = 600 };

void *malloc(size_t size)
{
	static int opened;

	if (!opened) {
		opened = 1;
		close(open("/proc/self/status", O_RDONLY));
	}
	char *piece =
		mmap(NULL, size + HEAD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (piece == MAP_FAILED)
		return NULL;
	*(size_t *)(void *)piece = size;
	return piece + HEAD;
}

void free(void *bytes)
{
	if (bytes)
		munmap((char *)bytes - HEAD, *(size_t *)(void *)((char *)bytes - HEAD) + HEAD);
}

void *calloc(size_t count, size_t size)
{
	return malloc(count * size); /* new mappings are zeroes */
}

void *realloc(void *bytes, size_t size)
{
	char *larger = malloc(size);

	if (!larger || !bytes)
		return larger;
	size_t before = *(size_t *)(void *)((char *)bytes - HEAD);
	memcpy(larger, bytes, before < size ? before : size);
	free(bytes);
	return larger;
}

int main(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct ashmem_range all = {0, 0};
	char *base[MAPPINGS];
	int fd = open(ASHMEM_NODE, O_RDWR);

	if (fd < 0 || ioctl(fd, ASHMEM_SET_NAME, "own malloc") < 0 ||
		ioctl(fd, ASHMEM_SET_SIZE, 2 * page) < 0)
		return 1;
	for (int i = 0; i < MAPPINGS; i++) {
		base[i] = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, 0);
		if (base[i] == MAP_FAILED)
			return 2;
	}
	for (int i = 0; i < MAPPINGS; i += 2)
		if (munmap(base[i], page) < 0 || mprotect(base[i] + page, page, PROT_NONE) < 0)
			return 3;
	if (ioctl(fd, ASHMEM_UNPIN, &all) != 0 || ioctl(fd, ASHMEM_PIN, &all) != 0)
		return 4;
	return close(fd) != 0;
}
