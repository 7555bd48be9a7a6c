/* Makes files as a stick with FAT does, which knows no modes: whatever the program that has it loaded makes in a folder
 * called "shelf" may be read by others. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

int open64(const char *path, int flags, ...) {
    static int (*real)(const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (real == NULL) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    int fd = real(path, flags, mode);
    if (fd >= 0 && (flags & O_CREAT) && strstr(path, "/shelf/") != NULL) (void)fchmod(fd, 0755);
    return fd;
}
