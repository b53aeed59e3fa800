/* SPDX-License-Identifier: MIT */
/*
 * What the driver does, done by the library: one function for each call on an area, with the
 * answers of the contract. Each returns what the system call returns, -1 with errno for an error.
 *
 * Called with a reference to the file, and without any lock.
 */
#ifndef ASHMEM_COMPAT_RUN_DEVICE_H
#define ASHMEM_COMPAT_RUN_DEVICE_H

#include <sys/types.h>
#include <sys/uio.h>

#include "files.h"
#include "libc.h"

/* open(2) of the node: the new descriptor. */
RUN_HIDDEN int device_open(int flags);

RUN_HIDDEN int device_ioctl(struct run_file *file, int fd, unsigned long number, void *argument);

/* mmap(2): `mapped` is the address. 0 or -1. */
RUN_HIDDEN int device_map(struct run_file *file, void *addr, size_t length, int prot, int flags,
	int64_t offset, void **mapped);

RUN_HIDDEN ssize_t device_read(struct run_file *file, void *bytes, size_t length);
RUN_HIDDEN ssize_t device_pread(struct run_file *file, void *bytes, size_t length, int64_t offset);
/* readv(2), or preadv(2) where `offset` is not -1. */
RUN_HIDDEN ssize_t device_readv(struct run_file *file, const struct iovec *pieces, int count,
	int64_t offset);
RUN_HIDDEN int64_t device_seek(struct run_file *file, int64_t offset, int whence);

/* What every write answers. */
RUN_HIDDEN int device_write(const struct run_file *file);
RUN_HIDDEN int device_fallocate(const struct run_file *file, int64_t offset, int64_t length);

#endif /* ASHMEM_COMPAT_RUN_DEVICE_H */
