/* Rows of a SHAPE (base/schema.h): what an answer that code builds by hand shows. */
#pragma once

#include "base/schema.h"

/* Always there, never null. */
#define SHAPE_TEXT(key, ...)                                                                                 \
    {                                                                                                        \
        .name = (key), .type = FIELD_TEXT, .required = true, __VA_ARGS__                                     \
    }
#define SHAPE_COUNT(key, ...)                                                                                \
    {                                                                                                        \
        .name = (key), .type = FIELD_U64, .required = true, __VA_ARGS__                                      \
    }
#define SHAPE_YES_NO(key, ...)                                                                               \
    {                                                                                                        \
        .name = (key), .type = FIELD_BOOL, .required = true, __VA_ARGS__                                     \
    }
#define SHAPE_TIME(key, ...)                                                                                 \
    {                                                                                                        \
        .name = (key), .type = FIELD_TIME, .required = true, __VA_ARGS__                                     \
    }
/** @param table  an array of names */
#define SHAPE_WORD(key, table, ...)                                                                          \
    {                                                                                                        \
        .name = (key), .type = FIELD_ENUM, .required = true, .names = (table),                               \
        .names_count = sizeof(table) / sizeof((table)[0]), __VA_ARGS__                                       \
    }
#define SHAPE_TEXTS(key, ...)                                                                                \
    {                                                                                                        \
        .name = (key), .type = FIELD_TEXTS, .required = true, __VA_ARGS__                                    \
    }
#define SHAPE_STRUCT(key, of, ...)                                                                           \
    {                                                                                                        \
        .name = (key), .type = FIELD_STRUCT, .schema = &(of), .required = true, __VA_ARGS__                  \
    }
#define SHAPE_LIST(key, of, ...)                                                                             \
    {                                                                                                        \
        .name = (key), .type = FIELD_LIST, .schema = &(of), .required = true, __VA_ARGS__                    \
    }
#define SHAPE_ANY(key, ...)                                                                                  \
    {                                                                                                        \
        .name = (key), .type = FIELD_VALUE, __VA_ARGS__                                                      \
    }
/* Last in a row: null where nothing is known. */
#define OR_NULL     .nullable = true
/* Last in a row: not always there. */
#define OR_LEFT_OUT .omit_empty = true

/** A page of a list. */
#define SHAPE_PAGE(of)                                                                                       \
    {                                                                                                        \
        SHAPE_LIST("items", of),                                                                             \
            SHAPE_TEXT("next_cursor", .help = "of the next page; null: there is none", OR_NULL)              \
    }
