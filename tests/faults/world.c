/* SPDX-License-Identifier: MIT */
/*
 * Areas to work on, and all that can be seen of them, as text: by who holds them, with the
 * library's internals, and by a peer process through the public interface. The peer is forked
 * before anything else and has a library of its own; it also makes the areas that cases import.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handle/handle.h"
#include "faults.h"
#include "kernel/area.h"
#include "memfd/area.h"
#include "range/tree.h"

enum { TEXT = 16384 };

void die(const char *what)
{
	fprintf(stderr, "faults: the test itself: %s\n", what);
	_exit(99);
}

uint64_t page_bytes(void)
{
	static uint64_t bytes;

	if (!bytes)
		bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	return bytes;
}

/* -- making -- */

void map_area(struct world *world, int at, int prot)
{
	void *base = NULL;
	size_t bytes = (size_t)ashmem_get_size(world->area[at]);

	if (ashmem_map(world->area[at], 0, bytes, prot, MAP_SHARED, &base) < 0)
		die("ashmem_map");
	world->base[at] = base;
	for (uint64_t page = 0; (prot & PROT_WRITE) && page < bytes / page_bytes(); page++)
		*(uint64_t *)(void *)(world->base[at] + page * page_bytes()) = page + 1;
}

void add_area(struct world *world, int at, uint32_t pages, uint32_t flags)
{
	if (ashmem_create("faulty", pages * page_bytes(), flags, &world->area[at]) < 0)
		die("ashmem_create");
	map_area(world, at, PROT_READ | PROT_WRITE);
}

void unpin_pages(struct world *world, int at, uint64_t first, uint64_t count)
{
	if (ashmem_unpin(world->area[at], first * page_bytes(), count * page_bytes()) < 0)
		die("ashmem_unpin");
}

void world_begin(struct world *world)
{
	memset(world, 0, sizeof(*world));
	world->fd = world->made_fd = world->sockets[0] = world->sockets[1] = -1;
}

void world_end(struct world *world)
{
	ashmem_entry_release(world->entry);
	ashmem_cache_close(world->cache);
	for (int at = 0; at < AREAS; at++) {
		if (world->base[at])
			ashmem_unmap(world->base[at], (size_t)ashmem_get_size(world->area[at]));
		ashmem_close(world->area[at]);
	}
	ashmem_close(world->made);
	ashmem_pressure_close(world->pressure);
	ashmem_budget_close(world->budget);
	ashmem_shrinker_unregister(world->shrinker);
	if (world->mapped)
		ashmem_unmap(world->mapped, world->mapped_bytes);
	const int fds[] = {world->fd, world->made_fd, world->sockets[0], world->sockets[1]};
	for (int i = 0; i < 4; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	world_begin(world);
}

/* -- describing -- */

struct text {
	char *at;
	size_t left;
};

static void say(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(text->at, text->left, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= text->left)
		die("a description is too long");
	text->at += length;
	text->left -= (size_t)length;
}

/* Which pages others may not lock, as a purge would: asked through a description of one's own. */
static void say_locks(struct text *text, int fd, uint64_t pages)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int own = open(path, O_RDONLY | O_CLOEXEC);
	say(text, " locks ");
	for (uint64_t page = 0; own >= 0 && page < pages && page < 64; page++) {
		struct flock lock = {.l_type = F_WRLCK,
			.l_whence = SEEK_SET,
			.l_start = (off_t)(page * page_bytes()),
			.l_len = (off_t)page_bytes()};
		int r = fcntl(own, F_OFD_GETLK, &lock);
		say(text, "%c",
			r < 0                            ? '?'
				: lock.l_type == F_UNLCK ? '.'
				: lock.l_type == F_RDLCK ? 'R'
							 : 'W');
	}
	say(text, "\n");
	if (own >= 0)
		close(own);
}

/* By the public interface alone. */
static void say_from_outside(struct text *text, int fd)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};
	struct ashmem_area *area;
	char name[ASHMEM_NAME_LEN] = "?";
	uint64_t offset = 0, length = 0, word;
	uint32_t state;
	int r = ashmem_import(fd, &area);

	say(text, " peer: import %d", r);
	if (r < 0)
		return;
	ashmem_get_name(area, name, sizeof(name));
	say(text, " '%s' size %" PRIu64 " mask %d", name, ashmem_get_size(area),
		ashmem_get_prot(area));
	if (ashmem_area_get_stats(area, &stats) == 0)
		say(text, " stats %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
			stats.unpinned_ranges, stats.unpinned_pages, stats.evictable_pages,
			stats.purged_pages, stats.pins_found_purged);
	say(text, " ranges");
	while (ashmem_find_unpinned(area, offset + length, &offset, &length, &state) > 0)
		say(text, " %" PRIu64 "+%" PRIu64 "/%c", offset / page_bytes(),
			length / page_bytes(), state & ASHMEM_RANGE_PURGED ? 'P' : 'U');
	say(text, " status ");
	for (uint64_t page = 0; page < PAGES; page++)
		say(text, "%d",
			ashmem_get_pin_status(area, page * page_bytes(), page_bytes()) == 1);
	say(text, " data");
	for (uint64_t page = 0; page < PAGES; page++)
		if (ashmem_pread(area, &word, sizeof(word), page * page_bytes()) ==
			(int64_t)sizeof(word))
			say(text, " %" PRIu64, word);
	say_locks(text, fd, PAGES);
	ashmem_close(area);
}

