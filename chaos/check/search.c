/* The search for an order.
 *
 * A configuration is: which operations have taken effect, and the state they led to. From it go on
 *   - an operation whose answer is known and that nothing unplaced must precede: of those placed last in real
 *     time, none may have ended before it began;
 *   - an operation of unknown outcome that has begun before all unplaced answers came.
 * Found: all with known answers are placed. None: every configuration that can be reached is a dead end.
 *
 * What keeps it small, none of which changes the answer:
 *   (1) A configuration is visited once (Lowe). What is remembered is 128 bits of hash (two sums of random
 *       numbers per operation, and the state), so two different ones could be taken for one at a chance of
 *       about 2^-128 a pair; that can only turn an accepted history into a rejected one.
 *   (2) A read or a refusal that fits the state is placed at once: moving it earlier in any order that
 *       works leaves one that works.
 *   (3) Operations of unknown outcome that ask the same, and whose value no answer shows, are alike: only
 *       the one that began first is tried.
 *   (4) A flag's version only grows: when an unplaced operation needs a lower one, this is a dead end.
 *   (5) An operation of unknown outcome that fits this version and no other goes before those that fit any,
 *       when both lead to the same state. */
#include "chaos/check/search.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "chaos/check/table.h"

#define ANY_VERSION    UINT64_MAX
#define MEMO_SLOTS_MIN 1024u
#define CLOCK_EVERY    4096u

struct hash128 {
    uint64_t high, low;
};

struct alike { /* optional operations that ask the same, by their start; a prefix of them has taken effect */
    uint32_t first, count, taken; /* in `members` */
    uint64_t needs;
};

struct choice {
    uint32_t item; /* position among the definite, or class of the optional */
    bool optional;
    struct model_state after;
};

struct frame {
    struct choice choice;
    struct model_state before;
    uint32_t position; /* of the choice in its list; the next one is tried after it */
    bool forced;       /* there is no other */
};

struct search {
    const struct model_op *ops;
    uint32_t *definite, definite_count, unplaced;
    uint32_t *next, *previous; /* the unplaced, by their start; [definite_count] is the ring's anchor */
    uint32_t *members;
    struct alike *classes;
    uint32_t class_count, general_count; /* those that need no version come first */

    struct model_state state;
    struct hash128 placed;
    struct hash128 *memo;
    size_t memo_slots, memo_count;

    struct frame *frames;
    size_t depth, frame_capacity;
    struct choice *choices;
    uint32_t choice_count;
    bool forced;
};

static struct hash128 hash_of(uint64_t number)
{
    return (struct hash128){table_mix(number), table_mix(~number ^ 0x5851f42d4c957f2dull)};
}

static struct hash128 hash_xor(struct hash128 a, struct hash128 b)
{
    return (struct hash128){a.high ^ b.high, a.low ^ b.low};
}

static struct hash128 hash_state(struct model_state state)
{
    const struct hash128 value = hash_of((uint64_t)state.value ^ 0x2545f4914f6cdd1dull);
    return hash_xor(hash_of(value.high + state.version), hash_of(value.low - state.version));
}

/* --- preparing --- */

static bool never_changes(const struct model_op *op)
{
    return history_kind_reads(op->kind) || op->outcome == HISTORY_REFUSED;
}

struct sortable {
    const struct model_op *op;
    uint32_t number;
    uint64_t needs;
};

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))

static int compare_class(const struct sortable *a, const struct sortable *b)
{
    const bool versioned_a = a->needs != ANY_VERSION, versioned_b = b->needs != ANY_VERSION;
    int order = ORDER(versioned_a, versioned_b);
    if (order == 0)
        order = ORDER(a->needs, b->needs);
    if (order == 0)
        order = ORDER(a->op->kind, b->op->kind);
    if (order == 0)
        order = ORDER(a->op->value, b->op->value);
    if (order == 0)
        order = ORDER(a->op->version, b->op->version);
    if (order == 0)
        order = ORDER(a->op->expected, b->op->expected);
    return order;
}

static int compare_sortable(const void *left, const void *right)
{
    const struct sortable *a = left, *b = right;
    const int order = compare_class(a, b);
    return order != 0 ? order : ORDER(a->number, b->number);
}

static void prepare_classes(struct search *self, struct sortable *sorted, uint32_t count)
{
    if (count > 1)
        qsort(sorted, count, sizeof *sorted, compare_sortable);
    self->members = memory_new(count * sizeof *self->members);
    self->classes = memory_new(count * sizeof *self->classes);
    for (uint32_t i = 0; i < count; i++) {
        self->members[i] = sorted[i].number;
        if (i == 0 || compare_class(&sorted[i - 1], &sorted[i]) != 0)
            self->classes[self->class_count++] = (struct alike){i, 0, 0, sorted[i].needs};
        self->classes[self->class_count - 1].count++;
    }
    while (self->general_count < self->class_count && self->classes[self->general_count].needs == ANY_VERSION)
        self->general_count++;
}

