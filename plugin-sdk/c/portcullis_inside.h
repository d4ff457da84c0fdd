// Between the files of the SDK; plugins do not need it.
#ifndef PORTCULLIS_INSIDE_H
#define PORTCULLIS_INSIDE_H

#include "portcullis.h"

enum { PC_HOOKS = 9 };

// What was allocated up to now stays.
void pc_memory_keep(void);
// What was allocated since is gone.
void pc_memory_reset(void);

// Ends the copy of the plugin, or the test.
_Noreturn void pc_stop(void);

const pc_json *pc_json_read(const char *settings);
const char *pc_configure(const char *settings);
size_t pc_skipped(const char *names[PC_HOOKS]);

#endif
