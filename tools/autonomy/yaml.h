/* YAML as JSON, without a schema of its own: the server's field table is the only judge of a plan.
 *
 * Mappings, sequences and scalars; a plain scalar is null, true, false or a whole number where it reads as
 * one, and text otherwise ("2.4" stays a version, not a number). Aliases, anchors, tags, several documents
 * and doubled keys are refused, so the result is never larger than the file. */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define YAML_BYTES_MAX  (1024u * 1024u) /* a request's body takes no more */
#define YAML_DEPTH_MAX  32u
#define YAML_VALUES_MAX 65536u

struct json_t;

/** @param name  of the file, for the message: "plan.yaml:3:7: ..."  @return ERROR_INVALID or ERROR_TOO_BIG */
enum error_code yaml_to_json(const char *name, const char *text, size_t length, struct json_t **out,
                             struct error *error) MUST_USE;
/** Reads a whole file ("-": standard input). @return ERROR_NOT_FOUND, ERROR_IO, ERROR_TOO_BIG and the above
 */
enum error_code yaml_read_file(const char *path, struct json_t **out, struct error *error) MUST_USE;
/** JSON (objects, arrays, scalars) as block YAML. @param text  malloc'd */
enum error_code yaml_from_json(const struct json_t *json, char **text, struct error *error) MUST_USE;
