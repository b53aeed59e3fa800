/* SPDX-License-Identifier: MIT */
/*
 * Newborns whose descriptor is out already (early.h).
 *
 * The file has no seals yet, so a peer can resize it at any time: it is read and written by system
 * calls and never mapped. What is read is checked. The lock is a record lock, which a crash frees;
 * a thread that closes a duplicate of the descriptor frees it too, and then two processes may
 * change the record at once, no worse than a peer that takes no lock.
 *
 * Materialising, in this order, so that a crash loses nothing: the file gets its size; the control
 * block is written; the record, which lies where the first page of data will be, is freed; the
 * seals make it final. Between the last two the control block has what the record had.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pages.h"
#include "base/sys.h"
#include "base/wait.h"
#include "memfd/birth.h"
#include "memfd/early.h"
#include "memfd/file.h"
#include "memfd/table.h"

#define EARLY_VERSION 1

static const unsigned char magic[8] = {'a', 's', 'h', 'm', 'n', 'e', 'w', '\n'};

struct record {
	unsigned char magic[8];
	uint32_t version;
	uint32_t prot;
	uint32_t allow_seal;
	uint32_t unused;
	uint64_t size_bytes;
	char name[ASHMEM_NAME_LEN];
};

/* What a read or a write returned, as the library's calls have it. */
static int told(int64_t result)
{
	if (result == -EIO || result == -EPERM) /* a peer sealed it */
		return -EUCLEAN;
	return result == -ENOSPC ? -ENOMEM : (int)result;
}

int early_tell(struct memfd_area *area)
{
	struct record record = {
		.version = EARLY_VERSION,
		.prot = (uint32_t)area->prot,
		.allow_seal = (uint32_t)area->allow_seal,
		.size_bytes = area->size_bytes,
	};

	memcpy(record.magic, magic, sizeof(magic));
	memcpy(record.name, area->name, sizeof(record.name));
	return told(sys_write_at(area->fd, &record, sizeof(record), 0));
}

/* Take what a peer may have written. */
static int take(struct memfd_area *area, uint64_t prot, uint64_t size_bytes, const char *name)
{
	if ((prot & ~(uint64_t)MEMFD_NEWBORN_PROT) || size_bytes > control_max_size())
		return -EUCLEAN;
	area->prot = (int)prot;
	area->size_bytes = size_bytes;
	memcpy(area->name, name, sizeof(area->name));
	area->name[ASHMEM_NAME_LEN - 1] = '\0';
	return 0;
}

/* 1 if there is a record, 0 if not, or a negative errno. */
static int read_record(int fd, struct record *record)
{
	int64_t got = sys_read_at(fd, record, sizeof(*record), 0);

	if (got < 0)
		return told(got);
	return got == sizeof(*record) && memcmp(record->magic, magic, sizeof(magic)) == 0;
}

static int learn(struct memfd_area *area)
{
	struct record record;
	struct control control;
	int r = read_record(area->fd, &record);

	if (r > 0 && record.version != EARLY_VERSION)
		r = -EPROTO;
	else if (r > 0) {
		r = take(area, record.prot, record.size_bytes, record.name);
		if (r == 0)
			area->allow_seal = record.allow_seal != 0;
	} else if (r == 0) {
		/* A process died just before it would have sealed the file. */
		r = told(control_peek(area->fd, &control));
		if (r == 0)
			r = take(area, control.prot, control.id.size_bytes, control.name);
	}
	return r;
}

static int is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & MEMFD_SIZE_SEALS) == MEMFD_SIZE_SEALS;
}

int early_is_record(int fd)
{
	struct record record;

	return is_sealed(fd) ? 0 : read_record(fd, &record);
}

int early_make(struct memfd_area *area)
{
	int fd = memfd_file_create(area->name, &area->file);

	if (fd < 0)
		return fd;
	area->fd = fd;
	int r = early_tell(area);
	if (r == 0) {
		r = descriptor_duplicate(fd);
		r = r < 0 ? -errno : r;
	}
	if (r < 0) {
		area->fd = -1;
		close(fd);
		return r;
	}
	memfd_table_add_early(area);
	return r;
}

int early_begin_work(struct memfd_area *area)
{
	int r = wait_lock_file(area->fd);

	if (r < 0)
		return r;
	r = is_sealed(area->fd) ? 1 : learn(area);
	if (r != 0)
		sys_unlock_file(area->fd);
	return r;
}

void early_end_work(struct memfd_area *area)
{
	sys_unlock_file(area->fd);
}

int early_lay_out(struct memfd_area *area)
{
	/* What is left of a process that died half-way goes, but for the record. */
	int r = early_tell(area);

	if (r == 0)
		r = sys_truncate(area->fd, sizeof(struct record));
	if (r == 0)
		r = control_reserve(area->fd, area->size_bytes);
	if (r == 0)
		r = control_write(area->fd, area->size_bytes, area->prot, area->name);
	if (r == 0)
		r = sys_punch(area->fd, 0, sys_page_size());
	return told(r);
}

void early_take_back(struct memfd_area *area)
{
	early_tell(area);
	sys_truncate(area->fd, sizeof(struct record));
}

int early_is_whole(const struct memfd_area *area)
{
	struct stat status;

	return fstat(area->fd, &status) == 0 &&
		(uint64_t)status.st_size == control_file_bytes(area->size_bytes);
}

int early_is_over(const struct memfd_area *area)
{
	return is_sealed(area->fd);
}
