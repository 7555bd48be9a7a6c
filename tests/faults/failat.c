/* A disk that fails: calls below the node's folder that write, or that sync, fail as the system would let them fail.
 *
 * CLEARHOUSE_FAIL_AT names a file. While it is not there, nothing happens. Its line says which calls: "w" those that write,
 * rename, cut or make a file, "s" those that sync; from which one on, counted from the first that found the file; how many
 * of them, 0 for all; with which errno. Reading goes on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether this call is to fail; errno is set then. */
static int fails(char kind, const char *path) {
    static atomic_long calls;
    const char *control = getenv("CLEARHOUSE_FAIL_AT");
    char line[64] = {0}, which = 0;
    long from = 0, many = 0;
    int error = 0, fd;
    if (control == NULL || (strstr(path, "/store") == NULL && strstr(path, "/keys") == NULL && strstr(path, "/log/") == NULL))
        return 0;
    if ((fd = open(control, O_RDONLY | O_CLOEXEC)) < 0) return 0;
    ssize_t got = pread(fd, line, sizeof line - 1, 0);
    close(fd);
    if (got <= 0 || sscanf(line, "%c %ld %ld %d", &which, &from, &many, &error) != 4 || which != kind) return 0;
    long n = atomic_fetch_add(&calls, 1) + 1;
    if (n < from || (many > 0 && n >= from + many)) return 0;
    errno = error;
    return 1;
}

static int fails_of(char kind, int fd) {
    char link[32], path[4096] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, path, sizeof path - 1) > 0 && fails(kind, path);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (real == NULL) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *bytes, size_t len) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return fails_of('w', fd) ? -1 : real(fd, bytes, len);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return fails_of('w', fd) ? -1 : real(fd, bytes, len, at);
}

int ftruncate64(int fd, off64_t len) {
    REAL(int, "ftruncate64", int, off64_t);
    return fails_of('w', fd) ? -1 : real(fd, len);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    return fails('w', to) ? -1 : real(from, to);
}

int open64(const char *path, int how, ...) {
    REAL(int, "open64", const char *, int, ...);
    va_list more;
    va_start(more, how);
    mode_t mode = (how & O_CREAT) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return (how & O_CREAT) && fails('w', path) ? -1 : real(path, how, mode);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return fails_of('s', fd) ? -1 : real(fd);
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    return fails_of('s', fd) ? -1 : real(fd);
}
