/* SPDX-License-Identifier: MIT */
/*
 * The driver's interface: ioctl numbers and the one structure that crosses. Facts of the ABI, from
 * the contract, section 1.
 *
 * Where _IOW names a type, only its size enters the number: a 32-bit program has numbers of its own
 * for SET_SIZE and SET_PROT_MASK, and a 64-bit kernel takes both. Sizes and masks go by value in
 * the third argument, not by pointer.
 */
#ifndef ASHMEM_LIB_KERNEL_ABI_H
#define ASHMEM_LIB_KERNEL_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* A range in bytes, page aligned; `length_bytes` 0 means "to the end". */
struct kernel_range {
	uint32_t offset_bytes;
	uint32_t length_bytes;
};

#define KERNEL_NAME_LEN 256

#define KERNEL_SET_NAME _IOW(0x77, 1, char[KERNEL_NAME_LEN])
#define KERNEL_GET_NAME _IOR(0x77, 2, char[KERNEL_NAME_LEN])
#define KERNEL_SET_SIZE _IOW(0x77, 3, size_t)
#define KERNEL_GET_SIZE _IO(0x77, 4)
#define KERNEL_SET_PROT_MASK _IOW(0x77, 5, unsigned long)
#define KERNEL_GET_PROT_MASK _IO(0x77, 6)
#define KERNEL_PIN _IOW(0x77, 7, struct kernel_range)
#define KERNEL_UNPIN _IOW(0x77, 8, struct kernel_range)
#define KERNEL_GET_PIN_STATUS _IO(0x77, 9)
#define KERNEL_PURGE_ALL _IO(0x77, 10)

/* The nodes: Android 10 and later append the boot id to the name. */
#define KERNEL_NODE "/dev/ashmem"
#define KERNEL_BOOT_ID "/proc/sys/kernel/random/boot_id"
#define KERNEL_BOOT_ID_LEN 36

#endif /* ASHMEM_LIB_KERNEL_ABI_H */
