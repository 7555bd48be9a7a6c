/* Kills the program that has it loaded, ahead of one call that changes what the next start will find: a write to its store
 * or its keys, a rename or an unlink there. A kill takes nothing back that was written, so syncs are not counted.
 *
 * CLEARHOUSE_KILL_AT names a file. While it is not there, nothing happens. Its first line says which call kills, counted
 * from the first one that found it; 0 kills at none. Each call found is written behind it as a line: what, and of which
 * file. The index is passed over: it is derived, and flushed by a thread of its own whenever it likes; and the log with
 * its heads, which have a test of their own. With "all" behind the number, these count too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Opens the control file; -1 while nobody is to be killed. */
static int armed(void) {
    const char *control = getenv("CLEARHOUSE_KILL_AT");
    return control == NULL ? -1 : open(control, O_RDWR | O_APPEND | O_CLOEXEC);
}

static void beat(int control, const char *what, const char *path) {
    static atomic_long calls;
    char head[24] = {0};
    const char *name = strrchr(path, '/');
    int ours = strstr(path, "/store/") != NULL || strstr(path, "/keys/") != NULL || strstr(path, "/log/") != NULL;
    int beside = strstr(path, "/index") != NULL || strstr(path, "log.heads") != NULL || strstr(path, "/log/") != NULL;
    if (ours && pread(control, head, sizeof head - 1, 0) > 0
        && (!beside || strncmp(head + strcspn(head, " \n"), " all", 4) == 0)) {
        long at = strtol(head, NULL, 10), n = atomic_fetch_add(&calls, 1) + 1;
        dprintf(control, "%s %s\n", what, name + 1);
        if (n == at) {
            kill(getpid(), SIGKILL);
            for (;;) pause();
        }
    }
    close(control);
}

static void beat_of(const char *what, int fd) {
    char link[32], path[4096] = {0};
    int control = armed();
    if (control < 0) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0) path[0] = '\0';
    beat(control, what, path);
}

ssize_t write(int fd, const void *bytes, size_t len) {
    static ssize_t (*real)(int, const void *, size_t);
    if (real == NULL) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    beat_of("write", fd);
    return real(fd, bytes, len);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (real == NULL) real = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    beat_of("write", fd);
    return real(fd, bytes, len, at);
}

int rename(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    int control = armed();
    if (real == NULL) real = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    if (control >= 0) beat(control, "rename", to);
    return real(from, to);
}

int ftruncate64(int fd, off64_t len) {
    static int (*real)(int, off64_t);
    if (real == NULL) real = (int (*)(int, off64_t))dlsym(RTLD_NEXT, "ftruncate64");
    beat_of("cut", fd);
    return real(fd, len);
}

int unlink(const char *path) {
    static int (*real)(const char *);
    /* Many are unlinked to be sure that they are not there. */
    int control = access(path, F_OK) == 0 ? armed() : -1;
    if (real == NULL) real = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    if (control >= 0) beat(control, "unlink", path);
    return real(path);
}
