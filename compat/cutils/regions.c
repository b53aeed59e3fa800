/* SPDX-License-Identifier: MIT */
/*
 * The table of regions: which area a descriptor is of.
 *
 * The program closes its descriptors by close(2), of which nobody tells us, and the area's handle
 * must go then. So a region is kept by device and inode of its file, with the descriptor that it
 * was used through last. It is closed when that number no longer names the file. This is looked for
 * at each creation, a few regions in turn, and for all regions before a purge, by a shrinker that
 * counts nothing. A duplicate that is used afterwards imports the area again.
 *
 * Two entries of one file do no harm: another thread imported it too, or it came read-only at
 * first. The newest is found.
 *
 * Areas of the ashmem driver are in no table, since their descriptors all show the driver's node:
 * each call imports them, for a few system calls.
 *
 * `regions_mutex` guards everything here. No call of libashmem is made with it held, so it has no
 * place in the order of that library's locks. An entry with users is not closed.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "regions.h"

#define BUCKETS 256
/* Regions that each creation looks at: more than it adds, so that closed ones do not pile up. */
#define LOOKED_AT 8

struct region {
	uint64_t device, inode;
	struct ashmem_area *area;
	int fd; /* the one that it was used through last */
	int is_reader;
	unsigned users;
	struct region *next;
};

static pthread_mutex_t regions_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct region *buckets[BUCKETS];
static unsigned turn; /* the bucket to look at next */
static int is_ready;

/* -- closed regions -- */

static int is_closed(const struct region *region)
{
	struct stat status;

	return fstat(region->fd, &status) < 0 || status.st_dev != region->device ||
		status.st_ino != region->inode;
}

/* Take the closed regions out of the buckets whose turn it is, until so many were looked at. */
static struct region *take_closed(size_t most)
{
	struct region *closed = NULL;
	size_t looked_at = 0;

	for (unsigned i = 0; i < BUCKETS && looked_at < most; i++) {
		struct region **link = &buckets[turn++ % BUCKETS];
		while (*link) {
			struct region *region = *link;
			looked_at++;
			if (region->users > 0 || !is_closed(region)) {
				link = &region->next;
				continue;
			}
			*link = region->next;
			region->next = closed;
			closed = region;
		}
	}
	return closed;
}

static void sweep(size_t most)
{
	pthread_mutex_lock(&regions_mutex);
	struct region *closed = take_closed(most);
	pthread_mutex_unlock(&regions_mutex);
	while (closed) {
		struct region *next = closed->next;
		ashmem_close(closed->area);
		free(closed);
		closed = next;
	}
}

/* A shrinker: called before a purge. */
static uint64_t count_after_sweep(void *userdata)
{
	(void)userdata;
	sweep(SIZE_MAX);
	return 0;
}

static int64_t scan_nothing(void *userdata, uint64_t nr_to_scan)
{
	(void)userdata, (void)nr_to_scan;
	return ASHMEM_SHRINK_STOP;
}

/* -- fork -- */

static void lock(void)
{
	pthread_mutex_lock(&regions_mutex);
}

static void unlock(void)
{
	pthread_mutex_unlock(&regions_mutex);
}

/* The threads whose calls were at work are not in the child. */
static void unlock_in_child(void)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct region *region = buckets[i]; region; region = region->next)
			region->users = 0;
	unlock();
}

/* Before the first region: 0 or -ENOMEM. */
static int get_ready(void)
{
	const struct ashmem_shrinker_options options = {
		.struct_size = sizeof(options),
		.name = "closed regions",
		.count = count_after_sweep,
		.scan = scan_nothing,
	};
	static int has_handlers; /* guarded by the mutex, as is_ready */
	struct ashmem_shrinker *shrinker = NULL;
	int r = 0;

	lock();
	int was_ready = is_ready;
	is_ready = 1;
	if (!has_handlers && pthread_atfork(lock, unlock, unlock_in_child) == 0)
		has_handlers = 1;
	if (!has_handlers)
		r = -ENOMEM;
	unlock();
	if (r == 0 && !was_ready)
		r = ashmem_shrinker_register(&options, &shrinker);
	if (r < 0 && !was_ready) {
		lock();
		is_ready = 0;
		unlock();
	}
	return r;
}

/* -- the table -- */

static struct region **bucket_of(uint64_t inode)
{
	return &buckets[inode % BUCKETS];
}

