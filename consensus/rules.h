/* The rules that keep libraft's step interface safe, as bits: consensus.h's options can switch single ones
 * off.
 *
 * A node never does. The tests do, to show that each schedule they play really breaks something without its
 * rule, and the simulator does, to show that its checkers catch it. README.md says what each rule is. */
#pragma once

enum consensus_rule {
    RULE_TWO_CURSORS = 1 << 1,   /* R1: configurations are fed at commit, not at apply */
    RULE_APPLY_DURABLE = 1 << 2, /* R2: apply only what is durable here */
    RULE_CLAIM_DURABLE = 1 << 3, /* R3: claim only what is synced */
    RULE_SPLIT_APPENDS = 1 << 4, /* R4: bound the commit index, split before a change, respect our head */
    RULE_PENDING_CONFIGURATION = 1 << 5, /* R5: the engine's configuration is the log's */
    RULE_SOLE_VOTER_TERM = 1 << 6,       /* R6: a sole voter leads in a new term only */
    RULE_ONE_CHANGE = 1 << 7, /* R7: what is submitted is checked, and waited for by (index, term) */
    RULE_READINESS = 1 << 8, /* R8: no reads, acknowledgements, changes before the own term's first command */
    RULE_VOTE_RESULTS = 1 << 9,      /* R9: vote results reach candidates only */
    RULE_FATAL_ERRORS = 1 << 10,     /* R10: an unexpected error of the engine stops the node */
    RULE_NEW_CONFIRMATION = 1 << 11, /* reads wait for a round that began after them */
    RULE_ALL_VOTE = 1 << 12,         /* R11: a voter that doesn't know yet that it is one votes */
    RULE_PRE_VOTE_TERMS = 1 << 13,   /* R12: a refused pre-vote tells the higher term */
    RULE_CHANGE_SYNCED = 1 << 14,    /* R13: a configuration leaves when it is synced here */
    RULE_STALE_REJECTIONS =
        1 << 15 /* R14: a follower that has matched an index does not reject it any more */
};
