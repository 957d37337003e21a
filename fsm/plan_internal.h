/* What the files of the plan machine share. Others include fsm/plan.h. */
#pragma once

#include "fsm/apply.h"
#include "fsm/plan.h"
#include "fsm/plan_table.h"
#include "fsm/view.h"

/* --- plan_store.c: keys, loading, saving --- */

struct store_key plan_key(const char *plan_id);
struct store_key plan_phase_key(enum plan_phase phase, const char *plan_id);
struct store_key plan_node_key(const char *plan_id, const char *node_id); /* node_id "": the prefix of all */
/** Nodes that a rollback has to bring back, by stage; node_id "": the prefix of a stage's. */
struct store_key plan_exposed_key(const char *plan_id, uint64_t stage, const char *node_id);
struct store_key plan_due_key(uint64_t due_ms, const char *plan_id);
struct store_key plan_unmoved_key(bool recorded, uint64_t filed_ms, const char *plan_id);
/** Takes a due or unmoved key apart; `plan_id` is in the arena. */
void plan_time_key_read(struct span key, size_t head, struct arena *arena, uint64_t *time_ms,
                        const char **plan_id);

bool plan_read(struct reader reader, const char *plan_id, struct arena *arena, struct plan *out);
/** @return false after apply_refuse(RESULT_PLAN_NOT_FOUND) */
bool plan_load(struct apply *apply, const char *plan_id, struct plan *out);
/** Writes the plan and moves its index keys; sets due_ms and unmoved. */
void plan_save(struct apply *apply, struct plan *plan);
/** Which of the invariants at the head of plan.h doesn't hold, by its number; NULL: all do. */
const char *plan_unsound(const struct plan *plan);
void plan_check(const struct plan *plan);
bool plan_node_read(struct reader reader, const struct plan *plan, const char *node_id, struct arena *arena,
                    struct plan_node *out);
/** Whether its stage is one of the plan's, or none. */
bool plan_node_fits(const struct plan *plan, const struct plan_node *node);
void plan_node_save(struct apply *apply, const struct plan *plan, const struct plan_node *node);

/* --- plan_gate.c: gates, without a store --- */

#define GATE_DETAIL_BYTES 384u
/** @param detail  what a person wants to know; may be NULL */
bool gate_passed(const struct plan_stage *stage, const struct plan_gate *gate, uint64_t now_ms,
                 char detail[GATE_DETAIL_BYTES]);
bool stage_passed(const struct plan_stage *stage, uint64_t now_ms);
const struct plan_gate *stage_gate(const struct plan_stage *stage,
                                   enum gate_kind kind);                 /* NULL: it has none */
uint64_t stage_open_ms(const struct plan_stage *stage, uint64_t now_ms); /* on its soak clock */
/** When the soak ends if nothing stops its clock; 0: no soak, over already, or the clock stands. */
uint64_t stage_soak_end_ms(const struct plan_stage *stage, uint64_t now_ms);
/** What holds the plan up, in a sentence. */
void plan_waits_for(const struct plan *plan, uint64_t now_ms, char *out, size_t out_bytes);

/* --- plan_stage.c: opening, promoting, ending --- */

#define PLAN_STAGE_UNKNOWN SIZE_MAX
size_t plan_stage_find(const struct plan *plan, const char *stage_id);
const char *plan_current_stage_id(const struct plan *plan); /* NULL before the first opened */
struct plan_counts *plan_counts_of(struct plan *plan, uint64_t stage);
uint64_t plan_sum(const struct plan *plan, enum node_state state);
uint64_t plan_exposed(const struct plan *plan);

/** Takes the plan to the phase that the table gives; the event must be allowed. Stops or starts the open
 * stage's clock. */
void plan_enter(struct apply *apply, struct plan *plan, enum plan_event event);
/** Notes that an operator, a stage or an activation moved the plan: a stall ends. */
void plan_move(const struct apply *apply, struct plan *plan);
void plan_open_first(struct apply *apply, struct plan *plan);
/** Promotes as long as all gates of the open stage pass; completes after the last. @return promoted how many
 */