static void prepare(struct search *self, const struct model_op *ops, size_t op_count)
{
    struct sortable *optional = memory_new(op_count * sizeof *optional);
    uint32_t optional_count = 0;
    self->ops = ops;
    self->definite = memory_new(op_count * sizeof *self->definite);
    for (uint32_t i = 0; i < op_count; i++) {
        CHECK(i == 0 || ops[i - 1].invoke_ns <= ops[i].invoke_ns, "operation %u is not in order", i);
        if (!ops[i].optional)
            self->definite[self->definite_count++] = i;
        else if (!never_changes(&ops[i]))
            optional[optional_count++] = (struct sortable){&ops[i], i, model_needs_version(&ops[i])};
    }
    const uint32_t count = self->definite_count;
    self->unplaced = count;
    self->next = memory_new((count + 1) * sizeof *self->next);
    self->previous = memory_new((count + 1) * sizeof *self->previous);
    for (uint32_t i = 0; i <= count; i++) {
        self->next[i] = i == count ? 0 : i + 1;
        self->previous[i] = i == 0 ? count : i - 1;
    }
    prepare_classes(self, optional, optional_count);
    free(optional);
    self->choices = memory_new((count + self->class_count + 1) * sizeof *self->choices);
    self->memo_slots = MEMO_SLOTS_MIN;
    self->memo = memory_zero(self->memo_slots, sizeof *self->memo);
}

static void done(struct search *self)
{
    free(self->definite);
    free(self->next);
    free(self->previous);
    free(self->members);
    free(self->classes);
    free(self->choices);
    free(self->memo);
    free(self->frames);
}

/* --- what may come next --- */

static const struct model_op *definite_op(const struct search *self, uint32_t position)
{
    return &self->ops[self->definite[position]];
}

/* @return false: a dead end; else `first_end` is when the first unplaced answer came */
static bool definite_choices(struct search *self, uint64_t *first_end)
{
    const uint32_t anchor = self->definite_count;
    *first_end = UINT64_MAX;
    for (uint32_t at = self->next[anchor]; at != anchor; at = self->next[at]) {
        const struct model_op *op = definite_op(self, at);
        if (op->invoke_ns > *first_end)
            break;
        struct model_state after = self->state;
        const enum model_step step = model_step(op, &after);
        if (step != STEP_IMPOSSIBLE && never_changes(op)) {
            self->choices[0] = (struct choice){at, false, after};
            self->choice_count = 1;
            self->forced = true;
            return true;
        }
        const uint64_t needs = model_needs_version(op);
        if (needs != ANY_VERSION && needs < self->state.version)
            return false;
        if (step != STEP_IMPOSSIBLE)
            self->choices[self->choice_count++] = (struct choice){at, false, after};
        if (op->complete_ns < *first_end)
            *first_end = op->complete_ns;
    }
    return true;
}

/* @return true: it is possible and leads to a value that nobody reads */
static bool optional_choice(struct search *self, uint32_t class, uint64_t first_end, bool hidden_has_choice)
{
    const struct alike *alike = &self->classes[class];
    if (alike->taken == alike->count)
        return false;
    const struct model_op *op = &self->ops[self->members[alike->first + alike->taken]];
    struct model_state after = self->state;
    if (op->invoke_ns > first_end || model_step(op, &after) != STEP_CHANGED)
        return false;
    const bool hidden = after.value == MODEL_HIDDEN;
    if (!hidden || !hidden_has_choice)
        self->choices[self->choice_count++] = (struct choice){class, true, after};
    return hidden;
}

