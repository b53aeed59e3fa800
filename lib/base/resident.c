/* SPDX-License-Identifier: MIT */
/*
 * Locking the library's own code in memory: resident.h. The object is found by its address in what
 * the dynamic linker knows, which also works in a static program.
 *
 * Not mlockall(): MCL_FUTURE would fill every area of the program, and MCL_CURRENT is the program's
 * to decide.
 */
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/resident.h"

#define CODE_MOST ((size_t)4 << 20) /* the library has a fifteenth of it */
#define STACK_BYTES ((size_t)64 << 10)

struct search {
	uintptr_t address;
	int result;
};

static int has_address(const struct dl_phdr_info *object, uintptr_t address)
{
	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &object->dlpi_phdr[i];
		uintptr_t from = (uintptr_t)(object->dlpi_addr + part->p_vaddr);
		if (part->p_type == PT_LOAD && address >= from && address - from < part->p_memsz)
			return 1;
	}
	return 0;
}

static size_t size_of(const struct dl_phdr_info *object)
{
	size_t bytes = 0;

	for (int i = 0; i < object->dlpi_phnum; i++)
		if (object->dlpi_phdr[i].p_type == PT_LOAD)
			bytes += (size_t)object->dlpi_phdr[i].p_memsz;
	return bytes;
}

static int lock_object(struct dl_phdr_info *object, size_t size, void *argument)
{
	struct search *search = argument;

	(void)size;
	if (!has_address(object, search->address))
		return 0;
	search->result = size_of(object) > CODE_MOST ? -E2BIG : 0;
	for (int i = 0; search->result == 0 && i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &object->dlpi_phdr[i];
		uintptr_t from = (uintptr_t)(object->dlpi_addr + part->p_vaddr);
		/* The kernel rounds to pages. */
		if (part->p_type == PT_LOAD && mlock((const void *)from, part->p_memsz) < 0)
			search->result = -errno;
	}
	return 1;
}

int resident_lock_code(void)
{
	struct search search = {.address = (uintptr_t)lock_object, .result = -ENOENT};

	dl_iterate_phdr(lock_object, &search);
	return search.result;
}

void __attribute__((noinline)) resident_touch_stack(void)
{
	unsigned char room[STACK_BYTES];

	for (size_t at = 0; at < STACK_BYTES; at += 1024)
		*(volatile unsigned char *)&room[at] = 0;
}
