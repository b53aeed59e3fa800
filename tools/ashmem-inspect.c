/* SPDX-License-Identifier: MIT */
/*
 * ashmem-inspect: show the areas of running processes, found through /proc/PID/fd, and their state.
 *
 * It uses the public interface alone: it opens a descriptor of another process anew (as an open
 * file description of its own, so the process is not disturbed), imports it, reads the state and
 * closes it. Reading takes the area's lock for a moment, as in any peer. Areas of the kernel's
 * driver cannot be shown: opening their descriptor again makes a new area.
 */
#include <ashmem/ashmem.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

/* The link in /proc of a memfd that is an area begins with this. */
#define LINK_START "/memfd:/dev/ashmem"

static int show_ranges;
static unsigned areas_shown;

/*
 * The areas of one process that were shown, kept open so that another descriptor of the same area
 * imports as the same handle.
 */
static struct ashmem_area *known[1024];
static unsigned known_count;

static void usage(FILE *out)
{
	fputs("usage: ashmem-inspect [-r] PID|FILE...\n"
	      "Show the libashmem areas that a process holds, or that a file "
	      "such as /proc/PID/fd/N is.\n"
	      "  -r  list unpinned ranges as well\n"
	      "  -h  this help\n"
	      "  -V  the version\n",
		out);
}

static void forget_known(void)
{
	while (known_count > 0)
		ashmem_close(known[--known_count]);
}

/* 1 if the area was not known, and is now. */
static int is_new(struct ashmem_area *area)
{
	for (unsigned i = 0; i < known_count; i++)
		if (known[i] == area)
			return 0;
	if (known_count < sizeof(known) / sizeof(known[0]))
		known[known_count++] = area;
	return 1;
}

/*
 * Characters that iswprint() and wcwidth() let through somewhere although they show nothing, or
 * change how what surrounds them is shown.
 */
static const struct {
	uint32_t first, last;
} invisible[] = {
	{0x00ad, 0x00ad},      /* soft hyphen */
	{0x034f, 0x034f},      /* combining grapheme joiner */
	{0x0600, 0x0605},      /* signs that span the numbers after them */
	{0x061c, 0x061c},      /* Arabic letter mark */
	{0x06dd, 0x06dd},      /* the same, around them */
	{0x070f, 0x070f},      /* Syriac abbreviation mark */
	{0x115f, 0x1160},      /* Hangul fillers */
	{0x17b4, 0x17b5},      /* Khmer inherent vowels */
	{0x180b, 0x180f},      /* Mongolian variation selectors and separator */
	{0x2000, 0x200f},      /* spaces, zero width, direction marks */
	{0x2028, 0x202f},      /* line and paragraph separators, bidirectional overrides */
	{0x205f, 0x206f},      /* bidirectional isolates, invisible operators */
	{0x2800, 0x2800},      /* empty Braille pattern */
	{0x3164, 0x3164},      /* Hangul filler */
	{0xd800, 0xf8ff},      /* surrogates, private use */
	{0xfe00, 0xfe0f},      /* variation selectors */
	{0xfeff, 0xfeff},      /* byte order mark */
	{0xffa0, 0xffa0},      /* Hangul filler, half width */
	{0xfff0, 0xffff},      /* interlinear annotation */
	{0x1bca0, 0x1bca3},    /* shorthand format controls */
	{0x1d173, 0x1d17a},    /* musical format controls */
	{0xe0000, 0xffffffff}, /* tags, more variation selectors, private use */
};

static int is_plain(wchar_t c)
{
	for (unsigned i = 0; i < sizeof(invisible) / sizeof(invisible[0]); i++)
		if ((uint32_t)c >= invisible[i].first && (uint32_t)c <= invisible[i].last)
			return 0;
	return c != L'\\' && iswprint((wint_t)c) && wcwidth(c) > 0;
}

/*
 * Another process chose the bytes of a name. What is not plainly a visible character in the user's
 * locale is shown as octal numbers. Only UTF-8 is known well enough to print more than ASCII.
 */
static void print_text(FILE *out, const char *text)
{
	static int utf8 = -1;
	size_t left = strlen(text);

	if (utf8 < 0)
		utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	while (left > 0) {
		unsigned char byte = (unsigned char)*text;
		mbstate_t state = {0};
		wchar_t c = byte;
		size_t length = byte < 0x80 ? 1 : utf8 ? mbrtowc(&c, text, left, &state) : 0;

		if (length == 0 || length > left || !is_plain(c)) {
			/*
			 * The rest of a rejected character follows byte by byte, as no beginning of
			 * one.
			 */
			fprintf(out, "\\%03o", byte);
			length = 1;
		} else {
			fwrite(text, 1, length, out);
		}
		text += length;
		left -= length;
	}
}

