/* A disk that fails as it is told: loaded before libc into one node (LD_PRELOAD), it stands before every call that
 * changes files below one directory. What goes wrong is read from a few words of memory that are shared with whoever
 * runs the node (RIVERRUN_DISK_CONTROL, a mapped file; chaos/arenas/processes/disks/shim.py has the same layout), so
 * a call costs one look while nothing is to go wrong. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile uint32_t magic, armed;
    volatile uint32_t write_errno, write_every; /* each n-th write fails */
    volatile uint32_t short_every;              /* each n-th write takes half of what it was given */
    volatile uint32_t sync_errno, sync_every;
    volatile uint32_t sync_lie;      /* success, and nothing was done */
    volatile uint32_t sync_delay_ms; /* before it is done */
    volatile uint32_t unused[7];
    volatile uint32_t loaded, writes_refused, writes_short, syncs_refused, syncs_lied, syncs_delayed;
    volatile uint32_t unused_counts[10];
    volatile char only[128]; /* a part of the path; empty: all below the directory */
};
#define MAGIC 0x4B445252u

static struct control *control;
static char root[4096];
static size_t root_length;
static uint32_t writes, shorts, syncs;

__attribute__((constructor)) static void load(void) {
    const char *path = getenv("RIVERRUN_DISK_CONTROL"), *below = getenv("RIVERRUN_DISK_ROOT");
    if (!path || !below || strlen(below) >= sizeof root) return;
    long file = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *found = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, (int)file, 0);
    syscall(SYS_close, file);
    if (found == MAP_FAILED || ((struct control *)found)->magic != MAGIC) return;
    strcpy(root, below);
    root_length = strlen(root);
    control = found;
    __sync_fetch_and_add(&control->loaded, 1);
}

#define REAL(type, name, ...)                       \
    static type (*real)(__VA_ARGS__);               \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int is_ours(const char *path) {
    if (strncmp(path, root, root_length) || (path[root_length] && path[root_length] != '/')) return 0;
    return !control->only[0] || strstr(path, (const char *)control->only) != NULL;
}

static int is_below(int fd) {
    char link[32] = "/proc/self/fd/", digits[12], path[4096];
    int n = 0, place = 14;
    if (!control || !control->armed || fd <= 2) return 0;
    do digits[n++] = (char)('0' + fd % 10);
    while (fd /= 10);
    while (n) link[place++] = digits[--n];
    link[place] = 0;
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_ours(path);
}

static int is_turn(uint32_t *count, uint32_t every) { return every && __sync_add_and_fetch(count, 1) % every == 0; }

/* Whether a change of this kind is refused now, and with what. */
static int refused(void) {
    int error = (int)control->write_errno;
    if (!error || !is_turn(&writes, control->write_every)) return 0;
    __sync_fetch_and_add(&control->writes_refused, 1);
    return error;
}

static int refused_at(const char *path) {
    return control && control->armed && path && is_ours(path) ? refused() : 0;
}

static size_t shortened(size_t size) {
    if (size < 2 || !is_turn(&shorts, control->short_every)) return size;
    __sync_fetch_and_add(&control->writes_short, 1);
    return size / 2;
}

#define REFUSE(error) do { int _e = (error); if (_e) { errno = _e; return -1; } } while (0)

/* --- bytes */

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (is_below(fd)) { REFUSE(refused()); size = shortened(size); }
    return real(fd, data, size);
}