/* Takes the area over, and closes it on failure; with a user. */
static int add(struct ashmem_area *area, int fd, int is_reader, struct region **added)
{
	struct region *region = malloc(sizeof(*region));
	uint64_t device, inode;
	int r = region ? ashmem_get_id(area, &device, &inode) : -ENOMEM;

	if (r < 0) {
		free(region);
		ashmem_close(area);
		return r;
	}
	*region = (struct region){.device = device,
		.inode = inode,
		.area = area,
		.fd = fd,
		.is_reader = is_reader,
		.users = 1};
	lock();
	struct region **bucket = bucket_of(inode);
	region->next = *bucket;
	*bucket = region;
	unlock();
	*added = region;
	return 0;
}

static struct region *find(int fd, const struct stat *status)
{
	lock();
	struct region *region = *bucket_of(status->st_ino);
	while (region && (region->inode != status->st_ino || region->device != status->st_dev))
		region = region->next;
	if (region) {
		region->fd = fd;
		region->users++;
	}
	unlock();
	return region;
}

static void leave(struct region *region)
{
	lock();
	region->users--;
	unlock();
}

static int allows_writing(int fd)
{
	int mode = fcntl(fd, F_GETFL);

	return mode >= 0 && (mode & O_ACCMODE) == O_RDWR;
}

/* A region that the process does not have, or has read-only. */
static int import(int fd, int is_driver, struct region_use *use)
{
	int kind = ashmem_fd_kind(fd);

	if (kind < 0)
		return kind;
	if (kind != ASHMEM_FD_AREA && kind != ASHMEM_FD_READ_ONLY)
		return -ENOTTY;
	int r = get_ready();
	if (r < 0)
		return r;
	r = ashmem_import(fd, &use->area);
	use->region = NULL;
	if (r < 0 || is_driver)
		return r;
	return add(use->area, fd, kind == ASHMEM_FD_READ_ONLY, &use->region);
}

int region_enter(int fd, struct region_use *use)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return errno == ENOMEM ? -ENOMEM : -EBADF;
	struct region *region = find(fd, &status);
	if (region && region->is_reader && allows_writing(fd)) {
		leave(region);
		region = NULL;
	}
	if (!region)
		return import(fd, S_ISCHR(status.st_mode), use);
	*use = (struct region_use){.area = region->area, .region = region};
	return 0;
}

void region_leave(const struct region_use *use)
{
	if (use->region)
		leave(use->region);
	else
		ashmem_close(use->area);
}

/* -- making -- */

int region_create(const char *name, uint64_t size_bytes, uint32_t flags)
{
	struct ashmem_area *area;
	struct region *region;
	uint64_t device, inode;
	int r = get_ready();

	if (r < 0)
		return r;
	sweep(LOOKED_AT);
	r = ashmem_create(name, size_bytes, flags, &area);
	if (r == -ENOTSUP && flags) /* the driver cannot seal */
		r = ashmem_create(name, size_bytes, 0, &area);
	if (r < 0)
		return r;
	int fd = ashmem_export(area);
	if (fd < 0 || ashmem_get_id(area, &device, &inode) == -ENOTSUP) {
		ashmem_close(area);
		return fd;
	}
	r = add(area, fd, 0, &region);
	if (r < 0) {
		close(fd);
		return r;
	}
	leave(region);
	return fd;
}

/* -- protection -- */

/* Put a read-only descriptor under the number. What can fail comes first. */
static int swap(int fd, struct ashmem_area *area, int prot)
{
	int flags = fcntl(fd, F_GETFD), read_only = ashmem_export_read_only(area);

	if (flags < 0 || read_only < 0)
		return flags < 0 ? -EBADF : read_only;
	int r = ashmem_set_prot(area, prot);
	while (r == 0 && dup3(read_only, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
		if (errno != EINTR && errno != EBUSY)
			r = -errno;
	close(read_only);
	return r;
}

static int restrict_to(int fd, const struct region_use *use, int prot)
{
	int mask = ashmem_get_prot(use->area);

	if (mask < 0)
		return mask;
	int drops_writing = (mask & PROT_WRITE) && !(prot & PROT_WRITE);
	if ((prot & ~mask) || !drops_writing || !use->region || use->region->is_reader)
		return ashmem_set_prot(use->area, prot);
	int r = ashmem_seal(use->area);
	if (r == -EPERM || r == -ENOTSUP) /* made without the flag; Linux before 5.1 */
		return swap(fd, use->area, prot);
	return r < 0 ? r : ashmem_set_prot(use->area, prot);
}

int region_set_prot(int fd, int prot)
{
	struct region_use use;
	int r = region_enter(fd, &use);

	if (r < 0)
		return r;
	r = restrict_to(fd, &use, prot);
	region_leave(&use);
	return r;
}
