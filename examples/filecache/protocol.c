/* SPDX-License-Identifier: MIT */
/*
 * How the two processes share the cache. Both sides use this file.
 *
 * What is shared: up to MAX_AREAS areas with the contents of the files, and one area, always
 * pinned, with the index: where each entry is, which file it holds, who owns it. The reader gets
 * all of them over the socket; it knows nothing but the socket when it starts.
 *
 * Why owners are needed. Pins are a state, not a count: if two parties pin the same pages, the
 * first one that unpins takes the pin away from both. And "was purged" is told once: the pin that
 * gets this answer takes the mark away, so the next one to pin is told that all is well, although
 * the contents are still missing. So an entry has at most one owner at a time, and:
 *
 *  1. Only its owner pins, unpins, reads or writes an entry.
 *  2. An entry without owner is unpinned, and either whole, or marked as purged, or dropped.
 *     Whoever owns it restores that before giving it back: a purged entry is rebuilt or dropped.
 *  3. One becomes owner by exchanging OWNER_NOBODY for oneself (entry_claim), and gives the
 *     entry back by storing OWNER_NOBODY after the unpin (entry_hand_over).
 *  4. A reader that finds its entry purged lends it to the server: it keeps the pin, stores
 *     OWNER_SERVER, and sends MESSAGE_REBUILD. The server fills the entry under the reader's
 *     pin, which is as good as its own, pins being a state; then it stores OWNER_READER and
 *     answers MESSAGE_REBUILT. Between the two, the reader touches nothing of the entry.
 *  5. Nobody waits for an owner: who cannot have an entry goes on with another one. So there is
 *     no deadlock, and the reader waits for nothing but the answer to its request.
 *
 * Why the server rebuilds, and not the reader that found the loss: in most caches only the server
 * can, because it alone has the source, the decoder, the rights; and all entries are made in one
 * place. Here it also keeps the test honest: what the server read is compared with what the
 * reader reads.
 *
 * If a party dies, its entries keep their owner for ever. Here that ends the run; a server that
 * is to survive its readers would note the reader's process in `owner` and take back, pin and
 * all, what a dead one held.
 *
 * The socket is one of a SOCK_SEQPACKET pair, which keeps the borders of messages.
 */
#include "protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* An atomic that takes a lock inside would lock in one process only. */
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "needs lock-free atomics to share them");

int share_map(struct ashmem_area *area, int prot, void **base)
{
	uint64_t size = ashmem_get_size(area);

	if (size > SIZE_MAX)
		return -ENOMEM;
	return ashmem_map(area, 0, (size_t)size, prot, MAP_SHARED, base);
}

int share_send(const struct share *share, int socket_fd)
{
	int error = ashmem_send(socket_fd, share->index_area);

	for (uint32_t i = 0; !error && i < share->index->areas; i++)
		error = ashmem_send(socket_fd, share->area[i]);
	return error;
}

static bool index_is_sound(const struct index *index, uint64_t size_bytes)
{
	return size_bytes > sizeof(*index) && index->areas <= MAX_AREAS &&
		index->entries <= (size_bytes - sizeof(*index)) / sizeof(index->entry[0]);
}

int share_receive(struct share *share, int socket_fd)
{
	void *base;
	int error = ashmem_recv(socket_fd, &share->index_area);

	if (error)
		return error;
	error = share_map(share->index_area, PROT_READ | PROT_WRITE, &base);
	if (error)
		return error;
	share->index = base;
	share->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	if (!index_is_sound(share->index, ashmem_get_size(share->index_area)))
		return -EPROTO;
	for (uint32_t i = 0; i < share->index->areas; i++) {
		error = ashmem_recv(socket_fd, &share->area[i]);
		if (error)
			return error;
		error = share_map(share->area[i], PROT_READ, &base);
		if (error)
			return error;
		share->base[i] = base;
	}
	return 0;
}

void share_close(struct share *share)
{
	for (int i = 0; i < MAX_AREAS; i++) {
		if (share->base[i])
			ashmem_unmap(share->base[i], (size_t)ashmem_get_size(share->area[i]));
		ashmem_close(share->area[i]);
	}
	if (share->index)
		ashmem_unmap(share->index, (size_t)ashmem_get_size(share->index_area));
	ashmem_close(share->index_area);
	*share = (struct share){0};
}

const char *entry_path(const struct share *share, const struct entry *entry)
{
	return (const char *)share->index + entry->path_offset;
}

unsigned char *entry_data(const struct share *share, const struct entry *entry)
{
	return share->base[entry->area] + entry->offset_bytes;
}

bool entry_claim(struct entry *entry, enum owner me)
{
	uint32_t nobody = OWNER_NOBODY;

	/* Acquire, pairs with the release in entry_hand_over(): what the last owner wrote is seen.
	 */
	return atomic_compare_exchange_strong_explicit(&entry->owner, &nobody, me,
		memory_order_acquire, memory_order_relaxed);
}

bool entry_is_owned_by(struct entry *entry, enum owner me)
{
	/* Acquire: as in entry_claim(), for an entry that was handed to us by name. */
	return atomic_load_explicit(&entry->owner, memory_order_acquire) == me;
}

void entry_hand_over(struct entry *entry, enum owner next)
{
	/* Release: the next owner sees the contents and the entry as we leave them. */
	atomic_store_explicit(&entry->owner, next, memory_order_release);
}

static uint64_t pinned_bytes(const struct share *share, const struct entry *entry)
{
	uint64_t part = entry->stamp.size_bytes % share->page_bytes;

	return entry->stamp.size_bytes + (part ? share->page_bytes - part : 0);
}

/* Mind the empty file: to ashmem_pin() and ashmem_unpin() length 0 means "to the end of the area".
 */
int entry_pin(const struct share *share, const struct entry *entry)
{
	uint64_t length = pinned_bytes(share, entry);

	if (!length)
		return ASHMEM_NOT_PURGED;
	return ashmem_pin(share->area[entry->area], entry->offset_bytes, length);
}

int entry_unpin(const struct share *share, const struct entry *entry)
{
	uint64_t length = pinned_bytes(share, entry);

	if (!length)
		return 0;
	return ashmem_unpin(share->area[entry->area], entry->offset_bytes, length);
}

int message_send(int socket_fd, const struct message *message)
{
	ssize_t sent;

	do
		sent = send(socket_fd, message, sizeof(*message), MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int message_receive(int socket_fd, struct message *message)
{
	ssize_t got;

	do
		got = recv(socket_fd, message, sizeof(*message), 0);
	while (got < 0 && errno == EINTR);
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return 0;
	if (got < 0)
		return -errno;
	return got == sizeof(*message) ? 1 : -EPROTO;
}
