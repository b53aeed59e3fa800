/* SPDX-License-Identifier: MIT */
/*
 * The kernel backend: one open file of /dev/ashmem is one area, and the driver keeps its state.
 *
 * The area layer has checked the arguments. This backend makes up for what the driver cannot
 * express or does in another way (measured on ashmem_linux.ko of Linux 5.10, 64-bit and 32-bit
 * callers):
 * - sizes come back as 32 bits (area.c), ranges must end below 4 GiB (driver.c);
 * - private mappings show zeroes (map.c);
 * - pread and lseek know another position than read does (read.c).
 *
 * This file has the table, and the operations that are one request each: pins and the purge. No
 * lock is held.
 */
#include <unistd.h>

#include "kernel/abi.h"
#include "kernel/area.h"
#include "kernel/backend.h"
#include "kernel/driver.h"
#include "kernel/node.h"

static int kernel_pin(void *state, uint64_t offset, uint64_t length)
{
	const struct kernel_area *area = state;

	return kernel_driver_ask_range(area->fd, KERNEL_PIN, offset, length);
}

static int kernel_unpin(void *state, uint64_t offset, uint64_t length)
{
	const struct kernel_area *area = state;

	return kernel_driver_ask_range(area->fd, KERNEL_UNPIN, offset, length);
}

static int kernel_get_pin_status(void *state, uint64_t offset, uint64_t length)
{
	const struct kernel_area *area = state;

	return kernel_driver_ask_range(area->fd, KERNEL_GET_PIN_STATUS, offset, length);
}

/* Needs an open file and no area: the request purges all areas of the system. */
static int64_t kernel_purge_all(void *userdata)
{
	int fd = kernel_node_open();

	(void)userdata;
	if (fd < 0)
		return fd;
	int r = kernel_driver_ask(fd, KERNEL_PURGE_ALL, 0);
	close(fd);
	return r;
}

const struct ashmem_backend backend_kernel = {
	.struct_size = sizeof(struct ashmem_backend),
	.name = "kernel",
	.capabilities = ASHMEM_BACKEND_CAP_PURGE_ALL,
	.probe = kernel_node_probe,
	.create = kernel_area_create,
	.import = kernel_area_import,
	.close = kernel_area_close,
	.set_name = kernel_area_set_name,
	.get_name = kernel_area_get_name,
	.set_size = kernel_area_set_size,
	.get_size = kernel_area_get_size,
	.set_prot = kernel_area_set_prot,
	.get_prot = kernel_area_get_prot,
	.get_fd = kernel_area_get_fd,
	.map = kernel_map,
	.read = kernel_read,
	.pread = kernel_pread,
	.seek = kernel_seek,
	.pin = kernel_pin,
	.unpin = kernel_unpin,
	.get_pin_status = kernel_get_pin_status,
	.purge_all = kernel_purge_all,
	.find = kernel_area_find,
	.fd_kind = kernel_area_fd_kind,
	.get_id = kernel_area_get_id,
	.export_early = kernel_area_export_early,
};
