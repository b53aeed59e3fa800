/* SPDX-License-Identifier: MIT */
/*
 * ashmem-run PROGRAM [ARGUMENT...]: runs a program that was written for /dev/ashmem where the
 * driver is not there. It puts the preload library into LD_PRELOAD and becomes the program.
 *
 * The library can reach what calls libc. So the program is looked at first: a static program, one
 * of another kind of machine and one that the loader runs in secure mode are refused, with the
 * reason; of a Go program only a part may be reached, which is said.
 */
#define _GNU_SOURCE 1
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OURS = 125, NOT_RUN = 126, NOT_FOUND = 127 };

#define LIBRARY "ashmem-run.so"
/* ashmem-run(1): scripts that run scripts. */
#define SCRIPTS_MOST 5

static const char usage[] =
	"usage: ashmem-run [--purge] PROGRAM [ARGUMENT...]\n"
	"       ashmem-run --check PROGRAM\n"
	"Runs PROGRAM with /dev/ashmem, on a system without the driver; see ashmem-run(1).\n";

__attribute__((noreturn, format(printf, 2, 3))) static void end(int status, const char *form, ...)
{
	va_list list;

	fputs("ashmem-run: ", stderr);
	va_start(list, form);
	vfprintf(stderr, form, list);
	va_end(list);
	fputc('\n', stderr);
	exit(status);
}

/* -- the preload library -- */

/* Beside this program, as it is built; else where it is installed. */
static const char *find_library(void)
{
	static char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - sizeof(LIBRARY) - 1);
	char *name = NULL;

	if (length > 0) {
		path[length] = '\0';
		name = strrchr(path, '/');
	}
	if (name) {
		strcpy(name + 1, LIBRARY);
		if (access(path, R_OK) == 0)
			return path;
	}
	if (access(INSTALLED "/" LIBRARY, R_OK) == 0)
		return INSTALLED "/" LIBRARY;
	end(OURS, "%s: %s", INSTALLED "/" LIBRARY, strerror(errno));
}

static void set_preload(const char *library)
{
	const char *before = getenv("LD_PRELOAD");
	char *value;

	if (strpbrk(library, ": "))
		end(OURS, "%s: LD_PRELOAD takes no path with a space or a colon", library);
	if (asprintf(&value, "%s%s%s", library, before && before[0] ? ":" : "",
		    before ? before : "") < 0 ||
		setenv("LD_PRELOAD", value, 1) < 0)
		end(OURS, "%s", strerror(errno));
}

/* -- the program -- */

/* As execvp(3) finds it; what is made here is never freed. */
static const char *find_program(const char *name)
{
	const char *folders = getenv("PATH");
	char *path;

	if (strchr(name, '/'))
		return name;
	if (!folders)
		folders = "/bin:/usr/bin";
	while (*folders) {
		size_t length = strcspn(folders, ":");
		if (asprintf(&path, "%.*s/%s", length ? (int)length : 1, length ? folders : ".",
			    name) < 0)
			end(OURS, "%s", strerror(errno));
		if (access(path, X_OK) == 0)
			return path;
		free(path);
		folders += length + (folders[length] == ':');
	}
	end(NOT_FOUND, "%s: not found", name);
}

struct image {
	const char *path;
	const unsigned char *bytes;
	size_t size;
};

static int has(const struct image *image, uint64_t offset, uint64_t size)
{
	return offset <= image->size && size <= image->size - offset;
}

/* Whether the loader takes part: an entry of this type in the table of segments. */
static int has_segment(const struct image *image, uint32_t type)
{
	const ElfW(Ehdr) *header = (const void *)image->bytes;

	for (unsigned i = 0; i < header->e_phnum; i++) {
		uint64_t at = header->e_phoff + (uint64_t)i * sizeof(ElfW(Phdr));
		ElfW(Phdr) segment;
		if (!has(image, at, sizeof(segment)))
			return 0;
		memcpy(&segment, image->bytes + at, sizeof(segment));
		if (segment.p_type == type)
			return 1;
	}
	return 0;
}

static int is_go(const struct image *image)
{
	return memmem(image->bytes, image->size, "\xff Go buildinf:", 14) != NULL;
}

