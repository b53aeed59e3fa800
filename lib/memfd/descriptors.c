/* SPDX-License-Identifier: MIT */
/*
 * Sharing a memfd area with peers that must not write: the seal, which binds everybody and ends
 * purging, and read-only descriptors, which bind their receivers and keep it.
 *
 * What the control block says about both (`sealed`, `has_readers`) is set under the control lock
 * and never goes back. The seals of the file are the truth behind `sealed`: a peer can set them
 * without the library, and a purge learns it from the kernel's refusal.
 */
#include <errno.h>
#include <unistd.h>

#include "base/shared.h"
#include "base/sys.h"
#include "memfd/area.h"

int memfd_seal(void *state)
{
	struct memfd_area *area = state;

	if (!memfd_is_materialised(area) && !area->allow_seal)
		return -EPERM; /* before the memory comes into being for nothing */
	int r = memfd_make_ready(area);
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
	int fd = memfd_open_read_only(area->fd);
	if (fd < 0 || area->plain || !area->control.writable)
		return fd;
	r = memfd_announce_readers(&area->control);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}
