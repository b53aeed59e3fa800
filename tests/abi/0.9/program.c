/* SPDX-License-Identifier: MIT */
/*
 * A program as it would have been written for libashmem 0.9. tests/check_abi.sh compiles it with
 * the headers of that release (kept in include/ beside it once there is a tag, today's until then)
 * and runs it with today's library: it must go on working, whatever was added since.
 *
 * What can go wrong is what both sides know of a type, so this touches every public structure, has
 * bytes after each that the library must leave alone, is called back, and checks the values of
 * constants by what they do. It exits with 1 and prints the line that failed.
 */
#include <ashmem/ashmem.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGES 16u

#define EXPECT(condition)                                                       \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			exit(1);                                                \
		}                                                               \
	} while (0)

/* A structure as this program knows it, and bytes that are not the library's. */
#define GUARDED(type)                    \
	struct {                         \
		type it;                 \
		unsigned char guard[64]; \
	}
#define GUARD(g)                                            \
	do {                                                \
		memset(&(g), 0, sizeof((g).it));            \
		memset((g).guard, 0xa5, sizeof((g).guard)); \
		(g).it.struct_size = sizeof((g).it);        \
	} while (0)

static int intact(const unsigned char *guard)
{
	for (int i = 0; i < 64; i++)
		if (guard[i] != 0xa5)
			return 0;
	return 1;
}

static uint64_t page, bytes;

static void pinning(struct ashmem_area *area, unsigned char *memory)
{
	uint64_t offset = 0, length = 0;
	uint32_t state = 0;

	EXPECT(ashmem_unpin(area, 0, 2 * page) == 0);
	EXPECT(ashmem_get_pin_status(area, 0, 0) == ASHMEM_IS_UNPINNED);
	EXPECT(ashmem_find_unpinned(area, 0, &offset, &length, &state) == 1);
	EXPECT(offset == 0 && length == 2 * page && state == ASHMEM_RANGE_EVICTABLE);
	EXPECT(ashmem_pin(area, 0, 0) == ASHMEM_NOT_PURGED && memory[0] == 'x');
	EXPECT(ashmem_get_pin_status(area, 0, 0) == ASHMEM_IS_PINNED);
	EXPECT(ashmem_unpin(area, 0, 2 * page) == 0);
	EXPECT(ashmem_hold(area, 0, page) == ASHMEM_NOT_PURGED);
	EXPECT(ashmem_purge_all() >= 0 && memory[0] == 'x');
	EXPECT(ashmem_release(area, 0, page, ASHMEM_RELEASE_LOST) == 0);
	EXPECT(ashmem_shrink_count() == 2);
	EXPECT(ashmem_shrink(1) == 2);
	EXPECT(ashmem_find_unpinned(area, 0, NULL, NULL, &state) == 1 &&
		state == ASHMEM_RANGE_PURGED);
	EXPECT(ashmem_pin(area, 0, 0) == ASHMEM_WAS_PURGED && memory[0] == 0);
}

static void statistics(struct ashmem_area *area)
{
	GUARDED(struct ashmem_area_stats) of_area;
	GUARDED(struct ashmem_process_stats) of_process;

	GUARD(of_area);
	EXPECT(ashmem_area_get_stats(area, &of_area.it) == 0);
	EXPECT(of_area.it.struct_size == sizeof(of_area.it) && of_area.it.size_pages == PAGES);
	EXPECT(of_area.it.purged_pages == 2 && intact(of_area.guard));
	GUARD(of_process);
	EXPECT(ashmem_process_get_stats(&of_process.it) == 0);
	EXPECT(of_process.it.areas == 1 && of_process.it.purged_pages == 2 &&
		intact(of_process.guard));
}

static void sharing(struct ashmem_area *area)
{
	struct ashmem_area *other = NULL;
	int pair[2], fd;

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	EXPECT(ashmem_send(pair[0], area) == 0 && ashmem_recv(pair[1], &other) == 0 &&
		other == area);
	ashmem_close(other);
	EXPECT(ashmem_import(ashmem_fd(area), &other) == 0 && other == area);
	ashmem_close(other);
	fd = ashmem_export_read_only(area);
	EXPECT(fd >= 0);
	close(fd);
	close(pair[0]);
	close(pair[1]);
	EXPECT(ashmem_seal(area) == -EPERM); /* not made with ASHMEM_CREATE_ALLOW_SEAL */
}

static uint32_t told_level;

static void on_level(void *userdata, uint32_t level, uint32_t before, uint64_t purged_pages)
{
	EXPECT(userdata == &told_level && before == ASHMEM_PRESSURE_NONE && purged_pages == PAGES);
	told_level = level;
}