/* The first class that needs this version or a higher one. */
static uint32_t first_class_at(const struct search *self, uint64_t version)
{
    uint32_t low = self->general_count, high = self->class_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (self->classes[middle].needs < version)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void list_choices(struct search *self)
{
    uint64_t first_end;
    bool hidden = false;
    self->choice_count = 0;
    self->forced = false;
    if (!definite_choices(self, &first_end)) {
        self->choice_count = 0;
        return;
    }
    if (self->forced)
        return;
    for (uint32_t i = first_class_at(self, self->state.version);
         i < self->class_count && self->classes[i].needs == self->state.version; i++)
        hidden = optional_choice(self, i, first_end, false) || hidden;
    for (uint32_t i = 0; i < self->general_count; i++)
        optional_choice(self, i, first_end, hidden);
}

/* --- going there and back --- */

/* An optional operation that needs one version counts for nothing once that has passed, and it passes when
 * the operation takes effect: so whether it did is no part of the configuration. */
static void toggle_hash(struct search *self, const struct choice *choice)
{
    uint32_t number;
    if (choice->optional) {
        const struct alike *alike = &self->classes[choice->item];
        if (alike->needs != ANY_VERSION)
            return;
        number = self->members[alike->first + alike->taken];
    } else {
        number = self->definite[choice->item];
    }
    self->placed = hash_xor(self->placed, hash_of(number));
}

static void place(struct search *self, uint32_t position)
{
    const struct choice choice = self->choices[position];
    if (self->depth == self->frame_capacity) {
        self->frame_capacity = self->frame_capacity == 0 ? 256 : self->frame_capacity * 2;
        self->frames = memory_resize(self->frames, self->frame_capacity * sizeof *self->frames);
    }
    self->frames[self->depth++] = (struct frame){choice, self->state, position, self->forced};
    toggle_hash(self, &choice);
    if (choice.optional) {
        self->classes[choice.item].taken++;
    } else {
        self->next[self->previous[choice.item]] = self->next[choice.item];
        self->previous[self->next[choice.item]] = self->previous[choice.item];
        self->unplaced--;
    }
    self->state = choice.after;
}

static struct frame take_back(struct search *self)
{
    const struct frame frame = self->frames[--self->depth];
    if (frame.choice.optional) {
        self->classes[frame.choice.item].taken--;
    } else {
        self->next[self->previous[frame.choice.item]] = frame.choice.item;
        self->previous[self->next[frame.choice.item]] = frame.choice.item;
        self->unplaced++;
    }
    toggle_hash(self, &frame.choice);
    self->state = frame.before;
    return frame;
}

static struct hash128 *memo_slot(struct search *self, struct hash128 key)
{
    size_t slot = key.high & (self->memo_slots - 1);
    while ((self->memo[slot].high | self->memo[slot].low) != 0 &&
           (self->memo[slot].high != key.high || self->memo[slot].low != key.low))
        slot = (slot + 1) & (self->memo_slots - 1);
    return &self->memo[slot];
}

/* @return false: it was visited before */
static bool visit(struct search *self)
{
    const struct hash128 key = hash_xor(self->placed, hash_state(self->state));
    struct hash128 *slot = memo_slot(self, key);
    if ((slot->high | slot->low) != 0)
        return false;
    *slot = key;
    if (++self->memo_count * 2 <= self->memo_slots)
        return true;
    struct hash128 *old = self->memo;
    const size_t old_slots = self->memo_slots;
    self->memo_slots *= 2;
    self->memo = memory_zero(self->memo_slots, sizeof *self->memo);
    for (size_t i = 0; i < old_slots; i++)
        if ((old[i].high | old[i].low) != 0)
            *memo_slot(self, old[i]) = old[i];
    free(old);
    return true;
}

/* Goes on with the next choice of the newest configuration that has one. @return false: there is none */
static bool back_to_next(struct search *self)
{
    while (self->depth > 0) {
        const struct frame frame = take_back(self);
        if (frame.forced)
            continue;
        list_choices(self);
        if (frame.position + 1 < self->choice_count) {
            place(self, frame.position + 1);
            return true;
        }
    }
    return false;
}

static enum search_result run(struct search *self, uint64_t configurations_max, uint64_t deadline_ms)
{
    const struct clock clock = clock_system();
    bool forced = true; /* the first configuration needs no remembering */
    for (uint64_t step = 1;; step++) {
        if (self->unplaced == 0)
            return SEARCH_FOUND;
        if (self->memo_count > configurations_max)
            return SEARCH_BOUND;
        if (deadline_ms != 0 && step % CLOCK_EVERY == 0 && clock.monotonic_ms(clock.context) > deadline_ms)
            return SEARCH_BOUND;
        const bool known = !forced && !visit(self);
        if (!known)
            list_choices(self);
        if (!known && self->choice_count > 0) {
            forced = self->forced;
            place(self, 0);
            continue;
        }
        if (!back_to_next(self))
            return SEARCH_NONE;
        forced = false;
    }
}

enum search_result search_order(const struct model_op *ops, size_t op_count, struct model_state start,
                                uint64_t configurations_max, uint64_t deadline_ms)
{
    CHECK(op_count < UINT32_MAX, "%zu operations", op_count);
    struct search self = {.state = start};
    prepare(&self, ops, op_count);
    const enum search_result result = run(&self, configurations_max, deadline_ms);
    done(&self);
    return result;
}
