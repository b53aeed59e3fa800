/* SPDX-License-Identifier: MIT */
/*
 * Peers in the process: a cache of this library, LMDB and SQLite with files in /dev/shm, and a
 * table with a mutex, as a program with threads alone would have it.
 */
#define _GNU_SOURCE 1
#include <ashmem/ashmem.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_LMDB
#include <lmdb.h>
#endif
#ifdef HAVE_SQLITE
#include <sqlite3.h>
#endif

#include "peers.h"

/* -- this library -- */

static struct ashmem_cache *cache;

static const char *library_open(void)
{
	struct ashmem_cache_options options = {.struct_size = sizeof(options),
		.most_bytes = 256 << 20,
		.entries = 200000,
		.value_most_bytes = VALUE_MOST};

	return ashmem_cache_create("peers", &options, &cache) < 0 ? "no cache" : NULL;
}

static void library_join(void)
{
}

static void library_clear(void)
{
	if (ashmem_cache_clear(cache) < 0 || ashmem_shrink(UINT64_MAX) < 0)
		die("ashmem_cache_clear");
}

static void library_put(const char *key, const char *value, size_t bytes)
{
	if (ashmem_cache_put(cache, key, strlen(key), value, bytes, 0) < 0)
		die("ashmem_cache_put");
}

static int64_t library_get(const char *key, char *value)
{
	return ashmem_cache_read(cache, key, strlen(key), value, VALUE_MOST);
}

static void library_close(void)
{
	ashmem_cache_close(cache);
}

const struct peer library_peer = {"this library", library_open, library_join, library_clear,
	library_put, library_get, NULL, library_close};

/* -- a table with a mutex -- */

struct node {
	struct node *next;
	size_t bytes;
	char *value;
	char key[];
};

enum { BUCKETS = 1 << 18 };
static struct node **buckets;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static const char *map_open(void)
{
	buckets = calloc(BUCKETS, sizeof(*buckets));
	return buckets ? NULL : "no memory";
}

static struct node **map_find(const char *key)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (const char *at = key; *at; at++)
		hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
	struct node **link = &buckets[(hash ^ hash >> 32) % BUCKETS];
	while (*link && strcmp((*link)->key, key) != 0)
		link = &(*link)->next;
	return link;
}

static void map_put(const char *key, const char *value, size_t bytes)
{
	char *copy = malloc(bytes);

	if (!copy)
		die("malloc");
	memcpy(copy, value, bytes);
	pthread_mutex_lock(&mutex);
	struct node **link = map_find(key);
	if (!*link) {
		*link = calloc(1, sizeof(**link) + strlen(key) + 1);
		if (!*link)
			die("calloc");
		strcpy((*link)->key, key);
	}
	free((*link)->value);
	(*link)->value = copy;
	(*link)->bytes = bytes;
	pthread_mutex_unlock(&mutex);
}

static int64_t map_get(const char *key, char *value)
{
	int64_t bytes = -1;

	pthread_mutex_lock(&mutex);
	const struct node *node = *map_find(key);
	if (node) {
		bytes = (int64_t)node->bytes;
		memcpy(value, node->value, node->bytes);
	}
	pthread_mutex_unlock(&mutex);
	return bytes;
}

static void map_close(void)
{
	for (uint32_t i = 0; i < BUCKETS; i++)
		for (struct node *node = buckets[i], *next; node; node = next) {
			next = node->next;
			free(node->value);
			free(node);
		}
	free(buckets);
}

const struct peer map_peer = {"a table with a mutex, one process", map_open, NULL, NULL, map_put,
	map_get, NULL, map_close};

#if !defined(HAVE_LMDB) || !defined(HAVE_SQLITE)
static const char *missing(void)
{
	return "its header was not there when this was built";
}
#endif

/* -- LMDB -- */

#ifdef HAVE_LMDB
static MDB_env *lmdb;
static MDB_dbi lmdb_table;
static MDB_txn *lmdb_read;

static int lmdb_fails(void)
{
	MDB_txn *write;

	lmdb_read = NULL;
	return mdb_env_create(&lmdb) || mdb_env_set_mapsize(lmdb, (size_t)2 << 30) ||
		mdb_env_open(lmdb, path_of("lmdb"), MDB_NOSUBDIR | MDB_NOSYNC, 0600) ||
		mdb_txn_begin(lmdb, NULL, 0, &write) || mdb_dbi_open(write, NULL, 0, &lmdb_table) ||
		mdb_txn_commit(write);
}

static const char *lmdb_open(void)
{
	return lmdb_fails() ? "cannot be opened" : NULL;
}

/* An environment does not pass a fork. */
static void lmdb_join(void)
{
	if (lmdb_fails())
		die("mdb_env_open");
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
	MDB_val its_key = {strlen(key), (void *)(uintptr_t)key}, found;

	if (lmdb_read ? mdb_txn_renew(lmdb_read)
		      : mdb_txn_begin(lmdb, NULL, MDB_RDONLY, &lmdb_read))
		return -1;
	int r = mdb_get(lmdb_read, lmdb_table, &its_key, &found);
	if (r == 0)
		memcpy(value, found.mv_data, found.mv_size);
	mdb_txn_reset(lmdb_read);
	return r ? -1 : (int64_t)found.mv_size;
}

static void lmdb_close(void)
{
	mdb_env_close(lmdb);
	unlink(path_of("lmdb"));
	unlink(path_of("lmdb-lock"));
}

const struct peer lmdb_peer = {
	"LMDB", lmdb_open, lmdb_join, NULL, lmdb_put, lmdb_get, NULL, lmdb_close};
#else
const struct peer lmdb_peer = {.name = "LMDB", .open = missing};
#endif

/* -- SQLite -- */

#ifdef HAVE_SQLITE
static sqlite3 *sqlite;
static sqlite3_stmt *sqlite_insert, *sqlite_select;

static int sqlite_fails(void)
{
	return sqlite3_open(path_of("sqlite"), &sqlite) ||
		sqlite3_exec(sqlite,
			"PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
			"CREATE TABLE IF NOT EXISTS cache (key TEXT PRIMARY KEY, value BLOB)"
			" WITHOUT ROWID;",
			NULL, NULL, NULL) ||
		sqlite3_prepare_v2(sqlite, "REPLACE INTO cache VALUES (?, ?)", -1, &sqlite_insert,
			NULL) ||
		sqlite3_prepare_v2(sqlite, "SELECT value FROM cache WHERE key = ?", -1,
			&sqlite_select, NULL);
}

static const char *sqlite_open(void)
{
	return sqlite_fails() ? "cannot be opened" : NULL;
}

static void sqlite_join(void)
{
	if (sqlite_fails())
		die("sqlite3_open");
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
	unlink(path_of("sqlite-wal"));
	unlink(path_of("sqlite-shm"));
}

const struct peer sqlite_peer = {
	"SQLite", sqlite_open, sqlite_join, NULL, sqlite_put, sqlite_get, NULL, sqlite_close};
#else
const struct peer sqlite_peer = {.name = "SQLite", .open = missing};
#endif
