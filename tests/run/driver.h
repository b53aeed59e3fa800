/* SPDX-License-Identifier: MIT */
/*
 * The driver's interface as a program of its own time has it: facts of the ABI. The library's
 * headers stay out of these programs.
 */
#ifndef TESTS_RUN_DRIVER_H
#define TESTS_RUN_DRIVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define ASHMEM_NODE "/dev/ashmem"

struct ashmem_range {
	uint32_t offset;
	uint32_t length;
};

#define ASHMEM_SET_NAME _IOW(0x77, 1, char[256])
#define ASHMEM_GET_NAME _IOR(0x77, 2, char[256])
#define ASHMEM_SET_SIZE _IOW(0x77, 3, size_t)
#define ASHMEM_GET_SIZE _IO(0x77, 4)
#define ASHMEM_SET_PROT_MASK _IOW(0x77, 5, unsigned long)
#define ASHMEM_GET_PROT_MASK _IO(0x77, 6)
#define ASHMEM_PIN _IOW(0x77, 7, struct ashmem_range)
#define ASHMEM_UNPIN _IOW(0x77, 8, struct ashmem_range)
#define ASHMEM_GET_PIN_STATUS _IO(0x77, 9)
#define ASHMEM_PURGE_ALL_CACHES _IO(0x77, 10)
#define ASHMEM_GET_FILE_ID _IOR(0x77, 11, unsigned long)

#endif /* TESTS_RUN_DRIVER_H */
