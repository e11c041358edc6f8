/* Clocks of one process that say something else than the machine's: preloaded, told what by a mapped file.
 *
 * $RIVERRUN_CLOCK names a file of two slots and a generation (written by clocks.py). A slot maps each of two clocks:
 * told = told_0 + (true - true_0) * rate. Wall: CLOCK_REALTIME and its like. Monotonic: CLOCK_MONOTONIC and its like.
 *
 * What is read is half of it: whoever waits until a time has computed that time from the clock that it was told, and
 * the kernel knows only the true one. So deadlines are turned back into true time, and spans are divided by the
 * monotonic rate. Without this a thread whose clock was set a minute ahead would wait a minute too long.
 * Deadlines are told apart by their size: no machine is up for 30 years. Never calls clock_settime.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define WALL_FROM (1000000000LL * SECOND)

struct map { int64_t true_0, told_0; double rate; };
struct slot { struct map wall, monotonic; };
struct control { volatile uint64_t generation; struct slot slots[2]; };

static const struct slot TRUE_CLOCKS = {{0, 0, 1}, {0, 0, 1}};
static struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RIVERRUN_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) control = found;
    close(file);
}

static struct slot now_told(void) {
    struct slot found;
    uint64_t before;
    if (!control) return TRUE_CLOCKS;
    do {
        before = __atomic_load_n(&control->generation, __ATOMIC_ACQUIRE);
        found = control->slots[before & 1];
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (before != __atomic_load_n(&control->generation, __ATOMIC_RELAXED));
    return found;
}

static int64_t ns(const struct timespec *time) { return time->tv_sec * SECOND + time->tv_nsec; }

static struct timespec spec(int64_t value) {
    if (value < 0) value = 0;
    return (struct timespec){value / SECOND, value % SECOND};
}

static int64_t told(struct map map, int64_t value) {
    int64_t since = value - map.true_0;
    return map.told_0 + since + (map.rate == 1 ? 0 : (int64_t)((map.rate - 1) * (double)since));
}

static int64_t true_of(struct map map, int64_t value) {
    int64_t since = value - map.told_0;
    return map.true_0 + (map.rate == 1 ? since : (int64_t)((double)since / map.rate));
}

/* A deadline that the process computed, as the kernel must get it. One for ever stays so. */
static struct timespec deadline(const struct timespec *time) {
    if (time->tv_sec < 0 || time->tv_sec > INT64_MAX / SECOND / 2) return *time;
    struct slot clocks = now_told();
    int64_t value = ns(time);
    return spec(true_of(value >= WALL_FROM ? clocks.wall : clocks.monotonic, value));
}

static struct timespec span(const struct timespec *time) {
    double rate = now_told().monotonic.rate;
    if (rate == 1 || time->tv_sec < 0 || time->tv_sec > INT64_MAX / SECOND / 2) return *time;
    return spec((int64_t)((double)ns(time) / rate));
}

static int span_ms(int timeout) {
    double rate = now_told().monotonic.rate;
    return timeout <= 0 || rate == 1 ? timeout : (int)((timeout + rate - 1) / rate); /* up: it may not spin */
}

#define REAL(result, name, ...)                                                                                        \
    static result (*real)(__VA_ARGS__);                                                                                \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* --- reading */

static int is_wall(clockid_t id) { return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE || id == CLOCK_TAI; }

static int is_monotonic(clockid_t id) {
    return id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_RAW || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_BOOTTIME;
}

static int read_clock(clockid_t id, struct timespec *time) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int failed = real(id, time);
    if (failed || !control) return failed;
    if (is_wall(id)) *time = spec(told(now_told().wall, ns(time)));
    else if (is_monotonic(id)) *time = spec(told(now_told().monotonic, ns(time)));
    return 0;
}

int clock_gettime(clockid_t id, struct timespec *time) { return read_clock(id, time); }

