/* SPDX-License-Identifier: MIT */
/*
 * Which files to cache: a walk through a directory tree.
 *
 * The walk is deterministic (names in byte order, depth first), follows no symbolic link below the
 * top, and stays on one file system. What it cannot use it names and skips. No descriptor stays
 * open across a level, so depth costs none.
 *
 * The limit counts whole pages, since that is what files occupy in the cache. Files larger than a
 * part of the limit wait until the walk is over, lest a few of them take all the room.
 */
#define _FILE_OFFSET_BITS 64 /* large files on 32-bit systems */

#include "catalog.h"
#include "screen.h"
#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE_PART 16u    /* larger than limit / LARGE_PART: put off */
#define MAX_FILES 100000u /* empty files cost no page, but an entry */

/* Names of one directory, in order. */
struct names {
	char **name;
	size_t count;
	size_t room;
};

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->name[i]);
	free(names->name);
}

static int names_add(struct names *names, const char *name)
{
	if (names->count == names->room) {
		size_t room = names->room ? names->room * 2 : 64;
		char **grown = realloc(names->name, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		names->name = grown;
		names->room = room;
	}
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	names->name[names->count++] = copy;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Read all names of an open directory, which is closed in any case. */
static int names_read(struct names *names, int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *item;
	int error = 0;

	if (!dir) {
		error = -errno;
		close(fd);
		return error;
	}
	while (!error) {
		errno = 0;
		item = readdir(dir);
		if (!item) {
			error = -errno;
			break;
		}
		if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
			error = names_add(names, item->d_name);
	}
	closedir(dir);
	if (!error && names->count)
		qsort(names->name, names->count, sizeof(*names->name), compare_names);
	return error;
}

static void skip(struct catalog *catalog, const char *path, int error)
{
	screen_warn("skipped: %s: %s", screen_path(path), strerror(-error));
	catalog->unreadable++;
}

static uint64_t pages_of(const struct catalog *catalog, const struct stamp *stamp)
{
	return stamp->size_bytes / catalog->page_bytes +
		(stamp->size_bytes % catalog->page_bytes != 0);
}

static bool is_full(const struct catalog *catalog)
{
	return catalog->pages >= catalog->limit_pages ||
		catalog->files.count + catalog->large.count >= MAX_FILES;
}

/* Takes over `path`, also on failure. */
static int list_add(struct file_list *list, char *path, const struct stamp *stamp)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 1024;
		struct file *grown = realloc(list->file, room * sizeof(*grown));

		if (!grown) {
			free(path);
			return -ENOMEM;
		}
		list->file = grown;
		list->room = room;
	}
	list->file[list->count].path = path;
	list->file[list->count].stamp = *stamp;
	list->count++;
	return 0;
}

/* Takes over `path`. */
static int visit_file(struct catalog *catalog, char *path)
{
	struct stamp stamp;
	uint64_t pages;
	int fd = source_open(path, &stamp);

	if (fd < 0) {
		skip(catalog, path, fd);
		free(path);
		return 0;
	}
	close(fd);
	pages = pages_of(catalog, &stamp);
	if (pages > catalog->limit_pages / LARGE_PART)
		return list_add(&catalog->large, path, &stamp);
	if (pages > catalog->limit_pages - catalog->pages) {
		catalog->limited = true;
		free(path);
		return 0;
	}
	catalog->pages += pages;
	return list_add(&catalog->files, path, &stamp);
}

static char *join(const char *directory, const char *name)
{
	size_t length = strlen(directory);
	const char *slash = length && directory[length - 1] == '/' ? "" : "/";
	size_t size = length + strlen(slash) + strlen(name) + 1;
	char *path = malloc(size);

	if (path) {
		strcpy(path, directory);
		strcat(path, slash);
		strcat(path, name);
	}
	return path;
}

static int visit_directory(struct catalog *catalog, const char *path);

/* Takes over `path`. */
static int visit(struct catalog *catalog, char *path)
{
	struct stat st;
	int error = 0;

	if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		skip(catalog, path, -errno);
	else if (S_ISREG(st.st_mode))
		return visit_file(catalog, path);
	else if (S_ISDIR(st.st_mode))
		error = visit_directory(catalog, path);
	else if (S_ISLNK(st.st_mode))
		catalog->links++;
	else {
		screen_warn("skipped: %s: special file", screen_path(path));
		catalog->special++;
	}
	free(path);
	return error;
}

static int visit_names(struct catalog *catalog, const char *path, const struct names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		char *child;
		int error;

		if (is_full(catalog)) {
			catalog->limited = true;
			return 0;
		}
		if (system_interrupted())
			return -EINTR;
		child = join(path, names->name[i]);
		error = child ? visit(catalog, child) : -ENOMEM;
		if (error)
			return error;
	}
	return 0;
}

/* A directory below the top: one that cannot be used is named and skipped. */
static int visit_directory(struct catalog *catalog, const char *path)
{
	struct names names = {0};
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int error;

	if (fd < 0 || fstat(fd, &st) < 0) {
		skip(catalog, path, -errno);
		if (fd >= 0)
			close(fd);
		return 0;
	}
	if ((uint64_t)st.st_dev != catalog->device) {
		screen_warn("skipped: %s: another file system", screen_path(path));
		catalog->special++;
		close(fd);
		return 0;
	}
	error = names_read(&names, fd);
	if (error && error != -ENOMEM) {
		skip(catalog, path, error);
		error = 0;
	}
	if (!error)
		error = visit_names(catalog, path, &names);
	names_free(&names);
	return error;
}

/* The large files that were put off, as far as there is room. */
static int take_large(struct catalog *catalog)
{
	for (size_t i = 0; i < catalog->large.count; i++) {
		struct file *file = &catalog->large.file[i];
		uint64_t pages = pages_of(catalog, &file->stamp);
		char *path = file->path;
		int error;

		if (pages > catalog->limit_pages - catalog->pages) {
			catalog->limited = true;
			continue;
		}
		file->path = NULL;
		catalog->pages += pages;
		error = list_add(&catalog->files, path, &file->stamp);
		if (error)
			return error;
	}
	return 0;
}

int catalog_scan(struct catalog *catalog, const char *directory, uint64_t limit_bytes)
{
	struct names names = {0};
	struct stat st;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	catalog->device = (uint64_t)st.st_dev;
	catalog->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	catalog->limit_pages = limit_bytes / catalog->page_bytes;
	error = names_read(&names, fd);
	if (!error)
		error = visit_names(catalog, directory, &names);
	names_free(&names);
	return error ? error : take_large(catalog);
}

static void list_free(struct file_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->file[i].path);
	free(list->file);
}

void catalog_free(struct catalog *catalog)
{
	list_free(&catalog->files);
	list_free(&catalog->large);
	*catalog = (struct catalog){0};
}
