/* SPDX-License-Identifier: MIT */
/*
 * Making a random trace. The maker keeps a rough idea of what exists, as if every call succeeded,
 * so that most operations have something to work on; it never needs to be right.
 */
#define _GNU_SOURCE 1
#include "differential.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LONG_63 "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXY"
#define LONG_252 LONG_63 LONG_63 LONG_63 LONG_63

/* 0 is NULL. Cut at 255 bytes; the last but one is the unset name, which the driver cannot tell. */
const char *const trace_names[NAMES] = {NULL, "", "x", "two words", "line\nbreak/../\x80\xff",
	LONG_252 "abc", LONG_252 "abcd", "dev/ashmem", LONG_252 LONG_252};

/* What only the maker knows: everybody gives an area back. */
enum { RETIREMENT = KINDS };

enum theme { PINNING, SHARING, LIFE, MEMORY, THEMES };

struct sketch {
	uint64_t random;
	enum theme theme;
	struct trace *trace;
	uint32_t wanted;
	uint8_t actor; /* the one that acts now */
	int alive[ACTORS];
	int exists[AREAS];
	uint64_t size[AREAS];
	int mapping[ACTORS][MAPPINGS]; /* area + 1 */
	uint64_t mapping_pages[ACTORS][MAPPINGS];
};

uint64_t page_size_bytes(void)
{
	static uint64_t page;

	if (page == 0)
		page = (uint64_t)sysconf(_SC_PAGESIZE);
	return page;
}

/* -- random choices -- */

uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t random_below(uint64_t *state, uint64_t limit)
{
	return random_next(state) % limit;
}

int one_in(uint64_t *state, uint64_t n)
{
	return random_below(state, n) == 0;
}

static uint64_t below(struct sketch *s, uint64_t limit)
{
	return random_below(&s->random, limit);
}

static uint64_t pages_in(const struct sketch *s, int area)
{
	uint64_t page = page_size_bytes(), size = s->size[area];

	return size > UINT64_MAX - page ? 1 : (size + page - 1) / page;
}

static uint64_t choose_size(struct sketch *s)
{
	static const uint64_t odd[] = {0, 1, UINT64_C(0xffffffff), UINT64_C(0x100000000),
		UINT64_C(0x100003001), UINT64_C(0x240005000), UINT64_C(0xfffffffd000),
		UINT64_C(0xfffffffd001), UINT64_MAX};
	uint64_t page = page_size_bytes(), pages;

	if (one_in(&s->random, 16))
		return odd[below(s, sizeof odd / sizeof *odd)];
	pages = 1 + below(s, one_in(&s->random, 4) ? 24 : 9);
	if (one_in(&s->random, 40))
		pages = MODEL_PAGES;
	return pages * page - (one_in(&s->random, 3) ? below(s, page) : 0);
}

/* A range of pages, now and then a wrong one. */
static void choose_range(struct sketch *s, int area, struct op *op)
{
	uint64_t page = page_size_bytes(), pages = pages_in(s, area), first, count;

	if (pages > MODEL_PAGES)
		pages = one_in(&s->random, 4) ? pages : 16;
	first = below(s, pages + 1);
	count = below(s, one_in(&s->random, 4) ? pages - first + 1 : 4);
	if (first + count > pages && !one_in(&s->random, 20))
		count = pages - first;
	op->offset = first * page;
	op->length = count * page;
	switch (below(s, 60)) {
	case 0:
		op->offset += 1 + below(s, page - 1);
		break;
	case 1:
		op->length += 1 + below(s, page - 1);
		break;
	case 2:
		op->length = -op->offset - below(s, 2) * page;
		break;
	case 3:
		op->offset += UINT64_C(0x100000000) * (1 + below(s, 2));
		break;
	case 4:
		op->length += UINT64_C(0x100000000);
		break;
	default:
		break;
	}
}

static int choose_area(struct sketch *s)
{
	int area = (int)below(s, AREAS);

	for (int tries = 0; tries < 3 && !s->exists[area]; tries++)
		area = (int)below(s, AREAS);
	return area;
}

static int choose_prot(struct sketch *s)
{
	static const int common[] = {PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
		PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_WRITE | PROT_EXEC, PROT_WRITE,
		PROT_READ | PROT_EXEC, PROT_NONE, PROT_EXEC};

	if (one_in(&s->random, 100))
		return 8 | (int)below(s, 8);
	return common[below(s, sizeof common / sizeof *common)];
}

