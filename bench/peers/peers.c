/* SPDX-License-Identifier: MIT */
/*
 * Reading a value from a cache of this library, and from what people use instead on one machine:
 * memcached and Redis over a Unix socket, LMDB and SQLite in /dev/shm. Servers are started here, on
 * sockets in a directory of this program's own, and ended by it; one that is not installed is
 * skipped. Each row is the best of several rounds, so that what else the machine does counts less.
 *
 *   peers   for values of 64 bytes, 1 KiB and 16 KiB: nanoseconds a read, and how many times ours
 *
 * All values are read whole, and their lengths compared; keys are "key-0" to "key-999".
 */
#define _GNU_SOURCE 1
#include <ashmem/ashmem.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_LMDB
#include <lmdb.h>
#endif
#ifdef HAVE_SQLITE
#include <sqlite3.h>
#endif

enum { KEYS = 1000, VALUE_MOST = 16384, ROUNDS = 15, READS = 2000 };

struct peer {
	const char *name;
	/* NULL, or why it is skipped. */
	const char *(*open)(void);
	void (*put)(const char *key, const char *value, size_t bytes);
	int64_t (*get)(const char *key, char *value); /* the value's bytes */
	void (*close)(void);
};

static char directory[] = "/dev/shm/ashmem-peers-XXXXXX";
static pid_t server;
static int connection = -1;

static void die(const char *what)
{
	fprintf(stderr, "peers: %s failed\n", what);
	if (server > 0)
		kill(server, SIGTERM);
	exit(1);
}

static const char *path_of(const char *file)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	return path;
}

/* -- ours -- */

static struct ashmem_cache *cache;

static const char *ours_open(void)
{
	return ashmem_cache_create("peers", NULL, &cache) < 0 ? "no cache" : NULL;
}

static void ours_put(const char *key, const char *value, size_t bytes)
{
	if (ashmem_cache_put(cache, key, strlen(key), value, bytes, 0) < 0)
		die("put");
}

static int64_t ours_get(const char *key, char *value)
{
	return ashmem_cache_read(cache, key, strlen(key), value, VALUE_MOST);
}

static void ours_close(void)
{
	ashmem_cache_close(cache);
}

/* -- servers -- */

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Start a program and connect to its socket; it ends with this one. */
static const char *start(char *const *arguments, const char *socket_path)
{
	fflush(NULL); /* or the child would print it too */
	server = fork();
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(127);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	for (int tries = 0; tries < 500; tries++) {
		connection = connect_to(socket_path);
		if (connection >= 0)
			return NULL;
		if (waitpid(server, NULL, WNOHANG) != 0)
			break;
		usleep(10000);
	}
	server = 0;
	return "not installed, or does not start";
}

static void stop(void)
{
	close(connection);
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	server = 0;
}

static void send_bytes(const char *bytes, size_t count)
{
	if (send(connection, bytes, count, MSG_NOSIGNAL) != (ssize_t)count)
		die("send");
}

/* Receive until the text ends so; its length. */
static size_t receive(char *text, size_t room, const char *end)
{
	size_t length = 0, end_bytes = strlen(end);

	do {
		ssize_t got = recv(connection, text + length, room - length, 0);
		if (got <= 0)
			die("recv");
		length += (size_t)got;
	} while (length < end_bytes || memcmp(text + length - end_bytes, end, end_bytes) != 0);
	return length;
}

static const char *memcached_open(void)
{
	char path[100];
	char *arguments[] = {"memcached", "-s", path, "-u", "root", "-m", "256", NULL};

	snprintf(path, sizeof(path), "%s", path_of("memcached"));
	return start(arguments, path);
}

static char text[VALUE_MOST + 200];

static void memcached_put(const char *key, const char *value, size_t bytes)
{
	int length = snprintf(text, sizeof(text), "set %s 0 0 %zu\r\n", key, bytes);

	memcpy(text + length, value, bytes);
	memcpy(text + length + bytes, "\r\n", 2);
	send_bytes(text, (size_t)length + bytes + 2);
	receive(text, sizeof(text), "STORED\r\n");
}

