/* SPDX-License-Identifier: MIT */
/*
 * The control block: its layout in the file, making it, attaching to it. control.h has the picture.
 *
 * A peer may have written everything that is read here: control_attach() checks what is used as an
 * index or a length, and keeps copies of what does not change. The lock is taken only to
 * validate what is attached to.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/map_aligned.h"
#include "base/pages.h"
#include "base/shared.h"
#include "base/sys.h"
#include "memfd/control.h"

static const unsigned char magic[8] = {'a', 's', 'h', 'm', 'e', 'm', '\r', '\n'};
#define BYTE_ORDER_MARK 0x01020304u

static uint32_t page_shift(void)
{
	return (uint32_t)__builtin_ctzl((unsigned long)sys_page_size());
}

/* Bytes of a bitmap of lost pages outside of struct control. */
static uint64_t lost_bytes_for(uint64_t pages)
{
	return pages > CONTROL_LOST_INLINE ? pages_round_up((pages + 63) / 64 * 8) : 0;
}

static uint64_t control_bytes_for(uint64_t data_bytes)
{
	uint64_t pages = data_bytes >> page_shift(), nodes = range_nodes_needed(pages);

	return lost_bytes_for(pages) +
		pages_round_up((nodes + RANGE_JOURNAL_SLOTS) * RANGE_NODE_BYTES + CONTROL_BYTES);
}

uint64_t control_max_size(void)
{
	/* So that a count of pages fits 32 bits. */
	uint64_t pages = RANGE_MAX_PAGES;

	return pages << page_shift();
}

/* Map the control block of a file whose data take `size_bytes`. */
static int map_block(struct control_map *map, int fd, const struct descriptor_file *file,
	uint64_t size_bytes, int writable)
{
	static uint64_t mapped;
	uint64_t data_bytes = pages_round_up(size_bytes), bytes = control_bytes_for(data_bytes);
	void *base;

	if (bytes > SIZE_MAX)
		return -ENOMEM;
	base = map_aligned((size_t)bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
		fd, (off_t)data_bytes);
	/*
	 * Before Linux 6.7 nobody can map a write-sealed file as shared; it does not change, so
	 * private is the same.
	 */
	if (base == MAP_FAILED && errno == EPERM && !writable)
		base = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, (off_t)data_bytes);
	if (base == MAP_FAILED) /* EAGAIN: locked memory, ENFILE: the system's files */
		return errno == EAGAIN || errno == ENFILE ? -ENOMEM : -errno;
	/* Reading a hole allocates it, and a core dump reads all of a shared mapping. */
	madvise(base, (size_t)bytes, MADV_DONTDUMP);

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
		.file = *file,
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
	uint64_t data_bytes = pages_round_up(size_bytes);

	return data_bytes + control_bytes_for(data_bytes);
}

int control_reserve(int fd, uint64_t size_bytes)
{
	return sys_truncate(fd, control_file_bytes(size_bytes));
}

/*
 * Have the two pages that every state touches, that of struct control and that of the first node.
 * Under strict overcommit there may be none left, and then to touch them would raise SIGBUS. What a
 * list needs as it grows is not had in advance.
 */
static int allocate_first(int fd, uint64_t size_bytes)
{
	uint64_t page = sys_page_size(), end = control_file_bytes(size_bytes);
	uint64_t node =
		end - CONTROL_BYTES - (RANGE_JOURNAL_SLOTS + 1) * (uint64_t)RANGE_NODE_BYTES;
	int r = sys_allocate(fd, end - page, page);

	return r < 0 ? r : sys_allocate(fd, node - node % page, page);
}

/* A new control block, all zeroes before, but for its magic. */
static void fill(struct control *control, uint64_t size_bytes, int prot, const char *name)
{
	static uint32_t made;
	uint64_t bytes = control_bytes_for(pages_round_up(size_bytes));

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
		.control_pages = (uint32_t)(bytes >> page_shift()),
	};
}

int control_make(struct control_map *map, int fd, uint64_t size_bytes, int prot, const char *name)
{
	struct descriptor_file file;
	int r = descriptor_learn(fd, &file);

	if (r == 0)
		r = allocate_first(fd, size_bytes);
	if (r == 0)
		r = map_block(map, fd, &file, size_bytes, 1);
	if (r < 0)
		return r;
	struct control *control = map->shared;
	fill(control, size_bytes, prot, name);
	CRASH_BARRIER(); /* what has the magic is complete */
	memcpy(control->id.magic, magic, sizeof(magic));
	memcpy(map->serial, control->id.serial, sizeof(map->serial));
	return 0;
}

int control_write(int fd, uint64_t size_bytes, int prot, const char *name)
{
	struct control control = {.lock = 0};

	fill(&control, size_bytes, prot, name);
	memcpy(control.id.magic, magic, sizeof(magic));
	return sys_write_at(fd, &control, sizeof(control),
		control_file_bytes(size_bytes) - sizeof(control));
}