static void check_elf(const struct image *image)
{
	ElfW(Ehdr) own;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, &own, sizeof(own));
	const ElfW(Ehdr) *header = (const void *)image->bytes;

	if (image->size < sizeof(*header))
		end(NOT_RUN, "%s: not a whole program", image->path);
	if (got == sizeof(own) &&
		(header->e_ident[EI_CLASS] != own.e_ident[EI_CLASS] ||
			header->e_machine != own.e_machine))
		end(NOT_RUN, "%s: a program for another machine than this ashmem-run", image->path);
	if (!has_segment(image, PT_INTERP))
		end(NOT_RUN,
			"%s: a static program calls the kernel by itself and cannot be reached",
			image->path);
	if (is_go(image))
		fprintf(stderr,
			"ashmem-run: %s: a Go program; what it does without libc is not reached\n",
			image->path);
	close(fd);
}

static void check(const char *path, int scripts);

/* The interpreter in the first line of a script. */
static void check_script(const struct image *image, int scripts)
{
	char line[256];
	size_t size = image->size < sizeof(line) ? image->size : sizeof(line);

	memcpy(line, image->bytes, size);
	line[size - 1] = '\0';
	char *word = strtok(line + 2, " \t\n");
	if (!word || scripts == 0)
		return;
	if (strcmp(word, "/usr/bin/env") == 0) {
		word = strtok(NULL, " \t\n");
		if (!word || word[0] == '-')
			return;
		check(find_program(word), scripts - 1);
		return;
	}
	check(word, scripts - 1);
}

/* What makes the loader ignore LD_PRELOAD. */
static void check_mode(const char *path, const struct stat *status)
{
	if (((status->st_mode & S_ISUID) && status->st_uid != geteuid()) ||
		((status->st_mode & S_ISGID) && (status->st_mode & S_IXGRP) &&
			status->st_gid != getegid()))
		end(NOT_RUN, "%s: a set-user-ID program takes no preload library", path);
}

static void check(const char *path, int scripts)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 && errno == EACCES)
		return; /* it can be run, but not looked at */
	if (fd < 0 || fstat(fd, &status) < 0)
		end(errno == ENOENT ? NOT_FOUND : NOT_RUN, "%s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode) || access(path, X_OK) < 0)
		end(NOT_RUN, "%s: not a program", path);
	check_mode(path, &status);
	struct image image = {.path = path, .size = (size_t)status.st_size};
	image.bytes = image.size ? mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	close(fd);
	if (image.size < 4 || image.bytes == MAP_FAILED)
		return;
	if (memcmp(image.bytes, ELFMAG, SELFMAG) == 0)
		check_elf(&image);
	else if (memcmp(image.bytes, "#!", 2) == 0)
		check_script(&image, scripts);
	munmap((void *)(uintptr_t)image.bytes, image.size);
}

/* Without a first line that names its interpreter: as execvp(3). */
static void run_script(const char *program, char **argv)
{
	size_t count = 0;

	while (argv[count])
		count++;
	char **words = calloc(count + 2, sizeof(*words));
	if (!words)
		end(OURS, "%s", strerror(errno));
	words[0] = "sh";
	memcpy(words + 1, argv, count * sizeof(*words));
	words[1] = (char *)(uintptr_t)program;
	execv("/bin/sh", words);
}

int main(int argc, char **argv)
{
	int only_check = argc > 1 && strcmp(argv[1], "--check") == 0;
	int purges = argc > 1 && strcmp(argv[1], "--purge") == 0;

	argv += 1 + only_check + purges;
	if (*argv && strcmp(*argv, "--help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	if (*argv && strcmp(*argv, "--") == 0)
		argv++;
	if (!*argv || (*argv)[0] == '-') {
		fputs(usage, stderr);
		return OURS;
	}
	const char *library = find_library(), *program = find_program(*argv);
	check(program, SCRIPTS_MOST);
	if (only_check)
		return 0;
	set_preload(library);
	if (purges && setenv("ASHMEM_RUN_PURGE", "1", 1) < 0)
		end(OURS, "%s", strerror(errno));
	execv(program, argv);
	if (errno == ENOEXEC)
		run_script(program, argv);
	end(errno == ENOENT ? NOT_FOUND : NOT_RUN, "%s: %s", program, strerror(errno));
}
