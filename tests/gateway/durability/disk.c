/* A disk that fails: loaded into the gateway (LD_PRELOAD), it lets the calls of one kind below one
 * folder fail as a file says that is read at each of them.
 *
 *     DISK_ROOT      the folder
 *     DISK_FAULT     the file: "ROUND KIND FIRST LAST ERRNO": from the FIRST to the LAST call of this
 *                    kind in this round
 *     DISK_FAILED    a file that gets an octet for each failure
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int below(const char *path) {
    const char *root = getenv("DISK_ROOT");
    return root && strncmp(path, root, strlen(root)) == 0;
}

static int fd_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

/* Whether this call fails; errno says how. */
static int fails(const char *kind) {
    static long round = -1, calls = 0;
    char text[128] = "", wanted[32];
    long this_round, first, last;
    int error, result = 0, saved = errno;
    pthread_mutex_lock(&lock);
    int fd = REAL(open)(getenv("DISK_FAULT"), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) > 0
            && sscanf(text, "%ld %31s %ld %ld %d", &this_round, wanted, &first, &last, &error) == 5
            && strcmp(kind, wanted) == 0) {
            if (this_round != round) round = this_round, calls = 0;
            calls++;
            if (calls >= first && calls <= last) {
                int failed = REAL(open)(getenv("DISK_FAILED"),
                                        O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
                if (failed >= 0) {
                    if (REAL(write)(failed, "x", 1) != 1) abort();
                    close(failed);
                }
                saved = error;
                result = 1;
            }
        }
        close(fd);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

#define OPEN(name)                                                               \
    int name(const char *path, int flags, ...) {                                 \
        mode_t mode = 0;                                                         \
        if (flags & O_CREAT) {                                                   \
            va_list rest;                                                        \
            va_start(rest, flags);                                               \
            mode = va_arg(rest, mode_t);                                         \
            va_end(rest);                                                        \
            if (below(path) && fails("create")) return -1;                       \
        }                                                                        \
        return REAL(name)(path, flags, mode);                                    \
    }

OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *octets, size_t count) {
    if (fd_below(fd) && fails("write")) return -1;
    return REAL(write)(fd, octets, count);
}

ssize_t pwrite64(int fd, const void *octets, size_t count, off64_t at) {
    if (fd_below(fd) && fails("write")) return -1;
    return REAL(pwrite64)(fd, octets, count, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (fd_below(fd) && fails("write")) return -1;
    return REAL(writev)(fd, parts, count);
}

int fsync(int fd) {
    if (fd_below(fd) && fails("sync")) return -1;
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    if (fd_below(fd) && fails("sync")) return -1;
    return REAL(fdatasync)(fd);
}

int rename(const char *from, const char *to) {
    if (below(to) && fails("rename")) return -1;
    return REAL(rename)(from, to);
}

int mkdir(const char *path, mode_t mode) {
    if (below(path) && fails("mkdir")) return -1;
    return REAL(mkdir)(path, mode);
}

int unlink(const char *path) {
    if (below(path) && fails("unlink")) return -1;
    return REAL(unlink)(path);
}
