/* A layer between a program and the system in which writes below one folder fail: LD_PRELOAD it.
 *
 * FAULT_BELOW   the folder
 * FAULT_CALLS   letters: w writes, s syncs, o creating opens
 * FAULT_AFTER   so many of these calls go well
 * FAULT_TIMES   and so many fail then
 * FAULT_ERRNO   with this error
 * FAULT_CLOCK   seconds by which the clock of the world is wrong
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int below(int descriptor) {
    char link[64], path[4096];
    const char *folder = getenv("FAULT_BELOW");
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!folder || length < 0) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int fails(char kind) {
    const char *kinds = getenv("FAULT_CALLS");
    if (!kinds || !strchr(kinds, kind)) return 0;
    long call = atomic_fetch_add(&calls, 1), after = number("FAULT_AFTER");
    if (call < after || call >= after + number("FAULT_TIMES")) return 0;
    errno = (int)number("FAULT_ERRNO");
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAULT(kind, descriptor) \
    if (below(descriptor) && fails(kind)) return -1

ssize_t write(int d, const void *data, size_t size) { FAULT('w', d); return REAL(write)(d, data, size); }
ssize_t writev(int d, const struct iovec *parts, int count) { FAULT('w', d); return REAL(writev)(d, parts, count); }
ssize_t pwrite(int d, const void *data, size_t size, off_t at) { FAULT('w', d); return REAL(pwrite)(d, data, size, at); }
ssize_t pwrite64(int d, const void *data, size_t size, off64_t at) {
    FAULT('w', d);
    return REAL(pwrite64)(d, data, size, at);
}
int fsync(int d) { FAULT('s', d); return REAL(fsync)(d); }
int fdatasync(int d) { FAULT('s', d); return REAL(fdatasync)(d); }

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    const char *folder = getenv("FAULT_BELOW");
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    if ((flags & O_CREAT) && folder && strncmp(path, folder, strlen(folder)) == 0 && fails('o')) return -1;
    return real(path, flags, mode);
}

#define OPEN(name)                                   \
    int name(const char *path, int flags, ...) {     \
        mode_t mode = 0;                             \
        if (flags & O_CREAT) {                       \
            va_list rest;                            \
            va_start(rest, flags);                   \
            mode = va_arg(rest, mode_t);             \
            va_end(rest);                            \
        }                                            \
        return opened(#name, path, flags, mode);     \
    }
OPEN(open)
OPEN(open64)

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = REAL(clock_gettime)(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += number("FAULT_CLOCK");
    return done;
}
