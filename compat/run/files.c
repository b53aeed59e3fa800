/* SPDX-License-Identifier: MIT */
/*
 * The table of descriptors (files.h): chunks that are made when a number of theirs is first noted
 * and never freed. Files are never freed either, only used again, so that a reader may look at the
 * reference count of one that it finds without holding anything.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "files.h"
#include "stream.h"

enum { CHUNK = 1024, CHUNKS = 1024 };

/* What a hidden number names. */
static struct run_file hidden;
static struct run_file **chunks[CHUNKS];
static struct run_file *free_files;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Whose descriptors these are. In memory that a child gets as zeroes, if it is not shared. */
static pid_t *owner;

/* -- the table -- */

static struct run_file **slot_of(unsigned fd)
{
	struct run_file **chunk =
		fd < CHUNK * CHUNKS ? __atomic_load_n(&chunks[fd / CHUNK], __ATOMIC_ACQUIRE) : NULL;

	return chunk ? &chunk[fd % CHUNK] : NULL;
}

/* What the number names, hidden or not. */
static struct run_file *load(unsigned fd)
{
	struct run_file **slot = slot_of(fd);

	return slot ? __atomic_load_n(slot, __ATOMIC_ACQUIRE) : NULL;
}

/* The slot, made if need be: NULL without memory, or for a number beyond all limits. */
static struct run_file **make_slot(unsigned fd)
{
	struct run_file **slot = slot_of(fd);

	if (slot || fd >= CHUNK * CHUNKS)
		return slot;
	struct run_file **chunk = calloc(CHUNK, sizeof(*chunk)), **none = NULL;
	if (!chunk)
		return NULL;
	if (!__atomic_compare_exchange_n(&chunks[fd / CHUNK], &none, chunk, 0, __ATOMIC_ACQ_REL,
		    __ATOMIC_ACQUIRE))
		free(chunk);
	return slot_of(fd);
}

static void begin_in_child(void);

/* A child of vfork(2) shares the memory, not the descriptors. */
static int is_vfork_child(void)
{
	if (owner && *owner == 0)
		begin_in_child();
	return owner && getpid() != *owner;
}

int files_is_known(int fd)
{
	struct run_file *file = load((unsigned)fd);

	return file && file != &hidden;
}

