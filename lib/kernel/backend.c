/* SPDX-License-Identifier: MIT */
/*
 * The kernel backend: one open file of /dev/ashmem is one area, and the driver keeps its state.
 *
 * The area layer has checked the arguments. Left to do is what the driver cannot express or does in
 * another way (measured on ashmem_linux.ko of Linux 5.10, 64-bit and 32-bit callers):
 * - sizes come back as 32 bits (area.c), ranges must end below 4 GiB (driver.c);
 * - private mappings show zeroes (map.c);
 * - pread and lseek know another position than read does (read.c).
 *
 * Here is the table, with the operations that need no more than the driver's answer: pins and the
 * purge. No lock is held.
 */
#include <unistd.h>

#include "kernel/abi.h"
#include "kernel/area.h"
#include "kernel/backend.h"

static int kernel_pin(void *state, uint64_t offset, uint64_t length)
{
	const struct kernel_area *area = state;

	return kernel_ask_range(area->fd, KERNEL_PIN, offset, length);
}

static int kernel_unpin(void *state, uint64_t offset, uint64_t length)
{
	const struct kernel_area *area = state;

	return kernel_ask_range(area->fd, KERNEL_UNPIN, offset, length);
}

static int kernel_get_pin_status(void *state, uint64_t offset, uint64_t length)
{
	const struct kernel_area *area = state;

	return kernel_ask_range(area->fd, KERNEL_GET_PIN_STATUS, offset, length);
}

/* Needs an open file, but no area: the request reaches them all. */
static int64_t kernel_purge_all(void *userdata)
{
	int fd = kernel_open_node();

	(void)userdata;
	if (fd < 0)
		return fd;
	int r = kernel_ask(fd, KERNEL_PURGE_ALL, 0);
	close(fd);
	return r;
}

const struct ashmem_backend backend_kernel = {
	.struct_size = sizeof(struct ashmem_backend),
	.name = "kernel",
	.capabilities = ASHMEM_BACKEND_CAP_PURGE_ALL,
	.probe = kernel_probe,
	.create = kernel_create,
	.import = kernel_import,
	.close = kernel_close,
	.set_name = kernel_set_name,
	.get_name = kernel_get_name,
	.set_size = kernel_set_size,
	.get_size = kernel_get_size,
	.set_prot = kernel_set_prot,
	.get_prot = kernel_get_prot,
	.get_fd = kernel_get_fd,
	.map = kernel_map,
	.read = kernel_read,
	.pread = kernel_pread,
	.seek = kernel_seek,
	.pin = kernel_pin,
	.unpin = kernel_unpin,
	.get_pin_status = kernel_get_pin_status,
	.purge_all = kernel_purge_all,
};