/* The source "service" takes events from a FIFO. */
static void pressure(struct ashmem_area *area, unsigned char *memory)
{
	GUARDED(struct ashmem_pressure_options) options;
	GUARDED(struct ashmem_pressure_status) status;
	struct ashmem_pressure *watch = NULL;
	char directory[] = "/tmp/ashmem-abi-XXXXXX", path[64], text[4096];
	int fd;

	EXPECT(mkdtemp(directory) != NULL);
	snprintf(path, sizeof(path), "%s/fifo", directory);
	EXPECT(mkfifo(path, 0600) == 0 && setenv("MEMORY_PRESSURE_WATCH", path, 1) == 0);
	GUARD(options);
	options.it.source = "service";
	options.it.some_percent = 100;
	EXPECT(ashmem_pressure_open(&options.it, &watch) == 0 && intact(options.guard));
	EXPECT(strcmp(ashmem_pressure_source(watch), "service") == 0);
	EXPECT(ashmem_pressure_explain(watch, text, sizeof(text)) > 0);
	EXPECT(ashmem_pressure_subscribe(watch, on_level, &told_level) == 0);
	memset(memory, 'x', bytes); /* only memory is purged */
	EXPECT(ashmem_unpin(area, 0, 0) == 0);
	fd = open(path, O_RDWR);
	EXPECT(fd >= 0 && write(fd, "!", 1) == 1);
	EXPECT(ashmem_pressure_fd(watch) >= 0 &&
		ashmem_pressure_dispatch(watch) == ASHMEM_PRESSURE_SOME);
	EXPECT(told_level == ASHMEM_PRESSURE_SOME && ashmem_pin(area, 0, 0) == ASHMEM_WAS_PURGED);
	GUARD(status);
	EXPECT(ashmem_pressure_get_status(watch, &status.it) == 0);
	EXPECT(status.it.events == 1 && status.it.purged_pages == PAGES && intact(status.guard));
	EXPECT(ashmem_pressure_run(watch) == 0 && ashmem_pressure_stop(watch) == 0);
	ashmem_pressure_close(watch);
	close(fd);
	unlink(path);
	rmdir(directory);
}

/* A backend whose areas are of heap memory. Its table is as long as this program knows it. */
struct heap_area {
	char name[ASHMEM_NAME_LEN];
	uint64_t size;
	int prot;
	void *memory;
};

static int heap_probe(void *userdata)
{
	return userdata ? 0 : -ENODEV;
}

static int heap_create(void *userdata, const char *name, uint64_t size_bytes, uint32_t flags,
	void **state)
{
	struct heap_area *area = calloc(1, sizeof(*area));

	EXPECT(area && userdata && flags == 0);
	snprintf(area->name, sizeof(area->name), "%s", name);
	area->size = size_bytes;
	area->prot = PROT_READ | PROT_WRITE | PROT_EXEC;
	*state = area;
	return 0;
}

static void heap_close(void *state)
{
	free(((struct heap_area *)state)->memory);
	free(state);
}

static int heap_set_name(void *state, const char *name)
{
	snprintf(((struct heap_area *)state)->name, ASHMEM_NAME_LEN, "%s", name);
	return 0;
}

static int heap_get_name(void *state, char *name)
{
	strcpy(name, ((struct heap_area *)state)->name);
	return 0;
}

static int heap_set_size(void *state, uint64_t size_bytes)
{
	((struct heap_area *)state)->size = size_bytes;
	return 0;
}

static int heap_get_size(void *state, uint64_t *size_bytes, int *materialised)
{
	*size_bytes = ((struct heap_area *)state)->size;
	*materialised = ((struct heap_area *)state)->memory != NULL;
	return 0;
}

static int heap_set_prot(void *state, int prot)
{
	((struct heap_area *)state)->prot = prot;
	return 0;
}

static int heap_get_prot(void *state)
{
	return ((struct heap_area *)state)->prot;
}

static int heap_get_fd(void *state)
{
	(void)state;
	return 0;
}

static int heap_map(void *state, uint64_t offset, size_t length, int prot, int map_flags,
	void **addr)
{
	struct heap_area *area = state;

	EXPECT(offset + length <= area->size && (prot & ~area->prot) == 0 &&
		map_flags == MAP_SHARED);
	if (!area->memory)
		area->memory = calloc(1, area->size);
	*addr = (char *)area->memory + offset;
	return 0;
}

static int64_t heap_read(void *state, void *buf, size_t length)
{
	memcpy(buf, ((struct heap_area *)state)->memory, length);
	return (int64_t)length;
}

static int64_t heap_pread(void *state, void *buf, size_t length, uint64_t offset)
{
	memcpy(buf, (char *)((struct heap_area *)state)->memory + offset, length);
	return (int64_t)length;
}

