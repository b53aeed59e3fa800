/* SPDX-License-Identifier: MIT */
/*
 * The public calls that take a descriptor in place of an area. They know no areas of the process.
 */
#include <errno.h>

#include <ashmem/peek.h>

#include "base/cancel.h"
#include "base/context.h"
#include "base/structs.h"
#include "memfd/peek.h"

#define WAIT_MOST_MS 5000u

int ashmem_peek(int fd, struct ashmem_peek_result *peek)
{
	CANCEL_OFF;
	struct ashmem_peek_result all = {.struct_size = sizeof(all)};

	if (!peek || peek->struct_size < sizeof(peek->struct_size))
		return -EINVAL;
	int r = memfd_peek(fd, &all);
	if (r < 0)
		return r;
	struct_copy_out(peek, &all, sizeof(all));
	return 0;
}

int64_t ashmem_purge_fd(int fd, const struct ashmem_purge_fd_options *options)
{
	CANCEL_OFF;
	struct ashmem_purge_fd_options wishes = {.struct_size = sizeof(wishes)};
	int64_t r = options ? struct_copy_in(&wishes, sizeof(wishes), options) : 0;

	if (r < 0)
		return r;
	if (wishes.wait_ms > WAIT_MOST_MS || wishes.reserved)
		return -EINVAL;
	if (!context_may_purge())
		return -EDEADLK;
	uint64_t patience_ns = wishes.wait_ms * UINT64_C(1000000);
	struct context frame = {
		.flags = CONTEXT_PURGE,
		.patience_ns = &patience_ns,
		.wait_ns = patience_ns, /* 0: a lock is tried once */
	};
	context_push(&frame);
	r = memfd_purge_by_descriptor(fd, &wishes);
	context_pop(&frame);
	return r == -ETIMEDOUT ? -EAGAIN : r;
}