/* A mapping of the actor that should exist. */
static int choose_mapping(struct sketch *s)
{
	int slot = (int)below(s, MAPPINGS);

	for (int tries = 0; tries < MAPPINGS && !s->mapping[s->actor][slot]; tries++)
		slot = (slot + 1) % MAPPINGS;
	return slot;
}

/* -- operations -- */

static struct op *add(struct sketch *s, enum kind kind)
{
	struct op *op =
		&s->trace->op[s->trace->count < TRACE_MAX ? s->trace->count++ : TRACE_MAX - 1];

	memset(op, 0, sizeof *op);
	op->kind = (uint8_t)kind;
	op->actor = s->actor;
	op->area = (uint8_t)choose_area(s);
	return op;
}

static void add_create(struct sketch *s, int area)
{
	struct op *op = add(s, CREATE);

	op->area = (uint8_t)area;
	op->other = (uint8_t)below(s, NAMES);
	op->offset = choose_size(s);
	op->flags = one_in(&s->random, 60) ? 1 << 31 : 0; /* a reserved bit */
	if (!s->exists[area])
		s->size[area] = op->offset;
	s->exists[area] = 1;
}

static void choose_map_flags(struct sketch *s, struct op *op)
{
	static const int odd[] = {0, MAP_SHARED | MAP_ANONYMOUS, MAP_SHARED | MAP_POPULATE,
		MAP_SHARED_VALIDATE, MAP_SHARED_VALIDATE | 1 << 22, MAP_PRIVATE | MAP_NORESERVE,
		MAP_SHARED | MAP_NORESERVE};

	op->flags = one_in(&s->random, s->theme == MEMORY ? 2 : 8) ? MAP_PRIVATE : MAP_SHARED;
	if (one_in(&s->random, 25))
		op->flags = odd[below(s, sizeof odd / sizeof *odd)];
	if (one_in(&s->random, 12))
		op->seed = one_in(&s->random, 3) ? PLACE_TAKEN : PLACE_FIXED;
}

static void add_map(struct sketch *s)
{
	struct op *op = add(s, MAP);
	uint64_t page = page_size_bytes(), pages = pages_in(s, op->area), first = 0, count = pages;
	int slot = (int)below(s, MAPPINGS);

	for (int tries = 0; tries < MAPPINGS && s->mapping[s->actor][slot]; tries++)
		slot = (slot + 1) % MAPPINGS;
	if (pages > MODEL_PAGES || one_in(&s->random, 3))
		first = pages ? below(s, pages) : 0;
	if (count > pages - first || one_in(&s->random, 3))
		count = pages == first ? 1 : 1 + below(s, pages - first);
	if (pages > MODEL_PAGES && count > HUGE_PAGES)
		count = 1 + below(s, HUGE_PAGES);
	op->other = (uint8_t)slot;
	op->prot = choose_prot(s);
	choose_map_flags(s, op);
	op->offset = first * page + (one_in(&s->random, 50) ? 1 + below(s, page) : 0);
	op->length = count * page - (one_in(&s->random, 8) ? below(s, page) : 0);
	if (one_in(&s->random, 40))
		op->length = one_in(&s->random, 2) ? 0 : op->length + page;
	if (one_in(&s->random, 100))
		op->length = (uint64_t)-1 - below(s, 2 * page);
	s->mapping[s->actor][slot] = op->area + 1;
	s->mapping_pages[s->actor][slot] = count;
}

static void add_access(struct sketch *s, enum kind kind)
{
	struct op *op = add(s, kind);
	uint64_t page = page_size_bytes(), pages, first, count;

	op->other = (uint8_t)choose_mapping(s);
	pages = s->mapping_pages[s->actor][op->other];
	first = pages ? below(s, pages) : 0;
	count = 1 + below(s, one_in(&s->random, 6) ? 16 : 3);
	op->offset = first * page;
	op->length = count * page;
	op->seed = (uint32_t)below(s, 255);
	if (one_in(&s->random, 6)) {
		op->offset += below(s, page);
		op->length = 1 + below(s, 2 * page);
	}
}

