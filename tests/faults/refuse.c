/* A library to load before the C library (LD_PRELOAD): has one system call of a process refused.
 *
 * The calls are numbered as in NAMES. A call that is told to fail does not reach the kernel, but for
 * close(), which Linux carries out before it tells of an error. Descriptors that were spared, and calls
 * while nothing is armed, are left alone. One thread calls; there are no locks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum call {
    SOCKET, BIND, CONNECT, SETSOCKOPT, GETSOCKOPT, GETSOCKNAME, IOCTL, DUP, OPEN,
    RECV, RECVFROM, RECVMSG, RECVMMSG, SEND, SENDTO, SENDMSG, SENDMMSG,
    EPOLL_CREATE, EPOLL_ADD, EPOLL_DELETE, EPOLL_WAIT, WAIT_FOR,
    RING_SETUP, RING_ENTER, RING_MMAP, CLOSE, CALLS
};

static const char *const NAMES[CALLS] = {
    "socket", "bind", "connect", "setsockopt", "getsockopt", "getsockname", "ioctl", "dup", "open",
    "recv", "recvfrom", "recvmsg", "recvmmsg", "send", "sendto", "sendmsg", "sendmmsg",
    "epoll_create", "epoll_ctl add", "epoll_ctl delete", "epoll_wait", "epoll_ctl of trio",
    "io_uring_setup", "io_uring_enter", "mmap of a ring", "close",
};

#define MOST 4096
static unsigned char spared[MOST];
static int armed, chosen = -1, error_number;
static long to_skip, to_fail, counts[CALLS], refusals;

const char *faults_name(int call) { return call < CALLS ? NAMES[call] : NULL; }
long faults_count(int call) { return counts[call]; }
long faults_refusals(void) { return refusals; }
void faults_spare(int fd, int spare) { if (fd >= 0 && fd < MOST) spared[fd] = spare; }
void faults_arm(int on) { armed = on; }

/* Forget the counts; have a call fail from the one after `skip` on, `times` times. */
void faults_choose(int call, int number, long skip, long times)
{
    memset(counts, 0, sizeof counts);
    chosen = call, error_number = number, to_skip = skip, to_fail = times, refusals = 0;
}

static int fails(enum call call)
{
    if (!armed)
        return 0;
    counts[call]++;
    if ((int)call != chosen || to_skip-- > 0 || to_fail <= 0)
        return 0;
    to_fail--;
    refusals++;
    errno = error_number;
    return 1;
}

static int is_spared(int fd) { return fd < 0 || fd >= MOST || spared[fd]; }

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define REFUSABLE(type, name, call, parameters, arguments, fd) \
    type name parameters \
    { \
        REAL(name); \
        return !is_spared(fd) && fails(call) ? -1 : real arguments; \
    }

REFUSABLE(int, bind, BIND, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), fd)
REFUSABLE(int, connect, CONNECT, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), fd)
REFUSABLE(int, setsockopt, SETSOCKOPT, (int fd, int l, int o, const void *v, socklen_t n), (fd, l, o, v, n), fd)
REFUSABLE(int, getsockopt, GETSOCKOPT, (int fd, int l, int o, void *v, socklen_t *n), (fd, l, o, v, n), fd)
REFUSABLE(int, getsockname, GETSOCKNAME, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), fd)
REFUSABLE(ssize_t, recv, RECV, (int fd, void *b, size_t n, int f), (fd, b, n, f), fd)
REFUSABLE(ssize_t, recvfrom, RECVFROM,
          (int fd, void *b, size_t n, int f, struct sockaddr *a, socklen_t *l), (fd, b, n, f, a, l), fd)
REFUSABLE(ssize_t, recvmsg, RECVMSG, (int fd, struct msghdr *m, int f), (fd, m, f), fd)
REFUSABLE(int, recvmmsg, RECVMMSG,
          (int fd, struct mmsghdr *m, unsigned n, int f, struct timespec *t), (fd, m, n, f, t), fd)
