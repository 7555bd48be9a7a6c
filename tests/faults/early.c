/* A bug, planted: what is written to the journal stays in memory until the next write, or until somebody reads there. The
 * program believes that it was written and synced, and says so to others before it is. A kill in between must be seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char *held;
static size_t held_len;
static int held_fd;

static int is_journal(int fd) {
    char link[32], path[4096] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, path, sizeof path - 1) > 0 && strstr(path, "/store/journal-") != NULL;
}

static ssize_t really(int fd, const void *bytes, size_t len) {
    static ssize_t (*real)(int, const void *, size_t);
    if (real == NULL) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return real(fd, bytes, len);
}

static void let_go(void) {
    if (held == NULL) return;
    really(held_fd, held, held_len);
    free(held);
    held = NULL;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    if (!is_journal(fd)) return really(fd, bytes, len);
    pthread_mutex_lock(&turn);
    let_go();
    held = malloc(len);
    memcpy(held, bytes, len);
    held_len = len;
    held_fd = fd;
    pthread_mutex_unlock(&turn);
    return (ssize_t)len;
}

ssize_t pread64(int fd, void *bytes, size_t len, off64_t at) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (real == NULL) real = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    if (is_journal(fd)) {
        pthread_mutex_lock(&turn);
        let_go();
        pthread_mutex_unlock(&turn);
    }
    return real(fd, bytes, len, at);
}