static void add_read(struct sketch *s, enum kind kind)
{
	struct op *op = add(s, kind);
	uint64_t page = page_size_bytes(), size = s->size[op->area];

	op->length = one_in(&s->random, 2) ? below(s, 3 * page) : below(s, 4) * page;
	op->other = one_in(&s->random, 20) ? (uint8_t)(1 + below(s, 3)) : BUFFER_GOOD;
	op->offset = below(s, size ? (size < UINT64_C(1) << 62 ? size + size / 8 + 2 : 9) : 9);
	if (one_in(&s->random, 60))
		op->offset = UINT64_MAX - below(s, 2) * (UINT64_MAX / 2);
}

static void add_seek(struct sketch *s, enum kind kind)
{
	struct op *op = add(s, kind);
	uint64_t size = s->size[op->area];
	uint64_t near = size < UINT64_C(1) << 62 ? size + size / 8 + 2 : 9;

	op->offset = below(s, near);
	op->length = below(s, near); /* where SEEK_DATA_HOLE leaves the position */
	if (kind == SEEK_DATA_HOLE) {
		op->prot = one_in(&s->random, 2) ? SEEK_DATA : SEEK_HOLE;
	} else {
		op->prot = (int)below(s, 3);
		if (one_in(&s->random, op->prot == SEEK_SET ? 12 : 2))
			op->offset = -op->offset;
		if (one_in(&s->random, 40))
			op->prot = (int)below(s, 9) - 2;
		if (op->prot == SEEK_DATA || op->prot == SEEK_HOLE)
			op->prot = 7;
	}
	if (one_in(&s->random, 40))
		op->offset = (uint64_t)INT64_MAX - below(s, 2);
}

/* Everybody gives an area back, so that its place can be taken by a new one. */
static void add_retirement(struct sketch *s)
{
	int area = choose_area(s);
	uint8_t self = s->actor;

	for (int actor = 0; actor < ACTORS; actor++) {
		if (!s->alive[actor])
			continue;
		s->actor = (uint8_t)actor;
		for (int slot = 0; slot < MAPPINGS; slot++) {
			if (s->mapping[actor][slot] != area + 1)
				continue;
			add(s, UNMAP)->other = (uint8_t)slot;
			s->mapping[actor][slot] = 0;
		}
		for (int times = one_in(&s->random, 3) ? 3 : 1; times > 0; times--)
			add(s, CLOSE)->area = (uint8_t)area;
	}
	s->actor = self;
	s->exists[area] = 0;
	add_create(s, area);
}

static void add_fork(struct sketch *s)
{
	struct op *op = add(s, FORK);

	op->other = (uint8_t)below(s, ACTORS);
	if (s->alive[op->other])
		return;
	s->alive[op->other] = 1;
	memcpy(s->mapping[op->other], s->mapping[s->actor], sizeof s->mapping[0]);
	memcpy(s->mapping_pages[op->other], s->mapping_pages[s->actor], sizeof s->mapping_pages[0]);
}

static void add_exit(struct sketch *s)
{
	struct op *op = add(s, EXIT);

	if (op->actor == 0)
		return;
	s->alive[op->actor] = 0;
	s->actor = 0;
}

static void add_simple(struct sketch *s, enum kind kind)
{
	struct op *op = add(s, kind);

	op->other = (uint8_t)below(s, NAMES);
	op->flags = one_in(&s->random, 3);
	if (kind == SET_SIZE)
		op->offset = choose_size(s);
	if (kind == GET_NAME)
		op->length = one_in(&s->random, 3) ? below(s, 300) : 256;
	if (kind == SET_PROT)
		op->prot =
			one_in(&s->random, 2) ? PROT_READ | PROT_WRITE | PROT_EXEC : choose_prot(s);
	if (kind == PROTECT) {
		op->other = (uint8_t)choose_mapping(s);
		op->prot = choose_prot(s) & 7;
	}
	if (kind == TRANSFER)
		op->other = (uint8_t)below(s, ACTORS);
	if (kind == PIN || kind == UNPIN || kind == STATUS)
		choose_range(s, op->area, op);
}

static void add_unmap(struct sketch *s)
{
	struct op *op = add(s, UNMAP);

	op->other = (uint8_t)choose_mapping(s);
	op->flags = one_in(&s->random, 10) ? 1 + (int)below(s, 3) : 0;
	if (op->flags == 0)
		s->mapping[s->actor][op->other] = 0;
}

