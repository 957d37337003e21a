/* What a run has shown, for people and for programs. */
#pragma once

#include "base/bytes.h"
#include "tools/load/load.h"

/** Answers other than 2xx and what never became an answer. */
uint64_t report_errors(const struct load_result *result);

void report_text(const struct load_setting *setting, const struct load_result *result, struct bytes *out);
void report_json(const struct load_setting *setting, const struct load_result *result, struct bytes *out);
