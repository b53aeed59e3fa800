/* SPDX-License-Identifier: MIT */
/*
 * The control block: making it, attaching to it, its lock and its recovery. See control.h for the
 * layout.
 *
 * Recovery (control_lock, when the last owner died with the lock): the range list undoes or
 * finishes what was under way, then the pages that were being freed are freed again. Nobody can
 * have pinned them meanwhile, because the lock was not free. A second crash during recovery leaves
 * the lock marked again, and the next one starts over.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/shared.h"
#include "base/sys.h"
#include "memfd/control.h"

static const unsigned char magic[8] = {'a', 's', 'h', 'm', 'e', 'm', '\r', '\n'};
#define BYTE_ORDER_MARK 0x01020304u

static uint32_t page_shift(void)
{
	return (uint32_t)__builtin_ctzl((unsigned long)sys_page_size());
}

static uint64_t round_up_to_page(uint64_t bytes)
{
	uint64_t mask = sys_page_size() - 1;

	return (bytes + mask) & ~mask;
}

/* Bytes of a bitmap of lost pages outside of struct control. */
static uint64_t lost_bytes_for(uint64_t pages)
{
	return pages > CONTROL_LOST_INLINE ? round_up_to_page((pages + 63) / 64 * 8) : 0;
}

static uint64_t control_bytes_for(uint64_t data_bytes)
{
	uint64_t pages = data_bytes >> page_shift(), nodes = range_nodes_needed(pages);

	return lost_bytes_for(pages) +
		round_up_to_page((nodes + RANGE_JOURNAL_SLOTS) * RANGE_NODE_BYTES + CONTROL_BYTES);
}

uint64_t control_max_size(void)
{
	/* So that a count of pages fits 32 bits. */
	uint64_t pages = RANGE_MAX_PAGES;

	return pages << page_shift();
}

THREAD_LOCAL struct control_view control_view;

struct range_list *control_view_change(const struct control_map *map)
{
	struct range_list *list = &control_view.list;

	list->root = map->list.root;
	list->journal_top = map->list.journal_top;
	list->nodes_top = map->list.nodes_top;
	list->max_nodes = map->list.max_nodes;
	list->pages = map->list.pages;
	/* Acquire: pairs with give_hints(). */
	range_give_hints(list, __atomic_load_n(&map->list.hints, __ATOMIC_ACQUIRE));
	list->hints_asked = list->hints != NULL;
	list->fresh = 0;
	list->fetched = 0;
	list->lost = map->list.lost;
	list->freed_count = 0;
	list->path_low = list->path_high = 0;
	control_view.id = map->id;
	return list;
}

/* Map the control block of a file whose data take `data_bytes`. */
static int map_block(struct control_map *map, int fd, uint64_t size_bytes, int writable)
{
	static uint64_t mapped;
	uint64_t data_bytes = round_up_to_page(size_bytes), bytes = control_bytes_for(data_bytes);
	void *base;

	if (bytes > SIZE_MAX)
		return -ENOMEM;
	base = sys_map_file((size_t)bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ,
		MAP_SHARED, fd, (off_t)data_bytes);
	/*
	 * Before Linux 6.7 nobody can map a write-sealed file as shared; it does not change, so
	 * private is the same.
	 */
	if (base == MAP_FAILED && errno == EPERM && !writable)
		base = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, (off_t)data_bytes);
	if (base == MAP_FAILED) /* also for want of locked memory, or of the system's files */
		return errno == EAGAIN || errno == ENFILE ? -ENOMEM : -errno;

	unsigned char *control = (unsigned char *)base + bytes - CONTROL_BYTES;
	*map = (struct control_map){
		.shared = (struct control *)control,
		.id = __atomic_add_fetch(&mapped, 1, __ATOMIC_RELAXED),
		.base = base,
		.bytes = (size_t)bytes,
		.size_bytes = size_bytes,
		.data_bytes = data_bytes,
		.page_shift = page_shift(),
		.writable = writable,
		.fd = fd,
	};
	map->list = (struct range_list){
		.root = &map->shared->ranges,
		.journal_top = control,
		.nodes_top = control - RANGE_JOURNAL_SLOTS * RANGE_NODE_BYTES,
		.max_nodes = (uint32_t)range_nodes_needed(data_bytes >> map->page_shift),
		.pages = (uint32_t)(data_bytes >> map->page_shift),
	};
	map->lost = map->list.pages > CONTROL_LOST_INLINE ? base : map->shared->lost;
	map->list.lost = map->lost;
	return 0;
}

uint64_t control_file_bytes(uint64_t size_bytes)
{
	uint64_t data_bytes = round_up_to_page(size_bytes);

	return data_bytes + control_bytes_for(data_bytes);
}

int control_reserve(int fd, uint64_t size_bytes)
{
	return sys_truncate(fd, control_file_bytes(size_bytes));
}

