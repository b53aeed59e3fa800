/* SPDX-License-Identifier: MIT */
/*
 * Defaults of a registered backend's optional operations, as <ashmem/backend.h> describes them. No
 * lock, no state.
 */
#include <errno.h>
#include <sys/mman.h>

#include "handle/defaults.h"

#define UNUSED __attribute__((unused))

static int works(UNUSED void *userdata)
{
	return 0;
}

static int know_no_descriptor(UNUSED void *userdata, UNUSED int fd, UNUSED void **state)
{
	return -ENOTTY;
}

static int set_no_name(UNUSED void *state, UNUSED const char *name)
{
	return -ENOTSUP;
}

static int get_no_name(UNUSED void *state, char *name)
{
	name[0] = '\0';
	return 0;
}

static int set_no_size(UNUSED void *state, UNUSED uint64_t size_bytes)
{
	return -ENOTSUP;
}

enum { WHOLE_MASK = PROT_READ | PROT_WRITE | PROT_EXEC };

/* The mask that is set can be set (D9). */
static int set_no_prot(UNUSED void *state, int prot)
{
	return prot == WHOLE_MASK ? 0 : -ENOTSUP;
}

static int get_all_prot(UNUSED void *state)
{
	return WHOLE_MASK;
}

static int not_supported(UNUSED void *state)
{
	return -ENOTSUP;
}

static int64_t read_nothing(UNUSED void *state, UNUSED void *buf, UNUSED size_t length)
{
	return -ENOTSUP;
}

static int64_t pread_nothing(UNUSED void *state, UNUSED void *buf, UNUSED size_t length,
	UNUSED uint64_t offset)
{
	return -ENOTSUP;
}

static int64_t seek_nowhere(UNUSED void *state, UNUSED int64_t offset, UNUSED int whence)
{
	return -ENOTSUP;
}

static int know_no_status(UNUSED void *state, UNUSED uint64_t offset, UNUSED uint64_t length)
{
	return -ENOTSUP;
}

static int know_no_kind(UNUSED void *userdata, UNUSED int fd)
{
	return -ENOTTY;
}

static int have_no_id(UNUSED void *state, UNUSED uint64_t *device, UNUSED uint64_t *inode)
{
	return -ENOTSUP;
}

static void begin_nothing(UNUSED void *state)
{
}

#define FILL(operation, function)                      \
	do {                                           \
		if (!backend->operation)               \
			backend->operation = function; \
	} while (0)

void defaults_fill(struct ashmem_backend *backend)
{
	FILL(probe, works);
	FILL(import, know_no_descriptor);
	FILL(set_name, set_no_name);
	FILL(get_name, get_no_name);
	FILL(set_size, set_no_size);
	FILL(set_prot, set_no_prot);
	FILL(get_prot, get_all_prot);
	FILL(get_fd, not_supported);
	FILL(read, read_nothing);
	FILL(pread, pread_nothing);
	FILL(seek, seek_nowhere);
	FILL(get_pin_status, know_no_status);
	FILL(begin_purge, begin_nothing);
	FILL(find, know_no_descriptor);
	FILL(fd_kind, know_no_kind);
	FILL(get_id, have_no_id);
	FILL(export_early, not_supported);
}
