/* SPDX-License-Identifier: MIT */
/*
 * The public calls on areas, but for those on pins (pin.c): arguments are checked here once, for
 * all backends, then the backend is called. handle/table.c knows which areas there are.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "area/area.h"
#include "area/around.h"
#include "area/debug.h"
#include "base/cancel.h"
#include "base/descriptor.h"
#include "base/fork.h"
#include "base/pages.h"
#include "base/sys.h"
#include "handle/backends.h"
#include "handle/handle.h"
#include "purge/budget.h"
#include "purge/queue.h"

#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)

/* -- life -- */

/* A name of at most 255 bytes. */
static void cut_name(char cut[ASHMEM_NAME_LEN], const char *name)
{
	size_t length = name ? strnlen(name, ASHMEM_NAME_LEN - 1) : 0;

	memcpy(cut, name ? name : "", length);
	cut[length] = '\0';
}

/* What the library knows of an area beside its handle: its last reference is gone. */
static void forget(struct ashmem_area *area)
{
	budget_forget(area);
	if (debug_has(DEBUG_TRAP))
		trap_forget_area(area);
	queues_forget(area);
}

/* The handle of a backend's state: 0, or -ENOMEM and the state is closed. */
static int adopt(const struct ashmem_backend *backend, void *state, struct ashmem_area **area)
{
	if (debug_start() < 0) {
		backend->close(state);
		return -ENOMEM;
	}
	struct ashmem_area *adopted = area_of(backend, state, forget);
	if (!adopted)
		return -ENOMEM;
	*area = adopted;
	return 0;
}

int area_create(const struct ashmem_backend *backend, const char *name, uint64_t size_bytes,
	uint32_t flags, struct ashmem_area **area)
{
	char cut[ASHMEM_NAME_LEN];
	void *state;

	cut_name(cut, name);
	int r = backend->create(backend->userdata, cut, size_bytes, flags, &state);
	return r < 0 ? r : adopt(backend, state, area);
}

int ashmem_create(const char *name, uint64_t size_bytes, uint32_t flags, struct ashmem_area **area)
{
	CANCEL_OFF;
	const struct ashmem_backend *backend;

	if (!area || (flags & ~ASHMEM_CREATE_ALLOW_SEAL))
		return -EINVAL;
	int r = backend_choose(&backend);
	if (r < 0)
		return r;
	if ((flags & ASHMEM_CREATE_ALLOW_SEAL) &&
		!(backend->capabilities & ASHMEM_BACKEND_CAP_SEAL))
		return -ENOTSUP;
	return area_create(backend, name, size_bytes, flags, area);
}

void ashmem_close(struct ashmem_area *area)
{
	CANCEL_OFF;
	if (area)
		area_put(area);
}

int ashmem_ref(struct ashmem_area *area)
{
	CANCEL_OFF;
	if (!area)
		return -EINVAL;
	area_take(area);
	return 0;
}

/* -- name, size, protection -- */

int ashmem_set_name(struct ashmem_area *area, const char *name)
{
	CANCEL_OFF;
	char cut[ASHMEM_NAME_LEN];

	if (!area || !name)
		return -EINVAL;
	cut_name(cut, name);
	return area->backend->set_name(area->state, cut);
}

int ashmem_get_name(const struct ashmem_area *area, char *buf, size_t buf_size)
{
	CANCEL_OFF;
	char name[ASHMEM_NAME_LEN];

	if (!area || !buf)
		return -EINVAL;
	int r = area->backend->get_name(area->state, name);
	if (r < 0)
		return r;
	const char *shown = name[0] ? name : ASHMEM_NAME_DEF;
	size_t length = strlen(shown);
	if (length >= buf_size)
		return -ERANGE;
	memcpy(buf, shown, length + 1);
	return 0;
}

int ashmem_set_size(struct ashmem_area *area, uint64_t size_bytes)
{
	CANCEL_OFF;
	return area ? area->backend->set_size(area->state, size_bytes) : -EINVAL;
}