int control_peek(int fd, struct control *control)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size < CONTROL_BYTES)
		return -EUCLEAN;
	int64_t got = sys_read_at(fd, control, sizeof(*control),
		(uint64_t)status.st_size - sizeof(*control));
	if (got < 0)
		return (int)got;
	return got == sizeof(*control) && memcmp(control->id.magic, magic, sizeof(magic)) == 0
		? 0
		: -EUCLEAN;
}

/* Read the end of the file, where the trailer is: 0, CONTROL_NONE, or a negative errno. */
static int read_end(void *end, size_t size, int fd, const struct stat *status)
{
	if (status->st_size < CONTROL_BYTES)
		return CONTROL_NONE;
	int64_t got = sys_read_at(fd, end, size, (uint64_t)status->st_size - size);
	if (got < 0)
		return got == -EIO ? -EUCLEAN : (int)got;
	return got == (int64_t)size ? 0 : CONTROL_NONE;
}

/* Check a trailer: 0, CONTROL_NONE, or a negative errno. */
static int check_id(const struct control_id *id, int fd, const struct stat *status)
{
	if (memcmp(id->magic, magic, sizeof(magic)) != 0)
		return CONTROL_NONE;

	/* The library makes none; a missing huge page can be refused, and touching it is SIGBUS. */
	if (sys_is_huge(fd, status))
		return -EPROTO;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
		return -EPERM;
	if (id->version != CONTROL_VERSION || id->byte_order != BYTE_ORDER_MARK ||
		id->page_size != sys_page_size())
		return -EPROTO;
	if (id->size_bytes == 0 || id->size_bytes > control_max_size())
		return -EUCLEAN;
	uint64_t data_bytes = pages_round_up(id->size_bytes);
	if (data_bytes + control_bytes_for(data_bytes) != (uint64_t)status->st_size)
		return -EUCLEAN;
	/*
	 * Until it was sealed, its maker could resize it unnoticed; a mapping beyond the end would
	 * fault.
	 */
	struct stat sealed;
	if (fstat(fd, &sealed) < 0)
		return -errno;
	return sealed.st_size == status->st_size ? 0 : -EUCLEAN;
}

/* Read and check the trailer: 0, CONTROL_NONE, or a negative errno. */
static int read_id(struct control_id *id, int fd, const struct stat *status)
{
	int r = read_end(id, sizeof(*id), fd, status);

	return r == 0 ? check_id(id, fd, status) : r;
}

int control_read_serial(int fd, uint64_t serial[2])
{
	struct control_id id;
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || status.st_size < CONTROL_BYTES)
		return -ENOTSUP;
	int64_t got = sys_read_at(fd, &id, sizeof(id), (uint64_t)status.st_size - sizeof(id));
	if (got < 0)
		return (int)got;
	if (got != (int64_t)sizeof(id) || memcmp(id.magic, magic, sizeof(magic)) != 0)
		return -ENOTSUP;
	memcpy(serial, id.serial, sizeof(id.serial));
	return 0;
}

int control_is_same(const struct control_map *map, int fd, const struct stat *status)
{
	struct control_id id;

	return read_id(&id, fd, status) == 0 && id.serial[0] == map->serial[0] &&
		id.serial[1] == map->serial[1];
}

int control_is_there(int fd, const struct stat *status)
{
	struct control_id id;
	int r = read_id(&id, fd, status);

	return r == CONTROL_NONE ? 0 : r == 0 ? 1 : r;
}

int control_read_end(struct control *control, int fd, const struct stat *status,
	uint64_t *data_bytes)
{
	int r = read_end(control, sizeof(*control), fd, status);

	if (r == 0)
		r = check_id(&control->id, fd, status);
	if (r == 0)
		*data_bytes = pages_round_up(control->id.size_bytes);
	return r;
}

int control_attach_unchecked(struct control_map *map, int fd, const struct stat *status)
{
	struct control_id id = {.version = 0};
	int flags = fcntl(fd, F_GETFL);
	int r = flags < 0 ? -errno : read_id(&id, fd, status);

	if (r != 0)
		return r;
	int writable = (flags & O_ACCMODE) == O_RDWR && !sys_is_write_sealed(fd);
	const struct descriptor_file file = descriptor_file_of(status);
	r = map_block(map, fd, &file, id.size_bytes, writable);
	if (r < 0)
		return r;
	memcpy(map->serial, id.serial, sizeof(map->serial));
	if (SHARED_LOAD(map->shared->prot) > (PROT_READ | PROT_WRITE | PROT_EXEC))
		r = -EUCLEAN;
	if (r < 0)
		control_detach(map);
	return r;
}

int control_attach(struct control_map *map, int fd, const struct stat *status)
{
	int r = control_attach_unchecked(map, fd, status);

	if (r == 0 && map->writable) {
		r = control_lock(map);
		if (r == 0) {
			r = range_validate(control_list(map));
			control_unlock(map, 0);
		}
		if (r < 0)
			control_detach(map);
	}
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
