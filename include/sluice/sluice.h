/* sluice.h: the program's name and version, for whoever builds on it. */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "0.1.0"
#endif

#endif
