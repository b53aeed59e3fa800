/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_READER_H
#define FILECACHE_READER_H

/* The second process: serve passes until the server closes the socket. Returns an exit status. */
int reader_run(int socket_fd);

#endif /* FILECACHE_READER_H */
