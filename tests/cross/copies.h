/* SPDX-License-Identifier: MIT */
/*
 * A copy of the library, as a table of its functions: copy.c makes one, and is linked once with
 * libashmem.so and once, hidden in a shared object of its own, with libashmem.a.
 */
#ifndef TESTS_CROSS_COPIES_H
#define TESTS_CROSS_COPIES_H

#include <ashmem/ashmem.h>

struct copy {
	const char *name;
	int (*create)(const char *name, uint64_t size_bytes, uint32_t flags,
		struct ashmem_area **area);
	void (*close)(struct ashmem_area *area);
	int (*set_name)(struct ashmem_area *area, const char *name);
	int (*get_name)(const struct ashmem_area *area, char *buf, size_t buf_size);
	int (*map)(struct ashmem_area *area, uint64_t offset, size_t length, int prot,
		int map_flags, void **addr);
	int (*unmap)(void *addr, size_t length);
	int (*pin)(struct ashmem_area *area, uint64_t offset, uint64_t length);
	int (*unpin)(struct ashmem_area *area, uint64_t offset, uint64_t length);
	int (*get_pin_status)(struct ashmem_area *area, uint64_t offset, uint64_t length);
	int (*hold)(struct ashmem_area *area, uint64_t offset, uint64_t length);
	int (*release)(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags);
	int64_t (*purge_all)(void);
	int64_t (*shrink)(uint64_t nr_pages);
	uint64_t (*shrink_count)(void);
	int (*fd)(struct ashmem_area *area);
	int (*export_read_only)(struct ashmem_area *area);
	int (*import)(int fd, struct ashmem_area **area);
	int (*send)(int socket_fd, struct ashmem_area *area);
	int (*recv)(int socket_fd, struct ashmem_area **area);
	int (*backend_select)(const char *name);
};

const struct copy *shared_copy(void);
const struct copy *hidden_copy(void);

#endif