int control_make(struct control_map *map, int fd, uint64_t size_bytes, int prot, const char *name)
{
	static uint32_t made;
	int r = map_block(map, fd, size_bytes, 1);

	if (r < 0)
		return r;
	struct control *control = map->shared;
	strcpy(control->name, name);
	control->prot = (uint32_t)prot;
	control->has_readers = !(prot & PROT_WRITE); /* what is handed out can only read */
	control->id = (struct control_id){
		.size_bytes = size_bytes,
		.serial = {sys_now_ns(),
			(uint64_t)getpid() << 32 | __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED)},
		.page_size = (uint32_t)sys_page_size(),
		.version = CONTROL_VERSION,
		.byte_order = BYTE_ORDER_MARK,
		.control_pages = (uint32_t)(map->bytes >> map->page_shift),
	};
	CRASH_BARRIER(); /* what has the magic is complete */
	memcpy(control->id.magic, magic, sizeof(magic));
	memcpy(map->serial, control->id.serial, sizeof(map->serial));
	return 0;
}

/* Read and check the trailer. */
static int read_id(struct control_id *id, int fd, const struct stat *status)
{
	if (status->st_size < CONTROL_BYTES)
		return CONTROL_NONE;
	int64_t got = sys_read_at(fd, id, sizeof(*id), (uint64_t)status->st_size - sizeof(*id));
	if (got < 0)
		return got == -EIO ? -EUCLEAN : (int)got;
	if (got != (int64_t)sizeof(*id) || memcmp(id->magic, magic, sizeof(magic)) != 0)
		return CONTROL_NONE;

	/*
	 * The library makes none; pages of theirs that are missing can be denied, and touching them
	 * would be SIGBUS.
	 */
	if (sys_is_huge(fd))
		return -EPROTO;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
		return -EPERM;
	if (id->version != CONTROL_VERSION || id->byte_order != BYTE_ORDER_MARK ||
		id->page_size != sys_page_size())
		return -EPROTO;
	if (id->size_bytes == 0 || id->size_bytes > control_max_size())
		return -EUCLEAN;
	uint64_t data_bytes = round_up_to_page(id->size_bytes);
	if (data_bytes + control_bytes_for(data_bytes) != (uint64_t)status->st_size)
		return -EUCLEAN;
	/*
	 * Until it was sealed, its maker could resize it behind our back; a mapping of what is gone
	 * would fault.
	 */
	struct stat sealed;
	if (fstat(fd, &sealed) < 0)
		return -errno;
	return sealed.st_size == status->st_size ? 0 : -EUCLEAN;
}

int control_is_same(const struct control_map *map, int fd, const struct stat *status)
{
	struct control_id id;

	return read_id(&id, fd, status) == 0 && id.serial[0] == map->serial[0] &&
		id.serial[1] == map->serial[1];
}

int control_attach(struct control_map *map, int fd, const struct stat *status)
{
	struct control_id id = {.version = 0};
	int flags = fcntl(fd, F_GETFL);
	int r = flags < 0 ? -errno : read_id(&id, fd, status);

	if (r != 0)
		return r;
	int writable = (flags & O_ACCMODE) == O_RDWR && !sys_is_write_sealed(fd);
	r = map_block(map, fd, id.size_bytes, writable);
	if (r < 0)
		return r;
	memcpy(map->serial, id.serial, sizeof(map->serial));
	if (SHARED_LOAD(map->shared->prot) > (PROT_READ | PROT_WRITE | PROT_EXEC))
		r = -EUCLEAN;
	if (r == 0 && writable) {
		r = control_lock(map);
		if (r == 0) {
			r = range_validate(control_list(map));
			control_unlock(map, 0);
		}
	}
	if (r < 0)
		control_detach(map);
	return r;
}

void control_detach(struct control_map *map)
{
	if (map->base)
		munmap(map->base, map->bytes);
	if (map->list.hints)
		munmap(map->list.hints, sizeof(*map->list.hints));
	*map = (struct control_map){.fd = -1};
}

/* -- care of large lists: what makes them faster, and nothing else -- */

