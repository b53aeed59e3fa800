/* SPDX-License-Identifier: MIT */
/*
 * What victims do: every public function, with good arguments. Each answer must be one that the
 * headers name for the call, and come within the bound that docs/security.md tells, which the table
 * below has in units of WAIT_TIMEOUT_NS.
 */
#include "hostile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pressure/source.h"

/* Pages of chance: often few, sometimes all. */
static void draw(struct party *p, uint64_t *offset, uint64_t *length)
{
	uint64_t first = roll(&p->dice, p->pages), most = p->pages - first;
	uint64_t count = 1 + roll(&p->dice, roll(&p->dice, 8) ? (most < 12 ? most : 12) : most);

	*offset = roll(&p->dice, 16) ? first * p->page : 0;
	*length = roll(&p->dice, 16) ? count * p->page : 0;
}

static int64_t call_pin(struct party *p)
{
	uint64_t offset, length;

	draw(p, &offset, &length);
	return ashmem_pin(p->area, offset, length);
}

/*
 * What is told to be lost lies within the range, in order, whatever the bitmap says at which
 * moment.
 */
static int64_t call_pin_lost(struct party *p)
{
	enum { EXTENTS = 12 };
	struct ashmem_extent lost[EXTENTS + 1];
	uint32_t capacity = 1 + (uint32_t)roll(&p->dice, EXTENTS), count = 0x5a5a5a5a;
	uint64_t offset, length, at;

	draw(p, &offset, &length);
	memset(lost, 0xa5, sizeof(lost));
	int r = ashmem_pin_lost(p->area, offset, length, lost, capacity, &count);
	must(lost[capacity].offset == 0xa5a5a5a5a5a5a5a5u);
	if (r < 0) {
		must(count == 0x5a5a5a5a);
		return r;
	}
	must(count <= capacity && (r == ASHMEM_WAS_PURGED || count == 0));
	at = offset;
	for (uint32_t i = 0; i < count; i++) {
		must(lost[i].offset >= at && lost[i].length > 0 &&
			(lost[i].offset | lost[i].length) % p->page == 0);
		at = lost[i].offset + lost[i].length;
	}
	must(at <= (length ? offset + length : p->pages * p->page));
	return r;
}

static int64_t call_unpin(struct party *p)
{
	uint64_t offset, length;

	draw(p, &offset, &length);
	return ashmem_unpin(p->area, offset, length);
}

static int64_t call_unpin_with(struct party *p)
{
	uint64_t offset, length;

	draw(p, &offset, &length);
	return ashmem_unpin_with(p->area, offset, length, (uint32_t)roll(&p->dice, 8),
		roll(&p->dice, 2) ? ASHMEM_ORDER_LIFO : ASHMEM_ORDER_FIFO);
}

static int64_t call_status(struct party *p)
{
	uint64_t offset, length;

	draw(p, &offset, &length);
	return ashmem_get_pin_status(p->area, offset, length);
}

static int64_t call_hold(struct party *p)
{
	uint64_t offset, length;

	draw(p, &offset, &length);
	int r = ashmem_hold(p->area, offset, length);
	if (r < 0)
		return r;
	int released = ashmem_release(p->area, offset, length,
		roll(&p->dice, 2) ? 0 : ASHMEM_RELEASE_LOST);
	/* Another thread of this handle may have released the same pages. */
	return released < 0 && released != -EINVAL ? released : r;
}

/* Of what was purged before, so that there are marks to release and losses to forget. */
static int64_t call_hold_purged(struct party *p)
{
	uint64_t offset, length;

	draw(p, &offset, &length);
	int64_t r = ashmem_unpin(p->area, offset, length);
	if (r == 0)
		r = ashmem_purge_all() < 0 ? 0 : ashmem_hold(p->area, offset, length);
	if (r <= 0)
		return r;
	int released = ashmem_release(p->area, offset, length,
		roll(&p->dice, 4) ? 0 : ASHMEM_RELEASE_LOST);
	return released < 0 && released != -EINVAL ? released : r;
}

static int64_t call_release(struct party *p)
{
	uint64_t offset, length;

	draw(p, &offset, &length);
	return ashmem_release(p->area, offset, length, 0);
}

