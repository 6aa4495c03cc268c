/* folder: the state folder on disk. Who may use it, and that what was written is really there. */
#ifndef SLUICE_STORE_FOLDER_H
#define SLUICE_STORE_FOLDER_H

#include "base/base.h"

#define FOLDER_PATH_MAX 4096

/* Makes `dir` and its parents as far as they are missing, mode 0700. ERR_DENIED: it is there, and
 * somebody else than its owner may change what is in it. `why` gets a sentence. */
MUST_USE enum err folder_make(const char *dir, char *why, size_t why_size);
/* Takes `path` for this process, or for all who take it `shared`: the lock lives as long as *fd is
 * open and vanishes with the process, however it ends. The number of the process that took it last
 * is in the file, for people. ERR_BUSY: somebody has it, and not to share. */
MUST_USE enum err folder_lock(const char *path, bool shared, int *fd, char *why, size_t why_size);
/* Lets others in who share it. ERR_BUSY: somebody else was quicker, and has it alone. */
MUST_USE enum err folder_share(int fd);
void folder_unlock(int fd);
/* True for a regular file of more than 0 bytes. */
bool folder_has_file(const char *path);
/* Makes `path` with mode 0600 when it is not there. */
MUST_USE enum err folder_touch(const char *path, char *why, size_t why_size);
/* Makes the names in the folder of `path` durable. */
MUST_USE enum err folder_sync_parent(const char *path);
/* All of it, also through short writes; errno says why not. */
bool folder_write(int fd, struct slice bytes);

#endif