/* 1, after a message about a file or process. */
static int complain(const char *what, const char *problem)
{
	fputs("ashmem-inspect: ", stderr);
	print_text(stderr, what);
	fprintf(stderr, ": %s\n", problem);
	return 1;
}

static void print_ranges(struct ashmem_area *area)
{
	uint64_t from = 0, offset, length;
	uint32_t state;
	int r;

	while ((r = ashmem_find_unpinned(area, from, &offset, &length, &state)) == 1) {
		printf("    %12" PRIu64 " + %-12" PRIu64 " %s\n", offset, length,
			!(state & ASHMEM_RANGE_PURGED)           ? "unpinned"
				: state & ASHMEM_RANGE_EVICTABLE ? "purged in part"
								 : "purged");
		from = offset + length;
	}
	if (r < 0)
		printf("    ranges cannot be read: %s\n", strerror(-r));
}

static void print_state(struct ashmem_area *area)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};
	int r = ashmem_area_get_stats(area, &stats);

	if (r < 0) {
		printf("  pin state cannot be read: %s\n", strerror(-r));
		return;
	}
	printf("  unpinned: %" PRIu64 " pages in %" PRIu64 " ranges, of which %" PRIu64
	       " pages can be purged\n",
		stats.unpinned_pages, stats.unpinned_ranges, stats.evictable_pages);
	printf("  so far: %" PRIu64 " pages purged, %" PRIu64 " pins found that, %" PRIu64
	       " recoveries\n",
		stats.purged_pages, stats.pins_found_purged, stats.recoveries);
	if (show_ranges)
		print_ranges(area);
}

static void print_area(const char *where, struct ashmem_area *area, int read_only)
{
	char name[ASHMEM_NAME_LEN];
	uint64_t size = ashmem_get_size(area), page = (uint64_t)sysconf(_SC_PAGESIZE);
	int prot = ashmem_get_prot(area);

	if (ashmem_get_name(area, name, sizeof(name)) < 0)
		strcpy(name, "?");
	print_text(stdout, where);
	fputs(": ", stdout);
	print_text(stdout, name);
	printf("\n  size: %" PRIu64 " bytes, %" PRIu64 " pages; ", size,
		size / page + (size % page != 0));
	if (prot < 0)
		printf("mask unknown (%s)", strerror(-prot));
	else
		printf("mask %c%c%c", prot & PROT_READ ? 'r' : '-', prot & PROT_WRITE ? 'w' : '-',
			prot & PROT_EXEC ? 'x' : '-');
	puts(read_only ? "; read-only descriptor" : "");
	print_state(area);
	areas_shown++;
}

/* 0, or 1 after a message. */
static int inspect_file(const char *path)
{
	struct ashmem_area *area;
	int read_only = 0, r;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS)) {
		read_only = 1;
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return complain(path, strerror(errno));
	r = ashmem_import(fd, &area);
	close(fd);
	if (r < 0)
		return complain(path, strerror(-r));
	if (is_new(area))
		print_area(path, area, read_only);
	else
		ashmem_close(area);
	return 0;
}

static int is_area(int directory, const char *name)
{
	char target[sizeof(LINK_START)];
	ssize_t length = readlinkat(directory, name, target, sizeof(target));

	return length >= (ssize_t)sizeof(LINK_START) - 1 &&
		strncmp(target, LINK_START, sizeof(LINK_START) - 1) == 0;
}

static int inspect_process(const char *pid)
{
	char path[300];
	struct dirent *entry;
	unsigned before = areas_shown;
	int failed = 0;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	directory = opendir(path);
	if (!directory) {
		fprintf(stderr, "ashmem-inspect: process %s: %s\n", pid, strerror(errno));
		return 1;
	}
	while ((entry = readdir(directory)) != NULL) {
		if (!is_area(dirfd(directory), entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.255s", pid, entry->d_name);
		failed |= inspect_file(path);
	}
	closedir(directory);
	if (areas_shown == before && !failed)
		printf("process %s: no areas\n", pid);
	return failed;
}

int main(int argc, char **argv)
{
	int option, failed = 0;

	setlocale(LC_CTYPE, "");
	while ((option = getopt(argc, argv, "rhV")) != -1) {
		switch (option) {
		case 'r':
			show_ranges = 1;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			printf("ashmem-inspect, libashmem %s\n", ashmem_version_string());
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return 2;
	}
	for (; optind < argc; optind++) {
		const char *what = argv[optind];
		if (*what && strspn(what, "0123456789") == strlen(what))
			failed |= inspect_process(what);
		else
			failed |= inspect_file(what);
		forget_known();
	}
	return failed;
}
