/* SPDX-License-Identifier: MIT */
/*
 * ashmemctl: what its files share. Each command is one file, with one function that main() calls;
 * text.c prints, areas.c finds. They use the library's public interface alone.
 */
#ifndef ASHMEM_TOOLS_CTL_H
#define ASHMEM_TOOLS_CTL_H

#include <ashmem/ashmem.h>

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Exit statuses. */
#define CTL_OK 0
#define CTL_PROBLEM 1 /* something could not be shown, or done; or doctor found something */
#define CTL_USAGE 2   /* the command line is wrong */

/* Options that every command has. */
struct ctl_options {
	const char *program; /* before each message */
	int json;
	int color;
	int ranges;        /* show: list the ranges */
	uint64_t bytes;    /* purge: at most about so many; 0: all */
	int everything;    /* purge: areas of all processes */
	unsigned delay_ms; /* top, watch: between two looks */
	unsigned rounds;   /* top, watch: end after so many; 0: never */
	const char *sort;  /* list, top: a column; NULL: evictable */
	char **args;       /* what stands after the options, up to NULL */
};

extern struct ctl_options ctl;

int ctl_list(void);
int ctl_show(void);
int ctl_top(void);
int ctl_purge(void);
int ctl_watch(void);
int ctl_doctor(void);

/* ---------------------------------------------------------------- text.c */

enum ctl_color { CTL_BOLD, CTL_GREEN, CTL_YELLOW, CTL_RED };

/* `color` around what is printed between the two; nothing without colours. */
void ctl_color_on(enum ctl_color color);
void ctl_color_off(void);

/*
 * Text whose bytes another process chose: what is not plainly a visible character is printed as
 * octal numbers. With columns > 0, cut off there and filled up with spaces.
 */
void ctl_print_text(FILE *out, const char *text, int columns);

/* CTL_PROBLEM, after "program: what: problem" on stderr. */
int ctl_complain(const char *what, const char *problem);

/* "1.5M" in a buffer of 8 bytes; at most six characters. */
const char *ctl_size(uint64_t bytes, char buf[8]);

/* Bytes from text such as 10M; -1 if it is not one. */
int64_t ctl_parse_size(const char *text);

/*
 * How far a long search has come, in place of what this said before: on a terminal, on stderr, when
 * it takes longer than a moment. ctl_progress_end() wipes it out.
 */
void ctl_progress(const char *what, size_t count);
void ctl_progress_end(void);

/* JSON: a string, with its quotes; bytes that are not UTF-8 become U+FFFD. */
void ctl_json_string(const char *text);

/* ---------------------------------------------------------------- areas.c */

/* An area that was found, and what it was like at that moment. */
struct ctl_area {
	dev_t device;
	ino_t inode;
	const char *given; /* the path from the command line, or NULL: `path` */
	char path[64];     /* of the first descriptor found */
	uid_t owner;
	int error; /* 0, or why it could not be read; then `seen` is not known */
	int read_only;
	struct ashmem_peek_result seen;
	int is_cache; /* then `cache` is known */
	struct ashmem_cache_stats cache;
	uint32_t holders; /* processes */
	pid_t pids[16];   /* the first of them */
};

struct ctl_areas {
	struct ctl_area *area;
	size_t count, room;
	size_t unseen; /* processes whose descriptors may not be seen */
};

/* Where it was found. */
static inline const char *ctl_path(const struct ctl_area *area)
{
	return area->given ? area->given : area->path;
}

/* A descriptor, or a negative errno. *read_only tells that it could only be opened for reading. */
int ctl_open(const char *path, int *read_only);

/* Import the area behind a path. 0 and a handle, or a negative errno. */
int ctl_import(const char *path, struct ashmem_area **area, int *read_only);

/* Look at an area by its path: `error` says whether it went well. */
void ctl_look(struct ctl_area *area);

/*
 * The areas of one process, or with pid 0 of all that may be looked at, each once. 0, or a negative
 * errno: no such process, or no right to look.
 */
int ctl_areas_find(pid_t pid, struct ctl_areas *areas);
void ctl_areas_free(struct ctl_areas *areas);

/* Order by ctl.sort. 0, or CTL_USAGE after a message. */
int ctl_areas_sort(struct ctl_areas *areas);

/* Page size, in bytes. */
uint64_t ctl_page(void);

/* Of the reads of a cache, those that found something, in percent; -1: there were none. */
int ctl_hit_percent(const struct ctl_area *area);

/* The members of the object of an area, without its braces. */
void ctl_json_area(const struct ctl_area *area);

/* list.c: the table's heading, and one line of it. */
void ctl_list_heading(void);
void ctl_list_line(const struct ctl_area *area);

#endif /* ASHMEM_TOOLS_CTL_H */