int gettimeofday(struct timeval *restrict value, void *restrict zone) {
    struct timespec time;
    (void)zone;
    read_clock(CLOCK_REALTIME, &time);
    *value = (struct timeval){time.tv_sec, time.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *value) {
    struct timespec time;
    read_clock(CLOCK_REALTIME, &time);
    if (value) *value = time.tv_sec;
    return time.tv_sec;
}

int timespec_get(struct timespec *time, int base) {
    return base == TIME_UTC && !read_clock(CLOCK_REALTIME, time) ? base : 0;
}

/* --- waiting until */

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) { /* by its version: there is an older one of another layout, which dlsym may find first */
        void *found = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
        real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))(
            found ? found : dlsym(RTLD_NEXT, "pthread_cond_timedwait"));
    }
    struct timespec when = deadline(until);
    return real(condition, mutex, &when);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t id,
                           const struct timespec *until) {
    REAL(int, pthread_cond_clockwait, pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
    struct timespec when = deadline(until);
    return real(condition, mutex, id, &when);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) {
    REAL(int, pthread_mutex_timedlock, pthread_mutex_t *, const struct timespec *);
    struct timespec when = deadline(until);
    return real(mutex, &when);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    REAL(int, sem_timedwait, sem_t *, const struct timespec *);
    struct timespec when = deadline(until);
    return real(semaphore, &when);
}

int sem_clockwait(sem_t *semaphore, clockid_t id, const struct timespec *until) {
    REAL(int, sem_clockwait, sem_t *, clockid_t, const struct timespec *);
    struct timespec when = deadline(until);
    return real(semaphore, id, &when);
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *time, struct timespec *left) {
    REAL(int, clock_nanosleep, clockid_t, int, const struct timespec *, struct timespec *);
    struct timespec when = flags & TIMER_ABSTIME ? deadline(time) : span(time);
    return real(id, flags, &when, left);
}

long syscall(long number, ...) {
    REAL(long, syscall, long, ...);
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_clock_gettime) return read_clock((clockid_t)a[0], (struct timespec *)a[1]);
    if (number == SYS_futex && a[3]) {
        struct timespec when, *given = (struct timespec *)a[3];
        int what = (int)a[1] & FUTEX_CMD_MASK;
        if (what == FUTEX_WAIT_BITSET || what == FUTEX_WAIT) {
            when = what == FUTEX_WAIT ? span(given) : deadline(given);
            return real(number, a[0], a[1], a[2], &when, a[4], a[5]);
        }
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- waiting for so long */

int nanosleep(const struct timespec *time, struct timespec *left) {
    REAL(int, nanosleep, const struct timespec *, struct timespec *);
    struct timespec so_long = span(time);
    return real(&so_long, left);
}

int poll(struct pollfd *files, nfds_t count, int timeout) {
    REAL(int, poll, struct pollfd *, nfds_t, int);
    return real(files, count, span_ms(timeout));
}

int epoll_wait(int file, struct epoll_event *events, int count, int timeout) {
    REAL(int, epoll_wait, int, struct epoll_event *, int, int);
    return real(file, events, count, span_ms(timeout));
}

int epoll_pwait(int file, struct epoll_event *events, int count, int timeout, const sigset_t *signals) {
    REAL(int, epoll_pwait, int, struct epoll_event *, int, int, const sigset_t *);
    return real(file, events, count, span_ms(timeout), signals);
}

int select(int count, fd_set *restrict in, fd_set *restrict out, fd_set *restrict other, struct timeval *restrict wait) {
    REAL(int, select, int, fd_set *, fd_set *, fd_set *, struct timeval *);
    if (!wait) return real(count, in, out, other, wait);
    struct timespec time = {wait->tv_sec, wait->tv_usec * 1000};
    time = span(&time);
    struct timeval so_long = {time.tv_sec, time.tv_nsec / 1000};
    return real(count, in, out, other, &so_long);
}