static int64_t call_map(struct party *p)
{
	uint64_t first = roll(&p->dice, p->pages), count = 1 + roll(&p->dice, p->pages - first);
	int prot = roll(&p->dice, 2) ? PROT_READ : PROT_READ | PROT_WRITE;
	void *addr = NULL;

	if (count > 64)
		count = 64;
	int r = ashmem_map(p->area, first * p->page, count * p->page, prot,
		roll(&p->dice, 4) ? MAP_SHARED : MAP_PRIVATE, &addr);
	if (r < 0) {
		must(addr == NULL);
		return r;
	}
	volatile unsigned char *bytes = addr;
	unsigned char seen = bytes[0];
	if (prot & PROT_WRITE)
		bytes[count * p->page - 1] = seen;
	must(ashmem_unmap(addr, count * p->page) == 0);
	return 0;
}

static int64_t call_populate(struct party *p)
{
	uint64_t first = roll(&p->dice, p->pages),
		 count = 1 + roll(&p->dice, p->pages - first < 40 ? p->pages - first : 40);
	void *addr = NULL;
	int r = ashmem_map(p->area, first * p->page, count * p->page, PROT_READ, MAP_SHARED, &addr);

	if (r < 0)
		return r;
	r = ashmem_populate(addr, count * p->page);
	must(ashmem_unmap(addr, count * p->page) == 0);
	return r;
}

static int64_t call_read(struct party *p)
{
	unsigned char bytes[96];
	size_t length = 1 + roll(&p->dice, 64);

	memset(bytes, 0xa5, sizeof(bytes));
	int64_t got = ashmem_read(p->area, bytes, length);
	must(got <= (int64_t)length);
	for (size_t i = length; i < sizeof(bytes); i++)
		must(bytes[i] == 0xa5);
	return got;
}

static int64_t call_pread(struct party *p)
{
	unsigned char bytes[64];

	int64_t got = ashmem_pread(p->area, bytes, sizeof(bytes),
		roll(&p->dice, p->pages * p->page + 100));
	must(got <= (int64_t)sizeof(bytes));
	return got;
}

static int64_t call_seek(struct party *p)
{
	static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE};

	return ashmem_seek(p->area,
		(int64_t)roll(&p->dice, p->pages * p->page) - (roll(&p->dice, 4) ? 0 : 5000),
		whences[roll(&p->dice, 5)]);
}

static int64_t call_name(struct party *p)
{
	char name[ASHMEM_NAME_LEN + 1];

	memset(name, '#', sizeof(name));
	int r = ashmem_get_name(p->area, name, ASHMEM_NAME_LEN);
	must(r < 0 || memchr(name, '\0', ASHMEM_NAME_LEN));
	must(name[ASHMEM_NAME_LEN] == '#');
	return r;
}

static int64_t call_set_name(struct party *p)
{
	must(ashmem_set_name(p->area, "other") == -EINVAL);
	must(ashmem_set_size(p->area, 5) == -EINVAL);
	must(ashmem_get_size(p->area) == p->pages * p->page);
	must(strcmp(ashmem_backend_name(p->area), "memfd") == 0);
	return 0;
}

static int64_t call_get_prot(struct party *p)
{
	int r = ashmem_get_prot(p->area);

	must(r <= (PROT_READ | PROT_WRITE | PROT_EXEC));
	return r;
}

/* Without taking a bit away for good: only what is there. */
static int64_t call_set_prot(struct party *p)
{
	int prot = ashmem_get_prot(p->area);

	return prot < 0 ? prot : ashmem_set_prot(p->area, prot);
}

static int64_t call_find(struct party *p)
{
	uint64_t from = roll(&p->dice, 2) ? 0 : roll(&p->dice, p->pages * p->page), offset = 0,
		 length = 0, steps = 0;
	uint32_t state = 0;
	int64_t r;

	while ((r = ashmem_find_unpinned(p->area, from, &offset, &length, &state)) == 1) {
		must(length > 0 && offset + length <= p->pages * p->page && offset % p->page == 0);
		must((state & ~(ASHMEM_RANGE_PURGED | ASHMEM_RANGE_EVICTABLE)) == 0);
		if (offset + length <= from || ++steps > 40)
			break;
		from = offset + length;
	}
	return r;
}

static int64_t call_stats(struct party *p)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};
	int r = ashmem_area_get_stats(p->area, &stats);

	must(r < 0 || stats.size_pages == p->pages);
	return r;
}

static int64_t call_process_stats(struct party *p)
{
	struct ashmem_process_stats stats = {.struct_size = sizeof(stats)};

	(void)p;
	/* A damaged area counts for no more than its pages. */
	must(ashmem_shrink_count() < (UINT64_C(1) << 40));
	return ashmem_process_get_stats(&stats);
}

