/* What the audit commands share: audit.c, audit_export.c, audit_prune.c. */
#pragma once

#include "fsm/audit_view.h"
#include "tools/autonomy/audit_folder.h"
#include "tools/autonomy/cli.h"

/** Prints what is wrong with a folder, and what to do. @return CLI_FAILED */
enum cli_exit audit_folder_failed(struct cli *cli, const struct error *error);

/** What --category, --actor, ... ask for; borrowed texts. */
struct audit_filter audit_filter_of(const struct cli *cli);
/** Opens a folder, with a sentence when it holds no segments. */
enum cli_exit audit_open_folder(struct cli *cli, const char *path, const struct audit_filter *filter,
                                struct audit_folder **out);
/** Says on stderr what was left out. */
void audit_tell_damage(struct cli *cli, const struct audit_damage *damage);
/** The records' path with these filters. */
const char *audit_server_path(struct cli *cli, bool oldest_first);