static int64_t heap_seek(void *state, int64_t offset, int whence)
{
	(void)state;
	return whence == SEEK_SET ? offset : -EINVAL;
}

static int heap_pin(void *state, uint64_t offset, uint64_t length)
{
	(void)state;
	return offset == 0 && length == bytes ? ASHMEM_WAS_PURGED : ASHMEM_NOT_PURGED;
}

static int heap_unpin(void *state, uint64_t offset, uint64_t length)
{
	(void)state;
	return offset == 0 && length == bytes ? 0 : -EINVAL;
}

static int heap_get_pin_status(void *state, uint64_t offset, uint64_t length)
{
	(void)state, (void)offset, (void)length;
	return ASHMEM_IS_PINNED;
}

static void backend(void)
{
	static GUARDED(struct ashmem_backend) heap;
	struct ashmem_area *area = NULL;
	void *addr = NULL;
	char word[3] = "";

	GUARD(heap);
	heap.it.name = "heap";
	heap.it.userdata = &heap;
	heap.it.probe = heap_probe;
	heap.it.create = heap_create;
	heap.it.close = heap_close;
	heap.it.set_name = heap_set_name;
	heap.it.get_name = heap_get_name;
	heap.it.set_size = heap_set_size;
	heap.it.get_size = heap_get_size;
	heap.it.set_prot = heap_set_prot;
	heap.it.get_prot = heap_get_prot;
	heap.it.get_fd = heap_get_fd;
	heap.it.map = heap_map;
	heap.it.read = heap_read;
	heap.it.pread = heap_pread;
	heap.it.seek = heap_seek;
	heap.it.pin = heap_pin;
	heap.it.unpin = heap_unpin;
	heap.it.get_pin_status = heap_get_pin_status;
	EXPECT(ashmem_backend_register(&heap.it) == 0);
	EXPECT(ashmem_backend_select("heap") == 0 &&
		ashmem_create("of the heap", bytes, 0, &area) == 0);
	EXPECT(strcmp(ashmem_backend_name(area), "heap") == 0);
	EXPECT(ashmem_map(area, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, &addr) == 0);
	memcpy(addr, "ok", 2);
	EXPECT(ashmem_read(area, word, 2) == 2 && strcmp(word, "ok") == 0);
	EXPECT(ashmem_unpin(area, 0, 0) == 0 && ashmem_pin(area, 0, 0) == ASHMEM_WAS_PURGED);
	/*
	 * The guard is where a longer table would have its next operations: those of a later
	 * library are not ours.
	 */
	EXPECT(ashmem_shrink(1) == 0 && ashmem_hold(area, 0, 0) == -ENOTSUP &&
		ashmem_seal(area) == -ENOTSUP);
	ashmem_close(area);
	EXPECT(intact(heap.guard) && ashmem_backend_select("memfd") == 0);
}

int main(void)
{
	struct ashmem_area *area = NULL;
	char name[ASHMEM_NAME_LEN];
	void *addr = NULL;

	page = (uint64_t)sysconf(_SC_PAGESIZE);
	bytes = PAGES * page;
	EXPECT(ashmem_version_at_least(ASHMEM_VERSION_MAJOR, ASHMEM_VERSION_MINOR,
		       ASHMEM_VERSION_PATCH) == 1);
	EXPECT(ashmem_version() >= ASHMEM_VERSION && strlen(ashmem_version_string()) >= 5);
	EXPECT(ashmem_backend_select("memfd") == 0 && ashmem_create(NULL, 0, 0, &area) == 0);
	EXPECT(ashmem_get_name(area, name, sizeof(name)) == 0 &&
		strcmp(name, ASHMEM_NAME_DEF) == 0);
	EXPECT(ashmem_set_name(area, "first release") == 0 && ashmem_set_size(area, bytes) == 0);
	EXPECT(ashmem_get_size(area) == bytes &&
		ashmem_get_prot(area) == (PROT_READ | PROT_WRITE | PROT_EXEC));
	EXPECT(ashmem_set_prot(area, PROT_READ | PROT_WRITE) == 0);
	EXPECT(ashmem_map(area, 0, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, &addr) == 0);
	memset(addr, 'x', bytes);
	EXPECT(ashmem_read(area, name, 4) == 4 && ashmem_seek(area, 0, SEEK_CUR) == 4 &&
		ashmem_pread(area, name, 4, bytes) == 0);
	pinning(area, addr);
	statistics(area);
	sharing(area);
	pressure(area, addr);
	EXPECT(ashmem_unmap(addr, (size_t)bytes) == 0);
	ashmem_close(area);
	backend();
	return 0;
}
