/* SPDX-License-Identifier: MIT */
/*
 * The memfd backend: its table, and the operations that need no file of their own: name and size,
 * mapping, reading, purging, inspection.
 *
 * The area layer has checked the arguments. An operation takes the control lock (control.h) for a
 * few instructions around the range list. An area that came through a read-only descriptor has its
 * state mapped read-only: name, size, mask and data can be read, everything else is -EACCES.
 *
 * No lock is held when an operation is called.
 */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/context.h"
#include "base/pages.h"
#include "base/shared.h"
#include "base/sys.h"
#include "memfd/area.h"
#include "memfd/backend.h"
#include "memfd/descriptors.h"
#include "memfd/file.h"
#include "memfd/find.h"
#include "memfd/pins.h"
#include "memfd/readers.h"
#include "memfd/stats.h"
#include "range/purge_key.h"

static int memfd_probe(void *userdata)
{
	static int works; /* 1: yes */
	int fd;

	(void)userdata;
	if (__atomic_load_n(&works, __ATOMIC_RELAXED))
		return 0;
	fd = sys_memfd_create("ashmem-probe");
	if (fd == -ENODEV)
		return fd;
	if (fd >= 0)
		close(fd);
	/* If descriptors or memory are short, the call that needs them returns the error. */
	__atomic_store_n(&works, 1, __ATOMIC_RELAXED);
	return 0;
}

/* -- name, size -- */

static int memfd_set_name(void *state, const char *name)
{
	struct memfd_area *area = state;
	int r = memfd_newborn_begin(area);

	if (r != 0)
		return r < 0 ? r : -EINVAL;
	strcpy(area->name, name);
	return memfd_newborn_keep(area);
}

static int memfd_get_name(void *state, char *name)
{
	struct memfd_area *area = state;
	int r = memfd_newborn_begin(area);

	if (r < 0)
		return r;
	if (r == 0) {
		strcpy(name, area->name);
		memfd_newborn_end(area);
	} else if (memfd_is_established(area) && !area->plain) {
		memcpy(name, area->control.shared->name, ASHMEM_NAME_LEN);
		name[ASHMEM_NAME_LEN - 1] = '\0';
	} else {
		strcpy(name, area->name); /* a plain area has none */
	}
	return 0;
}

static int memfd_set_size(void *state, uint64_t size_bytes)
{
	struct memfd_area *area = state;

	if (size_bytes > control_max_size())
		return -EFBIG;
	int r = memfd_newborn_begin(area);
	if (r != 0)
		return r < 0 ? r : -EINVAL;
	area->size_bytes = size_bytes;
	return memfd_newborn_keep(area);
}

static int memfd_get_size(void *state, uint64_t *size_bytes, int *materialised)
{
	struct memfd_area *area = state;
	int r = memfd_newborn_begin(area);

	if (r < 0)
		return r;
	*materialised = r;
	*size_bytes = area->size_bytes;
	if (r == 0)
		memfd_newborn_end(area);
	return 0;
}

/* -- memory -- */

/* A mapping of an area that is materialised. */
static int map_again(struct memfd_area *area, struct memfd_mapping *mapping)
{
	int flags = mapping->flags, mask = memfd_get_prot(area);
	int fd = mask < 0 ? mask : memfd_allowed_fd(area);

	if (fd < 0)
		return fd;
	memfd_file_suit_mask(mapping, mask);
	int r = memfd_file_map(fd, mapping);
	/*
	 * Before Linux 6.7 nobody can map a file with F_SEAL_WRITE as shared through a writable
	 * descriptor. Private copies do no harm: nobody writes to the file.
	 */
	if (r == -EPERM && mapping->flags != flags) {
		mapping->flags = flags;
		r = memfd_file_map(fd, mapping);
	}
	return r;
}

static int memfd_map(void *state, uint64_t offset, size_t length, int prot, int map_flags,
	void **addr)
{
	struct memfd_mapping mapping = {
		.addr = map_flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) ? *addr : NULL,
		.length = length,
		.prot = prot,
		.flags = map_flags,
		.offset = offset,
	};
	int r = memfd_materialise(state, &mapping);

	if (r > 0) /* it was materialised before */
		r = map_again(state, &mapping);
	if (r == 0)
		*addr = mapping.addr;
	return r;
}

static int64_t read_at(struct memfd_area *area, void *buf, size_t length, uint64_t offset)
{
	uint64_t size = area->plain ? UINT64_MAX : area->size_bytes;

	if (offset >= size || length == 0)
		return 0;
	if (length > size - offset)
		length = (size_t)(size - offset);
	int r = descriptor_check(area->fd, &area->file);
	if (r < 0)
		return r;
	ssize_t got = pread(area->fd, buf, length, (off_t)offset);
	return got < 0 ? -errno : got;
}

