/* The limit: a C program that drains a UDP socket with recvmmsg, source addresses included.

   Compiled to a shared library, and called by tests/benchmarks/workers/blocking.py. */

#define _GNU_SOURCE
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, SLOT = 2048 };

static unsigned char data[BATCH][SLOT];
static struct sockaddr_in6 names[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr headers[BATCH];
static volatile unsigned long touched;

/* Read `count` datagrams from a socket that has them; 0, or -1 if it has fewer. The first eight
   bytes of the last one are left in `last`. */
int drain(int fd, unsigned count, unsigned char *last)
{
    unsigned slot;

    for (slot = 0; slot < BATCH; slot++) {
        vectors[slot].iov_base = data[slot];
        vectors[slot].iov_len = SLOT;
        headers[slot].msg_hdr.msg_iov = &vectors[slot];
        headers[slot].msg_hdr.msg_iovlen = 1;
        headers[slot].msg_hdr.msg_name = &names[slot];
    }
    while (count > 0) {
        int got;
        for (slot = 0; slot < BATCH; slot++)
            headers[slot].msg_hdr.msg_namelen = sizeof names[slot];
        got = recvmmsg(fd, headers, count < BATCH ? count : BATCH, MSG_DONTWAIT, NULL);
        if (got <= 0)
            return -1;
        for (slot = 0; slot < (unsigned)got; slot++)
            touched += data[slot][0] + names[slot].sin6_port + headers[slot].msg_len;
        count -= got;
        memcpy(last, data[got - 1], 8);
    }
    return 0;
}
