/* keyring: which master key is in force, and how another takes its place.
 *
 * What is sealed changes keys in one transaction, and the sealed pepper in the database names the
 * key that is in force. So a rotation has happened or has not, whatever the moment it is killed at;
 * and because the new key lies beside the old one, in a file named after its fingerprint, before
 * that transaction begins, the key that is in force is always at hand:
 *
 *     master.key   master.key.<new>   sealed under
 *        old             -                old
 *        old            new               old       <- killed here: the new one was for nothing
 *        old            new               new       <- killed here: found by its name, moved over
 *        new             -                new
 *
 * Two processes may share the folder: who finds that the other has rotated reads the key again. */
#ifndef SLUICE_STORE_KEYRING_H
#define SLUICE_STORE_KEYRING_H

#include "store/folder.h"
#include "store/store.h"
#include "store/vault.h"

struct keyring {
    struct vault vault;         /* in force; its pepper is fixed once the store is open */
    struct vault spare;         /* of a rotation of which is not known whether it has happened */
    char path[FOLDER_PATH_MAX]; /* of the key file that is ours to replace; "" = there is none */
    char name[128];             /* where the key comes from, for sentences */
    bool outside;               /* given by somebody who must know which one is wanted */
};

/* Reads or makes the key. `dir` NULL: a fixed one. */
MUST_USE enum err keyring_open(struct keyring *k, const struct store_key *o, const char *dir,
                               bool has_database, char *why, size_t why_size);
void keyring_close(struct keyring *k);
/* Finds the key the database is sealed under and takes it into force; with `opening` the pepper,
 * too, which is sealed here if it never was. Otherwise on the store's thread. ERR_DENIED: the key
 * cannot be had; without a key from outside that is let pass when opening. */
struct store;
MUST_USE enum err keyring_settle(struct store *s, bool opening, char *why, size_t why_size);

#endif
