/* SPDX-License-Identifier: MIT */
/*
 * The life of a memfd area: created, materialised, imported, shared with children, closed.
 *
 * An area without memory is a newborn: name, size and mask are kept in the process, and no
 * descriptor exists. Newborns that were there when the process forked have a *birth*, by which
 * parent and child share them (birth.h).
 *
 * One mutex guards the young and the table of materialised areas, which finds an area again when
 * its descriptor is imported. It comes before any control lock or birth lock.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/sys.h"
#include "memfd/area.h"
#include "memfd/birth.h"

/* A memfd's name holds 249 bytes, memfd_create(2). */
#define MEMFD_NAME_MAX 249
#define BUCKETS 256

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct memfd_area *young; /* the areas that are not established */
static struct memfd_area *buckets[BUCKETS];

static void young_link(struct memfd_area *area)
{
	area->young_prev = NULL;
	area->young_next = young;
	if (young)
		young->young_prev = area;
	young = area;
}

static void young_unlink(struct memfd_area *area)
{
	if (area->young_prev)
		area->young_prev->young_next = area->young_next;
	else if (young == area)
		young = area->young_next;
	if (area->young_next)
		area->young_next->young_prev = area->young_prev;
	area->young_prev = area->young_next = NULL;
}

/* What /proc/PID/maps shows behind "/memfd:". */
static int make_memfd(const struct memfd_area *area)
{
	char name[sizeof(ASHMEM_NAME_DEF) + ASHMEM_NAME_LEN];

	strcpy(name, ASHMEM_NAME_DEF);
	if (area->name[0]) {
		strcat(name, "/");
		strcat(name, area->name);
	}
	name[MEMFD_NAME_MAX] = '\0';
	return sys_memfd_create(name);
}

/* -- materialised areas -- */

static struct memfd_area **bucket_of(ino_t inode)
{
	return &buckets[(size_t)inode % BUCKETS];
}

/* From now on the area is established, and found by its descriptor. The mutex is held. */
static void publish(struct memfd_area *area, const struct stat *status)
{
	struct memfd_area **bucket = bucket_of(status->st_ino);

	area->device = status->st_dev;
	area->inode = status->st_ino;
	area->bucket_next = *bucket;
	*bucket = area;
	/* Release: pairs with the acquire in memfd_is_established() and memfd_is_materialised(). */
	__atomic_store_n(&area->established, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&area->materialised, 1, __ATOMIC_RELEASE);
}

static void bucket_unlink(struct memfd_area *area)
{
	struct memfd_area **link = bucket_of(area->inode);

	while (*link && *link != area)
		link = &(*link)->bucket_next;
	if (*link)
		*link = area->bucket_next;
}

/* The area whose descriptor this is, with one more reference, or NULL. The mutex is held. */
static struct memfd_area *find(int fd, const struct stat *status, int need_writable)
{
	for (struct memfd_area *area = *bucket_of(status->st_ino); area; area = area->bucket_next) {
		if (area->device != status->st_dev || area->inode != status->st_ino)
			continue;
		if (need_writable && !area->plain && !area->control.writable)
			continue;
		if (!area->plain && !control_is_same(&area->control, fd, status))
			continue;
		area->refs++;
		return area;
	}
	return NULL;
}

/* -- young -- */

int memfd_create_area(void *userdata, const char *name, uint64_t size_bytes, uint32_t flags,
	void **state)
{
	(void)userdata;
	if (size_bytes > control_max_size())
		return -EFBIG;
	int r = process_start();
	if (r < 0)
		return r;
	struct memfd_area *area = calloc(1, sizeof(*area));
	if (!area)
		return -ENOMEM;
	area->refs = 1;
	area->fd = area->read_only_fd = area->control.fd = area->lock_fd = -1;
	pthread_mutex_init(&area->keeping, NULL);
	area->size_bytes = size_bytes;
	area->prot = MEMFD_NEWBORN_PROT;
	area->allow_seal = (flags & ASHMEM_CREATE_ALLOW_SEAL) != 0;
	area->generation = lock_fork_generation();
	strcpy(area->name, name);

	pthread_mutex_lock(&mutex);
	young_link(area);
	pthread_mutex_unlock(&mutex);
	*state = area;
	return 0;
}

