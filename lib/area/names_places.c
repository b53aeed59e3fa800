/* SPDX-License-Identifier: MIT */
/*
 * The directories of this user in which names lie, and the locked files in them: names.h.
 *
 * The candidates follow from the user id alone, since processes that are to meet can have different
 * environments. Every directory that there is gets locked and looked into, in the order of the
 * table; only if there is none is one made. Whoever made one looks again once it is locked: of two
 * that made one each, the later one sees both.
 *
 * Nothing in a directory is believed unless this user owns it and nobody else can write to it, and
 * the directory above allows nobody else to replace it. An unsafe candidate is passed over.
 *
 * A name's file is removed only with its lock held, so whoever gets the lock of a file that has no
 * name any more opens the name again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "area/names.h"
#include "base/descriptor.h"
#include "base/fork.h"
#include "base/wait.h"

#define PAUSE_NS 1000000u
/* Files that one sweep looks at. */
#define SWEEP_MOST 256
#define OPEN_FLAGS (O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

/* Where a directory can be: its parent must exist already. Each takes the user id once. */
static const struct candidate {
	const char *parent, *leaf;
} candidates[NAMES_PLACES] = {
	{"/run/user/%u", "ashmem"},
	{"/tmp", "ashmem-%u"},
};

/* -- what a child of fork must close: a leaf mutex -- */

static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct names_lock *under_work;

void names_before_fork(void)
{
	pthread_mutex_lock(&names_mutex);
}

void names_after_fork(void)
{
	pthread_mutex_unlock(&names_mutex);
}

static void close_known(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_place(struct names_place *place)
{
	close_known(&place->file);
	close_known(&place->directory);
}

/*
 * The child shares the locks of the parent's threads: if the parent died, they would stay. The list
 * is on the stacks of threads that the child does not have, whose memory it has.
 */
void names_after_fork_in_child(void)
{
	for (struct names_lock *lock = under_work; lock; lock = lock->next) {
		for (int i = 0; i < NAMES_PLACES; i++)
			close_place(&lock->place[i]);
		close_known(&lock->swept.file);
		close_known(&lock->found);
	}
	under_work = NULL;
}

static void work_begin(struct names_lock *lock)
{
	for (int i = 0; i < NAMES_PLACES; i++)
		lock->place[i] = (struct names_place){-1, -1};
	lock->swept = (struct names_place){-1, -1};
	lock->found = -1;
	pthread_mutex_lock(&names_mutex);
	lock->next = under_work;
	under_work = lock;
	pthread_mutex_unlock(&names_mutex);
}

static void work_end(struct names_lock *lock)
{
	struct names_lock **link = &under_work;

	pthread_mutex_lock(&names_mutex);
	while (*link != lock)
		link = &(*link)->next;
	*link = lock->next;
	pthread_mutex_unlock(&names_mutex);
}

/*
 * openat(2) into *fd. A fork comes before or after both: a child must not have a description that
 * it does not know of, and that the parent locks later.
 */
static int open_known(int *fd, int directory, const char *path, int flags)
{
	pthread_mutex_lock(&names_mutex);
	*fd = descriptor_above_std(openat(directory, path, flags, 0600));
	int r = *fd < 0 ? -errno : 0;
	pthread_mutex_unlock(&names_mutex);
	return r;
}

int names_keep_found(struct names_lock *lock, int fd)
{
	if (fd >= 0)
		lock->found = fd;
	return fd;
}

void names_close_found(struct names_lock *lock)
{
	close_known(&lock->found);
}

/* -- directories -- */

/* 0 if nobody but this user and root can replace what this user has in it. */
static int check_parent(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_uid != 0 && status.st_uid != geteuid())
		return -EPERM;
	return !(status.st_mode & (S_IWGRP | S_IWOTH)) || (status.st_mode & S_ISVTX) ? 0 : -EPERM;
}

/* 0 if it is of this user alone. */
static int check_own(int fd, mode_t type, mode_t others)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	return (status.st_mode & S_IFMT) == type && status.st_uid == geteuid() &&
			!(status.st_mode & others)
		? 0
		: -EPERM;
}

/* What keeps us from opening something of ours: somebody else made it, or as open(2) says. */
static int not_ours(int error)
{
	switch (error) {
	case -EACCES:
	case -ELOOP:
	case -ENOTDIR:
	case -EISDIR:
	case -ENXIO:
		return -EPERM;
	default:
		return error;
	}
}