static int64_t memcached_get(const char *key, char *value)
{
	long bytes;
	int length = snprintf(text, sizeof(text), "get %s\r\n", key);

	send_bytes(text, (size_t)length);
	receive(text, sizeof(text), "END\r\n");
	char *line_end = strchr(text, '\n');
	if (!line_end || sscanf(text, "VALUE %*s %*d %ld", &bytes) != 1)
		return -1;
	memcpy(value, line_end + 1, (size_t)bytes);
	return bytes;
}

static const char *redis_open(void)
{
	char path[100];
	char *arguments[] = {"redis-server", "--port", "0", "--unixsocket", path, "--save", "",
		"--appendonly", "no", NULL};

	snprintf(path, sizeof(path), "%s", path_of("redis"));
	return start(arguments, path);
}

static void redis_put(const char *key, const char *value, size_t bytes)
{
	int length = snprintf(text, sizeof(text), "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n",
		strlen(key), key, bytes);

	memcpy(text + length, value, bytes);
	memcpy(text + length + bytes, "\r\n", 2);
	send_bytes(text, (size_t)length + bytes + 2);
	receive(text, sizeof(text), "+OK\r\n");
}

static int64_t redis_get(const char *key, char *value)
{
	long bytes = -1;
	size_t length = (size_t)snprintf(text, sizeof(text), "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n",
		strlen(key), key);

	send_bytes(text, length);
	length = receive(text, sizeof(text), "\r\n");
	char *line_end = memchr(text, '\n', length);
	if (!line_end || sscanf(text, "$%ld", &bytes) != 1 || bytes < 0)
		return -1;
	size_t head = (size_t)(line_end + 1 - text);
	while (length < head + (size_t)bytes + 2)
		length += receive(text + length, sizeof(text) - length, "\r\n");
	memcpy(value, line_end + 1, (size_t)bytes);
	return bytes;
}

/* -- libraries -- */

#ifdef HAVE_LMDB
static MDB_env *lmdb;
static MDB_dbi lmdb_table;

static const char *lmdb_open(void)
{
	MDB_txn *write;

	if (mdb_env_create(&lmdb) || mdb_env_set_mapsize(lmdb, 256 << 20) ||
		mdb_env_open(lmdb, path_of("lmdb"), MDB_NOSUBDIR | MDB_NOSYNC, 0600) ||
		mdb_txn_begin(lmdb, NULL, 0, &write) || mdb_dbi_open(write, NULL, 0, &lmdb_table) ||
		mdb_txn_commit(write))
		return "cannot be opened";
	return NULL;
}

static void lmdb_put(const char *key, const char *value, size_t bytes)
{
	MDB_val its_key = {strlen(key), (void *)(uintptr_t)key};
	MDB_val its_value = {bytes, (void *)(uintptr_t)value};
	MDB_txn *write;

	if (mdb_txn_begin(lmdb, NULL, 0, &write) ||
		mdb_put(write, lmdb_table, &its_key, &its_value, 0) || mdb_txn_commit(write))
		die("mdb_put");
}

static int64_t lmdb_get(const char *key, char *value)
{
	static MDB_txn *read;
	MDB_val its_key = {strlen(key), (void *)(uintptr_t)key}, found;

	if (read ? mdb_txn_renew(read) : mdb_txn_begin(lmdb, NULL, MDB_RDONLY, &read))
		return -1;
	int r = mdb_get(read, lmdb_table, &its_key, &found);
	if (r == 0)
		memcpy(value, found.mv_data, found.mv_size);
	mdb_txn_reset(read);
	return r ? -1 : (int64_t)found.mv_size;
}

static void lmdb_close(void)
{
	unlink(path_of("lmdb"));
	unlink(path_of("lmdb-lock"));
}
#endif

#ifdef HAVE_SQLITE
static sqlite3 *sqlite;
static sqlite3_stmt *sqlite_insert, *sqlite_select;

static const char *sqlite_open(void)
{
	if (sqlite3_open(path_of("sqlite"), &sqlite) ||
		sqlite3_exec(sqlite,
			"PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
			"CREATE TABLE cache (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;",
			NULL, NULL, NULL) ||
		sqlite3_prepare_v2(sqlite, "REPLACE INTO cache VALUES (?, ?)", -1, &sqlite_insert,
			NULL) ||
		sqlite3_prepare_v2(sqlite, "SELECT value FROM cache WHERE key = ?", -1,
			&sqlite_select, NULL))
		return "cannot be opened";
	return NULL;
}

