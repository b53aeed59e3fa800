/* SPDX-License-Identifier: MIT */
/*
 * Mapping areas of the kernel backend. The driver checks the mask; the first mapping materialises
 * the area, and the caller's MAP_NORESERVE or its absence decides how that is charged (D11).
 *
 * The driver's private mappings show zeroes (D7). Under a mask with WRITE we make such a mapping
 * and fill it with what the area holds now. Later changes of the area do not show in it; mmap(2)
 * leaves that open. It takes memory for what is not zero, and time to read it all. Under a mask
 * without WRITE no new mapping can ever be written, so a shared one does the same for less.
 *
 * No lock is held.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/pages.h"
#include "base/sys.h"
#include "kernel/area.h"

/* What kernel_map() is asked for. */
struct request {
	void *place; /* NULL: anywhere */
	uint64_t offset;
	size_t length;
	int prot;
	int flags;
};

/* mmap(2), with its result. */
static void *map_file(const struct kernel_area *area, const struct request *request, int flags)
{
	return mmap(request->place, request->length, request->prot, flags, area->fd,
		(off_t)request->offset);
}

static int map_shared(const struct kernel_area *area, const struct request *request, int kind,
	void **addr)
{
	void *mapped = map_file(area, request, (request->flags & ~MAP_TYPE) | kind);

	if (mapped == MAP_FAILED)
		return -errno;
	*addr = mapped;
	return 0;
}

/* -- private mappings -- */

static int is_zero(const unsigned char *bytes, size_t length)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* Copy bytes but not zeroes to `to`, which reads as zeroes, in slices of the smallest page. */
static void copy_slices(unsigned char *to, const unsigned char *bytes, size_t length)
{
	const size_t slice = 4096;

	for (size_t i = 0; i < length; i += slice) {
		size_t part = length - i < slice ? length - i : slice;
		if (!is_zero(bytes + i, part))
			memcpy(to + i, bytes + i, part);
	}
}