static int64_t call_shrink(struct party *p)
{
	return ashmem_shrink(roll(&p->dice, 4) ? 1 + roll(&p->dice, 40) : UINT64_MAX);
}

static int64_t call_purge_all(struct party *p)
{
	(void)p;
	return ashmem_purge_all();
}

/* -- purges that a call makes for the program -- */

/* A group of its own, and at times the process's budget, with limits that the area exceeds. */
static int64_t call_budget(struct party *p)
{
	struct ashmem_budget_options limits = {.struct_size = sizeof(limits),
		.unpinned_bytes = roll(&p->dice, p->pages) * p->page,
		.all_bytes = roll(&p->dice, 2) ? (1 + roll(&p->dice, p->pages)) * p->page : 0};
	struct ashmem_budget_usage usage = {.struct_size = sizeof(usage)};
	struct ashmem_budget *budget = NULL;
	uint64_t offset, length;

	draw(p, &offset, &length);
	must(ashmem_budget_create(&limits, &budget) == 0);
	int added = ashmem_budget_add(budget, p->area);
	must(added == 0 || added == -EBUSY); /* in a group of another thread */
	int64_t r = ashmem_unpin(p->area, offset, length);
	must(ashmem_budget_get_usage(budget, &usage) == 0);
	/* An area counts for no more than its pages, whatever it says. */
	must(usage.areas <= 1 && usage.unpinned_bytes <= p->pages * p->page &&
		usage.all_bytes <= p->pages * p->page);
	must(ashmem_budget_set_limits(ashmem_budget_process(), &limits) == 0);
	limits.unpinned_bytes = limits.all_bytes = 0;
	must(ashmem_budget_set_limits(ashmem_budget_process(), &limits) == 0);
	ashmem_budget_close(budget);
	return r;
}

static uint64_t count_cache(void *userdata)
{
	(void)userdata;
	return 20;
}

static int64_t scan_cache(void *userdata, uint64_t pages)
{
	__atomic_fetch_add((uint64_t *)userdata, pages, __ATOMIC_RELAXED);
	return (int64_t)(pages < 20 ? pages : 20);
}

static int64_t call_shrinker(struct party *p)
{
	uint64_t scanned = 0;
	struct ashmem_shrinker_options options = {.struct_size = sizeof(options),
		.name = "cache",
		.count = count_cache,
		.scan = scan_cache,
		.userdata = &scanned};
	struct ashmem_shrinker *shrinker = NULL;

	must(ashmem_shrinker_register(&options, &shrinker) == 0);
	int64_t r = ashmem_shrink(1 + roll(&p->dice, 60));
	ashmem_shrinker_unregister(shrinker);
	must(r >= 0); /* there is always something to free */
	return r;
}

/* So often a subscriber unpins what was purged: budgets purge it again, and call it again. */
#define TOLD_MOST 200

/* Pins what it is told to have gone, if it is told of its area. */
static void be_told(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	struct party *p = userdata;

	if (area != p->area)
		return;
	must(length > 0 && (offset | length) % p->page == 0 &&
		offset + length <= p->pages * p->page);
	if (__atomic_add_fetch(&p->told, 1, __ATOMIC_RELAXED) > TOLD_MOST)
		return;
	(void)!ashmem_pin(area, offset, length);
	ashmem_unpin_with(area, offset, length, ASHMEM_PRIORITY_LAST, ASHMEM_ORDER_FIFO);
}

static int64_t call_subscribe(struct party *p)
{
	struct party told = *p; /* it may be called by other threads */
	int id = ashmem_purge_subscribe(be_told, &told);

	if (id == -ENOSPC)
		return 0;
	must(id > 0);
	int64_t r = ashmem_shrink(1 + roll(&p->dice, 20));
	must(ashmem_purge_unsubscribe(id) == 0);
	return r;
}

static char fake_proc[40];

