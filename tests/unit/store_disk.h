/* store_disk: a layer over SQLite's own file system, for tests of what a disk may do to the store.
 * Included once, after store_bench.h, by each of them.
 *
 * It counts what changes a file (writes, syncs, truncations, deletions); from the nth of these on,
 * once or for as long as the test says, there is trouble, or at the nth the process dies. It knows
 * whether the log holds bytes that no sync has covered, and keeps beside each file the image of it
 * that a power cut would leave. */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include <signal.h>
#include <sqlite3.h>

enum trouble {
    TROUBLE_NONE,
    TROUBLE_TORN,       /* half of what is written arrives, and the disk says so */
    TROUBLE_FULL,       /* no room: writes fail, syncs and truncations work */
    TROUBLE_READ_ONLY,  /* remounted so, as file systems do after an error */
    TROUBLE_SYNC,       /* what is written arrives, and cannot be made durable */
    TROUBLE_LOCKED,     /* another program holds the lock */
    TROUBLE_READ,       /* what is there cannot be read */
    TROUBLE_SHORT_READ, /* ... and the file seems to end before it: SQLite takes it for nothing */
    TROUBLE_DEATH,      /* the process is killed before the operation */
    TROUBLES
};

#define DISK_MARKS 4096

static struct disk {
    sqlite3_vfs vfs, *real;
    sqlite3_io_methods io;
    int64_t count; /* operations that change something, since disk_install */
    int64_t at;    /* the one the trouble begins with; 0 = never */
    enum trouble trouble;
    bool lasts;  /* until the test ends it; else it is over after one operation */
    bool images; /* of what is synced, beside each file as NAME.disk */
    bool unsynced_log;
    uint8_t *marks; /* NULL, or DISK_MARKS: 1 for each operation that is no mere write */
} disk;

struct disk_file {
    sqlite3_file base;
    bool is_log;
    char path[256]; /* "" = nobody asks */
    sqlite3_file *real;
};

static sqlite3_file *disk_real(sqlite3_file *f)
{
    return ((struct disk_file *)(void *)f)->real;
}

/* True while there is that trouble; for what changes nothing. */
static bool disk_has(enum trouble t)
{
    return disk.trouble == t && disk.at != 0 && disk.count >= disk.at;
}

/* Something is about to change: is it this one's turn? */
static bool disk_turn(bool is_write, enum trouble *t)
{
    *t = disk.trouble;
    disk.count++;
    if (disk.marks != NULL && disk.count < DISK_MARKS)
        disk.marks[disk.count] = !is_write;
    if (disk.at == 0 || disk.count < disk.at || (disk.count > disk.at && !disk.lasts))
        return false;
    if (disk.trouble == TROUBLE_DEATH)
        (void)raise(SIGKILL);
    return true;
}

/* The file as it is now is what a power cut leaves. */
static void disk_image(const char *path)
{
    char to[300], chunk[65536];
    size_t n;
    FILE *in, *out;
    (void)text_format(to, sizeof to, "%s.disk", path);
    in = fopen(path, "rb");
    if (in == NULL) {
        (void)unlink(to);
        return;
    }
    out = fopen(to, "wb");
    assert_non_null(out);
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0)
        assert_int_equal(fwrite(chunk, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
    (void)fclose(in);
}

static int disk_close(sqlite3_file *f)
{
    sqlite3_file *r = disk_real(f);
    return r->pMethods != NULL ? r->pMethods->xClose(r) : SQLITE_OK;
}
static int disk_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    if (disk_has(TROUBLE_SHORT_READ)) {
        memset(p, 0, (size_t)n);
        return SQLITE_IOERR_SHORT_READ;
    }
    if (disk_has(TROUBLE_READ))
        return SQLITE_IOERR_READ;
    return disk_real(f)->pMethods->xRead(disk_real(f), p, n, at);
}
static int disk_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    sqlite3_file *r = disk_real(f);
    enum trouble t;
    if (disk_turn(true, &t)) {
        if (t == TROUBLE_FULL)
            return SQLITE_FULL;
        if (t == TROUBLE_READ_ONLY)
            return SQLITE_IOERR_WRITE;
        if (t == TROUBLE_TORN)
            return r->pMethods->xWrite(r, p, n / 2, at) == SQLITE_OK ? SQLITE_IOERR_WRITE
                                                                     : SQLITE_IOERR;
    }
    if (((struct disk_file *)(void *)f)->is_log)
        disk.unsynced_log = true;
    return r->pMethods->xWrite(r, p, n, at);
}
static int disk_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    enum trouble t;
    if (disk_turn(false, &t) && (t == TROUBLE_TORN || t == TROUBLE_READ_ONLY))
        return SQLITE_IOERR_TRUNCATE;
    return disk_real(f)->pMethods->xTruncate(disk_real(f), size);
}
static int disk_sync(sqlite3_file *f, int flags)
{
    struct disk_file *d = (struct disk_file *)(void *)f;
    enum trouble t;
    int rc;
    if (disk_turn(false, &t) && (t == TROUBLE_TORN || t == TROUBLE_READ_ONLY || t == TROUBLE_SYNC))
        return SQLITE_IOERR_FSYNC;
    if (d->is_log)
        disk.unsynced_log = false;
    rc = d->real->pMethods->xSync(d->real, flags);
    if (disk.images && d->path[0] != '\0')
        disk_image(d->path);
    return rc;
}
static int disk_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return disk_real(f)->pMethods->xFileSize(disk_real(f), size);
}
static int disk_lock(sqlite3_file *f, int level)
{
    return disk_real(f)->pMethods->xLock(disk_real(f), level);
}
static int disk_unlock(sqlite3_file *f, int level)
{
    return disk_real(f)->pMethods->xUnlock(disk_real(f), level);
}
static int disk_reserved(sqlite3_file *f, int *out)
{
    return disk_real(f)->pMethods->xCheckReservedLock(disk_real(f), out);
}
static int disk_control(sqlite3_file *f, int op, void *arg)
{
    return disk_real(f)->pMethods->xFileControl(disk_real(f), op, arg);
}
static int disk_sector(sqlite3_file *f)
{
    return disk_real(f)->pMethods->xSectorSize(disk_real(f));
}
static int disk_traits(sqlite3_file *f)
{
    return disk_real(f)->pMethods->xDeviceCharacteristics(disk_real(f));
}
static int disk_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return disk_real(f)->pMethods->xShmMap(disk_real(f), page, size, extend, out);
}
static int disk_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    if (disk_has(TROUBLE_LOCKED) && (flags & SQLITE_SHM_LOCK) != 0 &&
        (flags & SQLITE_SHM_EXCLUSIVE) != 0)
        return SQLITE_BUSY;
    return disk_real(f)->pMethods->xShmLock(disk_real(f), at, n, flags);
}
static void disk_barrier(sqlite3_file *f)
{
    disk_real(f)->pMethods->xShmBarrier(disk_real(f));
}
static int disk_unmap(sqlite3_file *f, int drop)
{
    return disk_real(f)->pMethods->xShmUnmap(disk_real(f), drop);
}

