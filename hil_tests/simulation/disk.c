/* A disk that can lose power, fill up and count: preloaded into the board's process (LD_PRELOAD) by hil_tests.

   Only files below the root given to hil_disk_begin are touched. Every write, sync, rename, removal and creation, of
   files, folders and links, counts as one operation. Armed with N, the process is killed (SIGKILL, nothing runs after it) at operation N; a write may
   be torn at a sector first. With a journal, what each operation replaces is kept, so that swathpack.hil_tests.simulation.disk can take
   back what was not synced, as a loss of power would. Offsets and sizes are bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define SECTOR 512
#define REAL(result, name, ...) static result (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, name)

static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static char kept[PATH_MAX - 32]; /* folder of what was unlinked or replaced */
static long countdown, operations, syncs, keep_count;
static int torn;
static long long free_bytes = -1;

struct record { uint32_t kind, path, other, data; uint64_t offset, old_size; };

static long raw_write(int fd, const void *data, size_t size) { return syscall(SYS_write, fd, data, size); }

static int inside(const char *path) { return root_length && path && strncmp(path, root, root_length) == 0; }

static int path_of(int fd, char *path) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = root_length ? readlink(link, path, PATH_MAX - 1) : -1;
    if (size < 0) return 0;
    path[size] = 0;
    return inside(path);
}

static void note(char kind, const char *path, const char *other, uint64_t offset, uint64_t old_size,
                 const void *data, uint32_t size) {
    if (journal < 0) return;
    struct record head = {(uint32_t)kind, (uint32_t)strlen(path), other ? (uint32_t)strlen(other) : 0, size, offset, old_size};
    raw_write(journal, &head, sizeof head);
    raw_write(journal, path, head.path);
    if (other) raw_write(journal, other, head.other);
    if (size) raw_write(journal, data, size);
}

static int due(void) { operations++; return countdown > 0 && --countdown == 0; }

static void die(void) { syscall(SYS_kill, getpid(), SIGKILL); for (;;) pause(); }

static uint64_t size_of(int fd) { struct stat s; return fstat(fd, &s) ? 0 : (uint64_t)s.st_size; }

static int take_space(int fd, uint64_t end) { /* 0 when the disk has no room to grow the file to `end` */
    if (free_bytes < 0) return 1;
    uint64_t size = size_of(fd);
    if (end <= size) return 1;
    if ((long long)(end - size) > free_bytes) return 0;
    free_bytes -= (long long)(end - size);
    return 1;
}

static void give_space(const char *path) {
    struct stat s;
    if (free_bytes >= 0 && inside(path) && stat(path, &s) == 0 && S_ISREG(s.st_mode)) free_bytes += s.st_size;
}

static void keep_before(int fd, const char *path, uint64_t offset, size_t size) {
    uint64_t old = size_of(fd);
    uint64_t there = offset >= old ? 0 : old - offset < size ? old - offset : size;
    char *before = malloc(there + 1);
    ssize_t got = there ? syscall(SYS_pread64, fd, before, there, offset) : 0;
    if (got < 0) { /* opened for writing only */
        int other = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
        got = other < 0 ? 0 : syscall(SYS_pread64, other, before, there, offset);
        if (other >= 0) syscall(SYS_close, other);
    }
    note('L', path, NULL, size, 0, NULL, 0); /* how long the write is that the next record is about */
    note('W', path, NULL, offset, old, before, got > 0 ? (uint32_t)got : 0);
    free(before);
}

static ssize_t guarded(int fd, const void *data, size_t size, long long offset) {
    char path[PATH_MAX];
    int ours = path_of(fd, path);
    uint64_t at = offset;
    if (offset < 0) {
        int flags = fcntl(fd, F_GETFL);
        at = ours && (flags & O_APPEND) ? size_of(fd) : (uint64_t)lseek(fd, 0, SEEK_CUR);
    }
    if (ours) {
        if (!take_space(fd, at + size)) { errno = ENOSPC; return -1; }
        if (journal >= 0) keep_before(fd, path, at, size);
        if (due()) {
            size_t part = torn ? size / 2 / SECTOR * SECTOR : 0;
            if (part) syscall(SYS_pwrite64, fd, data, part, at);
            die();
        }
    }
    return offset < 0 ? raw_write(fd, data, size) : syscall(SYS_pwrite64, fd, data, size, offset);
}