uint32_t plan_advance(struct apply *apply, struct plan *plan);
/** Leaves the current stage behind, whatever its gates say. */
void plan_skip(struct apply *apply, struct plan *plan);
/** Ends the open stage for good. */
void plan_close_stage(struct apply *apply, struct plan *plan, enum stage_phase phase);
/** Tells the trail of nodes that have answered: once nobody's answer is awaited, or in any case when
 * `closing`. */
void plan_tell_nodes(struct apply *apply, struct plan *plan, uint64_t stage, bool closing);
void plan_tell_all_nodes(struct apply *apply, struct plan *plan);

/** Leaves a record on the plan, or on a stage of it. The rest is pairs of field name and text, ended by NULL;
 * a pair whose text is NULL is left out. `reason` may be NULL. */
void plan_record(struct apply *apply, const struct plan *plan, const char *stage_id, const char *event_name,
                 const char *action, const char *reason, ...) __attribute__((sentinel));

/* --- plan_verbs.c: what operators do. Each refuses and returns false, or does it and saves the plan --- */

struct plan_verdict { /* what the answer says beside the plan */
    enum plan_phase previous_phase;
    bool already_halted, approved, promoted;
    const char *message;
    const char *stage_id; /* of halt, approve */
};
/** Refuses when the table forbids it. */
bool plan_permit(struct apply *apply, const struct plan *plan, enum plan_event event);
bool plan_publish(struct apply *apply, struct plan *plan, const char *reason, struct plan_verdict *verdict);
bool plan_pause(struct apply *apply, struct plan *plan, const char *reason, struct plan_verdict *verdict);
bool plan_resume(struct apply *apply, struct plan *plan, const char *reason, struct plan_verdict *verdict);
bool plan_cancel(struct apply *apply, struct plan *plan, const char *reason, struct plan_verdict *verdict);
bool plan_halt_stage(struct apply *apply, struct plan *plan, const char *stage_id, const char *reason,
                     struct plan_verdict *verdict);
bool plan_approve_gate(struct apply *apply, struct plan *plan, const char *stage_id, const char *reason,
                       struct plan_verdict *verdict);
bool plan_recover_with(struct apply *apply, struct plan *plan, const struct plan_recover *request,
                       struct plan_verdict *verdict);
/** The answer's body: the members that all verbs share; the caller appends `more` pairs. */
struct bytes *plan_answer(struct apply *apply, const struct plan *plan, const struct plan_verdict *verdict,
                          uint32_t more);

/* --- plan_create.c --- */

/** Builds and checks a new plan. @return false after apply_refuse() */
bool plan_make(struct apply *apply, const struct plan_create *request, struct plan *out);
bool plan_target_given(const struct plan_target *target);

/* --- plan_node.c: nodes and their reports --- */

/** The stage whose target has the node: the first that matches, PLAN_STAGE_NONE when none does. */
uint64_t plan_stage_of(const struct plan *plan, const char *node_id, const struct field_pair *labels,
                       size_t label_count);
/** Enrols the nodes that the stages name. */
void plan_enrol_listed(struct apply *apply, struct plan *plan);
/** Takes a node to another state: counters, key 'N', record. */
void plan_node_move(struct apply *apply, struct plan *plan, struct plan_node *node, enum node_state to);
void plan_report_handle(struct apply *apply, const void *body); /* rollout.node */

/* --- plan_wave.c: bringing nodes back --- */

/** Decides what becomes of the nodes that have activated; nothing is offered yet. */
void plan_revert_start(struct apply *apply, struct plan *plan, enum revert_pace pace,
                       enum revert_policy policy);
/** Offers the previous version to as many nodes as `budget` allows and the pace asks for; notes when all have
 * answered. */
void plan_wave_run(struct apply *apply, struct plan *plan, uint32_t *budget);
/** Does the wave have something to do now? */
bool plan_wave_ready(const struct plan *plan);
const char *plan_revert_message(const struct plan *plan, struct arena *arena);