struct run_file *files_get(int fd)
{
	for (;;) {
		struct run_file *file = load((unsigned)fd);
		if (!file || file == &hidden)
			return NULL;
		uint32_t refs = __atomic_load_n(&file->refs, __ATOMIC_RELAXED);
		while (refs > 0 &&
			!__atomic_compare_exchange_n(&file->refs, &refs, refs + 1, 1,
				__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			;
		/* It may have been put, and used again for another number, meanwhile. */
		if (refs > 0 && load((unsigned)fd) == file)
			return file;
		if (refs > 0)
			files_put(file);
	}
}

void files_put(struct run_file *file)
{
	if (__atomic_fetch_sub(&file->refs, 1, __ATOMIC_ACQ_REL) > 1)
		return;
	int error = errno;
	ashmem_close(file->area);
	ashmem_close(file->former);
	file->area = file->former = NULL;
	pthread_mutex_lock(&mutex);
	file->next_free = free_files;
	free_files = file;
	pthread_mutex_unlock(&mutex);
	errno = error;
}

struct run_file *files_new(struct ashmem_area *area, int fd, int access)
{
	run_stat status;

	if (libc_fstat(fd, &status) < 0)
		return NULL;
	pthread_mutex_lock(&mutex);
	struct run_file *file = free_files;
	if (file)
		free_files = file->next_free;
	pthread_mutex_unlock(&mutex);
	if (!file)
		file = calloc(1, sizeof(*file));
	if (!file)
		return NULL;
	file->slots = 0;
	file->access = access;
	file->shared = 0;
	file->area = area;
	file->former = NULL;
	file->device = status.st_dev;
	file->inode = status.st_ino;
	__atomic_store_n(&file->refs, 1, __ATOMIC_RELEASE);
	return file;
}

/* Exchange what the number names; a reference to the new file is taken. */
static struct run_file *exchange(unsigned fd, struct run_file *file)
{
	struct run_file **slot = file ? make_slot(fd) : slot_of(fd), *before = NULL;

	if (!slot || is_vfork_child())
		return NULL;
	pthread_mutex_lock(&mutex);
	if (file && file != &hidden) {
		__atomic_fetch_add(&file->refs, 1, __ATOMIC_RELAXED);
		file->slots++;
	}
	before = __atomic_exchange_n(slot, file, __ATOMIC_ACQ_REL);
	if (before && before != &hidden)
		before->slots--;
	pthread_mutex_unlock(&mutex);
	return before == &hidden ? NULL : before;
}

void files_set(int fd, struct run_file *file)
{
	if (fd < 0 || (!file && !load((unsigned)fd)))
		return;
	struct run_file *before = exchange((unsigned)fd, file);
	if (before)
		files_put(before);
	if (!is_vfork_child())
		streams_follow(fd, file != NULL);
}

/* Forget the number, if it is still noted as this file's. */
static void forget_file(int fd, struct run_file *file)
{
	struct run_file **slot = slot_of((unsigned)fd);

	if (is_vfork_child())
		return;
	pthread_mutex_lock(&mutex);
	int was = __atomic_compare_exchange_n(slot, &(struct run_file *){file}, NULL, 0,
		__ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	if (was)
		file->slots--;
	pthread_mutex_unlock(&mutex);
	if (!was)
		return;
	files_put(file);
	streams_follow(fd, 0);
}

struct run_file *files_get_checked(int fd)
{
	struct run_file *file = files_get(fd);
	run_stat status;

	if (!file)
		return NULL;
	int error = errno;
	int same = libc_fstat(fd, &status) == 0 && status.st_ino == file->inode &&
		status.st_dev == file->device;
	errno = error;
	if (same)
		return file;
	forget_file(fd, file);
	files_put(file);
	return NULL;
}

int files_is_area(int fd)
{
	struct run_file *file = files_get_checked(fd);

	if (file)
		files_put(file);
	return file != NULL;
}

void files_closed(int fd)
{
	if (files_is_known(fd))
		files_is_area(fd);
}

void files_copy(int from, int to)
{
	struct run_file *file = from == to ? NULL : files_get(from);

	if (from != to)
		files_set(to, file);
	if (file)
		files_put(file);
}

void files_forget(unsigned first, unsigned last)
{
	if (last >= CHUNK * CHUNKS)
		last = CHUNK * CHUNKS - 1;
	for (unsigned fd = first; fd <= last; fd++) {
		if (!slot_of(fd))
			fd |= CHUNK - 1; /* a whole chunk that is not there */
		else if (files_is_known((int)fd))
			files_set((int)fd, NULL);
	}
}

static void each_file(void (*visit)(struct run_file *file, int fd, void *context), void *context)
{
	for (unsigned fd = 0; fd < CHUNK * CHUNKS; fd++) {
		if (!slot_of(fd)) {
			fd |= CHUNK - 1;
			continue;
		}
		struct run_file *file = load(fd);
		if (file && file != &hidden)
			visit(file, (int)fd, context);
	}
}

struct replacement {
	struct run_file *file;
	int fd;
};

static void replace_one(struct run_file *file, int fd, void *context)
{
	const struct replacement *with = context;

	if (file != with->file)
		return;
	int flags = libc_fcntl(fd, F_GETFD, 0);
	NEXT(dup3)(with->fd, fd, flags > 0 && (flags & FD_CLOEXEC) ? O_CLOEXEC : 0);
}

void files_replace(struct run_file *file, int fd)
{
	struct replacement with = {file, fd};
	run_stat status;

	if (libc_fstat(fd, &status) < 0)
		return;
	each_file(replace_one, &with);
	file->device = status.st_dev;
	file->inode = status.st_ino;
}

static void share_one(struct run_file *file, int fd, void *context)
{
	(void)fd;
	(void)context;
	file->shared = 1;
}

void files_share(int fd)
{
	struct run_file *file = files_get(fd);

	if (file) {
		file->shared = 1;
		files_put(file);
	}
}

void files_share_all(void)
{
	each_file(share_one, NULL);
}

/* -- hidden numbers -- */

void files_hide(int fd)
{
	if (fd >= 0)
		exchange((unsigned)fd, &hidden);
}

void files_show(int fd)
{
	if (files_is_hidden(fd))
		exchange((unsigned)fd, NULL);
}

int files_is_hidden(int fd)
{
	return load((unsigned)fd) == &hidden;
}

int files_next_hidden(unsigned fd, unsigned last)
{
	for (; fd <= last && fd < CHUNK * CHUNKS; fd++) {
		if (!slot_of(fd))
			fd |= CHUNK - 1;
		else if (load(fd) == &hidden)
			return (int)fd;
	}
	return -1;
}

/* -- flags that the file below does not have -- */

/*
 * The signal of F_SETSIG is kept with the open file description, and nothing ever sends it for a
 * memfd. A mark is this number, the access mode, and APPENDS; none: O_RDWR and no appending.
 */
enum { FIRST_MARK = 56, APPENDS = 4, LAST_MARK = FIRST_MARK + 7 };

void files_note_flags(int fd, int flags)
{
	int error = errno, noted = (flags & O_ACCMODE) | (flags & O_APPEND ? APPENDS : 0);

	libc_fcntl(fd, F_SETSIG, noted == O_RDWR ? 0 : FIRST_MARK + noted);
	errno = error;
}

int files_noted_flags(int fd)
{
	int error = errno, flags = libc_fcntl(fd, F_GETFL, 0), mark = libc_fcntl(fd, F_GETSIG, 0);

	errno = error;
	/* Another process may have sent a descriptor that can only read. */
	if (flags >= 0 && (flags & O_ACCMODE) != O_RDWR)
		return flags & O_ACCMODE;
	if (mark < FIRST_MARK || mark > LAST_MARK)
		return O_RDWR;
	mark -= FIRST_MARK;
	return (mark & O_ACCMODE) | (mark & APPENDS ? O_APPEND : 0);
}

/* -- descriptors from elsewhere -- */

static int is_area(int fd)
{
	int kind = ashmem_fd_kind(fd);

	return kind == ASHMEM_FD_AREA || kind == ASHMEM_FD_READ_ONLY;
}

int files_adopt(int fd)
{
	struct ashmem_area *area;
	run_stat status;

	if (fd < 0 || load((unsigned)fd))
		return files_is_known(fd);
	int error = errno, known = 0;
	/* A memfd has no name in any folder. */
	if (libc_fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 0 &&
		is_area(fd) && ashmem_import(fd, &area) == 0) {
		struct run_file *file = files_new(area, fd, files_noted_flags(fd) & O_ACCMODE);
		if (file) {
			file->shared = 1;
			files_set(fd, file);
			files_put(file);
			known = 1;
		} else {
			ashmem_close(area);
		}
	}
	errno = error;
	return known;
}

static void adopt_inherited(void)
{
	DIR *numbers = opendir("/proc/self/fd");

	if (!numbers) {
		for (int fd = 0; fd < CHUNK; fd++)
			files_adopt(fd);
		return;
	}
	struct dirent *entry;
	while ((entry = readdir(numbers)) != NULL)
		if (entry->d_name[0] != '.')
			files_adopt((int)strtol(entry->d_name, NULL, 10));
	closedir(numbers);
}

/* -- fork -- */

static void before_fork(void)
{
	files_share_all();
	pthread_mutex_lock(&mutex);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&mutex);
}

static void count_refs(struct run_file *file, int fd, void *context)
{
	(void)fd;
	(void)context;
	file->refs = file->slots;
}

/* Calls of other threads that were under way have no end in the child. */
static void after_fork_in_child(void)
{
	if (owner)
		*owner = getpid();
	each_file(count_refs, NULL);
	pthread_mutex_unlock(&mutex);
}

/* No handler has run. */
static void begin_in_child(void)
{
	pthread_mutex_init(&mutex, NULL);
	pthread_mutex_lock(&mutex);
	after_fork_in_child();
}

/* Without it, handlers of fork(2) alone know of children. */
static void make_owner(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *made =
		libc_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (made == MAP_FAILED)
		return;
	madvise(made, size, MADV_WIPEONFORK);
	owner = made;
	*owner = getpid();
}

void files_start(void)
{
	make_owner();
	pthread_atfork(before_fork, after_fork, after_fork_in_child);
	adopt_inherited();
}