static void put_file(const char *name, const char *text)
{
	char path[80];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", fake_proc, name);
	file = fopen(path, "w");
	must(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void remove_fake_proc(void)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/meminfo", fake_proc);
	unlink(path);
	rmdir(fake_proc);
}

void victims_prepare(void)
{
	strcpy(fake_proc, "/tmp/ashmem-hostile-XXXXXX");
	must(mkdtemp(fake_proc));
	put_file("meminfo", "MemTotal: 2000000 kB\nMemAvailable: 1000 kB\n");
	source_proc = fake_proc;
	atexit(remove_fake_proc); /* cases end by _exit() */
}

/* Memory is always short here: each dispatch purges, and unpins meanwhile. */
static int64_t call_pressure(struct party *p)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof(options), .source = "available"};
	struct ashmem_pressure *pressure = NULL;
	uint64_t offset, length;

	draw(p, &offset, &length);
	must(ashmem_pressure_open(&options, &pressure) == 0);
	int level = ashmem_pressure_dispatch(pressure);
	must(level >= ASHMEM_PRESSURE_NONE && level <= ASHMEM_PRESSURE_CRITICAL);
	int r = ashmem_unpin(p->area, offset, length);
	ashmem_pressure_close(pressure);
	return r;
}

static int64_t call_fd(struct party *p)
{
	return ashmem_fd(p->area);
}

static int64_t call_export(struct party *p)
{
	int fd = ashmem_export_read_only(p->area);

	if (fd >= 0)
		close(fd);
	return fd;
}

static int64_t call_seal(struct party *p)
{
	/* Sealing for good would end the test of everything else. */
	return roll(&p->dice, 64) ? 0 : ashmem_seal(p->area);
}

static int64_t call_import(struct party *p)
{
	struct ashmem_area *area = NULL;
	int r = p->fd >= 0 ? ashmem_import(p->fd, &area) : 0;

	must(r == 0 || area == NULL);
	ashmem_close(area);
	return r;
}

/* Through a socket, and used a little. */
static int64_t call_send(struct party *p)
{
	struct ashmem_area *area = NULL;
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	int64_t r = ashmem_send(ends[0], p->area);
	if (r == 0)
		r = ashmem_recv(ends[1], &area);
	if (r == 0) {
		uint64_t size = ashmem_get_size(area);
		must(size > 0);
	}
	ashmem_close(area);
	close(ends[0]);
	close(ends[1]);
	return r;
}

/* Another area has nothing to do with it all. */
static int64_t call_create(struct party *p)
{
	struct ashmem_area *area = NULL;
	void *addr = NULL;

	must(ashmem_create("new", 3 * p->page, 0, &area) == 0);
	must(ashmem_map(area, 0, 3 * p->page, PROT_READ | PROT_WRITE, MAP_SHARED, &addr) == 0);
	memset(addr, 1, 3 * p->page);
	must(ashmem_pin(area, 0, 0) == ASHMEM_NOT_PURGED);
	must(ashmem_get_pin_status(area, 0, 0) == ASHMEM_IS_PINNED);
	must(ashmem_unmap(addr, 3 * p->page) == 0);
	ashmem_close(area);
	return 0;
}

#define DAMAGE EUCLEAN, ETIMEDOUT
#define NO_ERROR 0

