/* Moves the clocks of the program that has it loaded ahead: CLEARHOUSE_SHIFT names a file that holds the seconds, and may
 * change while the program runs. Looked at ten times a second, so that a test turns days within moments. Only forwards:
 * what waits for a time then finds that it has come. A second number sets the wall clock wrong, either way, while uptime
 * says nothing of it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static atomic_long seconds, wrong;

static void look(long long now) {
    static atomic_llong looked;
    long long before = atomic_load(&looked);
    /* In milliseconds of the real clock; one thread looks. */
    if (now - before >= 100 && atomic_compare_exchange_strong(&looked, &before, now)) {
        const char *control = getenv("CLEARHOUSE_SHIFT");
        int fd = control == NULL ? -1 : open(control, O_RDONLY | O_CLOEXEC);
        char text[48] = {0}, *rest = text;
        if (fd >= 0) {
            if (read(fd, text, sizeof text - 1) > 0) {
                atomic_store(&seconds, strtol(text, &rest, 10));
                atomic_store(&wrong, strtol(rest, NULL, 10));
            }
            close(fd);
        }
    }
}

int clock_gettime(clockid_t which, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    struct timespec now;
    if (real == NULL) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(which, at);
    int passes = which == CLOCK_REALTIME || which == CLOCK_MONOTONIC || which == CLOCK_BOOTTIME;
    if (done == 0 && passes && real(CLOCK_MONOTONIC, &now) == 0) {
        look(now.tv_sec * 1000LL + now.tv_nsec / 1000000);
        at->tv_sec += atomic_load(&seconds) + (which == CLOCK_REALTIME ? atomic_load(&wrong) : 0);
    }
    return done;
}