ssize_t write(int fd, const void *data, size_t size) { return guarded(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return guarded(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return guarded(fd, data, size, offset); }

/* A copy within the kernel counts as the writes that it is made of. */
ssize_t sendfile(int out, int in, off_t *offset, size_t size) {
    char path[PATH_MAX], *data;
    if (!path_of(out, path)) return syscall(SYS_sendfile, out, in, offset, size);
    if (size > 1 << 20) size = 1 << 20;
    if (!(data = malloc(size))) return -1;
    ssize_t got = offset ? syscall(SYS_pread64, in, data, size, *offset) : syscall(SYS_read, in, data, size);
    ssize_t put = got > 0 ? guarded(out, data, (size_t)got, -1) : got;
    if (offset && put > 0) *offset += put;
    free(data);
    return put;
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t size) { return sendfile(out, in, (off_t *)offset, size); }

static int flush(int fd, long number) {
    char path[PATH_MAX];
    if (path_of(fd, path)) {
        syncs++;
        if (due()) die();
        struct stat s;
        int folder = fstat(fd, &s) == 0 && S_ISDIR(s.st_mode);
        note(folder ? 'D' : 'S', path, NULL, 0, 0, NULL, 0);
        return 0; /* the page cache stands for the medium: what was written is there for whoever reads it */
    }
    return (int)syscall(number, fd);
}

int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }

static void keep_file(const char *path, char *name) {
    snprintf(name, PATH_MAX, "%s/%ld", kept, keep_count++);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, name, 0)) name[0] = 0;
}

int rename(const char *from, const char *to) {
    if (inside(to)) {
        char name[PATH_MAX] = "";
        if (due()) die();
        give_space(to);
        if (journal >= 0) {
            keep_file(to, name);
            note('R', from, to, 0, 0, name, (uint32_t)strlen(name));
        }
    }
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* The full name of an entry of a folder; its last part is not followed where it is a link. 0 when it is not ours. */
static int full_name(int folder, const char *path, char *full) {
    if (!root_length || !path) return 0;
    if (path[0] == '/' || folder == AT_FDCWD) {
        return snprintf(full, PATH_MAX, "%s", path) < PATH_MAX && inside(path);
    }
    char place[PATH_MAX];
    if (!path_of(folder, place)) return 0;
    return snprintf(full, PATH_MAX, "%s/%s", place, path) < PATH_MAX;
}

int unlinkat(int folder, const char *path, int flags) {
    char full[PATH_MAX], name[PATH_MAX] = "";
    struct stat s;
    if (full_name(folder, path, full) && lstat(full, &s) == 0) {
        int tree = (flags & AT_REMOVEDIR) != 0;
        if (due()) die();
        give_space(full);
        if (journal >= 0 && !tree) keep_file(full, name);
        int code = (int)syscall(SYS_unlinkat, folder, path, flags);
        if (code == 0) note(tree ? 'V' : 'U', full, NULL, 0, 0, name, (uint32_t)strlen(name));
        return code;
    }
    return (int)syscall(SYS_unlinkat, folder, path, flags);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *path, mode_t mode) {
    char full[PATH_MAX];
    int ours = full_name(folder, path, full);
    if (ours && due()) die();
    int code = (int)syscall(SYS_mkdirat, folder, path, mode);
    if (ours && code == 0) note('M', full, NULL, 0, 0, NULL, 0);
    return code;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char *target, int folder, const char *path) {
    char full[PATH_MAX];
    int ours = full_name(folder, path, full);
    if (ours && due()) die();
    int code = (int)syscall(SYS_symlinkat, target, folder, path);
    if (ours && code == 0) note('C', full, NULL, 0, 0, NULL, 0);
    return code;
}

int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

int linkat(int from_folder, const char *from, int folder, const char *path, int flags) {
    char full[PATH_MAX];
    int ours = full_name(folder, path, full);
    if (ours && due()) die();
    int code = (int)syscall(SYS_linkat, from_folder, from, folder, path, flags);
    if (ours && code == 0) note('C', full, NULL, 0, 0, NULL, 0);
    return code;
}

int link(const char *from, const char *path) { return linkat(AT_FDCWD, from, AT_FDCWD, path, 0); }

void sync(void) {
    if (!root_length) {
        syscall(SYS_sync);
        return;
    }
    syncs++;
    if (due()) die();
    note('Y', root, NULL, 0, 0, NULL, 0);
}

static int opened(const char *path, int flags, mode_t mode) {
    struct stat s;
    int ours = inside(path), fresh = ours && (flags & O_CREAT) && stat(path, &s);
    int emptied = ours && !fresh && (flags & O_TRUNC) && stat(path, &s) == 0 && s.st_size > 0;
    if (emptied) {
        give_space(path);
        int old = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
        if (old >= 0) {
            if (journal >= 0) keep_before(old, path, 0, (size_t)s.st_size);
            syscall(SYS_close, old);
        }
    }
    if ((fresh || emptied) && due()) die();
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fresh && fd >= 0) note('C', path, NULL, 0, 0, NULL, 0);
    return fd;
}