/* Copy the area's bytes up to its size. Through a buffer: read(2) would touch all pages of `to`. */
static int copy_bytes(int fd, unsigned char *to, size_t length, uint64_t offset)
{
	unsigned char chunk[16384];
	size_t done = 0;

	while (done < length) {
		size_t want = length - done < sizeof(chunk) ? length - done : sizeof(chunk);
		ssize_t got = pread(fd, chunk, want, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		copy_slices(to + done, chunk, (size_t)got);
		done += (size_t)got;
	}
	return 0;
}

/*
 * Copy less than a page that is mapped with PROT_WRITE alone. Most processors can read it anyway;
 * through a pipe, so that one that cannot returns an error.
 */
static int copy_write_only(unsigned char *to, const unsigned char *from, size_t length)
{
	int end[2], r = 0;

	if (pipe2(end, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	end[0] = descriptor_above_std(end[0]);
	end[1] = descriptor_above_std(end[1]);
	if (end[0] < 0 || end[1] < 0) {
		r = -errno;
		close(end[end[0] < 0]);
		return r;
	}
	ssize_t got = write(end[1], from, length);
	if (got > 0)
		got = read(end[0], to, (size_t)got);
	if (got < 0 && errno != EFAULT)
		r = -errno;
	close(end[0]);
	close(end[1]);
	return r;
}

/*
 * Reading ends at the size; the rest of the last page shows in a mapping only. `to` is
 * where that page belongs. Only called under a mask with WRITE.
 */
static int copy_tail(int fd, unsigned char *to, uint64_t size_bytes)
{
	size_t page = sys_page_size(), in_page = (size_t)(size_bytes % page);
	off_t offset = (off_t)(size_bytes - in_page);
	int prot = PROT_READ, r = 0;
	unsigned char *last = mmap(NULL, page, prot, MAP_SHARED, fd, offset);

	if (last == MAP_FAILED && errno == EPERM) {
		prot = PROT_WRITE;
		last = mmap(NULL, page, prot, MAP_SHARED, fd, offset);
	}
	if (last == MAP_FAILED)
		return -errno;
	if (prot == PROT_READ)
		copy_slices(to + in_page, last + in_page, page - in_page);
	else
		r = copy_write_only(to + in_page, last + in_page, page - in_page);
	munmap(last, page);
	return r;
}

/* Copy whole pages of a materialised area. */
static int copy_pages(struct kernel_area *area, unsigned char *to, size_t length, uint64_t offset)
{
	uint64_t size, last;
	int materialised, r = kernel_area_get_size(area, &size, &materialised);

	if (r == 0)
		r = copy_bytes(area->fd, to, length, offset);
	if (r < 0)
		return r;
	last = size - size % sys_page_size();
	if (last < size && last >= offset && last - offset < length)
		r = copy_tail(area->fd, to + (last - offset), size);
	return r;
}

/* Give a private mapping, which shows zeroes, the area's bytes as its own copies. */
static int fill_private(struct kernel_area *area, unsigned char *mapped,
	const struct request *request)
{
	size_t length = (size_t)pages_round_up(request->length);
	int must_open = !(request->prot & PROT_WRITE);

	if (must_open && mprotect(mapped, length, PROT_WRITE) < 0)
		return -errno;
	int r = copy_pages(area, mapped, length, request->offset);
	if (r == 0 && must_open && mprotect(mapped, length, request->prot) < 0)
		r = -errno;
	return r;
}

/*
 * Take the place before anything is materialised: a place that cannot be had leaves the area as it
 * was.
 */
static int reserve(struct request *request)
{
	int flags = request->flags & ~(MAP_POPULATE | MAP_LOCKED | MAP_HUGETLB);
	void *place = mmap(request->place, request->length, PROT_NONE,
		flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (place == MAP_FAILED)
		return -errno;
	/* Before Linux 4.17 the flag is ignored. */
	if (request->place && place != request->place) {
		munmap(place, request->length);
		return -EEXIST;
	}
	request->place = place;
	request->flags = (request->flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED;
	return 0;
}

/* Map the file in the place that was reserved; MAP_FAILED, with errno, and the place is free. */
static void *map_reserved(struct kernel_area *area, const struct request *reserved,
	const struct request *wanted)
{
	void *mapped = map_file(area, reserved, reserved->flags);

	if (mapped != MAP_FAILED)
		return mapped;
	int error = errno;
	munmap(reserved->place, reserved->length);
	errno = error;
	/*
	 * With mlockall(MCL_FUTURE) the kernel counts the place as locked memory, and what is to
	 * replace it once more. A kernel that ignores MAP_FIXED_NOREPLACE takes it for a wish.
	 */
	if (error != EAGAIN)
		return MAP_FAILED;
	mapped = map_file(area, wanted, wanted->flags);
	if (mapped != MAP_FAILED && wanted->place && mapped != wanted->place) {
		munmap(mapped, wanted->length);
		errno = EEXIST;
		return MAP_FAILED;
	}
	return mapped;
}

static int map_copied(struct kernel_area *area, const struct request *wanted, void **addr)
{
	struct request request = *wanted;
	int r = reserve(&request);

	if (r < 0)
		return r;
	/* First, or the private mapping, which is charged by itself, would decide for the area. */
	r = kernel_area_materialise(area, wanted->flags & MAP_NORESERVE);
	if (r < 0) {
		munmap(request.place, request.length);
		return r;
	}
	void *mapped = map_reserved(area, &request, wanted);
	if (mapped == MAP_FAILED)
		return -errno;
	r = fill_private(area, mapped, &request);
	if (r < 0) {
		munmap(mapped, request.length);
		return r;
	}
	*addr = mapped;
	return 0;
}

static int map_private(struct kernel_area *area, const struct request *request, void **addr)
{
	int mask = kernel_area_get_prot(area);

	if (mask < 0)
		return mask;
	if (mask & PROT_WRITE) {
		int r = map_copied(area, request, addr);
		/* It also fails if the mask lost WRITE meanwhile. */
		if (r == 0 || (kernel_area_get_prot(area) & PROT_WRITE))
			return r;
	}
	return map_shared(area, request, MAP_SHARED, addr);
}

int kernel_map(void *state, uint64_t offset, size_t length, int prot, int map_flags, void **addr)
{
	const struct request request = {
		/* Without these flags *addr says nothing; it must not become a hint. */
		.place = map_flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) ? *addr : NULL,
		.offset = offset,
		.length = length,
		.prot = prot,
		.flags = map_flags,
	};
	const struct kernel_area *area = state;
	int kind = map_flags & MAP_TYPE, r = descriptor_check(area->fd, &area->file);

	if (r < 0)
		return r;
	if (kind == MAP_PRIVATE)
		return map_private(state, &request, addr);
	return map_shared(state, &request, kind, addr);
}
