/* SPDX-License-Identifier: MIT */
/*
 * Areas for tests: make, map, fill and compare them by pages, whatever a page's size is here, and
 * count what a process holds before and after.
 */
#ifndef TESTS_SUPPORT_AREAS_H
#define TESTS_SUPPORT_AREAS_H

#include <ashmem/ashmem.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PROT_RW (PROT_READ | PROT_WRITE)
#define PROT_RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

/* The running system's page size. */
uint64_t page_bytes(void);

/* An area mapped whole, shared, readable and writable. */
struct view {
	struct ashmem_area *area;
	unsigned char *base;
	uint64_t pages;
};

/* A new, unmapped area of so many bytes, no name. */
struct ashmem_area *area_of_bytes(uint64_t size_bytes);
struct ashmem_area *area_of_pages(uint64_t pages);

struct view view_make(uint64_t pages);
struct view view_of(struct ashmem_area *area);
void view_drop(struct view *view);

/* A new one with 0x11 in every byte, and which of its pages have lost that: "P" and "." each. The
 * picture is static. */
struct view full_view(uint64_t pages);
const char *purge_picture(const struct view *view);

/* An area from a descriptor; expects success. */
struct ashmem_area *import_area(int fd);

void expect_name(struct ashmem_area *area, const char *want);

/* Shared mapping of a whole area; expects success. */
unsigned char *map_whole(struct ashmem_area *area, int prot);

/* The first byte of a page, not through the mapping: looking at a hole would give it memory. */
int first_byte(const struct view *view, uint64_t page);

void fill_pages(const struct view *view, uint64_t first, uint64_t count, int byte);

/* Whether every byte of these pages is so. */
int pages_hold(const struct view *view, uint64_t first, uint64_t count, int byte);

/*
 * Write to the pinned ones of these pages, as far as they hold no memory: a purge frees nothing
 * else (D8). What they read as stays. Nothing where the descriptor cannot be written to.
 */
void give_memory(struct ashmem_area *area, uint64_t first, uint64_t count);

/* The calls on pins, counted in pages. unpin_pages() gives memory first, and expects success. */
void unpin_pages(struct ashmem_area *area, uint64_t first, uint64_t count);
int pin_pages(struct ashmem_area *area, uint64_t first, uint64_t count);
int status_pages(struct ashmem_area *area, uint64_t first, uint64_t count);

/*
 * Unpinned and pinned pages of an area as text, "U" and "." each, asked page by page; purge marks
 * are not seen. The answer is static.
 */
const char *pin_picture(struct ashmem_area *area, uint64_t pages);

/* Which backend areas of this run come from; the skips for tests that only one can pass. */
int backend_is_kernel(void);
void skip_on_kernel(const char *why);

/* Purge all that is unpinned; expects that it works, answers as ashmem_purge_all(). */
int64_t purge_everything(void);

/* The counts of an area and of the process; both expect success. */
struct ashmem_area_stats stats_of(struct ashmem_area *area);
struct ashmem_process_stats process_stats(void);

/* What this process holds: open descriptors, and mappings of shared memory. */
struct holdings {
	int descriptors;
	int mappings;
};

struct holdings holdings_now(void);
void expect_holdings(const struct holdings *before);

/* From now on this process can open no further descriptor. For children. */
void limit_descriptors_to_those_open(void);

/* Whether a mapping at this address is listed in /proc/self/maps, its line in `line` then. */
int maps_line(const void *address, char *line, size_t line_size);

#ifdef __cplusplus
}
#endif

#endif