/*
 * Establish the area. The mutex is held. A child of a bare clone shares the memfd without our
 * knowing and may do the same at this moment: a record lock, which fork does not hand on, decides
 * who writes the control block; the other attaches to it.
 */
static int establish(struct memfd_area *area)
{
	struct stat status;

	if (fstat(area->fd, &status) < 0)
		return -errno;
	int r = sys_lock_file(area->fd);
	if (r < 0)
		return r;
	r = control_attach(&area->control, area->fd, &status);
	/* What a birth says of the size may be a peer's lie: the file is as it is. */
	if (r == CONTROL_NONE && (uint64_t)status.st_size != control_file_bytes(area->size_bytes))
		r = -EUCLEAN;
	if (r == CONTROL_NONE)
		r = control_make(&area->control, area->fd, area->size_bytes, area->prot,
			area->name);
	sys_unlock_file(area->fd);
	if (r < 0)
		return r;
	if (!area->materialised) /* else it is final, and others read it without the mutex */
		area->size_bytes = area->control.size_bytes;
	young_unlink(area);
	publish(area, &status);
	return 0;
}

/* memfd_newborn_begin() of one that has a birth. */
static int begin_shared(struct memfd_area *area)
{
	int r = birth_begin_work(area);

	if (r <= 0)
		return r;
	r = establish(area);
	if (r < 0)
		return r;
	birth_drop(area);
	return 1;
}

int memfd_newborn_begin(struct memfd_area *area)
{
	int r = 0;

	if (memfd_is_materialised(area))
		return 1;
	pthread_mutex_lock(&mutex);
	if (memfd_is_materialised(area))
		r = 1;
	else if (area->birth)
		r = begin_shared(area);
	else if (area->generation != lock_fork_generation())
		r = -ESTALE;
	if (r != 0)
		pthread_mutex_unlock(&mutex);
	return r;
}

void memfd_newborn_end(struct memfd_area *area)
{
	if (area->birth)
		birth_end_work(area);
	pthread_mutex_unlock(&mutex);
}

int memfd_open_read_only(int fd)
{
	int copy = sys_reopen_read_only(fd);

	/*
	 * Other users shall not reopen it for writing. Only the file's owner can do this, and could
	 * undo it.
	 */
	if (copy >= 0 && fchmod(fd, S_IRUSR | S_IRGRP | S_IROTH) < 0 && errno != EPERM) {
		int error = errno;
		close(copy);
		return -error;
	}
	return copy;
}

static int map_fd(int fd, struct memfd_mapping *mapping)
{
	void *addr;

	/* Other flags can mean an address or a size of pages. */
	if (mapping->flags == MAP_SHARED || mapping->flags == MAP_PRIVATE)
		addr = sys_map_file(mapping->length, mapping->prot, mapping->flags, fd,
			(off_t)mapping->offset);
	else
		addr = mmap(mapping->addr, mapping->length, mapping->prot, mapping->flags, fd,
			(off_t)mapping->offset);
	if (addr == MAP_FAILED)
		return -errno;
	mapping->addr = addr;
	return 0;
}

/*
 * Size the memfd, write its control block if `status` is not NULL, map it for who wants that, and
 * seal it: what can fail comes before what cannot be undone.
 */
static int size_map_seal(struct memfd_area *area, int fd, int map_from,
	struct memfd_mapping *mapping, struct stat *status)
{
	int r = control_reserve(fd, area->size_bytes);

	if (r == 0 && status && fstat(fd, status) < 0)
		r = -errno;
	if (r == 0 && status)
		r = control_make(&area->control, fd, area->size_bytes, area->prot, area->name);
	if (r == 0 && mapping)
		r = map_fd(map_from, mapping);
	if (r == 0 &&
		fcntl(fd, F_ADD_SEALS, MEMFD_SIZE_SEALS | (area->allow_seal ? 0 : F_SEAL_SEAL)) <
			0) {
		r = errno == EPERM ? -EUCLEAN : -errno; /* sealed by a peer, against us */
		if (mapping)
			munmap(mapping->addr, mapping->length);
	}
	if (r < 0)
		control_detach(&area->control);
	return r;
}

/*
 * Make the memory, and the state `with_state`; all or nothing, but that a file of a birth stays
 * sealed. The area is held as a newborn.
 */