#define PWRITE(name)                                                                  \
    ssize_t name(int fd, const void *data, size_t size, off_t at) {                   \
        REAL(ssize_t, name, int, const void *, size_t, off_t);                        \
        if (is_below(fd)) { REFUSE(refused()); size = shortened(size); }              \
        return real(fd, data, size, at);                                              \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

/* As many buffers as fit into half of the bytes; the first one alone is halved itself. */
static int vectors_shortened(const struct iovec *vectors, int count, struct iovec *half) {
    size_t total = 0, kept = 0;
    for (int i = 0; i < count; i++) total += vectors[i].iov_len;
    size_t wanted = shortened(total);
    if (wanted == total) return 0;
    int i = 0;
    for (; i < count && i < 1024 && kept < wanted; i++) {
        half[i] = vectors[i];
        if (kept + half[i].iov_len > wanted) half[i].iov_len = wanted - kept;
        kept += half[i].iov_len;
    }
    return i;
}

#define WRITEV(name, parameters, arguments, ...)                                      \
    ssize_t name parameters {                                                         \
        REAL(ssize_t, name, __VA_ARGS__);                                             \
        struct iovec half[1024];                                                      \
        if (is_below(fd)) {                                                           \
            REFUSE(refused());                                                        \
            int fewer = vectors_shortened(vectors, count, half);                      \
            if (fewer) { vectors = half; count = fewer; }                             \
        }                                                                             \
        return real arguments;                                                        \
    }
WRITEV(writev, (int fd, const struct iovec *vectors, int count), (fd, vectors, count), int, const struct iovec *, int)
WRITEV(pwritev, (int fd, const struct iovec *vectors, int count, off_t at), (fd, vectors, count, at), int,
       const struct iovec *, int, off_t)
WRITEV(pwritev64, (int fd, const struct iovec *vectors, int count, off_t at), (fd, vectors, count, at), int,
       const struct iovec *, int, off_t)
WRITEV(pwritev2, (int fd, const struct iovec *vectors, int count, off_t at, int flags), (fd, vectors, count, at, flags),
       int, const struct iovec *, int, off_t, int)
WRITEV(pwritev64v2, (int fd, const struct iovec *vectors, int count, off_t at, int flags),
       (fd, vectors, count, at, flags), int, const struct iovec *, int, off_t, int)

/* --- room, and lengths */

#define ALLOCATE(name)                                                                \
    int name(int fd, off_t at, off_t size) { /* its result is the error */            \
        REAL(int, name, int, off_t, off_t);                                           \
        int error = is_below(fd) ? refused() : 0;                                     \
        return error ? error : real(fd, at, size);                                    \
    }
ALLOCATE(posix_fallocate)
ALLOCATE(posix_fallocate64)

#define FALLOCATE(name)                                                               \
    int name(int fd, int mode, off_t at, off_t size) {                                \
        REAL(int, name, int, int, off_t, off_t);                                      \
        if (is_below(fd)) REFUSE(refused());                                          \
        return real(fd, mode, at, size);                                              \
    }
FALLOCATE(fallocate)
FALLOCATE(fallocate64)

/* A full disk does not stop what takes no room: only other errors do. */
#define TRUNCATE(name)                                                                \
    int name(int fd, off_t size) {                                                    \
        REAL(int, name, int, off_t);                                                  \
        if (is_below(fd) && control->write_errno != ENOSPC) REFUSE(refused());        \
        return real(fd, size);                                                        \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

/* --- names */

#define OPEN(name)                                                                    \
    int name(const char *path, int flags, ...) {                                      \
        REAL(int, name, const char *, int, ...);                                      \
        va_list rest;                                                                 \
        va_start(rest, flags);                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;       \
        va_end(rest);                                                                 \
        if (flags & O_CREAT && control && control->armed && is_ours(path) &&          \
            syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0) REFUSE(refused());     \
        return real(path, flags, mode);                                               \
    }
OPEN(open)
OPEN(open64)

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    REFUSE(refused_at(to));
    return real(from, to);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    REFUSE(refused_at(path));
    return real(path, mode);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    if (control && control->write_errno != ENOSPC) REFUSE(refused_at(path));
    return real(path);
}

/* --- syncs */

/* 1: say that it was done; 0: do it; -1 with errno: it fails. */
static int sync_of(int fd) {
    if (!is_below(fd)) return 0;
    if (control->sync_delay_ms) {
        __sync_fetch_and_add(&control->syncs_delayed, 1);
        struct timespec slice = {0, 10 * 1000 * 1000};
        for (uint32_t waited = 0; waited < control->sync_delay_ms; waited += 10) nanosleep(&slice, NULL);
    }
    if (control->sync_errno && is_turn(&syncs, control->sync_every)) {
        __sync_fetch_and_add(&control->syncs_refused, 1);
        errno = (int)control->sync_errno;
        return -1;
    }
    if (control->sync_lie) {
        __sync_fetch_and_add(&control->syncs_lied, 1);
        return 1;
    }
    return 0;
}

#define SYNC(name)                                                                    \
    int name(int fd) {                                                                \
        REAL(int, name, int);                                                         \
        int answer = sync_of(fd);                                                     \
        return answer ? (answer > 0 ? 0 : -1) : real(fd);                             \
    }
SYNC(fsync)
SYNC(fdatasync)
SYNC(syncfs)

int sync_file_range(int fd, off_t at, off_t size, unsigned int flags) {
    REAL(int, sync_file_range, int, off_t, off_t, unsigned int);
    int answer = sync_of(fd);
    return answer ? (answer > 0 ? 0 : -1) : real(fd, at, size, flags);
}