static mode_t mode_of(int flags, va_list more) { return flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; }

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return opened(path, flags | O_LARGEFILE, mode);
}

static int cut(int fd, uint64_t size) {
    char path[PATH_MAX];
    if (path_of(fd, path)) {
        uint64_t old = size_of(fd);
        if (size > old && !take_space(fd, size)) { errno = ENOSPC; return -1; }
        if (size < old && free_bytes >= 0) free_bytes += (long long)(old - size);
        if (size < old && journal >= 0) keep_before(fd, path, size, old - size);
        if (due()) die();
    }
    return (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

static int reserve(int fd, uint64_t offset, uint64_t size) {
    char path[PATH_MAX];
    if (path_of(fd, path)) {
        if (!take_space(fd, offset + size)) return ENOSPC;
        if (due()) die();
    }
    return syscall(SYS_fallocate, fd, 0, offset, size) ? errno : 0;
}

int posix_fallocate(int fd, off_t offset, off_t size) { return reserve(fd, offset, size); }
int posix_fallocate64(int fd, off64_t offset, off64_t size) { return reserve(fd, offset, size); }

static void limit(const char *path, unsigned long unit, fsblkcnt64_t *available) {
    if (free_bytes >= 0 && inside(path)) *available = (fsblkcnt64_t)free_bytes / (unit ? unit : 1);
}

int statvfs(const char *path, struct statvfs *found) {
    REAL(int, "statvfs", const char *, struct statvfs *);
    int code = real(path, found);
    fsblkcnt64_t blocks = found->f_bavail;
    if (!code) limit(path, found->f_frsize, &blocks), found->f_bavail = (fsblkcnt_t)blocks;
    return code;
}

int statvfs64(const char *path, struct statvfs64 *found) {
    REAL(int, "statvfs64", const char *, struct statvfs64 *);
    int code = real(path, found);
    if (!code) limit(path, found->f_frsize, &found->f_bavail);
    return code;
}

/* What swathpack.hil_tests.simulation.disk calls. */
void hil_disk_begin(const char *folder) { root_length = strlen(strncpy(root, folder, PATH_MAX - 1)); }
void hil_disk_tick(void) { if (due()) die(); }
long hil_disk_operations(void) { return operations; }
long hil_disk_syncs(void) { return syncs; }
void hil_disk_free(long long bytes) { free_bytes = bytes; }
long long hil_disk_left(void) { return free_bytes; }

int hil_disk_arm(long after, int tear, const char *journal_path, const char *keep_folder) {
    countdown = after;
    torn = tear;
    if (journal >= 0) syscall(SYS_close, journal);
    journal = -1;
    if (after > 0 && journal_path[0]) {
        strncpy(kept, keep_folder, sizeof kept - 1);
        keep_count = 0;
        journal = (int)syscall(SYS_openat, AT_FDCWD, journal_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        return journal < 0;
    }
    return 0;
}
