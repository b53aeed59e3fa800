/* SPDX-License-Identifier: MIT */
/*
 * A driver made of memfds: enough of /dev/ashmem (contract, section 1) for the kernel backend to
 * find it and to work with it. Its state is the process's own. What it answers was taken from the
 * contract; tests/vm compares the backend with a real one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "faults.h"
#include "kernel/abi.h"

enum { FILES = 64, FILE_PAGES = 64 };

int driver_present;

static struct driver_file {
	ino_t inode;
	char name[KERNEL_NAME_LEN];
	uint64_t size;
	unsigned long prot;
	int materialised;
	unsigned char unpinned[FILE_PAGES], purged[FILE_PAGES];
} files[FILES];
static int count;

static struct driver_file *file_of(int fd)
{
	struct stat status;

	if (count == 0 || fd < 0 || fstat(fd, &status) < 0)
		return NULL;
	for (int i = 0; i < count; i++)
		if (files[i].inode == status.st_ino)
			return &files[i];
	return NULL;
}

int driver_open(const char *path)
{
	struct stat status;

	if (strncmp(path, KERNEL_NODE, strlen(KERNEL_NODE)) != 0)
		return -2;
	if (!driver_present || path[strlen(KERNEL_NODE)] || count == FILES) {
		errno = ENOENT;
		return -1;
	}
	int fd = (int)syscall(SYS_memfd_create, "driver", 1);
	if (fd < 0 || fstat(fd, &status) < 0)
		return -1;
	files[count++] = (struct driver_file){.inode = status.st_ino, .prot = 7};
	return fd;
}

int driver_owns(int fd)
{
	return file_of(fd) != NULL;
}

void driver_mapped(int fd)
{
	struct driver_file *file = file_of(fd);

	if (file && !file->materialised &&
		ftruncate(fd, (off_t)((file->size + 4095) & ~4095ull)) == 0)
		file->materialised = 1;
}

int64_t driver_limit(int fd, int64_t offset, size_t length)
{
	const struct driver_file *file = file_of(fd);
	uint64_t left = (uint64_t)offset < file->size ? file->size - (uint64_t)offset : 0;

	if (file->size && !file->materialised)
		return -EBADF;
	return (int64_t)(length < left ? length : left);
}

static int ask_range(struct driver_file *file, unsigned long request,
	const struct kernel_range *range)
{
	uint64_t page = page_bytes(), size = (file->size + page - 1) / page * page;
	uint64_t length = range->length_bytes ? range->length_bytes : size - range->offset_bytes;
	int answer = 0;

	if (!file->materialised || range->offset_bytes % page || length % page ||
		range->offset_bytes + length > size)
		return -EINVAL;
	for (uint64_t at = range->offset_bytes / page; at < (range->offset_bytes + length) / page;
		at++) {
		answer |= request == KERNEL_PIN ? file->purged[at] : file->unpinned[at];
		if (request == KERNEL_UNPIN)
			file->unpinned[at] = 1;
		if (request == KERNEL_PIN)
			file->unpinned[at] = file->purged[at] = 0;
	}
	if (request == KERNEL_UNPIN)
		return 0;
	return request == KERNEL_PIN ? answer : !answer;
}

static int ask(struct driver_file *file, unsigned long request, unsigned long argument)
{
	int pages = 0;

	switch (request) {
	case KERNEL_SET_NAME:
		if (file->materialised)
			return -EINVAL;
		memcpy(file->name, (const void *)argument, sizeof(file->name));
		return 0;
	case KERNEL_GET_NAME:
		strcpy((char *)argument, file->name[0] ? file->name : ASHMEM_NAME_DEF);
		return 0;
	case KERNEL_SET_SIZE:
		if (file->materialised)
			return -EINVAL;
		file->size = argument;
		return 0;
	case KERNEL_GET_SIZE:
		return (int)file->size;
	case KERNEL_SET_PROT_MASK:
		if (argument & ~file->prot)
			return -EINVAL;
		file->prot = argument;
		return 0;
	case KERNEL_GET_PROT_MASK:
		return (int)file->prot;
	case KERNEL_PIN:
	case KERNEL_UNPIN:
	case KERNEL_GET_PIN_STATUS:
		return ask_range(file, request, (const struct kernel_range *)argument);
	case KERNEL_PURGE_ALL:
		for (int i = 0; i < count; i++)
			for (int at = 0; at < FILE_PAGES; at++) {
				pages += files[i].unpinned[at] && !files[i].purged[at];
				files[i].purged[at] = files[i].unpinned[at];
			}
		return pages;
	default:
		return -ENOTTY;
	}
}

int driver_ioctl(int fd, unsigned long request, unsigned long argument)
{
	int r = ask(file_of(fd), request, argument);

	if (r < 0)
		errno = -r;
	return r < 0 ? -1 : r;
}

void driver_describe(int fd, char *text, size_t size)
{
	const struct driver_file *file = file_of(fd);
	char picture[FILE_PAGES + 1] = "";

	if (!file)
		return;
	for (int at = 0; at < FILE_PAGES; at++)
		picture[at] = file->purged[at] ? 'P' : file->unpinned[at] ? 'U' : '.';
	snprintf(text, size, "driver: name '%s' size %llu mask %lu %s %s position %lld\n",
		file->name, (unsigned long long)file->size, file->prot,
		file->materialised ? "materialised" : "new", picture,
		(long long)lseek(fd, 0, SEEK_CUR));
}
