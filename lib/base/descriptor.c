/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that the library keeps.
 *
 * A program can close them behind our back: a daemon closes everything from 3 on, a double close
 * hits a neighbour, a thread has a table of its own (unshare(2), CLONE_FILES). The number can then
 * name any other file of the program. So the library remembers device and inode, and compares them
 * before it uses the number. Closing in another thread between the comparison and the use is not
 * covered, and neither is the same file opened again under the number.
 *
 * A program without standard streams writes to 0, 1 and 2 all the same, so no file of the library
 * may have these numbers.
 *
 * Includes libc alone, takes no lock, has no state.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/descriptor.h"

int descriptor_duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	/* EINVAL: the limit allows no number that high. */
	if (copy < 0 && errno == EINVAL)
		errno = EMFILE;
	return copy;
}

int descriptor_above_std(int fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int moved = descriptor_duplicate(fd), error = errno;

	close(fd);
	errno = error;
	return moved;
}

/* fstat(2); a passing shortage of memory must not look like another file. */
static int look(int fd, struct stat *status)
{
	int r, tries = 3;

	do
		r = fstat(fd, status);
	while (r < 0 && errno == ENOMEM && --tries > 0);
	return r < 0 ? -errno : 0;
}

int descriptor_learn(int fd, struct descriptor_file *file)
{
	struct stat status;
	int r = look(fd, &status);

	if (r == 0)
		*file = descriptor_file_of(&status);
	return r;
}

int descriptor_check(int fd, const struct descriptor_file *file)
{
	struct stat status;

	return look(fd, &status) == 0 && descriptor_is_file(&status, file) ? 0 : -EBADF;
}

void descriptor_close(int fd, const struct descriptor_file *file)
{
	if (descriptor_check(fd, file) == 0)
		close(fd);
}