uint64_t ashmem_get_size(const struct ashmem_area *area)
{
	CANCEL_OFF;
	uint64_t size_bytes;

	/* The cache in the handle is not what a caller means by const. */
	if (!area || area_learn_size((struct ashmem_area *)(uintptr_t)area, &size_bytes) < 0)
		return 0;
	return size_bytes;
}

int ashmem_is_materialised(struct ashmem_area *area)
{
	CANCEL_OFF;
	uint64_t size_bytes;

	return area ? area_learn_size(area, &size_bytes) : -EINVAL;
}

int ashmem_get_id(struct ashmem_area *area, uint64_t *device, uint64_t *inode)
{
	CANCEL_OFF;
	if (!area || !device || !inode)
		return -EINVAL;
	return area->backend->get_id(area->state, device, inode);
}

int ashmem_set_prot(struct ashmem_area *area, int prot)
{
	CANCEL_OFF;
	if (!area || (prot & ~PROT_ALL))
		return -EINVAL;
	return area->backend->set_prot(area->state, prot);
}

int ashmem_get_prot(const struct ashmem_area *area)
{
	CANCEL_OFF;
	return area ? area->backend->get_prot(area->state) : -EINVAL;
}

const char *ashmem_backend_name(const struct ashmem_area *area)
{
	return area ? area->backend->name : NULL;
}

/* -- memory -- */

/* Contract rule 7. */
static int check_map(struct ashmem_area *area, uint64_t offset, size_t length, int prot,
	int map_flags)
{
	int kind = map_flags & MAP_TYPE;
	uint64_t size;

	if ((prot & ~PROT_ALL) || (map_flags & MAP_ANONYMOUS) ||
		(kind != MAP_SHARED && kind != MAP_PRIVATE && kind != MAP_SHARED_VALIDATE))
		return -EINVAL;
	int r = area_learn_size(area, &size);
	if (r < 0)
		return r;
	size = pages_round_up(size);
	if (length == 0 || !pages_are_aligned(offset) || offset >= size || length > size - offset)
		return -EINVAL;
	r = area->backend->get_prot(area->state);
	if (r < 0)
		return r;
	/* mmap(2) will add it: personality(2). */
	if ((prot & PROT_READ) && !(r & PROT_EXEC) && sys_read_implies_exec())
		return -EPERM;
	return prot & ~r ? -EPERM : 0;
}

int ashmem_map(struct ashmem_area *area, uint64_t offset, size_t length, int prot, int map_flags,
	void **addr)
{
	CANCEL_OFF;
	if (!area || !addr)
		return -EINVAL;
	int r = check_map(area, offset, length, prot, map_flags);
	if (r < 0)
		return r;
	void *mapped = *addr;
	r = around_admit(area);
	if (r < 0)
		return r;
	r = around_settle(area,
		area->backend->map(area->state, offset, length, prot, map_flags, &mapped));
	if (r < 0)
		return r;
	if ((map_flags & MAP_FIXED_NOREPLACE) && mapped != *addr) {
		munmap(mapped, length); /* before Linux 4.17 the address is a hint only */
		return -EEXIST;
	}
	if (debug_has(DEBUG_TRAP)) {
		r = trap_add_mapping(area, mapped, length, offset, prot, map_flags);
		if (r < 0) {
			munmap(mapped, length);
			return r;
		}
	}
	*addr = mapped;
	return 0;
}

int ashmem_unmap(void *addr, size_t length)
{
	CANCEL_OFF;
	if (!addr)
		return -EINVAL;
	if (debug_has(DEBUG_TRAP))
		return trap_unmap(addr, length);
	return munmap(addr, length) < 0 ? -errno : 0;
}

int ashmem_populate(void *addr, size_t length)
{
	CANCEL_OFF;
	size_t page = sys_page_size();

	if (!addr || (uintptr_t)addr % page != 0 || length == 0)
		return -EINVAL;
	if (length > SIZE_MAX - page || (uintptr_t)addr > UINTPTR_MAX - length - page)
		return -ENOMEM;
	return sys_populate(addr, (length + page - 1) / page * page);
}

/*
 * For read, pread and seek: 1 if there is something, 0 if the size is 0, -EBADF if not
 * materialised.
 */