static int disk_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *out)
{
    struct disk_file *d = (struct disk_file *)(void *)f;
    (void)v;
    d->real = (sqlite3_file *)(void *)(d + 1);
    d->is_log = (flags & SQLITE_OPEN_WAL) != 0;
    text_copy(d->path, sizeof d->path, slice_of(name != NULL ? name : ""));
    d->base.pMethods = &disk.io;
    return disk.real->xOpen(disk.real, name, d->real, flags, out);
}

static int disk_delete(sqlite3_vfs *v, const char *name, int sync)
{
    enum trouble t;
    int rc;
    (void)v;
    if (disk_turn(false, &t) && (t == TROUBLE_TORN || t == TROUBLE_READ_ONLY))
        return SQLITE_IOERR_DELETE;
    rc = disk.real->xDelete(disk.real, name, sync);
    if (disk.images)
        disk_image(name);
    return rc;
}

/* Who waits for a lock waits in no time. */
static int disk_sleep(sqlite3_vfs *v, int us)
{
    (void)v;
    return us;
}

/* From now on every database of this process is on it. */
static void disk_install(void)
{
    disk = (struct disk){.real = sqlite3_vfs_find(NULL)};
    disk.vfs = *disk.real;
    disk.vfs.zName = "store_disk";
    disk.vfs.pNext = NULL;
    disk.vfs.szOsFile = (int)sizeof(struct disk_file) + disk.real->szOsFile;
    disk.vfs.xOpen = disk_open;
    disk.vfs.xDelete = disk_delete;
    disk.vfs.xSleep = disk_sleep;
    disk.io = (sqlite3_io_methods){.iVersion = 2,
                                   .xClose = disk_close,
                                   .xRead = disk_read,
                                   .xWrite = disk_write,
                                   .xTruncate = disk_truncate,
                                   .xSync = disk_sync,
                                   .xFileSize = disk_size,
                                   .xLock = disk_lock,
                                   .xUnlock = disk_unlock,
                                   .xCheckReservedLock = disk_reserved,
                                   .xFileControl = disk_control,
                                   .xSectorSize = disk_sector,
                                   .xDeviceCharacteristics = disk_traits,
                                   .xShmMap = disk_map,
                                   .xShmLock = disk_shm_lock,
                                   .xShmBarrier = disk_barrier,
                                   .xShmUnmap = disk_unmap};
    assert_int_equal(sqlite3_vfs_register(&disk.vfs, 1), SQLITE_OK);
}

__attribute__((unused)) static void disk_remove(void)
{
    assert_int_equal(sqlite3_vfs_unregister(&disk.vfs), SQLITE_OK);
}

/* The trouble begins `after` more operations that change something; 0: with the next. */
__attribute__((unused)) static void disk_fail(enum trouble t, int64_t after, bool lasts)
{
    disk.trouble = t;
    disk.at = disk.count + 1 + after;
    disk.lasts = lasts;
    if (after == 0 && (t == TROUBLE_LOCKED || t == TROUBLE_READ || t == TROUBLE_SHORT_READ))
        disk.at = disk.count > 0 ? disk.count : 1; /* changes nothing, so there is no turn */
}

__attribute__((unused)) static void disk_heal(void)
{
    disk.at = 0;
    disk.trouble = TROUBLE_NONE;
}

/* In memory where there is such a place: it is our disk that fails, not the kernel's. */
__attribute__((unused)) static void disk_folder(struct bench *b)
{
    (void)text_format(b->dir, sizeof b->dir, "/dev/shm/sluice-store-XXXXXX");
    if (mkdtemp(b->dir) == NULL)
        bench_folder(b);
    b->options.dir = b->dir;
}

#endif
