/* SPDX-License-Identifier: MIT */
/*
 * The life of a memfd area: newborn, materialised, established, closed (area.h); and what a fork
 * does to it.
 *
 * A newborn has no memory: name, size and mask are kept in the process, and no descriptor exists.
 * When the process forks, its newborns get a *birth*, by which parent and child share them
 * (birth.h).
 *
 * The table's mutex (table.h) is taken here, and is held in static functions where they say so.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/descriptor.h"
#include "base/fork.h"
#include "base/lock.h"
#include "base/sys.h"
#include "base/wait.h"
#include "memfd/area.h"
#include "memfd/birth.h"
#include "memfd/early.h"
#include "memfd/file.h"
#include "memfd/table.h"

/* -- newborn -- */

static struct memfd_area *new_area(void)
{
	struct memfd_area *area = calloc(1, sizeof(*area));

	if (!area)
		return NULL;
	area->refs = 1;
	area->fd = area->read_only_fd = area->control.fd = area->lock_fd = -1;
	pthread_mutex_init(&area->file_locks_mutex, NULL);
	area->prot = MEMFD_NEWBORN_PROT;
	area->generation = lock_fork_generation();
	return area;
}

int memfd_create_area(void *userdata, const char *name, uint64_t size_bytes, uint32_t flags,
	void **state)
{
	(void)userdata;
	if (size_bytes > control_max_size())
		return -EFBIG;
	int r = process_start();
	if (r < 0)
		return r;
	struct memfd_area *area = new_area();
	if (!area)
		return -ENOMEM;
	area->size_bytes = size_bytes;
	area->allow_seal = (flags & ASHMEM_CREATE_ALLOW_SEAL) != 0;
	strcpy(area->name, name);

	memfd_table_lock();
	memfd_table_add_newborn(area);
	memfd_table_unlock();
	*state = area;
	return 0;
}

/*
 * Establish the area. The mutex is held. A child of a bare clone shares the memfd unknown to us and
 * may do the same at this moment: a record lock, which a child does not inherit, decides which of
 * the two writes the control block; the other attaches to it.
 */
static int establish(struct memfd_area *area)
{
	struct stat status;

	if (fstat(area->fd, &status) < 0)
		return -errno;
	if (!descriptor_is_file(&status, &area->file))
		return -EBADF;
	int r = wait_lock_file(area->fd);
	if (r < 0)
		return r;
	r = control_attach(&area->control, area->fd, &status);
	/* A peer may have written a false size into the birth; the file's is true. */
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
	memfd_table_publish(area);
	return 0;
}

/* Whether other processes can have the newborn too. */
static int is_shared(const struct memfd_area *area)
{
	return area->birth || area->early;
}

/* memfd_newborn_begin() of one that is shared. */
static int begin_shared(struct memfd_area *area)
{
	int r = descriptor_check(area->fd, &area->file);

	if (r == 0)
		r = area->early ? early_begin_work(area) : birth_begin_work(area);
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
	memfd_table_lock();
	if (memfd_is_materialised(area))
		r = 1;
	else if (is_shared(area))
		r = begin_shared(area);
	else if (area->generation != lock_fork_generation())
		r = -ESTALE;
	if (r != 0)
		memfd_table_unlock();
	return r;
}

void memfd_newborn_end(struct memfd_area *area)
{
	if (area->birth)
		birth_end_work(area);
	if (area->early && !area->materialised)
		early_end_work(area);
	memfd_table_unlock();
}

int memfd_newborn_keep(struct memfd_area *area)
{
	int r = area->early ? early_tell(area) : 0;

	memfd_newborn_end(area);
	return r;
}

/*
 * Size the memfd, write its control block if `with_state`, make the mapping if there is one, and
 * seal it: what can fail comes before what cannot be undone.
 */
static int size_map_seal(struct memfd_area *area, int fd, int map_from,
	struct memfd_mapping *mapping, int with_state)
{
	int r = area->early ? early_lay_out(area) : control_reserve(fd, area->size_bytes);

