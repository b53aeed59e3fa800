/* SPDX-License-Identifier: MIT */
/* One copy of the library; COPY names the function that answers with it. See copies.h. */
#include "copies.h"

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)

__attribute__((visibility("default"))) const struct copy *COPY(void)
{
	static const struct copy copy = {
		.name = TEXT(COPY),
		.create = ashmem_create,
		.close = ashmem_close,
		.set_name = ashmem_set_name,
		.get_name = ashmem_get_name,
		.map = ashmem_map,
		.unmap = ashmem_unmap,
		.pin = ashmem_pin,
		.unpin = ashmem_unpin,
		.get_pin_status = ashmem_get_pin_status,
		.hold = ashmem_hold,
		.release = ashmem_release,
		.purge_all = ashmem_purge_all,
		.shrink = ashmem_shrink,
		.shrink_count = ashmem_shrink_count,
		.fd = ashmem_fd,
		.export_read_only = ashmem_export_read_only,
		.import = ashmem_import,
		.send = ashmem_send,
		.recv = ashmem_recv,
		.backend_select = ashmem_backend_select,
	};
	return &copy;
}
