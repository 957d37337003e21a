#include "chaos/sim/mutants.h"

#include <stddef.h>
#include <string.h>

#include "consensus/rules.h"

static const struct mutant mutants[] = {
    {"rule-pending-configuration", "the engine keeps a configuration that was rolled back (R5)",
     RULE_PENDING_CONFIGURATION},
    {"rule-readiness", "a new leader acts before its own first command is applied (R8)", RULE_READINESS},
};
#define MUTANTS (sizeof mutants / sizeof mutants[0])

static const struct mutant *planted;

const struct mutant *mutant_at(uint32_t position)
{
    return position < MUTANTS ? &mutants[position] : NULL;
}

const struct mutant *mutant_find(const char *name)
{
    for (uint32_t i = 0; i < MUTANTS; i++)
        if (strcmp(mutants[i].name, name) == 0)
            return &mutants[i];
    return NULL;
}

void mutant_plant(const struct mutant *mutant)
{
    planted = mutant;
}

bool mutant_is(const char *name)
{
    return planted != NULL && strcmp(planted->name, name) == 0;
}