	if (r == 0 && with_state)
		r = control_make(&area->control, fd, area->size_bytes, area->prot, area->name);
	if (r == 0 && mapping)
		r = memfd_file_map(map_from, mapping);
	if (r == 0 &&
		fcntl(fd, F_ADD_SEALS, MEMFD_SIZE_SEALS | (area->allow_seal ? 0 : F_SEAL_SEAL)) <
			0) {
		r = errno == EPERM ? -EUCLEAN : -errno; /* sealed by a peer, against us */
		if (mapping)
			munmap(mapping->addr, mapping->length);
	}
	if (r < 0)
		control_detach(&area->control);
	if (r < 0 && area->early)
		early_take_back(area);
	return r;
}

/*
 * Make a newborn's memory, and its state if `with_state`: all or nothing, except that the file of a
 * shared one stays sealed. memfd_newborn_begin() has returned 0.
 */
static int make_memory(struct memfd_area *area, struct memfd_mapping *mapping, int with_state)
{
	struct descriptor_file file = area->file;
	int fd = is_shared(area) ? area->fd : memfd_file_create(area->name, &file);
	int read_only = -1, r = 0;

	if (fd < 0)
		return fd;
	/* A process that shares the birth may have died half-way: start from an empty file. */
	if (area->birth)
		r = sys_truncate(fd, 0);
	if (r == 0 && !(area->prot & PROT_WRITE))
		r = read_only = memfd_file_open_read_only(fd, &file);
	if (mapping)
		memfd_file_suit_mask(mapping, area->prot);
	if (r >= 0)
		r = size_map_seal(area, fd, read_only >= 0 ? read_only : fd, mapping,
			with_state && !is_shared(area));
	if (r < 0) {
		if (read_only >= 0)
			close(read_only);
		if (!is_shared(area))
			close(fd);
		return r;
	}
	area->fd = fd;
	area->file = file;
	area->read_only_fd = read_only;
	if (is_shared(area)) {
		/*
		 * Not before it is sealed: until then a process that shares it could shrink it. If
		 * this fails, the next call does it.
		 */
		r = establish(area);
		if (r == 0 || !area->early || !early_is_whole(area)) {
			if (r < 0 && mapping)
				munmap(mapping->addr, mapping->length);
			return r;
		}
	}
	if (with_state && !area->early)
		memfd_table_publish(area);
	else
		__atomic_store_n(&area->materialised, 1, __ATOMIC_RELEASE);
	return 0;
}