static void give_hints(struct control_map *map)
{
	struct range_hints *hints = mmap(NULL, sizeof(*hints), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct range_hints *none = NULL;

	if (hints == MAP_FAILED)
		hints = NULL;
	/*
	 * Another thread may have been faster. Acquire and release: who sees them sees them zeroed.
	 */
	if (hints &&
		!__atomic_compare_exchange_n(&map->list.hints, &none, hints, 0, __ATOMIC_ACQ_REL,
			__ATOMIC_ACQUIRE)) {
		munmap(hints, sizeof(*hints));
		hints = none;
	}
	range_give_hints(control_list(map), hints);
}

/*
 * A node came into use. If it is the first below memory the size of a huge page, all of that is
 * full of nodes, and the kernel is asked to put them into a huge page: a random access to a list
 * larger than the cache then needs no walk of the page tables. Areas with fewer ranges take no more
 * memory than before.
 */
static void join_full_pages(struct control_map *map, uint32_t node)
{
	uintptr_t huge = sys_huge_bytes();
	unsigned char *full = map->list.nodes_top - (uintptr_t)RANGE_NODE_BYTES * node;

	if ((uintptr_t)full % huge != 0 || (uintptr_t)(map->list.nodes_top - full) < huge ||
		__atomic_load_n(&map->no_huge, __ATOMIC_RELAXED))
		return;
	if (sys_collapse(full, huge) == -EINVAL)
		__atomic_store_n(&map->no_huge, 1, __ATOMIC_RELAXED);
}

void control_care(struct control_map *map)
{
	struct range_list *list = control_list(map);
	uint32_t fresh = list->fresh;

	list->fresh = 0;
	if (!list->hints_asked)
		give_hints(map);
	if (fresh > 0 && fresh <= list->max_nodes)
		join_full_pages(map, fresh - 1);
}

/* -- lock and recovery -- */

/*
 * The kernel refused to free pages that the dead one had noted: what was marked for it counts as
 * live again, up to all of its range, and is purged another time. Giving up the recovery instead
 * would leave the note behind for a later one, when the pages may be pinned.
 */
static int put_back(struct control_map *map, uint64_t start, uint64_t end)
{
	struct range range;
	int r;

	SHARED_STORE(map->shared->cursor_done, 0);
	while (start < end && (r = range_find(control_list(map), (uint32_t)start, &range)) != 0) {
		uint64_t range_end = (uint64_t)range.start + range.pages;
		if (r < 0 || range_end <= start)
			return -EUCLEAN;
		uint64_t from = range.start > start ? range.start : start;
		uint64_t to = range_end < end ? range_end : end;
		if (from >= to)
			break;
		uint64_t live = range.live + (to - from);
		if (range.flags & RANGE_PURGED)
			r = range_set_live(control_list(map), range.start,
				live < range.pages ? (uint32_t)live : range.pages);
		if (r < 0)
			return r;
		start = range_end;
	}
	return 0;
}

/* Free pages of the area, which are lost then; `start` and `pages` may be nonsense. */
static int punch(struct control_map *map, uint64_t start, uint64_t pages)
{
	if (start + pages > map->list.pages || pages == 0)
		return -EUCLEAN;
	/*
	 * The dead one may have freed them; if not, and if we cannot, they are called lost and are
	 * not.
	 */
	control_set_lost(map, (uint32_t)start, (uint32_t)(start + pages - 1));
	if (sys_punch(map->fd, start << map->page_shift, pages << map->page_shift) == 0)
		return 0;
	return put_back(map, start, start + pages);
}

void control_say_sealed(struct control_map *map)
{
	uint32_t prot = SHARED_LOAD(map->shared->prot);
	SHARED_STORE(map->shared->prot, prot & ~(uint32_t)PROT_WRITE);
	SHARED_STORE(map->shared->sealed, 1);
}

int control_notice_seals(struct control_map *map)
{
	if (!sys_is_write_sealed(map->fd))
		return 0;
	control_say_sealed(map);
	return 1;
}

/*
 * Recovery writes to every node that was ever handed out. They take memory already; if somebody
 * says that there are more, it must not be us who makes the rest of them come into being.
 */
static int check_nodes(const struct control_map *map)
{
	uint64_t bytes = (uint64_t)SHARED_LOAD(map->shared->ranges.nodes_used) * RANGE_NODE_BYTES;
	struct stat status;

	/*
	 * A recovery answers with -EUCLEAN or succeeds: given up for a passing reason, it would
	 * leave its notes to a later one.
	 */
	if (fstat(map->fd, &status) < 0)
		return 0;
	return bytes <= (uint64_t)status.st_blocks * 512 + 2 * sys_page_size() ? 0 : -EUCLEAN;
}

static int recover(struct control_map *map)
{
	struct control *control = map->shared;
	uint32_t count = SHARED_LOAD(control->purge_count);
	int r = check_nodes(map);

	if (r == 0)
		r = range_recover(control_list(map));
	if (r == 0 && count > CONTROL_PURGE_SLOTS)
		r = -EUCLEAN;
	for (uint32_t i = 0; r == 0 && i < count; i++)
		r = punch(map, SHARED_LOAD(control->purge[i].start),
			SHARED_LOAD(control->purge[i].pages));
	if (r == 0)
		r = control_sweep_lost(map);
	if (r < 0)
		return r;
	/* The dead one's locks against readers stay if others have duplicates of its descriptor. */
	if (SHARED_LOAD(control->has_readers))
		sys_lock_range(map->fd, SYS_LOCK_NONE, 0, map->data_bytes);
	control_notice_seals(map); /* the dead one may have come no further */
	SHARED_STORE(control->purge_count, 0);
	control->recoveries++;
	return 0;
}

int control_lock_slowly(struct control_map *map, int held)
{
	int r = held ? LOCK_ACQUIRED
		     : lock_acquire_slowly(&map->shared->lock, lock_current_thread());

	if (r < 0) {
		__atomic_fetch_add(&map->shared->lock_timeouts, 1, __ATOMIC_RELAXED);
		return r;
	}
	control_announce(map->shared);
	if (!held && r == LOCK_ACQUIRED)
		map->shared->lock_waits++;
	if (r == LOCK_OWNER_DIED)
		r = recover(map);
	if (r == 0 && SHARED_LOAD(map->shared->damaged))
		r = -EUCLEAN;
	if (r < 0)
		control_unlock(map, r);
	return r;
}
