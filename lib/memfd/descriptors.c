/* SPDX-License-Identifier: MIT */
/*
 * The descriptors of a memfd area, and what their receivers may do: the protection mask, read-only
 * descriptors, which bind their receivers and let purges go on, and the seal, which binds everybody
 * and ends purging.
 *
 * What the control block says (`prot`, `sealed`, `has_readers`) is set under the control lock;
 * `sealed` and `has_readers` never go back to 0. The seals of the file are the truth for `sealed`
 * (control_seal.c).
 *
 * No lock is held when these are called.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/shared.h"
#include "base/sys.h"
#include "memfd/area.h"
#include "memfd/descriptors.h"
#include "memfd/early.h"
#include "memfd/file.h"
#include "memfd/table.h"

/* -- the descriptor that the mask allows -- */

/* The read-only descriptor of a materialised area, made if there is none. */
static int get_read_only_fd(struct memfd_area *area)
{
	int fd = __atomic_load_n(&area->read_only_fd, __ATOMIC_ACQUIRE);

	if (fd >= 0 || (memfd_is_established(area) && !area->plain && !area->control.writable))
		return fd >= 0 ? fd : area->fd;
	memfd_table_lock();
	fd = area->read_only_fd;
	if (fd < 0) {
		fd = memfd_file_open_read_only(area->fd, &area->file);
		if (fd == -ENOTSUP && sys_is_write_sealed(area->fd)) {
			memfd_table_unlock();
			return area->fd; /* nobody can write through it either */
		}
		if (fd >= 0)
			__atomic_store_n(&area->read_only_fd, fd, __ATOMIC_RELEASE);
	}
	memfd_table_unlock();
	return fd;
}

/*
 * The new mask, or -EINVAL: bits can only be removed. personality(2): with READ_IMPLIES_EXEC, READ
 * brings EXEC along.
 */
static int narrowed(int mask, int prot)
{
	if (prot & ~mask)
		return -EINVAL;
	if ((prot & PROT_READ) && sys_read_implies_exec())
		prot |= PROT_EXEC;
	return prot;
}

/* What a handle that cannot change the mask returns: 0 if nothing would change (D9). */
static int set_prot_refused(struct memfd_area *area, int prot, int error)
{
	int mask = memfd_get_prot(area);

	return mask >= 0 && narrowed(mask, prot) == mask ? 0 : error;
}

static int set_prot_shared(struct memfd_area *area, int prot)
{
	int r = 0;

	if (area->plain)
		return set_prot_refused(area, prot, -EACCES);
	/* What can fail comes first. The lock must not be held across it. */
	r = memfd_establish(area);
	if (r < 0)
		return r;
	if (!area->control.writable)
		return set_prot_refused(area, prot, -EACCES);
	if (!(prot & PROT_WRITE))
		r = get_read_only_fd(area);
	if (r < 0)
		return set_prot_refused(area, prot, r);
	r = control_lock(&area->control);
	if (r < 0)
		return r;
	r = narrowed((int)SHARED_LOAD(area->control.shared->prot), prot);
	if (r >= 0 && !(r & PROT_WRITE)) /* receivers of the descriptor can pin by locks */
		SHARED_STORE(area->control.shared->has_readers, 1);
	if (r >= 0)
		SHARED_STORE(area->control.shared->prot, (uint32_t)r);
	control_unlock(&area->control, r);
	return r < 0 ? r : 0;
}

int memfd_set_prot(void *state, int prot)
{
	struct memfd_area *area = state;
	int r = memfd_newborn_begin(area);

	if (r < 0)
		return r;
	if (r > 0)
		return set_prot_shared(area, prot);
	r = narrowed(area->prot, prot);
	if (r >= 0 && (area->prot & PROT_WRITE) && !(r & PROT_WRITE) &&
		access("/proc/self/fd", X_OK) < 0)
		r = -ENOTSUP; /* the read-only descriptor could not be made */
	if (r < 0) {
		memfd_newborn_end(area);
		return r;
	}
	area->prot = r;
	return memfd_newborn_keep(area);
}

int memfd_get_prot(void *state)
{
	struct memfd_area *area = state;
	int r = memfd_newborn_begin(area);

	if (r < 0)
		return r;
	if (r == 0) {
		r = area->prot;
		memfd_newborn_end(area);
		return r;
	}
	if (area->plain || !(area->early ? memfd_look_again(area) : memfd_is_established(area)))
		return area->prot;
	uint32_t prot = SHARED_LOAD(area->control.shared->prot);
	if (prot > (PROT_READ | PROT_WRITE | PROT_EXEC))
		return -EUCLEAN;
	return area->sealed ? (int)prot & ~PROT_WRITE : (int)prot;
}

int memfd_allowed_fd(struct memfd_area *area)
{
	int prot = memfd_get_prot(area);

	if (prot < 0)
		return prot;
	int fd = area->plain || (prot & PROT_WRITE) ? area->fd : get_read_only_fd(area);
	int r = fd < 0 ? fd : descriptor_check(fd, &area->file);
	return r < 0 ? r : fd;
}

int memfd_get_fd(void *state)
{
	struct memfd_area *area = state;
	int r = memfd_make_ready(area);

	return r < 0 ? r : memfd_allowed_fd(area);
}

/* -- for peers that must not write -- */

int memfd_seal(void *state)
{
	struct memfd_area *area = state;

	if (!memfd_is_materialised(area) && !area->allow_seal)
		return -EPERM; /* before the memory comes into being for nothing */
	int r = memfd_make_ready(area);
	if (r == 0)
		r = descriptor_check(area->fd, &area->file);
	if (r < 0)
		return r;
	if (!area->plain && sys_is_write_sealed(area->fd) && !area->control.writable)
		return 0;
	if (area->plain)
		return -EACCES;
	/*
	 * Under the lock: if we die between the two, recovery finds the seals and completes this.
	 */
	r = control_lock(&area->control);
	if (r < 0)
		return r;
	if (!sys_is_write_sealed(area->fd))
		r = sys_seal_writing(area->fd);
	if (r == 0)
		control_say_sealed(&area->control);
	control_unlock(&area->control, 0);
	return r == -EINVAL ? -ENOTSUP : r;
}

int memfd_announce_readers(struct control_map *control)
{
	if (SHARED_LOAD(control->shared->has_readers))
		return 0;
	int r = control_lock(control);
	if (r < 0)
		return r;
	SHARED_STORE(control->shared->has_readers, 1);
	control_unlock(control, 0);
	return 0;
}

int memfd_export_read_only(void *state)
{
	struct memfd_area *area = state;
	int r = memfd_make_ready(area);

	if (r < 0)
		return r;
	int fd = memfd_file_open_read_only(area->fd, &area->file);
	if (fd < 0 || area->plain || !area->control.writable)
		return fd;
	r = memfd_announce_readers(&area->control);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* -- before there is memory -- */

/* A duplicate for the caller; passes an errno on. */
static int duplicate(int fd)
{
	int copy = fd < 0 ? fd : descriptor_duplicate(fd);

	return copy < 0 && fd >= 0 ? -errno : copy;
}

int memfd_export_early(void *state)
{
	struct memfd_area *area = state;
	int r = memfd_newborn_begin(area);

	if (r != 0)
		return r < 0 ? r : duplicate(memfd_get_fd(area));
	if (area->birth)
		r = -EBUSY; /* children know it by that alone */
	else
		r = area->early ? duplicate(area->fd) : early_make(area);
	memfd_newborn_end(area);
	return r;
}
