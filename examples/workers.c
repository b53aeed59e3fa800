/* SPDX-License-Identifier: MIT */
/*
 * A pre-forked HTTP server on loopback, whose workers share one cache of pages under a limit of a
 * quarter of what all pages take. It fetches its own pages, compares every byte, and counts wrong
 * ones and workers that were killed.
 *
 * Making a page stands for real work. Of workers that miss the same page at once, one makes it and
 * the others wait for it. Each worker has a budget, which counts the cache's memory; whoever
 * exceeds it purges what was put longest ago, for everybody.
 *
 *   workers [REQUESTS]   2000 by default; exits 0 if no byte was wrong, no worker was
 *                        killed, and the memory stayed low
 */
#include <ashmem/ashmem.h>

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4
#define CLIENTS 4
#define PAGES 1000u
#define PAGE_MOST 60000u /* bytes; a page has half of that on average */
#define ALL_BYTES ((uint64_t)PAGES * PAGE_MOST / 2)
#define WAIT_MS 1000

/* Counted by all processes. */
static struct counts {
	uint64_t requests, hits, made, wrong_bytes;
} * counts;

static void add(uint64_t *count, uint64_t by)
{
	__atomic_fetch_add(count, by, __ATOMIC_RELAXED);
}

static void check(int64_t result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror((int)-result));
	exit(1);
}

static int64_t or_errno(int64_t result)
{
	return result < 0 ? -errno : result;
}

/* -- pages: number and length tell each byte -- */

static uint32_t mix(uint32_t x)
{
	x = (x ^ x >> 16) * 0x45d9f3bu;
	x = (x ^ x >> 16) * 0x45d9f3bu;
	return x ^ x >> 16;
}

static size_t page_bytes(uint32_t number)
{
	return 1 + mix(number) % PAGE_MOST;
}

static void make_page(uint32_t number, char *page)
{
	for (size_t i = 0; i < page_bytes(number); i++)
		page[i] = (char)('!' + mix(number * 65536 + (uint32_t)i) % 90);
}

/* -- a worker -- */

static int send_all(int fd, const void *bytes, size_t left)
{
	for (const char *at = bytes; left > 0;) {
		ssize_t sent = send(fd, at, left, MSG_NOSIGNAL);
		if (sent < 0)
			return -errno;
		at += sent;
		left -= (size_t)sent;
	}
	return 0;
}