/* With the ages as ranks, since the times differ from run to run. */
static void say_ranges(struct text *text, struct control_map *map)
{
	struct range range[64];
	int count = 0;
	uint32_t page = 0;

	while (count < 64 && page < map->list.pages &&
		range_find(&map->list, page, &range[count]) > 0) {
		page = range[count].start + range[count].pages;
		count++;
	}
	for (int i = 0; i < count; i++) {
		int rank = 0;
		for (int j = 0; j < count; j++)
			rank += range[j].stamp < range[i].stamp;
		say(text, " %u+%u live %u flags %c age %d;", range[i].start, range[i].pages,
			range[i].live, range[i].flags & RANGE_PURGED ? 'P' : 'U', rank);
	}
	say(text, " valid %d\n", range_validate(&map->list));
}

static void say_control(struct text *text, struct memfd_area *area)
{
	struct control_map *map = &area->control;
	struct control *control = map->shared;

	if (map->writable && control_lock(map) < 0) {
		say(text, " cannot be locked\n");
		return;
	}
	say(text,
		" position %" PRIu64 " mask %u damaged %u notes %u sealed %u purged %" PRIu64
		" found %" PRIu64 "\n ",
		control->position, control->prot, control->damaged, control->purge_count,
		control->sealed, control->purged_pages, control->pins_found_purged);
	say_ranges(text, map);
	if (map->writable)
		control_unlock(map, 0);
	say(text, " lock word %u\n", control->lock);
}

/* What the peer answers, below. */
static const char *ask_peer(int fd);

static void say_memfd(struct text *text, struct memfd_area *area, int bare)
{
	struct stat status;

	say(text, " %s%s%s", memfd_is_materialised(area) ? "materialised" : "newborn",
		memfd_is_established(area) ? ", established" : "", area->birth ? ", born" : "");
	if (area->fd >= 0 && fstat(area->fd, &status) == 0)
		/* Not what MFD_NOEXEC_SEAL brings, which not every kernel has. */
		say(text, ", file of %jd bytes, mode %o, seals %d", (intmax_t)status.st_size,
			status.st_mode & 0666, fcntl(area->fd, F_GET_SEALS) & 0x1f);
	say(text, "%s\n keeps %u", area->read_only_fd >= 0 ? ", read-only descriptor" : "",
		area->file_locks.count);
	for (uint32_t i = 0; i < area->file_locks.count; i++)
		say(text, " %" PRIu64 "-%" PRIu64 " %u %u", area->file_locks.at[i].start,
			area->file_locks.at[i].end, area->file_locks.at[i].pinned,
			area->file_locks.at[i].holds);
	say(text, "\n");
	if (!memfd_is_established(area) || area->plain || bare)
		return;
	say_control(text, area);
	say(text, "%s\n", ask_peer(area->fd));
}

static void say_area(struct text *text, struct ashmem_area *area, const unsigned char *base,
	int bare)
{
	char name[ASHMEM_NAME_LEN] = "?", driver[600] = "";

	ashmem_get_name(area, name, sizeof(name));
	say(text, "area of %s: '%s' size %" PRIu64 " mask %d, reference %u\n",
		ashmem_backend_name(area), name, ashmem_get_size(area), ashmem_get_prot(area),
		area->refs);
	if (strcmp(ashmem_backend_name(area), "memfd") == 0) {
		say_memfd(text, area->state, bare);
	} else {
		driver_describe(((struct kernel_area *)area->state)->fd, driver, sizeof(driver));
		say(text, "%s", driver);
	}
	for (uint64_t page = 0; base && page < PAGES && page < ashmem_get_size(area) / page_bytes();
		page++) {
		uint64_t word;
		/* A look through the mapping gives memory to what was purged. */
		if (ashmem_pread(area, &word, sizeof(word), page * page_bytes()) != sizeof(word))
			memcpy(&word, base + page * page_bytes(), sizeof(word));
		say(text, " %" PRIu64, word);
	}
	say(text, "\n");
}

static void say_cache(struct text *text, struct ashmem_cache *cache)
{
	static const char keys[] = "abc";
	char value[8] = "";

	say(text, "cache:");
	for (int i = 0; i < 3; i++) {
		int64_t got = ashmem_cache_read(cache, &keys[i], 1, value, sizeof(value) - 1);
		value[got > 0 && got < 7 ? got : 0] = '\0';
		say(text, " %c %jd %s", keys[i], (intmax_t)(got < 100 ? got : 100), value);
	}
	say(text, "\n");
}

static int has_areas(const struct world *world)
{
	for (int at = 0; at < AREAS; at++)
		if (world->area[at])
			return 1;
	return world->made != NULL;
}

