/* SPDX-License-Identifier: MIT */
/*
 * Hard limits: thumbnails may keep 16 entries while nobody looks at them, previews 4, and all areas
 * of the process together no more than 64 entries, in use or not.
 *
 *   budget
 */
#include <ashmem/ashmem.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ENTRY_BYTES ((size_t)64 << 10) /* a multiple of every page size that Linux systems use */
#define ENTRIES 32

struct cache {
	const char *name;
	struct ashmem_area *area;
	struct ashmem_budget *budget;
	unsigned char *base;
};

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-result));
	exit(1);
}

static struct cache cache_open(const char *name, uint64_t keep_entries)
{
	struct ashmem_budget_options limits = {
		.struct_size = sizeof(limits), .unpinned_bytes = keep_entries * ENTRY_BYTES};
	struct cache cache = {.name = name};
	void *base;

	check(ashmem_create(name, ENTRIES * ENTRY_BYTES, 0, &cache.area), "ashmem_create");
	check(ashmem_budget_create(&limits, &cache.budget), "ashmem_budget_create");
	check(ashmem_budget_add(cache.budget, cache.area), "ashmem_budget_add");
	check(ashmem_map(cache.area, 0, ENTRIES * ENTRY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		      &base),
		"ashmem_map");
	cache.base = base;
	return cache;
}

/* Use every entry once. The unpin that exceeds the limit purges the least recently used. */
static void cache_use(struct cache *cache)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		int r = ashmem_pin(cache->area, i * ENTRY_BYTES, ENTRY_BYTES);
		check(r, "ashmem_pin");
		if (r == ASHMEM_WAS_PURGED || cache->base[i * ENTRY_BYTES] == 0)
			memset(cache->base + i * ENTRY_BYTES, 'x', ENTRY_BYTES);
		check(ashmem_unpin(cache->area, i * ENTRY_BYTES, ENTRY_BYTES), "ashmem_unpin");
	}
}

static void report(const char *name, struct ashmem_budget *budget)
{
	struct ashmem_budget_usage usage = {.struct_size = sizeof(usage)};

	check(ashmem_budget_get_usage(budget, &usage), "ashmem_budget_get_usage");
	printf("%s: %" PRIu64 " entries unpinned, %" PRIu64 " in all\n", name,
		usage.unpinned_bytes / ENTRY_BYTES, usage.all_bytes / ENTRY_BYTES);
}

int main(void)
{
	struct ashmem_budget_options limits = {.struct_size = sizeof(limits),
		.all_bytes = 64 * ENTRY_BYTES,
		.flags = ASHMEM_BUDGET_REFUSE};
	struct ashmem_area *more;
	struct cache thumbnails, previews;
	void *addr;
	int r;

	/* the driver has no budgets */
	check(ashmem_backend_select("memfd"), "ashmem_backend_select");
	check(ashmem_budget_set_limits(ashmem_budget_process(), &limits),
		"ashmem_budget_set_limits");
	thumbnails = cache_open("thumbnails", 16);
	previews = cache_open("previews", 4);
	cache_use(&thumbnails);
	cache_use(&previews);
	report("thumbnails", thumbnails.budget);
	report("previews", previews.budget);
	report("process", ashmem_budget_process());

	/* What is pinned by nobody makes room; more than that is refused. */
	check(ashmem_create("more", 65 * ENTRY_BYTES, 0, &more), "ashmem_create");
	r = ashmem_map(more, 0, ENTRY_BYTES, PROT_READ, MAP_SHARED, &addr);
	printf("an area of 65 entries: %s\n", r == -EDQUOT ? "refused" : "mapped");
	check(ashmem_set_size(more, 60 * ENTRY_BYTES), "ashmem_set_size");
	check(ashmem_map(more, 0, 60 * ENTRY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, &addr),
		"ashmem_map");
	memset(addr, 'y', 60 * ENTRY_BYTES);
	/* Memory counts when it is there: the next call finds it. */
	check(ashmem_pin(more, 0, 0), "ashmem_pin");
	report("process with another area", ashmem_budget_process());

	ashmem_unmap(addr, 60 * ENTRY_BYTES);
	ashmem_close(more);
	ashmem_unmap(thumbnails.base, ENTRIES * ENTRY_BYTES);
	ashmem_unmap(previews.base, ENTRIES * ENTRY_BYTES);
	ashmem_close(thumbnails.area);
	ashmem_close(previews.area);
	ashmem_budget_close(thumbnails.budget);
	ashmem_budget_close(previews.budget);
	return 0;
}