static int64_t memfd_pread(void *state, void *buf, size_t length, uint64_t offset)
{
	return read_at(state, buf, length, offset);
}

/* Move the position from `from` to `to`, unless it was moved meanwhile. */
static void position_correct(struct memfd_area *area, uint64_t from, uint64_t to)
{
	if (control_lock(&area->control) < 0)
		return;
	if (area->control.shared->position == from)
		SHARED_STORE(area->control.shared->position, to);
	control_unlock(&area->control, 0);
}

/*
 * The bytes are taken by moving the position; they are read without the lock, since a page may have
 * to come from swap.
 */
static int64_t memfd_read(void *state, void *buf, size_t length)
{
	struct memfd_area *area = state;
	int r = descriptor_check(area->fd, &area->file);

	if (r < 0)
		return r;
	if (area->plain) {
		ssize_t got = read(area->fd, buf, length);
		return got < 0 ? -errno : got;
	}
	r = memfd_lock(area);
	if (r < 0)
		return r;
	uint64_t position = SHARED_LOAD(area->control.shared->position);
	uint64_t size = area->size_bytes, left = position < size ? size - position : 0;
	if (length > left)
		length = (size_t)left;
	SHARED_STORE(area->control.shared->position, position + length);
	control_unlock(&area->control, 0);

	int64_t got = read_at(area, buf, length, position);
	if (got != (int64_t)length)
		position_correct(area, position + length, position + (uint64_t)(got < 0 ? 0 : got));
	return got;
}

/* SEEK_DATA and SEEK_HOLE within the data: the control block after them is no data. */
static int64_t seek_data(struct memfd_area *area, int64_t offset, int whence)
{
	int64_t size = (int64_t)area->size_bytes;

	if (offset < 0 || offset >= size)
		return -ENXIO;
	off_t found = lseek(area->fd, (off_t)offset, whence);
	if (found < 0)
		return -errno;
	if (found >= size)
		return whence == SEEK_DATA ? -ENXIO : size;
	return found;
}

static int64_t new_position(struct memfd_area *area, int64_t offset, int whence)
{
	int64_t base = 0, sum;

	switch (whence) {
	case SEEK_DATA:
	case SEEK_HOLE:
		return seek_data(area, offset, whence);
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = (int64_t)SHARED_LOAD(area->control.shared->position);
		break;
	case SEEK_END:
		base = (int64_t)area->size_bytes;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, offset, &sum) || sum < 0)
		return -EINVAL; /* as the driver, which has no EOVERFLOW */
	return sum;
}

static int64_t memfd_seek(void *state, int64_t offset, int whence)
{
	struct memfd_area *area = state;
	int r = descriptor_check(area->fd, &area->file);

	if (r < 0)
		return r;
	if (area->plain) {
		off_t position = lseek(area->fd, (off_t)offset, whence);
		return position < 0 ? -errno : position;
	}
	r = memfd_lock(area);
	if (r < 0)
		return r;
	int64_t position = new_position(area, offset, whence);
	if (position >= 0)
		SHARED_STORE(area->control.shared->position, (uint64_t)position);
	control_unlock(&area->control, 0);
	return position;
}

/* -- purging -- */

/* Whether the area has a range list that this process can purge from. */
static int is_purgeable(struct memfd_area *area)
{
	return memfd_look_again(area) && !area->plain && area->control.writable &&
		!SHARED_LOAD(area->control.shared->sealed);
}

static int has_done_enough(const struct memfd_area *area)
{
	return purge_has_done_enough(&area->purge, &area->control.list);
}

static uint64_t memfd_evictable(void *state)
{
	struct memfd_area *area = state;

	if (!is_purgeable(area))
		return 0;
	uint64_t pages = range_peek_evictable(&area->control.list);
	return pages < area->control.list.pages ? pages : area->control.list.pages;
}

/* Pages that are not purged, of a materialised area whose state can be changed here. */
static uint64_t memfd_present(void *state)
{
	struct memfd_area *area = state;
	uint64_t pages = pages_for(area->size_bytes);

	if (!memfd_look_again(area))
		return memfd_is_materialised(area) ? pages : 0;
	if (area->plain || !area->control.writable)
		return 0;
	return area->control.list.pages - range_peek_purged(&area->control.list);
}

/* With the control block's few, as long as nobody asks the file which those are. */
static uint64_t memfd_resident(void *state)
{
	struct memfd_area *area = state;
	struct stat status;

	if (!memfd_is_materialised(area))
		return 0;
	if (fstat(area->fd, &status) < 0)
		return UINT64_MAX;
	return (uint64_t)status.st_blocks * 512 / sys_page_size();
}

