/* SPDX-License-Identifier: MIT */
/*
 * Where the process's cgroup is, and the events of version 1 (the kernel's
 * Documentation/admin-guide/cgroup-v1/memory.rst): an eventfd is written when reclaim has trouble,
 * memory.pressure_level, or when the usage crosses a threshold.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <ashmem/pressure.h>

#include "pressure/source.h"

/* Bounds of a search for the process's group where a namespace hides names. */
#define SEARCH_LEVELS 64
#define SEARCH_STEPS 10000

/* -- finding it -- */

/* Whether a comma-separated list has a word. */
static int has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
		if ((at == list || at[-1] == ',') && strchr(",\n", at[length]))
			return 1;
	return 0;
}

/*
 * The part of a line of /proc/self/cgroup after the second colon, if it is of the hierarchy:
 * "ID:CONTROLLERS:PATH".
 */
static char *path_of_line(char *line, int is_version_1)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return NULL;
	*path++ = '\0';
	path[strcspn(path, "\n")] = '\0';
	if (is_version_1)
		return has_word(controllers + 1, "memory") ? path : NULL;
	return strncmp(line, "0:", 2) == 0 && controllers[1] == '\0' ? path : NULL;
}

/* "\040" and the like, as mountinfo writes blanks, in place. */
static void decode_octal(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && strspn(text + 1, "01234567") >= 3) {
			*to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + text[3] - '0');
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* A mount of the hierarchy; the texts are parts of a line. */
struct mount {
	char *root, *point;
	int is_writable;
};

/*
 * A line of mountinfo: "36 35 98:0 ROOT MOUNT OPTIONS [FIELDS] - TYPE SOURCE SUPEROPTIONS",
 * proc(5). SOURCE may be empty.
 */
static int mount_of_line(char *line, int is_version_1, struct mount *mount)
{
	char *field[6], *rest = strstr(line, " - ");

	if (!rest)
		return 0;
	*rest = '\0';
	rest += 3;
	for (int i = 0; i < 6; i++)
		if (!(field[i] = strsep(&line, " ")))
			return 0;
	char *type = strsep(&rest, " ");
	strsep(&rest, " ");
	if (strcmp(type, is_version_1 ? "cgroup" : "cgroup2") != 0)
		return 0;
	if (is_version_1 && (!rest || !has_word(rest, "memory")))
		return 0;
	*mount = (struct mount){field[3], field[4], has_word(field[5], "rw")};
	decode_octal(mount->root);
	decode_octal(mount->point);
	return 1;
}

/* Skip "/..", once for each level that the path begins above the namespace's root. */
static unsigned skip_up(const char **path)
{
	unsigned levels = 0;

	for (; strncmp(*path, "/..", 3) == 0 && strchr("/", (*path)[3]); *path += 3)
		levels++;
	if (strcmp(*path, "/") == 0)
		++*path;
	return levels;
}

/*
 * Whether the group lies in the tree that a mount's root begins, and where: `*hidden` levels down,
 * whose names the namespace hides, and then `*rest`. Both paths are relative to the root of the
 * cgroup namespace.
 */
static int is_below(const char *root, const char *path, unsigned *hidden, const char **rest)
{
	unsigned root_up = skip_up(&root), path_up = skip_up(&path);
	size_t length = strlen(root);

	*hidden = 0;
	*rest = path;
	if (root_up > path_up && length == 0) {
		*hidden = root_up - path_up;
		return 1;
	}
	if (root_up != path_up || strncmp(path, root, length) != 0 || !strchr("/", path[length]))
		return 0;
	*rest = path + length;
	return 1;
}

static int append(struct pressure_cgroup *group, const char *text)
{
	size_t length = strlen(group->path), more = strlen(text);

	if (length + more >= sizeof(group->path))
		return -ENAMETOOLONG;
	memcpy(group->path + length, text, more + 1);
	return 0;
}

/* Whether text of one number a line has the number, or a negative errno. */
static int has_number(int fd, uint64_t wanted)
{
	char text[1024];
	uint64_t number = 0;
	ssize_t got;

	while ((got = read(fd, text, sizeof(text))) != 0) {
		if (got < 0 && errno != EINTR)
			return -errno;
		for (ssize_t i = 0; i < got; i++) {
			if (text[i] == '\n' && number == wanted)
				return 1;
			number = text[i] == '\n' ? 0 : number * 10 + (uint64_t)(text[i] - '0');
		}
	}
	return 0;
}

/*
 * Whether this process is in the group, as the group says: the kernel numbers processes as the
 * reader's namespace does. 0: it is not, or there is no such group. Negative: the group does not
 * say; one of threads does not, for instance.
 */
static int lists_us(const struct pressure_cgroup *group)
{
	int r, fd = source_file(group->path, "cgroup.procs");

	if (fd < 0) {
		r = -errno;
		return r == -ENOENT && access(group->path, F_OK) < 0 ? 0 : r;
	}
	r = has_number(fd, (uint64_t)getpid());
	close(fd);
	return r;
}

/* A search for the group below group->path, where a namespace hides names. */
struct search {
	struct pressure_cgroup *group;
	const char *rest; /* of the path, below the hidden levels */
	unsigned steps_left;
};