static int bring_forth(struct memfd_area *area, struct memfd_mapping *mapping, int with_state)
{
	struct stat status = {.st_ino = 0};
	int fd = area->birth ? area->fd : make_memfd(area), read_only = -1, r = 0;

	if (fd < 0)
		return fd;
	/* One who shares the birth may have begun this and died: start from an empty file. */
	if (area->birth)
		r = sys_truncate(fd, 0);
	if (r == 0 && !(area->prot & PROT_WRITE))
		r = read_only = memfd_open_read_only(fd);
	if (r >= 0)
		r = size_map_seal(area, fd, read_only >= 0 ? read_only : fd, mapping,
			with_state && !area->birth ? &status : NULL);
	if (r < 0) {
		if (read_only >= 0)
			close(read_only);
		if (!area->birth)
			close(fd);
		return r;
	}
	area->fd = fd;
	area->read_only_fd = read_only;
	if (area->birth) {
		/*
		 * Not before it is sealed: who shares it could make it smaller under our hands. If
		 * this fails, the next call does it.
		 */
		r = establish(area);
		if (r < 0 && mapping)
			munmap(mapping->addr, mapping->length);
		return r;
	}
	if (with_state) {
		young_unlink(area);
		publish(area, &status);
	} else {
		__atomic_store_n(&area->materialised, 1, __ATOMIC_RELEASE);
	}
	return 0;
}

static int materialise(struct memfd_area *area, struct memfd_mapping *mapping, int with_state)
{
	int r = memfd_newborn_begin(area);

	if (r < 0)
		return r;
	if (r > 0) {
		r = mapping ? memfd_allowed_fd(area) : 0;
		return r < 0 || !mapping ? r : map_fd(r, mapping);
	}
	struct birth *birth = area->birth;
	r = bring_forth(area, mapping, with_state);
	if (birth)
		birth_leave(birth, r == 0);
	if (r == 0)
		birth_drop(area);
	pthread_mutex_unlock(&mutex);
	return r;
}

int memfd_materialise(struct memfd_area *area, struct memfd_mapping *mapping)
{
	return materialise(area, mapping, 0);
}

int memfd_make_ready(struct memfd_area *area)
{
	int r = materialise(area, NULL, 1);

	return r < 0 ? r : memfd_establish(area);
}

/* Somebody else has materialised the area: attach to it. The mutex is held. */
static void notice_birth(struct memfd_area *area)
{
	if (area->birth && birth_is_over(area->birth) && establish(area) == 0)
		birth_drop(area);
}

int memfd_look_at_birth(struct memfd_area *area)
{
	pthread_mutex_lock(&mutex);
	notice_birth(area);
	pthread_mutex_unlock(&mutex);
	return memfd_is_established(area);
}

int memfd_establish_now(struct memfd_area *area)
{
	int r = 0;

	pthread_mutex_lock(&mutex);
	if (!area->established)
		r = establish(area);
	pthread_mutex_unlock(&mutex);
	return r;
}

/* -- fork -- */

static void keeping_lock(struct memfd_area *area)
{
	pthread_mutex_lock(&area->keeping);
}

static void keeping_unlock(struct memfd_area *area)
{
	pthread_mutex_unlock(&area->keeping);
}

/* The mutex is held. */
static void for_each_established(void (*visit)(struct memfd_area *area))
{
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct memfd_area *area = buckets[i]; area; area = area->bucket_next)
			visit(area);
}

/* A child is about to come, which must share it. */
static void give_birth(struct memfd_area *area)
{
	int fd = make_memfd(area);

	if (fd >= 0)
		birth_give(area, fd);
}

void memfd_before_fork(void)
{
	struct memfd_area *next;

	pthread_mutex_lock(&mutex);
	/* If there is no memory for it, calls on that area answer -ESTALE in the child. */
	for (struct memfd_area *area = young; area; area = next) {
		next = area->young_next;
		if (area->materialised)
			establish(area);
		else if (!area->birth && area->generation == lock_fork_generation())
			give_birth(area);
	}
	for_each_established(keeping_lock);
}

void memfd_after_fork(void)
{
	for_each_established(keeping_unlock);
	pthread_mutex_unlock(&mutex);
}

void memfd_after_fork_in_child(void)
{
	/*
	 * The child shares the descriptions of its parent's locks, which must end with the parent.
	 */
	for_each_established(memfd_forget_locks);
}

