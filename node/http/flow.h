/* The two ways most requests go: a change (body -> command -> committed -> answer), and a read (confirmed ->
 * view -> answer). */
#pragma once

#include "node/http/request.h"

/** Turns request->json into the command and has it committed; answers when its outcome is known. */
void flow_change(struct request *request, const char *command_name);
/** Answers with what became of a change. */
void flow_change_answer(struct request *request);
/** Answers what an act answered, or its refusal. */
void flow_act_answer(struct request *request);
/** Does a read as the query says: at once, or after leadership was confirmed, or when something newer is
 * there. */
void flow_read(struct request *request);
