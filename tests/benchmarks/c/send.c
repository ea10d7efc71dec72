/* The limit: a C program that sends datagrams with sendmmsg.

   Compiled to a shared library, and called by tests/benchmarks/workers/blocking.py. */

#define _GNU_SOURCE
#include <stddef.h>
#include <sys/socket.h>

enum { BATCH = 64 };

static struct iovec vectors[BATCH];
static struct mmsghdr headers[BATCH];

/* Send `count` datagrams of `size` bytes, which lie one after the other in `data`; 0, or -1 if one
   was refused. */
int send_all(int fd, void *name, unsigned name_size, unsigned char *data, unsigned size,
             unsigned count)
{
    unsigned sent = 0;

    while (sent < count) {
        unsigned slot, run = count - sent < BATCH ? count - sent : BATCH;
        int got;
        for (slot = 0; slot < run; slot++) {
            vectors[slot].iov_base = data + (size_t)(sent + slot) * size;
            vectors[slot].iov_len = size;
            headers[slot].msg_hdr.msg_name = name;
            headers[slot].msg_hdr.msg_namelen = name_size;
            headers[slot].msg_hdr.msg_iov = &vectors[slot];
            headers[slot].msg_hdr.msg_iovlen = 1;
        }
        got = sendmmsg(fd, headers, run, 0);
        if (got <= 0)
            return -1;
        sent += got;
    }
    return 0;
}
