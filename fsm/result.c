#include "fsm/result.h"

struct result_row {
    const char *name;
    uint32_t status;
};

#define RESULT_ROW(code, row_name, row_status) [code] = {row_name, row_status},
static const struct result_row rows[RESULT_COUNT] = {RESULT_CODES(RESULT_ROW)};
#undef RESULT_ROW

const char *result_name(uint32_t code)
{
    return code < RESULT_COUNT ? rows[code].name : "unknown";
}

uint32_t result_status(uint32_t code)
{
    return code < RESULT_COUNT ? rows[code].status : 500;
}