static int search_below(struct search *search, unsigned hidden);

/* The next directory in it, or NULL with errno; 0: there are no more. */
static const char *next_directory(struct search *search, DIR *directory)
{
	struct dirent *entry;

	do {
		errno = 0;
		if (search->steps_left == 0 || !(entry = readdir(directory)))
			return NULL;
	} while ((entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) ||
		strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
	search->steps_left--;
	return entry->d_name;
}

/* A bounded recursion: SEARCH_LEVELS. */
static int search_each(struct search *search, unsigned hidden)
{
	struct pressure_cgroup *group = search->group;
	size_t length = strlen(group->path);
	DIR *directory = opendir(group->path);
	const char *name;
	int found = 0;

	if (!directory)
		return -errno;
	while (found == 0 && (name = next_directory(search, directory)) != NULL) {
		if (append(group, "/") == 0 && append(group, name) == 0)
			found = search_below(search, hidden - 1);
		if (found <= 0)
			group->path[length] = '\0';
	}
	if (found == 0)
		found = -errno;
	closedir(directory);
	return found;
}

/* 1: group->path is the group; 0: it is not here; negative: only a shortage. */
static int search_below(struct search *search, unsigned hidden)
{
	struct pressure_cgroup *group = search->group;
	size_t length = strlen(group->path);
	int r = hidden > 0 ? search_each(search, hidden) : append(group, search->rest);

	if (hidden == 0 && r == 0)
		r = lists_us(group);
	if (r <= 0)
		group->path[length] = '\0';
	return r > 0 || source_is_shortage(r) ? r : 0;
}

/*
 * The group as the mount shows it, or -ENOENT. Names alone do not prove that it is there, since
 * another mount can cover this one. A mount beside the group may be believed only if it lists us.
 */
static int look_in_mount(struct pressure_cgroup *group, const struct mount *mount, const char *path,
	int searches)
{
	struct search search = {.group = group, .steps_left = SEARCH_STEPS};
	unsigned hidden;
	int is_named = is_below(mount->root, path, &hidden, &search.rest), r;

	if ((hidden > 0) != searches || hidden > SEARCH_LEVELS)
		return -ENOENT;
	group->path[0] = '\0';
	group->root_length = strlen(mount->point);
	group->is_writable = mount->is_writable;
	r = append(group, mount->point);
	if (r < 0)
		return r;
	if (searches) {
		r = search_below(&search, hidden);
	} else {
		r = append(group, is_named ? search.rest : "");
		if (r < 0)
			return r;
		r = lists_us(group);
	}
	group->is_listed = r > 0;
	group->depth = 0;
	for (const char *at = group->path + group->root_length; (at = strchr(at, '/')); at++)
		group->depth++;
	if (r < 0 && (searches || source_is_shortage(r)))
		return r;
	return r > 0 || (r < 0 && is_named) ? 0 : -ENOENT;
}

/* The nearest mount may be the process's own, where it may write; the widest shows most limits. */
static int is_better(const struct pressure_cgroup *a, const struct pressure_cgroup *b,
	int is_widest)
{
	if (a->is_listed != b->is_listed)
		return a->is_listed;
	if (a->depth != b->depth)
		return is_widest == (a->depth > b->depth);
	return a->is_writable && !b->is_writable;
}

/* The next line, 1; 0 at the end; negative: only a shortage. */
static int next_line(FILE *file, char **line, size_t *size)
{
	errno = EIO;
	if (getline(line, size, file) > 0)
		return 1;
	return !feof(file) && source_is_shortage(-errno) ? -errno : 0;
}

static FILE *open_self(const char *what)
{
	char name[256];

	if (snprintf(name, sizeof(name), "%s/self/%s", source_proc, what) >= (int)sizeof(name)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return fopen(name, "re");
}

static int copy_text(char **copy, const char *text)
{
	size_t size = strlen(text) + 1;

	*copy = malloc(size);
	if (!*copy)
		return -ENOMEM;
	memcpy(*copy, text, size);
	return 0;
}

/* Find the process's path in the hierarchy; the caller frees it. */
static int find_path(int is_version_1, char **path)
{
	char *line = NULL, *found = NULL;
	size_t size = 0;
	FILE *file = open_self("cgroup");
	int r = 0;

	if (!file)
		return -errno;
	while (!found && (r = next_line(file, &line, &size)) > 0)
		found = path_of_line(line, is_version_1);
	if (r >= 0)
		r = found && *found == '/' ? copy_text(path, found) : -ENOENT;
	free(line);
	fclose(file);
	return r;
}

/* What is looked for in mountinfo, and the best so far. */
struct finding {
	const char *path;
	int is_widest;
	int found; /* 0, or -ENOENT until there is one */
	struct pressure_cgroup *best, candidate;
};

static int look_in_mounts(struct finding *finding, int searches)
{
	struct pressure_cgroup *candidate = &finding->candidate;
	struct mount mount;
	char *line = NULL;
	size_t size = 0;
	FILE *file = open_self("mountinfo");
	int r;

	if (!file)
		return -errno;
	while ((r = next_line(file, &line, &size)) > 0) {
		if (!mount_of_line(line, candidate->is_version_1, &mount))
			continue;
		r = look_in_mount(candidate, &mount, finding->path, searches);
		if (source_is_shortage(r))
			break;
		if (r < 0) /* another one may show it */
			continue;
		if (finding->found < 0 || is_better(candidate, finding->best, finding->is_widest))
			*finding->best = *candidate;
		finding->found = 0;
	}
	free(line);
	fclose(file);
	return r;
}

/* Searching takes longest, and is done only where names lead to no group of at least this depth. */
static int find(struct pressure_cgroup *group, int is_version_1, int is_widest, unsigned depth)
{
	struct finding *finding = malloc(sizeof(*finding));
	char *path = NULL;
	int r;

	if (!finding)
		return -ENOMEM;
	finding->is_widest = is_widest;
	finding->found = -ENOENT;
	finding->best = group;
	group->is_listed = 0;
	group->depth = 0;
	finding->candidate.is_version_1 = is_version_1;
	r = find_path(is_version_1, &path);
	finding->path = path;
	if (r == 0)
		r = look_in_mounts(finding, 0);
	if (r == 0 && (finding->found < 0 || !group->is_listed || group->depth < depth))
		r = look_in_mounts(finding, 1);
	if (r == 0)
		r = finding->found;
	free(path);
	free(finding);
	return r;
}

/* Groups around it are looked for up to the root: other directories have no such files. */
static int find_named(struct pressure_cgroup *group, int is_version_1, const char *named)
{
	int fd = source_file(named, is_version_1 ? "memory.limit_in_bytes" : "cgroup.controllers");

	if (fd < 0)
		return -errno;
	close(fd);
	*group = (struct pressure_cgroup){.is_version_1 = is_version_1,
		.is_listed = 1,
		.is_writable = 1,
		.depth = SEARCH_LEVELS,
		.root_length = 1};
	return append(group, named);
}

int source_cgroup_find(struct pressure_cgroup *group, int is_version_1, const char *named)
{
	if (named)
		return find_named(group, is_version_1, named);
	return find(group, is_version_1, 0, 0);
}

int source_cgroup_find_outer(struct pressure_cgroup *outer, const struct pressure_cgroup *inner)
{
	int r = find(outer, inner->is_version_1, 1, inner->depth + 1);

	if (r < 0)
		return r;
	if (outer->depth <= inner->depth || outer->is_listed < inner->is_listed)
		return -ENOENT;
	for (unsigned i = 0; i <= inner->depth; i++)
		*strrchr(outer->path, '/') = '\0';
	outer->depth -= inner->depth + 1;
	return 0;
}

/* -- events of version 1 -- */

int source_cgroup_event_control(struct open_source *source, const char *directory, int file_fd,
	const char *argument)
{
	char path[PATH_MAX], line[80];
	int event_fd, control, length, r = 0;

	if (snprintf(path, sizeof(path), "%s/cgroup.event_control", directory) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	event_fd = source_keep(source, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (event_fd < 0)
		return event_fd;
	control = descriptor_above_std(open(path, O_WRONLY | O_CLOEXEC));
	if (control < 0)
		return -errno;
	length = snprintf(line, sizeof(line), "%d %d %s", event_fd, file_fd, argument);
	if (write(control, line, (size_t)length) < 0)
		r = errno == EAGAIN ? -EIO : -errno;
	close(control);
	if (r == 0)
		r = source_add(source, event_fd, EPOLLIN, (uint32_t)event_fd);
	return r < 0 ? r : event_fd;
}

static int open_cgroup_event(struct open_source *source, const char **why)
{
	static const char *const names[] = {"low", "medium", "critical"};
	struct pressure_cgroup cgroup;
	int r = source_cgroup_find(&cgroup, 1, source->settings->cgroup), file_fd;

	if (r < 0) {
		*why = "no memory controller of cgroup version 1 is mounted for this process";
		return r;
	}
	file_fd = source_open_file(source, cgroup.path, "memory.pressure_level");
	for (int i = 0; i < 3 && file_fd >= 0 && r >= 0; i++)
		r = source->level_fd[i] =
			source_cgroup_event_control(source, cgroup.path, file_fd, names[i]);
	return file_fd < 0 ? file_fd : r < 0 ? r : 0;
}

static int cgroup_event(struct open_source *source, uint32_t fd, uint32_t events, uint64_t now_ns)
{
	uint64_t count;
	char text[32];

	(void)events;
	/* The kernel writes when the cgroup is removed, too. */
	if (source_read(source->fds[0], text, sizeof(text)) == -ENODEV)
		return -ENODEV;
	for (uint32_t i = 0; i < 3; i++)
		if (source->level_fd[i] == (int)fd && source_check(source, (int)fd) == 0 &&
			read((int)fd, &count, sizeof(count)) > 0)
			source_note(source, (uint32_t)ASHMEM_PRESSURE_SOME + i, now_ns);
	return 0;
}

const struct source_kind source_cgroup_event = {.name = "cgroup-event",
	.open = open_cgroup_event,
	.event = cgroup_event,
	.look = source_look_events};