int memfd_read_only_fd(struct memfd_area *area)
{
	int fd = __atomic_load_n(&area->read_only_fd, __ATOMIC_ACQUIRE);

	if (fd >= 0 || (memfd_is_established(area) && !area->plain && !area->control.writable))
		return fd >= 0 ? fd : area->fd;
	pthread_mutex_lock(&mutex);
	fd = area->read_only_fd;
	if (fd < 0) {
		fd = memfd_open_read_only(area->fd);
		if (fd == -ENOTSUP && sys_is_write_sealed(area->fd)) {
			pthread_mutex_unlock(&mutex);
			return area->fd; /* nobody can write through it either */
		}
		if (fd >= 0)
			__atomic_store_n(&area->read_only_fd, fd, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&mutex);
	return fd;
}

/* -- import and close -- */

static void dispose(struct memfd_area *area)
{
	memfd_forget_locks(area);
	pthread_mutex_destroy(&area->keeping);
	control_detach(&area->control);
	birth_drop(area);
	if (area->read_only_fd >= 0)
		close(area->read_only_fd);
	if (area->fd >= 0)
		close(area->fd);
	free(area);
}

/* A new area from a descriptor, not published. It takes the descriptor over if it succeeds. */
static int build(int fd, const struct stat *status, int writable, struct memfd_area **built)
{
	struct memfd_area *area = calloc(1, sizeof(*area));

	if (!area)
		return -ENOMEM;
	int r = control_attach(&area->control, fd, status);
	if (r == CONTROL_NONE && (uint64_t)status->st_size > control_max_size())
		r = -EFBIG;
	if (r < 0) {
		free(area);
		return r;
	}
	area->refs = 1;
	area->fd = fd;
	area->read_only_fd = area->lock_fd = -1;
	pthread_mutex_init(&area->keeping, NULL);
	area->plain = r == CONTROL_NONE;
	area->size_bytes = area->plain ? (uint64_t)status->st_size : area->control.size_bytes;
	area->prot = writable ? MEMFD_NEWBORN_PROT : MEMFD_NEWBORN_PROT & ~PROT_WRITE;
	*built = area;
	return 0;
}

/*
 * The area of a descriptor of our own: known already, or new. The descriptor is used up if it
 * succeeds.
 */
static int adopt(int fd, const struct stat *status, int writable, struct memfd_area **adopted)
{
	struct memfd_area *area, *built, *next;

	pthread_mutex_lock(&mutex);
	/* It may be one that we inherited before it had memory. */
	for (area = young; area; area = next) {
		next = area->young_next;
		notice_birth(area);
	}
	area = find(fd, status, writable);
	pthread_mutex_unlock(&mutex);
	if (!area) {
		int r = build(fd, status, writable, &built);
		if (r < 0)
			return r;
		/* Another thread may have imported the same area while this one attached to it. */
		pthread_mutex_lock(&mutex);
		area = find(fd, status, writable);
		if (!area)
			publish(built, status);
		pthread_mutex_unlock(&mutex);
		if (area)
			dispose(built);
		*adopted = area ? area : built;
		return 0;
	}
	close(fd);
	*adopted = area;
	return 0;
}

int memfd_import(void *userdata, int fd, void **state)
{
	struct memfd_area *area;
	struct stat status;
	int mode = fcntl(fd, F_GETFL), r = process_start();

	(void)userdata;
	if (r < 0)
		return r;
	if (mode < 0 || (mode & O_PATH) || (mode & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	/* fcntl(2): seals are for memfds and tmpfs files */
	if (fcntl(fd, F_GET_SEALS) < 0 || !sys_is_memfd(fd))
		return -ENOTTY;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	r = fstat(copy, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -ENOTTY;
	if (r < 0) {
		close(copy);
		return r;
	}
	r = adopt(copy, &status, (mode & O_ACCMODE) == O_RDWR && !sys_is_write_sealed(copy), &area);
	if (r < 0) {
		close(copy);
		return r;
	}
	*state = area;
	return 0;
}

void memfd_close(void *state)
{
	struct memfd_area *area = state;

	pthread_mutex_lock(&mutex);
	int last = --area->refs == 0;
	if (last && area->established)
		bucket_unlink(area);
	else if (last)
		young_unlink(area);
	pthread_mutex_unlock(&mutex);
	if (last)
		dispose(area);
}