void world_describe(struct world *world, char *buffer, size_t size)
{
	/* Without the sums, which would ask the areas: a bare one shall be found as it is. */
	struct ashmem_process_stats stats = {
		.struct_size = offsetof(struct ashmem_process_stats, size_pages)};
	struct ashmem_pressure_status status = {.struct_size = sizeof(status)};
	struct text text = {buffer, size};

	for (int at = 0; at < AREAS; at++)
		if (world->area[at])
			say_area(&text, world->area[at], world->base[at], world->bare[at]);
	if (world->made)
		say_area(&text, world->made, NULL, 0);
	if (world->mapped)
		say(&text, "mapped %zu\n", world->mapped_bytes);
	if (has_areas(world)) /* or this would be the first call of the process */
		ashmem_process_get_stats(&stats);
	say(&text, "process: areas %" PRIu64 " evictable %" PRIu64 " purged %" PRIu64 "\n",
		stats.areas, stats.evictable_pages, stats.purged_pages);
	if (world->cache)
		say_cache(&text, world->cache);
	struct ashmem_budget_usage usage = {.struct_size = sizeof(usage)};
	if (world->budget && ashmem_budget_get_usage(world->budget, &usage) == 0)
		say(&text,
			"budget: areas %" PRIu64 " unpinned %" PRIu64 " of %" PRIu64 " all %" PRIu64
			" of %" PRIu64 "\n",
			usage.areas, usage.unpinned_bytes, usage.unpinned_limit_bytes,
			usage.all_bytes, usage.all_limit_bytes);
	if (world->pressure && ashmem_pressure_get_status(world->pressure, &status) == 0)
		say(&text,
			"pressure: source %s level %" PRIu64 " lost %" PRIu64 " purged %" PRIu64
			"\n",
			ashmem_pressure_source(world->pressure), status.level, status.lost_sources,
			status.purged_pages);
}

/* -- the peer -- */

static pid_t peer;
static int to_peer = -1;
static char *peer_text;

union control_bytes {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* One byte, and a descriptor if it is not -1. */
static void send_fd(int socket, char byte, int fd)
{
	union control_bytes control;
	struct iovec io = {&byte, 1};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1)
		die("the peer is gone");
}

static char receive_fd(int socket, int *fd)
{
	union control_bytes control;
	char byte = 0;
	struct iovec io = {&byte, 1};
	struct msghdr message = {.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};

	*fd = -1;
	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		return 0;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header)
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return byte;
}

/* Made by another process, with ranges, of which one was purged, and data. */
static void make_area(int socket, char kind)
{
	struct world world;
	int fd = -1;

	world_begin(&world);
	if (kind == '0' + PEER_PLAIN) {
		fd = memfd_create("plain", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0 || ftruncate(fd, (off_t)(PAGES * page_bytes())) < 0)
			die("memfd_create");
		send_fd(socket, 'f', fd);
		close(fd);
		return;
	}
	add_area(&world, 0, PAGES, ASHMEM_CREATE_ALLOW_SEAL);
	unpin_pages(&world, 0, 1, 3);
	ashmem_purge_all();
	unpin_pages(&world, 0, 6, 2);
	unpin_pages(&world, 0, 10, 4);
	if (kind == '0' + PEER_READ_ONLY)
		fd = ashmem_export_read_only(world.area[0]);
	if (kind == '0' + PEER_SEALED && ashmem_seal(world.area[0]) < 0)
		die("ashmem_seal");
	send_fd(socket, 'f', fd >= 0 ? fd : ashmem_fd(world.area[0]));
	if (fd >= 0)
		close(fd);
	world_end(&world);
}

static void be_peer(int socket)
{
	int fd;
	char wish;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ashmem_backend_select("memfd");
	while ((wish = receive_fd(socket, &fd)) != 0) {
		if (wish == 'd') {
			struct text text = {peer_text, TEXT};
			say_from_outside(&text, fd);
			close(fd);
			send_fd(socket, 'k', -1);
		} else {
			make_area(socket, wish);
		}
	}
	_exit(0);
}

void peer_start(void)
{
	int ends[2];

	peer_text = mmap(NULL, TEXT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (peer_text == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		die("a peer");
	fflush(NULL);
	peer = fork();
	if (peer < 0)
		die("fork");
	if (peer == 0) {
		close(ends[0]);
		be_peer(ends[1]);
	}
	close(ends[1]);
	to_peer = ends[0];
}

void peer_stop(void)
{
	close(to_peer);
	kill(peer, SIGKILL);
	waitpid(peer, NULL, 0);
	munmap(peer_text, TEXT);
}

static const char *ask_peer(int fd)
{
	int none;

	send_fd(to_peer, 'd', fd);
	if (receive_fd(to_peer, &none) != 'k')
		die("the peer does not answer");
	return peer_text;
}

int peer_area(enum peer_area kind)
{
	int fd;

	send_fd(to_peer, (char)('0' + (int)kind), -1);
	if (receive_fd(to_peer, &fd) != 'f' || fd < 0)
		die("the peer makes no area");
	return fd;
}