static const struct {
	const char *name;
	int64_t (*run)(struct party *p);
	unsigned waits;  /* bounds of docs/security.md */
	unsigned queues; /* threads of one handle wait for each other */
	int errors[8];   /* a writable handle's */
	int reader[8];   /* more of a read-only one's */
} calls[] = {
	{"pin", call_pin, 1, 1, {DAMAGE}, {EACCES}},
	{"pin_lost", call_pin_lost, 1, 1, {DAMAGE}, {EACCES}},
	{"unpin", call_unpin, 3, 1, {DAMAGE}, {EACCES}},
	{"unpin_with", call_unpin_with, 3, 1, {DAMAGE}, {EACCES}},
	{"get_pin_status", call_status, 1, 1, {DAMAGE}, {EACCES}},
	{"hold", call_hold, 4, 1, {DAMAGE, EACCES, ENOTSUP}, {EACCES}},
	{"hold of purged pages", call_hold_purged, 7, 1, {DAMAGE, EACCES, ENOTSUP}, {EACCES}},
	{"release", call_release, 1, 1, {DAMAGE, EINVAL}, {EINVAL}},
	{"map", call_map, 1, 0, {DAMAGE, EPERM, EACCES}, {EACCES}},
	{"populate", call_populate, 1, 0, {DAMAGE, EPERM, EACCES, ENOTSUP, EFAULT}, {EACCES}},
	{"read", call_read, 2, 0, {DAMAGE}, {EACCES}},
	{"pread", call_pread, 0, 0, {NO_ERROR}, {NO_ERROR}},
	{"seek", call_seek, 1, 0, {DAMAGE, EINVAL, ENXIO}, {EACCES}},
	{"get_name", call_name, 0, 0, {NO_ERROR}, {NO_ERROR}},
	{"set_name, set_size, get_size", call_set_name, 0, 0, {NO_ERROR}, {NO_ERROR}},
	{"get_prot", call_get_prot, 0, 0, {EUCLEAN}, {NO_ERROR}},
	{"set_prot", call_set_prot, 2, 0, {DAMAGE, EINVAL, EACCES, ENOTSUP}, {EACCES}},
	{"find_unpinned", call_find, 1, 0, {DAMAGE}, {EACCES}},
	{"area_get_stats", call_stats, 1, 1, {DAMAGE}, {EACCES}},
	{"shrink_count, process_get_stats", call_process_stats, 1, 0, {NO_ERROR}, {NO_ERROR}},
	{"shrink", call_shrink, 2, 1, {DAMAGE}, {NO_ERROR}},
	{"purge_all", call_purge_all, 2, 1, {DAMAGE}, {NO_ERROR}},
	{"budget", call_budget, 8, 1, {DAMAGE}, {EACCES}},
	{"shrinker", call_shrinker, 2, 1, {NO_ERROR}, {NO_ERROR}},
	{"subscriber", call_subscribe, 8, 1, {DAMAGE}, {NO_ERROR}},
	{"pressure", call_pressure, 4, 1, {DAMAGE}, {EACCES}},
	{"fd", call_fd, 1, 0, {DAMAGE, EACCES, ENOTSUP}, {NO_ERROR}},
	{"export_read_only", call_export, 2, 0, {DAMAGE, EACCES, ENOTSUP}, {NO_ERROR}},
	{"seal", call_seal, 1, 0, {DAMAGE, EPERM}, {EACCES}},
	{"import", call_import, 1, 0, {DAMAGE, EPERM, EPROTO, EFBIG}, {NO_ERROR}},
	{"send, recv", call_send, 2, 0, {DAMAGE, EPERM, EPROTO, EFBIG, EACCES, ENOTSUP},
		{NO_ERROR}},
	{"create, close", call_create, 0, 0, {NO_ERROR}, {NO_ERROR}},
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static int is_among(const int errors[8], int64_t answer)
{
	for (int i = 0; i < 8 && errors[i]; i++)
		if (answer == -errors[i])
			return 1;
	return 0;
}

static int64_t make_call(struct party *p, unsigned which)
{
	uint64_t begun = sys_now_ns();
	int64_t r = calls[which].run(p);
	uint64_t took = sys_now_ns() - begun;
	unsigned queue = calls[which].queues && p->threads > 1 ? (unsigned)p->threads : 1;

	p->calls++;
	p->timeouts += r == -ETIMEDOUT;
	p->damages += r == -EUCLEAN;
	if (r < 0 && !is_among(calls[which].errors, r) &&
		!(p->is_reader && is_among(calls[which].reader, r)))
		fail("%s%s answers %" PRId64, p->is_reader ? "a reader's " : "", calls[which].name,
			r);
	if (took > (uint64_t)calls[which].waits * queue * WAIT_TIMEOUT_NS + SLACK_NS)
		fail("%s took %" PRIu64 " ms", calls[which].name, took / 1000000);
	return r;
}

void use_all(struct party *p)
{
	unsigned first = (unsigned)roll(&p->dice, CALLS), before = p->timeouts;

	for (unsigned i = 0; i < CALLS && p->timeouts < before + 3; i++)
		make_call(p, (first + i) % CALLS);
}

void use_for(struct party *p, unsigned ms)
{
	uint64_t end = sys_now_ns() + (uint64_t)ms * 1000000;

	/* Pins are most of what a cache does. */
	while (sys_now_ns() < end)
		make_call(p,
			(unsigned)(roll(&p->dice, 2) ? roll(&p->dice, 4) : roll(&p->dice, CALLS)));
}

int64_t use(struct party *p, const char *call)
{
	for (unsigned i = 0; i < CALLS; i++)
		if (strcmp(calls[i].name, call) == 0)
			return make_call(p, i);
	fail("no call %s", call);
}

int64_t ranges_digest(struct ashmem_area *area)
{
	uint64_t from = 0, offset, length, digest = 1469598103934665603u;
	uint32_t state;
	int r;

	while ((r = ashmem_find_unpinned(area, from, &offset, &length, &state)) == 1) {
		digest = (digest ^ offset) * 1099511628211u;
		digest = (digest ^ length) * 1099511628211u;
		digest = (digest ^ state) * 1099511628211u;
		from = offset + length;
	}
	return r < 0 ? -1 : (int64_t)(digest >> 1);
}
