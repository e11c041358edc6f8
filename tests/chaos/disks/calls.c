/* Calls libc as it is told, one word each, on one file, and prints what came of each: a number, or an errno's. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int main(int count, char **words) {
    const char *path = words[1];
    char data[64] = {1}, other[4096];
    struct iovec vectors[2] = {{data, 48}, {data, 16}};
    int file = open(path, O_RDWR | O_CREAT, 0600);
    snprintf(other, sizeof other, "%s.other", path);
    for (int i = 2; i < count; i++) {
        const char *word = words[i];
        long found = -2;
        errno = 0;
        if (!strcmp(word, "write")) found = write(file, data, 64);
        if (!strcmp(word, "pwrite")) found = pwrite(file, data, 64, 0);
        if (!strcmp(word, "writev")) found = writev(file, vectors, 2);
        if (!strcmp(word, "pwritev")) found = pwritev(file, vectors, 2, 0);
        if (!strcmp(word, "pwritev2")) found = pwritev2(file, vectors, 2, 0, 0);
        if (!strcmp(word, "fallocate")) found = fallocate(file, 0, 0, 64);
        if (!strcmp(word, "posix_fallocate")) found = -posix_fallocate(file, 0, 64), errno = -found;
        if (!strcmp(word, "ftruncate")) found = ftruncate(file, 64);
        if (!strcmp(word, "fsync")) found = fsync(file);
        if (!strcmp(word, "fdatasync")) found = fdatasync(file);
        if (!strcmp(word, "syncfs")) found = syncfs(file);
        if (!strcmp(word, "create")) found = open(other, O_RDWR | O_CREAT | O_EXCL, 0600), found = found < 0 ? found : 0;
        if (!strcmp(word, "rename")) found = rename(path, other);
        if (!strcmp(word, "unlink")) found = unlink(other);
        if (!strcmp(word, "mkdir")) found = mkdir(other, 0700);
        printf("%s=%ld\n", word, found < 0 ? -(long)errno : found);
    }
    return 0;
}
