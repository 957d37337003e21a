#include "chaos/sim/fake_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct fake_node {
    unsigned references;
    uint32_t priority;
    size_t count; /* of the nodes here and below */
    struct fake_pair pair;
    struct fake_node *left, *right;
};

/* --- blobs
 * ------------------------------------------------------------------------------------------------------------
 */

struct fake_blob *fake_blob_new(struct span content)
{
    struct fake_blob *blob = memory_new(sizeof(*blob) + content.bytes);
    blob->references = 1;
    blob->damaged = false;
    blob->bytes = content.bytes;
    if (content.bytes > 0)
        memcpy(blob->data, content.data, content.bytes);
    return blob;
}

struct fake_blob *fake_blob_keep(struct fake_blob *blob)
{
    if (blob)
        blob->references++;
    return blob;
}

void fake_blob_drop(struct fake_blob *blob)
{
    if (blob && --blob->references == 0)
        free(blob);
}

struct span fake_blob_span(const struct fake_blob *blob)
{
    return span_of(blob->data, blob->bytes);
}

static int compare(const struct fake_blob *a, struct span b)
{
    size_t common = a->bytes < b.bytes ? a->bytes : b.bytes;
    int order = common ? memcmp(a->data, b.data, common) : 0;
    return order ? order : (a->bytes > b.bytes) - (a->bytes < b.bytes);
}

/* --- nodes: functions take over the references given to them and return one
 * ------------------------------------------------ */

static uint32_t priority_of(struct span key)
{
    const uint8_t *at = key.data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.bytes; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return (uint32_t)((hash * 0x9e3779b97f4a7c15u) >> 32);
}

static size_t count_of(const struct fake_node *node)
{
    return node ? node->count : 0;
}

static struct fake_node *keep(struct fake_node *node)
{
    if (node)
        node->references++;
    return node;
}

static void drop(struct fake_node *node)
{
    while (node && --node->references == 0) {
        struct fake_node *right = node->right;
        drop(node->left);
        fake_blob_drop(node->pair.key);
        fake_blob_drop(node->pair.value);
        free(node);
        node = right;
    }
}

static void recount(struct fake_node *node)
{
    node->count = 1 + count_of(node->left) + count_of(node->right);
}

/* A node of our own with the same content: itself when nobody shares it. */
static struct fake_node *own(struct fake_node *node)
{
    if (node->references == 1)
        return node;
    struct fake_node *copy = memory_new(sizeof(*copy));
    *copy = *node;
    copy->references = 1;
    fake_blob_keep(copy->pair.key);
    fake_blob_keep(copy->pair.value);
    keep(copy->left);
    keep(copy->right);
    node->references--;
    return copy;
}

static struct fake_node *merge(struct fake_node *a, struct fake_node *b)
{
    if (!a || !b)
        return a ? a : b;
    if (a->priority >= b->priority) {
        a = own(a);
        a->right = merge(a->right, b);
        recount(a);
        return a;
    }
    b = own(b);
    b->left = merge(a, b->left);
    recount(b);
    return b;
}

/* Keys below `key`, and the others. */
static void split(struct fake_node *node, struct span key, struct fake_node **below, struct fake_node **rest)
{
    if (!node) {
        *below = *rest = NULL;
        return;
    }
    node = own(node);
    if (compare(node->pair.key, key) < 0) {
        split(node->right, key, &node->right, rest);
        *below = node;
    } else {
        split(node->left, key, below, &node->left);
        *rest = node;
    }
    recount(node);
}

static struct fake_node *insert(struct fake_node *node, struct fake_node *added)
{
    if (!node || added->priority > node->priority) {
        split(node, fake_blob_span(added->pair.key), &added->left, &added->right);
        recount(added);
        return added;
    }
    node = own(node);
    if (compare(node->pair.key, fake_blob_span(added->pair.key)) < 0)
        node->right = insert(node->right, added);
    else
        node->left = insert(node->left, added);
    recount(node);
    return node;
}

static struct fake_node *replace(struct fake_node *node, struct span key, struct fake_blob *value)
{
    node = own(node);
    int order = compare(node->pair.key, key);
    if (order == 0) {
        fake_blob_drop(node->pair.value);
        node->pair.value = value;
    } else if (order < 0) {
        node->right = replace(node->right, key, value);
    } else {
        node->left = replace(node->left, key, value);
    }
    return node;
}

static struct fake_node *remove_one(struct fake_node *node, struct span key)
{
    node = own(node);
    int order = compare(node->pair.key, key);
    if (order == 0) {
        struct fake_node *rest = merge(node->left, node->right);
        node->left = node->right = NULL;
        drop(node);
        return rest;
    }
    if (order < 0)
        node->right = remove_one(node->right, key);
    else
        node->left = remove_one(node->left, key);
    recount(node);
    return node;
}

/* --- tables
 * -----------------------------------------------------------------------------------------------------------
 */

size_t fake_table_count(const struct fake_table *table)
{
    return count_of(table->root);
}

size_t fake_table_lower(const struct fake_table *table, struct span key)
{
    size_t position = 0;
    for (const struct fake_node *node = table->root; node;) {
        if (compare(node->pair.key, key) < 0) {
            position += count_of(node->left) + 1;
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return position;
}

const struct fake_pair *fake_table_at(const struct fake_table *table, size_t position)
{
    const struct fake_node *node = table->root;
    CHECK(position < count_of(node), "pair %zu of %zu", position, count_of(node));
    while (position != count_of(node->left)) {
        bool right = position > count_of(node->left);
        position -= right ? count_of(node->left) + 1 : 0;
        node = right ? node->right : node->left;
    }
    return &node->pair;
}

const struct fake_pair *fake_table_find(const struct fake_table *table, struct span key)
{
    for (const struct fake_node *node = table->root; node;) {
        int order = compare(node->pair.key, key);
        if (order == 0)
            return &node->pair;
        node = order < 0 ? node->right : node->left;
    }
    return NULL;
}

void fake_table_put(struct fake_table *table, struct span key, struct fake_blob *value)
{
    if (fake_table_find(table, key)) {
        table->root = replace(table->root, key, value);
        return;
    }
    struct fake_node *added = memory_new(sizeof(*added));
    *added = (struct fake_node){
        .references = 1, .priority = priority_of(key), .count = 1, .pair = {fake_blob_new(key), value}};
    table->root = insert(table->root, added);
}

void fake_table_remove(struct fake_table *table, struct span first, struct span limit)
{
    struct fake_node *below, *rest, *removed, *above;
    if (fake_table_lower(table, limit) <= fake_table_lower(table, first))
        return;
    split(table->root, first, &below, &rest);
    split(rest, limit, &removed, &above);
    drop(removed);
    table->root = merge(below, above);
}

void fake_table_remove_one(struct fake_table *table, struct span key)
{
    if (fake_table_find(table, key))
        table->root = remove_one(table->root, key);
}

void fake_table_copy(struct fake_table *to, const struct fake_table *from)
{
    CHECK(to->root == NULL, "a copy over %zu pairs", count_of(to->root));
    to->root = keep(from->root);
}

void fake_table_clear(struct fake_table *table)
{
    drop(table->root);
    table->root = NULL;
}
