/* Takes secrets out of what leaves the machine in a support bundle, by the names that hold them.
 *
 * A name is secret when it contains password, passwd, passphrase, pwd, secret, token, jwt, bearer, private,
 * key, authorization, credential, cookie or signature, or is "sig", in any case. Without a name a word goes
 * that begins as well-known tokens do (ghp_, glpat-, AKIA, eyJ ...). Too much is taken rather than too
 * little; what was taken reads "(redacted)". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

struct json_t;

bool redact_name(const char *name, size_t length);

/** A server's answer, in place. The member `key` by that very name stays: it names a flag. A flag, field or
 * audit record that is about a secret name loses value, stored, default, safe, old and previous, the record's
 * in its `fields`. Every text is read as a line of a log is. */
void redact_json(struct json_t *json);

/* Text line by line: YAML, JSON lines, logfmt, HTTP headers. What follows a secret name and ':' or '=' goes,
 * to the end of the value; a line that is a JSON object is read as one; a YAML block or list under it goes,
 * and so do private keys in PEM form and "user:password@" in URLs. */
struct redact_text {
    bool in_pem;
    bool in_block;       /* under a secret name whose value stands on the lines below */
    size_t block_indent; /* of that name */
};
/** @param line  without its line break  @param out  appended, with one */
void redact_line(struct redact_text *self, const char *line, size_t length, struct bytes *out);