static void sqlite_put(const char *key, const char *value, size_t bytes)
{
	sqlite3_bind_text(sqlite_insert, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_blob(sqlite_insert, 2, value, (int)bytes, SQLITE_STATIC);
	if (sqlite3_step(sqlite_insert) != SQLITE_DONE)
		die("INSERT");
	sqlite3_reset(sqlite_insert);
}

static int64_t sqlite_get(const char *key, char *value)
{
	int64_t bytes = -1;

	sqlite3_bind_text(sqlite_select, 1, key, -1, SQLITE_STATIC);
	if (sqlite3_step(sqlite_select) == SQLITE_ROW) {
		bytes = sqlite3_column_bytes(sqlite_select, 0);
		memcpy(value, sqlite3_column_blob(sqlite_select, 0), (size_t)bytes);
	}
	sqlite3_reset(sqlite_select);
	return bytes;
}

static void sqlite_close(void)
{
	sqlite3_finalize(sqlite_insert);
	sqlite3_finalize(sqlite_select);
	sqlite3_close(sqlite);
	unlink(path_of("sqlite"));
}
#endif

#if !defined(HAVE_LMDB) || !defined(HAVE_SQLITE)
static const char *missing(void)
{
	return "its header was not there when this was built";
}
#endif

static const struct peer peers[] = {
	{"this library", ours_open, ours_put, ours_get, ours_close},
	{"memcached", memcached_open, memcached_put, memcached_get, stop},
	{"Redis", redis_open, redis_put, redis_get, stop},
#ifdef HAVE_LMDB
	{"LMDB", lmdb_open, lmdb_put, lmdb_get, lmdb_close},
#else
	{"LMDB", missing, NULL, NULL, NULL},
#endif
#ifdef HAVE_SQLITE
	{"SQLite", sqlite_open, sqlite_put, sqlite_get, sqlite_close},
#else
	{"SQLite", missing, NULL, NULL, NULL},
#endif
};
enum { PEERS = sizeof(peers) / sizeof(peers[0]), SIZES = 3 };

/* -- measuring -- */

static const size_t sizes[SIZES] = {64, 1024, 16384};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double round_ns(const struct peer *peer, size_t bytes)
{
	static char value[VALUE_MOST];
	uint32_t chance = 1;
	char key[16];
	double begun = now_ns();

	for (int i = 0; i < READS; i++) {
		chance = chance * 1664525u + 1013904223u;
		snprintf(key, sizeof(key), "key-%u", chance / 65536 % KEYS);
		if (peer->get(key, value) != (int64_t)bytes)
			die(peer->name);
	}
	return (now_ns() - begun) / READS;
}

static double measure(const struct peer *peer, size_t bytes)
{
	static char value[VALUE_MOST];
	double best = 0;
	char key[16];

	memset(value, 'v', sizeof(value));
	for (int i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		peer->put(key, value, bytes);
	}
	for (int i = 0; i < ROUNDS; i++) {
		double ns = round_ns(peer, bytes);
		if (best == 0 || ns < best)
			best = ns;
	}
	return best;
}

int main(void)
{
	double ours[SIZES] = {0};

	if (!mkdtemp(directory)) {
		fprintf(stderr, "peers: no /dev/shm\n");
		return 1;
	}
	printf("| reading a value of | 64 bytes | 1 KiB | 16 KiB |\n| --- | --- | --- | --- |\n");
	for (int i = 0; i < PEERS; i++) {
		const char *why = peers[i].open();
		if (why) {
			printf("| %s | skipped: %s | | |\n", peers[i].name, why);
			continue;
		}
		printf("| %s |", peers[i].name);
		for (int k = 0; k < SIZES; k++) {
			double ns = measure(&peers[i], sizes[k]);
			if (i == 0)
				ours[k] = ns;
			printf(i == 0 ? " %.0f ns |" : " %.0f ns, %.1f times ours |", ns,
				ns / ours[k]);
			fflush(stdout);
		}
		printf("\n");
		peers[i].close();
	}
	unlink(path_of("memcached"));
	unlink(path_of("redis"));
	unlink(path_of("sqlite-wal"));
	unlink(path_of("sqlite-shm"));
	rmdir(directory);
	return 0;
}