REFUSABLE(ssize_t, send, SEND, (int fd, const void *b, size_t n, int f), (fd, b, n, f), fd)
REFUSABLE(ssize_t, sendto, SENDTO,
          (int fd, const void *b, size_t n, int f, const struct sockaddr *a, socklen_t l), (fd, b, n, f, a, l), fd)
REFUSABLE(ssize_t, sendmsg, SENDMSG, (int fd, const struct msghdr *m, int f), (fd, m, f), fd)
REFUSABLE(int, sendmmsg, SENDMMSG, (int fd, struct mmsghdr *m, unsigned n, int f), (fd, m, n, f), fd)
REFUSABLE(int, epoll_wait, EPOLL_WAIT, (int fd, struct epoll_event *e, int n, int t), (fd, e, n, t), fd)

int socket(int domain, int type, int protocol)
{
    REAL(socket);
    return fails(SOCKET) ? -1 : real(domain, type, protocol);
}

int epoll_create1(int flags)
{
    REAL(epoll_create1);
    return fails(EPOLL_CREATE) ? -1 : real(flags);
}

/* Trio's own epoll is spared: what it is asked to wait for is not. */
int epoll_ctl(int fd, int action, int of, struct epoll_event *event)
{
    REAL(epoll_ctl);
    int call = is_spared(fd) ? WAIT_FOR : action == EPOLL_CTL_DEL ? EPOLL_DELETE : EPOLL_ADD;
    if (!is_spared(of) && (call != WAIT_FOR || action == EPOLL_CTL_ADD) && fails(call))
        return -1;
    return real(fd, action, of, event);
}

int close(int fd)
{
    REAL(close);
    int fail = !is_spared(fd) && fails(CLOSE), number = errno, result = real(fd);
    if (!fail)
        return result;
    errno = number;
    return -1;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    REAL(mmap);
    return fd >= 0 && !is_spared(fd) && fails(RING_MMAP) ? MAP_FAILED : real(at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    REAL(mmap64);
    return fd >= 0 && !is_spared(fd) && fails(RING_MMAP) ? MAP_FAILED : real(at, size, protection, flags, fd, offset);
}

static long argument_of(va_list arguments)
{
    long value = va_arg(arguments, long);
    va_end(arguments);
    return value;
}

#define ONE_MORE(last) (va_start(arguments, last), argument_of(arguments))

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    if (!real)
        real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    va_list arguments;
    long value = ONE_MORE(request);
    return !is_spared(fd) && fails(IOCTL) ? -1 : real(fd, request, value);
}

#define FCNTL(name) \
    int name(int fd, int command, ...) \
    { \
        REAL(name); \
        va_list arguments; \
        long value = ONE_MORE(command); \
        return command == F_DUPFD_CLOEXEC && !is_spared(fd) && fails(DUP) ? -1 : real(fd, command, value); \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* Only the settings of the kernel: Python opens files of its own. */
#define OPENS(name) \
    int name(const char *path, int flags, ...) \
    { \
        REAL(name); \
        va_list arguments; \
        mode_t mode = (mode_t)ONE_MORE(flags); \
        return !strncmp(path, "/proc/", 6) && fails(OPEN) ? -1 : real(path, flags, mode); \
    }
OPENS(open)
OPENS(open64)

long syscall(long number, ...)
{
    static long (*real)(long, ...);
    if (!real)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    va_list arguments;
    va_start(arguments, number);
    long a = va_arg(arguments, long), b = va_arg(arguments, long), c = va_arg(arguments, long);
    long d = va_arg(arguments, long), e = va_arg(arguments, long), f = va_arg(arguments, long);
    va_end(arguments);
    if ((number == 425 && fails(RING_SETUP)) || (number == 426 && fails(RING_ENTER)))
        return -1;
    return real(number, a, b, c, d, e, f);
}