/* How often each operation comes, roughly in a thousand. */
static const struct {
	uint16_t kind, weight;
} weights[] = {{PIN, 190}, {UNPIN, 220}, {STATUS, 100}, {PURGE_ALL, 24}, {WRITE, 80}, {LOOK, 80},
	{READ, 40}, {PREAD, 50}, {SEEK, 36}, {SEEK_DATA_HOLE, 14}, {MAP, 40}, {UNMAP, 22},
	{CREATE, 10}, {CLOSE, 6}, {SET_NAME, 9}, {GET_NAME, 12}, {SET_SIZE, 10}, {GET_SIZE, 12},
	{SET_PROT, 5}, {GET_PROT, 8}, {GET_FD, 4}, {IMPORT, 6}, {TRANSFER, 10}, {FORK, 5},
	{EXIT, 3}, {PROTECT, 12}, {PERSONALITY, 1}, {STATUS_EACH, 4}, {PIN_EACH, 2},
	{RETIREMENT, 3}};

/* What a trace is mostly about: so many times as often. */
static unsigned stress(enum theme theme, int kind)
{
	switch (kind) {
	case TRANSFER:
	case SET_PROT:
	case GET_PROT:
	case EXIT:
		return theme == SHARING ? 8 : 1;
	case FORK:
	case CLOSE:
		return theme == SHARING || theme == LIFE ? 4 : 1;
	case CREATE:
	case SET_NAME:
	case GET_NAME:
	case SET_SIZE:
	case GET_SIZE:
	case IMPORT:
	case GET_FD:
	case RETIREMENT:
		return theme == LIFE ? 6 : 1;
	case MAP:
	case UNMAP:
	case PROTECT:
	case PERSONALITY:
		return theme == MEMORY ? 5 : 1;
	case WRITE:
	case LOOK:
		return theme == MEMORY ? 2 : 1;
	default:
		return 1;
	}
}

static enum kind choose_kind(struct sketch *s)
{
	uint64_t sum = 0, weight, at = 0;

	for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
		sum += weights[i].weight * stress(s->theme, weights[i].kind);
	sum = below(s, sum);
	while (sum >= (weight = weights[at].weight * stress(s->theme, weights[at].kind))) {
		sum -= weight;
		at++;
	}
	return (enum kind)weights[at].kind;
}

static void add_any(struct sketch *s)
{
	enum kind kind = choose_kind(s);

	if (kind == CREATE)
		add_create(s, (int)below(s, AREAS));
	else if (kind == MAP)
		add_map(s);
	else if (kind == UNMAP)
		add_unmap(s);
	else if (kind == WRITE || kind == LOOK)
		add_access(s, kind);
	else if (kind == READ || kind == PREAD)
		add_read(s, kind);
	else if (kind == SEEK || kind == SEEK_DATA_HOLE)
		add_seek(s, kind);
	else if (kind == FORK)
		add_fork(s);
	else if (kind == EXIT)
		add_exit(s);
	else if ((int)kind == RETIREMENT)
		add_retirement(s);
	else
		add_simple(s, kind);
}

/* Somebody else now and then. */
static void change_actor(struct sketch *s)
{
	uint8_t other = (uint8_t)below(s, ACTORS);

	if (one_in(&s->random, 10) && (s->alive[other] || one_in(&s->random, 20)))
		s->actor = other;
}

void trace_make(struct trace *trace, uint64_t seed, uint32_t wanted)
{
	struct sketch s = {.random = seed, .trace = trace, .wanted = wanted, .alive = {1}};

	trace->seed = seed;
	trace->count = trace->fixed = 0;
	s.theme = one_in(&s.random, 2) ? PINNING : (enum theme)below(&s, THEMES);
	for (int forks = s.theme == SHARING ? 3 : 0; forks > 0; forks--)
		add_fork(&s);
	for (int areas = 1 + (int)below(&s, AREAS); areas > 0; areas--) {
		add_create(&s, areas - 1);
		if (one_in(&s.random, 2))
			add_map(&s);
	}
	while (trace->count < wanted) {
		change_actor(&s);
		add_any(&s);
	}
	/* What is left at the end: every mark, and all contents. */
	s.actor = 0;
	for (int area = 0; area < AREAS; area++) {
		add(&s, STATUS_EACH)->area = (uint8_t)area;
		add(&s, PIN_EACH)->area = (uint8_t)area;
		add(&s, PREAD)->area = (uint8_t)area;
		trace->op[trace->count - 1].length = BUFFER_PAGES * page_size_bytes();
	}
}
