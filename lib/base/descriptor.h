/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that the library keeps: numbers above the standard streams, which are used only while
 * they still name the file that was opened: descriptor.c. No lock.
 */
#ifndef ASHMEM_LIB_BASE_DESCRIPTOR_H
#define ASHMEM_LIB_BASE_DESCRIPTOR_H

#include <sys/stat.h>
#include <sys/types.h>

/* Which file a descriptor was opened on. */
struct descriptor_file {
	dev_t device;
	ino_t inode;
};

static inline struct descriptor_file descriptor_file_of(const struct stat *status)
{
	return (struct descriptor_file){.device = status->st_dev, .inode = status->st_ino};
}

static inline int descriptor_is_file(const struct stat *status, const struct descriptor_file *file)
{
	return status->st_dev == file->device && status->st_ino == file->inode;
}

/* A duplicate above the standard streams, close-on-exec; or -1 and errno. */
int descriptor_duplicate(int fd);

/*
 * Takes what open(2) and the like return. A number below 3 is moved above the standard streams.
 * The new number; -1 and errno, and then nothing is open.
 */
int descriptor_above_std(int fd);

/* Learn which file it is: 0 or a negative errno. */
int descriptor_learn(int fd, struct descriptor_file *file);

/*
 * 0 if the descriptor is of this file; -EBADF if the number is closed, or was used again for
 * another file, or the kernel does not say. Comes before every use that changes a file or reads
 * from it.
 */
int descriptor_check(int fd, const struct descriptor_file *file);

/* Close it if it is of this file; a number that now belongs to another one stays open. */
void descriptor_close(int fd, const struct descriptor_file *file);

#endif /* ASHMEM_LIB_BASE_DESCRIPTOR_H */