static int check_data(struct ashmem_area *area)
{
	uint64_t size;
	int r = area_learn_size(area, &size);

	if (r < 0)
		return r;
	if (size == 0)
		return 0;
	return r ? 1 : -EBADF;
}

int64_t ashmem_read(struct ashmem_area *area, void *buf, size_t length)
{
	CANCEL_OFF;
	if (!area || (!buf && length))
		return -EINVAL;
	int r = check_data(area);
	return r <= 0 ? r : area->backend->read(area->state, buf, length);
}

int64_t ashmem_pread(struct ashmem_area *area, void *buf, size_t length, uint64_t offset)
{
	CANCEL_OFF;
	if (!area || (!buf && length) || offset > INT64_MAX)
		return -EINVAL;
	int r = check_data(area);
	return r <= 0 ? r : area->backend->pread(area->state, buf, length, offset);
}

int64_t ashmem_seek(struct ashmem_area *area, int64_t offset, int whence)
{
	CANCEL_OFF;
	if (!area)
		return -EINVAL;
	int r = check_data(area);
	if (r <= 0)
		return r < 0 ? r : -EINVAL;
	return area->backend->seek(area->state, offset, whence);
}

/* -- sharing -- */

/* For what materialises an area: 0, or -EINVAL if it has no size. */
static int check_sized(struct ashmem_area *area)
{
	uint64_t size;

	if (!area)
		return -EINVAL;
	int r = area_learn_size(area, &size);
	if (r < 0)
		return r;
	return size ? 0 : -EINVAL;
}

int ashmem_fd(struct ashmem_area *area)
{
	CANCEL_OFF;
	int r = check_sized(area);

	if (r == 0)
		r = around_admit(area);
	if (r < 0)
		return r;
	budget_share(area);
	return around_settle(area, area->backend->get_fd(area->state));
}

int ashmem_export(struct ashmem_area *area)
{
	CANCEL_OFF;
	int fd = ashmem_fd(area);

	if (fd < 0)
		return fd;
	int copy = descriptor_duplicate(fd);
	return copy < 0 ? -errno : copy;
}

int ashmem_export_early(struct ashmem_area *area)
{
	CANCEL_OFF;
	return area ? area->backend->export_early(area->state) : -EINVAL;
}

int ashmem_export_read_only(struct ashmem_area *area)
{
	CANCEL_OFF;
	int r = check_sized(area);

	if (r < 0)
		return r;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_EXPORT))
		return -ENOTSUP;
	r = around_admit(area);
	if (r < 0)
		return r;
	budget_share(area);
	return around_settle(area, area->backend->export_read_only(area->state));
}

int ashmem_seal(struct ashmem_area *area)
{
	CANCEL_OFF;
	int r = check_sized(area);

	if (r < 0)
		return r;
	if (!(area->backend->capabilities & ASHMEM_BACKEND_CAP_SEAL))
		return -ENOTSUP;
	r = around_admit(area);
	return r < 0 ? r : around_settle(area, area->backend->seal(area->state));
}

int ashmem_import(int fd, struct ashmem_area **area)
{
	CANCEL_OFF;
	const struct ashmem_backend *backend;
	void *state;

	if (!area)
		return -EINVAL;
	int r = backend_import(fd, &backend, &state);
	if (r == 0)
		r = adopt(backend, state, area);
	if (r < 0)
		return r;
	budget_share(*area);
	return around_settle(*area, 0);
}

int ashmem_find(int fd, struct ashmem_area **area)
{
	CANCEL_OFF;
	const struct ashmem_backend *backend;
	void *state;

	if (!area)
		return -EINVAL;
	int r = process_start(); /* a fork in another thread must find no mutex locked */
	if (r < 0)
		return r;
	r = backend_find(fd, &backend, &state);
	if (r < 0)
		return r;
	struct ashmem_area *found = area_find(backend, state);
	backend->close(state);
	if (!found)
		return -ENOENT;
	*area = found;
	return 0;
}

int ashmem_fd_kind(int fd)
{
	CANCEL_OFF;
	return backend_fd_kind(fd);
}
