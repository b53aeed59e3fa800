/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer over what a peer can send to ashmem_recv(): the input is a socket and a sequence of
 * messages with descriptors of every kind (kinds.h), areas that the input itself forges among them.
 * Every answer must be documented, and no descriptor may stay open.
 *
 *   byte 0     type of the socket, what the receiver has asked it for, how many descriptors are
 *              free
 *   messages   1: count of descriptors, bytes of payload; then a byte for each descriptor: its
 *              kind, or a forged area, which takes 8 more: seals, pages, where to write what
 */
#include "fuzz.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memfd/control.h"
#include "kinds.h"

enum { KINDS_MAX = 64, FDS_MAX = 12, MESSAGES_MAX = 6, PASSPIDFD = 76 };
static int known[KINDS_MAX];

struct input {
	const uint8_t *data;
	size_t size;
};

static uint8_t take(struct input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	must(ashmem_backend_select("memfd") == 0);
	must(kind_count <= KINDS_MAX);
	for (unsigned i = 0; i < kind_count; i++)
		known[i] = kinds[i].open();
	return 0;
}

/* The end of the file, which an import reads first, is written to most. */
static void spoil(int fd, struct input *input)
{
	struct stat status;
	uint8_t value = take(input), where = take(input), far = take(input);

	must(fstat(fd, &status) == 0);
	uint64_t back = far & 0x80 ? (far & 0x7f) * UINT64_C(256) + where + 1
				   : (uint64_t)where % sizeof(struct control_id) + 1;
	if (back <= (uint64_t)status.st_size)
		must(pwrite(fd, &value, 1, status.st_size - (off_t)back) == 1);
}

static int forge(struct input *input)
{
	static const int seals[] = {0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_GROW,
		F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, F_SEAL_SEAL};
	uint8_t how = take(input), pages = take(input);
	int fd = forged_area(1 + (how & 0x80 ? pages * UINT64_C(64) : pages % 8));
	struct stat status;

	must(fd >= 0 && fstat(fd, &status) == 0);
	if ((how & 0x60) == 0x60) /* cut, or longer */
		must(ftruncate(fd,
			     status.st_size +
				     ((int)pages - 128) *
					     (how & 0x10 ? 1 : (off_t)sys_page_size())) == 0 ||
			errno == EINVAL);
	for (unsigned i = 0; i < (how >> 3 & 3u); i++)
		spoil(fd, input);
	fcntl(fd, F_ADD_SEALS, seals[how & 7]);
	return fd;
}

static void use(struct ashmem_area *area)
{
	uint64_t size = ashmem_get_size(area);
	char name[ASHMEM_NAME_LEN], byte;
	int r = ashmem_pin(area, 0, 0);

	must(r >= 0 || r == -EUCLEAN || r == -ETIMEDOUT || r == -EACCES || r == -EMFILE ||
		r == -EINVAL);
	r = ashmem_unpin(area, 0, 0);
	must(r >= 0 || r == -EUCLEAN || r == -ETIMEDOUT || r == -EACCES || r == -ENOTSUP ||
		r == -EINVAL);
	must(ashmem_get_name(area, name, sizeof(name)) == 0);
	must(size == 0 || ashmem_pread(area, &byte, 1, size - 1) >= 0);
	r = ashmem_get_prot(area);
	must(r >= 0 || r == -EUCLEAN);
}

static void receive(int socket_fd, int is_tight)
{
	struct ashmem_area *area = NULL;
	int r = ashmem_recv(socket_fd, &area);

	must(r == 0 || r == -EINVAL || r == -EBADF || r == -EPERM || r == -EPROTO ||
		r == -EUCLEAN || r == -EFBIG || r == -EBADMSG || r == -ECONNRESET || r == -EAGAIN ||
		r == -ETIMEDOUT || (is_tight && (r == -EMFILE || r == -ENOMEM)));
	must((area != NULL) == (r == 0));
	if (area)
		use(area);
	ashmem_close(area);
}

static void send_one(int socket_fd, struct input *input)
{
	uint8_t shape = take(input);
	int fds[FDS_MAX], made[FDS_MAX];
	unsigned count = 0, made_count = 0, wanted = shape & 1 ? 1 : shape >> 1 & 7;

	while (count < wanted) {
		uint8_t kind = take(input);
		if (kind >= 0xc0)
			made[made_count++] = fds[count++] = forge(input);
		else if (known[kind % kind_count] >= 0)
			fds[count++] = known[kind % kind_count];
		else
			wanted--;
	}
	send_kinds(socket_fd, fds, count, shape >> 4 & 3 ? 1 : shape >> 6);
	while (made_count > 0)
		close(made[--made_count]);
}

static int next_descriptor(void)
{
	int fd = dup(0);

	must(fd >= 0);
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM, SOCK_STREAM};
	struct input input = {data, size};
	uint8_t options = take(&input);
	int before = next_descriptor(), ends[2], on = 1, is_tight = (options & 0x70) == 0x70;
	struct rlimit limit, tight;

	must(socketpair(AF_UNIX, types[options & 3] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	if (options & 4)
		setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	if (options & 8)
		setsockopt(ends[1], SOL_SOCKET, PASSPIDFD, &on, sizeof(on));
	for (unsigned i = 0; i < MESSAGES_MAX && input.size > 0; i++)
		send_one(ends[0], &input);
	if (options & 0x80)
		close(ends[0]);
	must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	tight = (struct rlimit){(rlim_t)ends[1] + 1 + (options & 3), limit.rlim_max};
	if (is_tight)
		must(setrlimit(RLIMIT_NOFILE, &tight) == 0);
	for (unsigned i = 0; i <= MESSAGES_MAX; i++)
		receive(ends[1], is_tight);
	if (is_tight)
		must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (!(options & 0x80))
		close(ends[0]);
	close(ends[1]);
	must(next_descriptor() == before);
	return 0;
}