/* -ENOENT: there is none; -EPERM: it is not safe. */
static int open_leaf(int *fd, int parent, const char *leaf, int make)
{
	int r = check_parent(parent);

	if (r == 0 && make && mkdirat(parent, leaf, 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0)
		r = not_ours(open_known(fd, parent, leaf, O_RDONLY | O_DIRECTORY | OPEN_FLAGS));
	if (r == 0)
		r = check_own(*fd, S_IFDIR, S_IRWXG | S_IRWXO);
	if (r < 0)
		close_known(fd);
	return r;
}

static int open_candidate(int *fd, const struct candidate *candidate, int make)
{
	char path[32], leaf[32];

	snprintf(path, sizeof(path), candidate->parent, (unsigned)geteuid());
	snprintf(leaf, sizeof(leaf), candidate->leaf, (unsigned)geteuid());
	int parent = descriptor_above_std(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (parent < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	int r = open_leaf(fd, parent, leaf, make);
	close(parent);
	return r;
}

/* Whether the next candidate may do: this one is missing, or not to be used. */
static int is_passed_over(int error)
{
	return error != -EMFILE && error != -ENFILE && error != -ENOMEM;
}

/* All directories that there are and were not open yet: how many, or a negative errno. */
static int open_new(struct names_lock *lock, int *error)
{
	int count = 0;

	for (int i = 0; i < NAMES_PLACES; i++) {
		int *fd = &lock->place[i].directory;
		if (*fd >= 0)
			continue;
		int r = open_candidate(fd, &candidates[i], 0);
		if (r < 0 && !is_passed_over(r))
			return r;
		if (r < 0 && r != -ENOENT)
			*error = r;
		count += r == 0;
	}
	return count;
}

/* One directory at least. If no candidate will do, what keeps us from the last. */
static int open_directories(struct names_lock *lock)
{
	int error = -ENOENT;
	int r = open_new(lock, &error);

	for (int i = 0; i < NAMES_PLACES && r == 0; i++) {
		r = open_candidate(&lock->place[i].directory, &candidates[i], 1);
		if (r < 0 && !is_passed_over(r))
			return r;
		if (r < 0 && (r != -ENOENT || error == -ENOENT))
			error = r;
		r = r == 0;
	}
	return r == 0 ? error : r < 0 ? r : 0;
}

/* -- files -- */

/* Locked, and still the file of that name; -EAGAIN if not now. */
static int try_lock(struct names_place *place, const char *file, int flags)
{
	struct stat status;
	int r = not_ours(open_known(&place->file, place->directory, file,
		O_RDWR | OPEN_FLAGS | flags));

	if (r == 0)
		r = check_own(place->file, S_IFREG, S_IWGRP | S_IWOTH);
	if (r == 0 && flock(place->file, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN
			: errno == ENOLCK                  ? -ENOMEM
							   : -errno;
	if (r == 0 && fstat(place->file, &status) < 0)
		r = -errno;
	else if (r == 0 && status.st_nlink == 0)
		r = -EAGAIN;
	if (r < 0)
		close_known(&place->file);
	return r;
}

static int lock_file(struct names_place *place, const char *file, struct wait *wait)
{
	int r = try_lock(place, file, O_CREAT);

	while (r == -EAGAIN) {
		r = wait_pause(wait, PAUSE_NS);
		if (r == 0)
			r = try_lock(place, file, O_CREAT);
	}
	return r;
}

/* The explicit unlock: a child may share the description for a moment yet. */
static void unlock_file(struct names_place *place)
{
	if (place->file >= 0)
		flock(place->file, LOCK_UN);
	close_known(&place->file);
}

static void unlock_all(struct names_lock *lock)
{
	for (int i = 0; i < NAMES_PLACES; i++) {
		unlock_file(&lock->place[i]);
		close_known(&lock->place[i].directory);
	}
}

/* Every file, in the order of the table; 1 if a directory has come into being meanwhile. */
static int lock_all(struct names_lock *lock, struct wait *wait)
{
	int ignored, r = open_directories(lock);

	for (int i = 0; i < NAMES_PLACES && r == 0; i++)
		if (lock->place[i].directory >= 0)
			r = lock_file(&lock->place[i], lock->file, wait);
	return r < 0 ? r : open_new(lock, &ignored);
}

int names_lock(struct names_lock *lock)
{
	struct wait wait;
	int r;

	wait_begin(&wait, WAIT_TIMEOUT_NS);
	work_begin(lock);
	while ((r = lock_all(lock, &wait)) > 0) {
		unlock_all(lock);
		if (wait_is_over(&wait)) {
			r = -ETIMEDOUT;
			break;
		}
	}
	if (r < 0)
		names_unlock(lock);
	return r;
}

int names_remove(struct names_lock *lock)
{
	int r = 0;

	for (int i = 0; i < NAMES_PLACES; i++)
		if (lock->place[i].file >= 0 &&
			unlinkat(lock->place[i].directory, lock->file, 0) < 0)
			r = -errno;
	return r;
}

void names_remove_empty(struct names_lock *lock)
{
	struct stat status;

	for (int i = 0; i < NAMES_PLACES; i++)
		if (lock->place[i].file >= 0 && fstat(lock->place[i].file, &status) == 0 &&
			status.st_size == 0)
			unlinkat(lock->place[i].directory, lock->file, 0);
}

void names_unlock(struct names_lock *lock)
{
	unlock_all(lock);
	work_end(lock);
}

/* -- names that nobody holds -- */

/* A name that is locked is in use. */
static void sweep_file(struct names_place *swept, const char *file)
{
	if (try_lock(swept, file, 0) < 0)
		return;
	int fd = names_find(swept->file);
	if (fd >= 0)
		close(fd);
	else if (fd == -ENOENT)
		unlinkat(swept->directory, file, 0);
	unlock_file(swept);
}

/* Files of other namespaces list processes that cannot be looked up here. */
static int is_swept(const struct names_lock *lock, const char *file)
{
	const char *dot = strchr(lock->file, '.');

	return strncmp(file, lock->file, (size_t)(dot - lock->file) + 1) == 0 &&
		strcmp(file, lock->file) != 0;
}

static void sweep_directory(struct names_lock *lock, int directory)
{
	const struct dirent *entry;
	int fd = descriptor_above_std(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list) {
		if (fd >= 0)
			close(fd);
		return;
	}
	lock->swept.directory = directory;
	for (int i = 0; i < SWEEP_MOST && (entry = readdir(list)); i++)
		if (is_swept(lock, entry->d_name))
			sweep_file(&lock->swept, entry->d_name);
	lock->swept.directory = -1;
	closedir(list);
}

void names_sweep(struct names_lock *lock)
{
	for (int i = 0; i < NAMES_PLACES; i++)
		if (lock->place[i].file >= 0)
			sweep_directory(lock, lock->place[i].directory);
}