static int materialise(struct memfd_area *area, struct memfd_mapping *mapping, int with_state)
{
	int r = memfd_newborn_begin(area);

	if (r != 0)
		return r;
	struct birth *birth = area->birth;
	r = make_memory(area, mapping, with_state);
	if (birth)
		birth_leave(birth, r == 0);
	if (area->early)
		early_end_work(area);
	if (r == 0)
		birth_drop(area);
	memfd_table_unlock();
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

/* Attach to the area if another process that shares it has materialised it. The mutex is held. */
static void notice_birth(struct memfd_area *area)
{
	int is_over = area->birth ? birth_is_over(area->birth) : area->early && early_is_over(area);

	if (is_over && establish(area) == 0)
		birth_drop(area);
}

int memfd_look_at_birth(struct memfd_area *area)
{
	memfd_table_lock();
	notice_birth(area);
	memfd_table_unlock();
	return memfd_is_established(area);
}

int memfd_establish_now(struct memfd_area *area)
{
	CANCEL_OFF;
	int r = 0;

	memfd_table_lock();
	if (!area->established)
		r = establish(area);
	memfd_table_unlock();
	return r;
}

void memfd_forget_locks(struct memfd_area *area)
{
	file_locks_drop(&area->file_locks);
	if (area->lock_fd >= 0 && area->lock_fd != area->fd)
		descriptor_close(area->lock_fd, &area->file);
	area->lock_fd = -1;
	area->locks_left = 0;
}

/* -- fork -- */

static void lock_file_locks(struct memfd_area *area)
{
	pthread_mutex_lock(&area->file_locks_mutex);
}

static void unlock_file_locks(struct memfd_area *area)
{
	pthread_mutex_unlock(&area->file_locks_mutex);
}

/* A child will share the area. Without memory for that, calls on it return -ESTALE in the child. */
static void prepare_for_child(struct memfd_area *area)
{
	if (area->materialised) {
		establish(area);
	} else if (!is_shared(area) && area->generation == lock_fork_generation()) {
		int fd = memfd_file_create(area->name, &area->file);
		if (fd >= 0)
			birth_make(area, fd);
	}
}

void memfd_before_fork(void)
{
	memfd_table_lock();
	memfd_table_each_newborn(prepare_for_child);
	memfd_table_each_established(lock_file_locks);
}

void memfd_after_fork(void)
{
	memfd_table_each_established(unlock_file_locks);
	memfd_table_unlock();
}

void memfd_after_fork_in_child(void)
{
	/* The child shares the descriptions of its parent's locks, which must die with it. */
	memfd_table_each_established(memfd_forget_locks);
}

/* -- import and close -- */

static void dispose(struct memfd_area *area)
{
	memfd_forget_locks(area);
	pthread_mutex_destroy(&area->file_locks_mutex);
	control_detach(&area->control);
	birth_drop(area);
	if (area->read_only_fd >= 0)
		descriptor_close(area->read_only_fd, &area->file);
	if (area->fd >= 0)
		descriptor_close(area->fd, &area->file);
	free(area);
}

/* A new area from a descriptor, not published. It takes the descriptor over if it succeeds. */
static int build(int fd, const struct stat *status, int writable, struct memfd_area **built)
{
	struct memfd_area *area = new_area();

	if (!area)
		return -ENOMEM;
	int r = control_attach(&area->control, fd, status);
	if (r == CONTROL_NONE && (uint64_t)status->st_size > control_max_size())
		r = -EFBIG;
	if (r < 0) {
		pthread_mutex_destroy(&area->file_locks_mutex);
		free(area);
		return r;
	}
	area->fd = fd;
	area->file = descriptor_file_of(status);
	area->plain = r == CONTROL_NONE;
	area->sealed = sys_is_write_sealed(fd);
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
	struct memfd_area *area, *built;

	memfd_table_lock();
	/* It may be one that we inherited before it had memory. */
	memfd_table_each_newborn(notice_birth);
	area = memfd_table_find(fd, status, writable);
	memfd_table_unlock();
	if (!area) {
		int r = build(fd, status, writable, &built);
		if (r < 0)
			return r;
		/* Another thread may have imported the same area while this one attached to it. */
		memfd_table_lock();
		area = memfd_table_find(fd, status, writable);
		if (!area)
			memfd_table_publish(built);
		memfd_table_unlock();
		if (area)
			dispose(built);
		*adopted = area ? area : built;
		return 0;
	}
	close(fd);
	*adopted = area;
	return 0;
}

/* The same of an early descriptor whose area has no memory yet. */
static int adopt_early(int fd, const struct stat *status, struct memfd_area **adopted)
{
	struct memfd_area *fresh = new_area();

	if (!fresh)
		return -ENOMEM;
	memfd_table_lock();
	struct memfd_area *area = memfd_table_find_held(status);
	if (!area) {
		area = fresh;
		area->fd = fd;
		area->file = descriptor_file_of(status);
		memfd_table_add_newborn(area);
		memfd_table_add_early(area);
	}
	memfd_table_unlock();
	if (area != fresh) {
		dispose(fresh);
		close(fd);
	}
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
	int copy = descriptor_duplicate(fd);
	if (copy < 0)
		return -errno;
	r = fstat(copy, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -ENOTTY;
	if (r < 0) {
		close(copy);
		return r;
	}
	int allows_writing = (mode & O_ACCMODE) == O_RDWR, is_sealed = sys_is_write_sealed(copy);
	r = early_is_record(copy);
	if (r > 0)
		r = allows_writing ? adopt_early(copy, &status, &area) : -EACCES;
	else if (r == 0)
		r = adopt(copy, &status, allows_writing && !is_sealed, &area);
	if (r < 0) {
		close(copy);
		return r;
	}
	/* Perhaps without the library, after this process got the area. */
	if (is_sealed && !area->plain)
		control_look_for_seals(&area->control);
	*state = area;
	return 0;
}

void memfd_close(void *state)
{
	struct memfd_area *area = state;

	memfd_table_lock();
	int last = --area->refs == 0;
	if (last)
		memfd_table_remove(area);
	memfd_table_unlock();
	if (last)
		dispose(area);
}
