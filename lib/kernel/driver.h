/* SPDX-License-Identifier: MIT */
/*
 * One open file of the driver: driver.c. Every function takes a descriptor, and returns a negative
 * errno on failure. Knows no areas and takes no lock.
 */
#ifndef ASHMEM_LIB_KERNEL_DRIVER_H
#define ASHMEM_LIB_KERNEL_DRIVER_H

#include <stdint.h>

/* ioctl(2); `request` and `argument` as abi.h has them. */
int kernel_driver_ask(int fd, unsigned long request, unsigned long argument);

/* A request about a range of bytes. -EOVERFLOW if the driver cannot address it. */
int kernel_driver_ask_range(int fd, unsigned long request, uint64_t offset, uint64_t length);

/* Whether the area is materialised, 1 or 0. Changes nothing. */
int kernel_driver_ask_materialised(int fd);

/*
 * Materialise; does nothing if that was done. The first mapping decides for good how the memory is
 * charged: with `charge` 0 all of it at once, or -ENOMEM if the system does not commit so much;
 * with MAP_NORESERVE page by page as it is used.
 */
int kernel_driver_materialise(int fd, int charge);

/* Whether a file is the driver's, 1 or 0. Changes nothing in the driver. */
int kernel_driver_owns(int fd);

/*
 * Whether a file that was just opened works as the driver's do: 0, -ENODEV, or an error that says
 * nothing about it. The file is materialised then, and good for nothing else.
 */
int kernel_driver_try(int fd);

#endif /* ASHMEM_LIB_KERNEL_DRIVER_H */