static void respond(int fd, const void *page, uint64_t bytes)
{
	char head[80];
	int length = snprintf(head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Length: %" PRIu64 "\r\n\r\n", bytes);

	if (send_all(fd, head, (size_t)length) == 0)
		send_all(fd, page, (size_t)bytes);
}

/* Make the page; put it, if we were told to. No cache is no reason not to answer. */
static void respond_fresh(int fd, struct ashmem_cache *cache, uint32_t number,
	struct ashmem_entry *claim)
{
	static char page[PAGE_MOST];
	size_t bytes = page_bytes(number);

	make_page(number, page);
	add(&counts->made, 1);
	if (claim)
		ashmem_cache_put(cache, &number, sizeof(number), page, bytes, 0);
	ashmem_entry_release(claim); /* from here on the others find it */
	respond(fd, page, bytes);
}

static void serve(int fd, struct ashmem_cache *cache)
{
	struct ashmem_entry *entry = NULL;
	char request[1024];
	uint32_t number;
	ssize_t got = recv(fd, request, sizeof(request) - 1, 0);

	if (got <= 0)
		return;
	request[got] = '\0';
	if (strncmp(request, "GET /", 5) != 0)
		return;
	number = (uint32_t)strtoul(request + 5, NULL, 10);
	if (number >= PAGES)
		return;
	add(&counts->requests, 1);
	int r = ashmem_cache_claim(cache, &number, sizeof(number), WAIT_MS, &entry);
	if (r == ASHMEM_CLAIM_FOUND) {
		uint64_t bytes;
		const void *page = ashmem_entry_value(entry, &bytes);
		add(&counts->hits, 1);
		respond(fd, page, bytes); /* no purge takes it before the release */
		ashmem_entry_release(entry);
	} else {
		respond_fresh(fd, cache, number, r == ASHMEM_CLAIM_BUILD ? entry : NULL);
	}
}

static void work(int listening, struct ashmem_cache *cache)
{
	struct ashmem_budget_options limit = {
		.struct_size = sizeof(limit), .unpinned_bytes = ALL_BYTES / 4};

	check(ashmem_budget_set_limits(ashmem_budget_process(), &limit), "budget");
	for (;;) {
		int fd = accept(listening, NULL, NULL);
		if (fd < 0)
			continue;
		serve(fd, cache);
		close(fd);
	}
}

/* -- a client -- */

/* The body of a response, in `body`: its bytes, or -1. */
static ssize_t fetch(const struct sockaddr_in *address, uint32_t number, char *body, size_t room)
{
	char text[64 + PAGE_MOST + 1];
	size_t length = 0;
	ssize_t got = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	check(or_errno(fd), "socket");
	check(or_errno(connect(fd, (const struct sockaddr *)address, sizeof(*address))), "connect");
	snprintf(text, sizeof(text), "GET /%" PRIu32 " HTTP/1.1\r\n\r\n", number);
	check(send_all(fd, text, strlen(text)), "send");
	while (got > 0 && length < sizeof(text) - 1) {
		got = recv(fd, text + length, sizeof(text) - 1 - length, 0);
		length += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	text[length] = '\0';
	char *end = strstr(text, "\r\n\r\n");
	if (!end || length - (size_t)(end + 4 - text) > room)
		return -1;
	length -= (size_t)(end + 4 - text);
	memcpy(body, end + 4, length);
	return (ssize_t)length;
}

static void compare(uint32_t number, const char *body, ssize_t got)
{
	static char want[PAGE_MOST];
	size_t bytes = page_bytes(number);
	uint64_t wrong = got != (ssize_t)bytes;

	make_page(number, want);
	for (size_t i = 0; i < bytes && (ssize_t)i < got; i++)
		wrong += body[i] != want[i];
	add(&counts->wrong_bytes, wrong);
}

/* Half of the requests are for a tenth of the pages. */
static void fetch_many(const struct sockaddr_in *address, uint32_t requests, uint32_t seed)
{
	static char body[PAGE_MOST];

	for (uint32_t i = 0; i < requests; i++) {
		uint32_t chance = mix(seed * 1000000 + i);
		uint32_t number = chance / 2 % (chance % 2 ? PAGES / 10 : PAGES);
		compare(number, body, fetch(address, number, body, sizeof(body)));
	}
}

/* -- all together -- */

static int listen_on_loopback(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(address, 0, sizeof(*address));
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(or_errno(fd), "socket");
	check(or_errno(bind(fd, (struct sockaddr *)address, length)), "bind");
	check(or_errno(listen(fd, 64)), "listen");
	check(or_errno(getsockname(fd, (struct sockaddr *)address, &length)), "getsockname");
	return fd;
}

static struct ashmem_cache *new_cache(void)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options), .most_bytes = ALL_BYTES * 2, .entries = PAGES};
	struct ashmem_cache *cache;

	check(ashmem_cache_create("workers", &options, &cache), "cache");
	return cache;
}

/* As the kernel counts it; the cache's index is part of it. */
static uint64_t memory_of(struct ashmem_cache *cache)
{
	struct stat status;

	check(or_errno(fstat(ashmem_cache_fd(cache), &status)), "fstat");
	return (uint64_t)status.st_blocks * 512;
}

static int wait_for(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int main(int argc, char **argv)
{
	uint32_t requests = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 2000;
	struct ashmem_cache *cache = new_cache();
	struct sockaddr_in address;
	int listening = listen_on_loopback(&address), killed = 0, failed = 0;
	pid_t workers[WORKERS], clients[CLIENTS];

	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		0);
	if (counts == MAP_FAILED)
		return 1;
	for (int i = 0; i < WORKERS; i++)
		if ((workers[i] = fork()) == 0)
			work(listening, cache);
	for (uint32_t i = 0; i < CLIENTS; i++)
		if ((clients[i] = fork()) == 0) {
			fetch_many(&address, requests / CLIENTS, i);
			_exit(0);
		}
	for (int i = 0; i < CLIENTS; i++)
		failed += wait_for(clients[i]) != 0;
	for (int i = 0; i < WORKERS; i++) {
		kill(workers[i], SIGTERM);
		int status = wait_for(workers[i]);
		killed += !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM;
	}
	printf("%" PRIu64 " requests, %" PRIu64 " found in the cache, %" PRIu64 " made\n",
		counts->requests, counts->hits, counts->made);
	uint64_t memory = memory_of(cache);
	printf("%" PRIu64 " KiB of memory at the end, of %" PRIu64 " KiB that all pages take\n",
		memory / 1024, ALL_BYTES / 1024);
	printf("%" PRIu64 " wrong bytes, %d workers killed, %d clients failed\n",
		counts->wrong_bytes, killed, failed);
	ashmem_cache_close(cache);
	/* What each worker just writes to comes on top of the limit, and so does the index. */
	return counts->wrong_bytes || killed || failed || memory > ALL_BYTES / 2 ||
		counts->requests < requests / 2 || counts->hits == 0;
}