static int memfd_oldest(void *state, uint64_t *key)
{
	struct memfd_area *area = state;

	if (!is_purgeable(area) || has_done_enough(area))
		return 0;
	uint64_t oldest = purge_peek_oldest(&area->purge, &area->control.list);
	if (oldest == RANGE_NO_STAMP)
		return 0;
	*key = oldest;
	return 1;
}

static void memfd_begin_purge(void *state)
{
	struct memfd_area *area = state;

	if (is_purgeable(area))
		area->purge = (struct purge_progress){.work_done = 0};
}

static int64_t memfd_purge(void *state, uint64_t newest, uint64_t nr_pages)
{
	struct memfd_area *area = state;
	uint64_t freed = 0, unfinished = RANGE_NO_STAMP;
	const uint64_t *left_ns = context_patience();
	uint64_t begun_ns = stamp_now(&stamp_clock);
	uint64_t deadline_ns = begun_ns + (left_ns ? *left_ns : LOCK_TIMEOUT_NS);
	int r = 0;

	if (!is_purgeable(area))
		return 0;
	do {
		r = control_lock(&area->control);
		if (r < 0)
			break;
		/*
		 * A range that was begun is finished, also when enough is free; no other is begun
		 * then. So each hold after the first adds one notice at most.
		 */
		int is_begun = unfinished != RANGE_NO_STAMP;
		r = control_purge(&area->control, &area->purge, is_begun ? unfinished : newest,
			is_begun ? 1 : nr_pages, &freed, &unfinished);
		if (control_unlock(&area->control, r))
			sched_yield(); /* whoever waits comes before the next piece */
				       /*
		 * Nothing freed, but not at the end: the ranges that were passed over were too many
		 * for one go.
		 */
	} while (r > 0 && !has_done_enough(area) && context_room_for_notes() > 0 &&
		(unfinished != RANGE_NO_STAMP || (freed == 0 && sys_now_ns() < deadline_ns)));
	if (freed == 0)
		lock_use_patience(begun_ns);
	return r < 0 && freed == 0 ? r : (int64_t)freed;
}

/* -- inspection -- */

static int memfd_find_unpinned(void *state, uint64_t from, uint64_t *offset, uint64_t *length,
	uint32_t *range_state)
{
	struct memfd_area *area = state;
	struct control_map *control = &area->control;
	struct range range = {.pages = 0};

	if (area->plain)
		return 0;
	int r = memfd_lock(area);
	if (r < 0)
		return r;
	r = from >= control->data_bytes ? 0
					: range_find(control_list(control),
						  (uint32_t)(from >> control->page_shift), &range);
	control_unlock(control, r);
	if (r <= 0)
		return r;
	*offset = (uint64_t)range.start << control->page_shift;
	*length = (uint64_t)range.pages << control->page_shift;
	int evictable = range.live && !SHARED_LOAD(control->shared->sealed);
	*range_state = (range.flags & RANGE_PURGED ? ASHMEM_RANGE_PURGED : 0) |
		(evictable ? ASHMEM_RANGE_EVICTABLE : 0);
	return 1;
}

const struct ashmem_backend backend_memfd = {
	.struct_size = sizeof(struct ashmem_backend),
	.name = "memfd",
	.capabilities = ASHMEM_BACKEND_CAP_LRU | ASHMEM_BACKEND_CAP_INSPECT |
		ASHMEM_BACKEND_CAP_SEAL | ASHMEM_BACKEND_CAP_EXPORT | ASHMEM_BACKEND_CAP_HOLDS |
		ASHMEM_BACKEND_CAP_PRIORITIES | ASHMEM_BACKEND_CAP_LOST,
	.probe = memfd_probe,
	.create = memfd_create_area,
	.import = memfd_import,
	.close = memfd_close,
	.set_name = memfd_set_name,
	.get_name = memfd_get_name,
	.set_size = memfd_set_size,
	.get_size = memfd_get_size,
	.set_prot = memfd_set_prot,
	.get_prot = memfd_get_prot,
	.get_fd = memfd_get_fd,
	.map = memfd_map,
	.read = memfd_read,
	.pread = memfd_pread,
	.seek = memfd_seek,
	.pin = memfd_pin,
	.unpin = memfd_unpin,
	.get_pin_status = memfd_get_pin_status,
	.evictable = memfd_evictable,
	.oldest = memfd_oldest,
	.purge = memfd_purge,
	.find_unpinned = memfd_find_unpinned,
	.get_stats = memfd_get_stats,
	.seal = memfd_seal,
	.export_read_only = memfd_export_read_only,
	.begin_purge = memfd_begin_purge,
	.hold = memfd_hold,
	.release = memfd_release,
	.unpin_with = memfd_unpin_with,
	.pin_lost = memfd_pin_lost,
	.find = memfd_find,
	.fd_kind = memfd_fd_kind,
	.get_id = memfd_get_id,
	.export_early = memfd_export_early,
	.present = memfd_present,
	.resident = memfd_resident,
};
