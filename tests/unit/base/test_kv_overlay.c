/* The overlay of base/kv_overlay.c against a model: a plain table that is copied at every mark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/kv.h"

#define KEYS      40u /* "a00" .. "d09" */
#define MARKS_MAX 4u
#define ABSENT    0u

struct model {
    uint32_t value[KEYS]; /* ABSENT, or a number */
};

struct scene {
    char folder[64], path[80];
    struct kv *kv;
    struct kv_overlay *overlay;
    struct model stored, now, marks[MARKS_MAX];
    uint32_t mark_count;
    uint64_t random;
};

static const struct kv_write_options plain = {0};

static uint32_t below(struct scene *scene, uint32_t limit)
{
    uint64_t z = (scene->random += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    return (uint32_t)((z ^ (z >> 27)) % limit);
}

static int set_up(void **state)
{
    struct scene *scene = memory_zero(1, sizeof(*scene));
    struct error error = {0};
    snprintf(scene->folder, sizeof(scene->folder), "/tmp/autonomy-overlay-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    snprintf(scene->path, sizeof(scene->path), "%s/kv", scene->folder);
    const struct kv_options options = {.create = true};
    assert_int_equal(kv_open(scene->path, &options, &scene->kv, &error), ERROR_OK);
    scene->overlay = kv_overlay_new(scene->kv);
    scene->random = 42;
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    kv_overlay_free(scene->overlay);
    kv_close(scene->kv);
    assert_int_equal(kv_destroy(scene->path, &error), ERROR_OK);
    rmdir(scene->folder);
    free(scene);
    return 0;
}

static struct span key_at(uint32_t at, char text[8])
{
    snprintf(text, 8, "%c%02u", (char)('a' + at / 10), at % 10);
    return span_text(text);
}

static void change(struct scene *scene)
{
    char key[8], value[16];
    const uint32_t at = below(scene, KEYS), number = below(scene, 5) == 0 ? ABSENT : below(scene, 100000) + 1;
    scene->now.value[at] = number;
    snprintf(value, sizeof(value), "%u", number);
    if (number == ABSENT)
        kv_overlay_delete(scene->overlay, key_at(at, key));
    else
        kv_overlay_put(scene->overlay, key_at(at, key), span_text(value));
}

static void check_get(struct scene *scene)
{
    char key[8], expected[16];
    struct error error = {0};
    struct bytes value;
    const uint32_t at = below(scene, KEYS);
    bytes_init(&value, 0);
    const enum error_code code = kv_overlay_get(scene->overlay, key_at(at, key), &value, &error);
    snprintf(expected, sizeof(expected), "%u", scene->now.value[at]);
    if (scene->now.value[at] == ABSENT)
        assert_int_equal(code, ERROR_NOT_FOUND);
    else
        assert_true(code == ERROR_OK && span_equal(bytes_span(&value), span_text(expected)));
    bytes_done(&value);
}

static void check_walk(struct scene *scene)
{
    char first[8], limit[8], expected_key[8], expected[16];
    struct error error = {0};
    struct span key, value;
    const uint32_t from = below(scene, KEYS), to = below(scene, KEYS + 1);
    const bool backwards = below(scene, 2) == 1;
    const struct span end = to == KEYS ? span_of(NULL, 0) : key_at(to, limit);
    struct kv_iterator *walk = kv_overlay_iterate(scene->overlay, key_at(from, first), end, backwards);
    for (uint32_t i = from; i < to; i++) {
        const uint32_t at = backwards ? to - 1 - (i - from) : i;
        if (scene->now.value[at] == ABSENT)
            continue;
        assert_true(kv_iterator_next(walk, &key, &value));
        snprintf(expected, sizeof(expected), "%u", scene->now.value[at]);
        assert_true(span_equal(key, key_at(at, expected_key)));
        assert_true(span_equal(value, span_text(expected)));
    }
    assert_false(kv_iterator_next(walk, &key, &value));
    assert_int_equal(kv_iterator_close(walk, &error), ERROR_OK);
}

static void mark_or_return(struct scene *scene)
{
    if (scene->mark_count > 0 && below(scene, 2) == 0) {
        scene->mark_count--;
        if (below(scene, 2) == 0) {
            kv_overlay_rollback(scene->overlay);
            scene->now = scene->marks[scene->mark_count];
        } else {
            kv_overlay_keep(scene->overlay);
        }
    } else if (scene->mark_count < MARKS_MAX) {
        kv_overlay_mark(scene->overlay);
        scene->marks[scene->mark_count++] = scene->now;
    }
}

static void end_group(struct scene *scene)
{
    struct error error = {0};
    if (below(scene, 3) == 0) {
        scene->now = scene->stored;
    } else {
        assert_int_equal(kv_overlay_write(scene->overlay, plain, &error), ERROR_OK);
        scene->stored = scene->now;
    }
    kv_overlay_clear(scene->overlay);
    scene->mark_count = 0;
}

/* Goal: reads, walks both ways, marks, undoing, writing and giving up agree with a plain table, in any
 * order.
 * Method: 60,000 random steps over few keys, so that writes of one key meet, with groups of all sizes. */
static void overlay_agrees_with_a_plain_table(void **state)
{
    struct scene *scene = *state;
    uint32_t groups = 0;
    for (uint32_t step = 0; step < 60000; step++) {
        const uint32_t kind = below(scene, 100);
        if (kind < 60)
            change(scene);
        else if (kind < 80)
            check_get(scene);
        else if (kind < 88)
            check_walk(scene);
        else if (kind < 99)
            mark_or_return(scene);
        else if (below(scene, groups % 7 + 1) == 0) {
            end_group(scene);
            groups++;
        }
    }
    assert_true(groups > 100);
}

/* Goal: a large group is read right and written whole, its keys in any order.
 * Method: 20,000 keys in a scattered order, most written twice, one in ten deleted again. */
static void large_group_is_written_whole(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    struct span key, value;
    char text[16];
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 20000; i++) {
            snprintf(text, sizeof(text), "k%05u", i * 7919 % 20000);
            kv_overlay_put(scene->overlay, span_text(text), span_text(round == 0 ? "old" : text));
        }
    for (uint32_t i = 0; i < 20000; i += 10) {
        snprintf(text, sizeof(text), "k%05u", i);
        kv_overlay_delete(scene->overlay, span_text(text));
    }
    assert_int_equal(kv_overlay_count(scene->overlay), 42000);
    assert_int_equal(kv_overlay_write(scene->overlay, plain, &error), ERROR_OK);
    kv_overlay_clear(scene->overlay);
    struct kv_iterator *walk = kv_iterate(scene->kv, NULL, span_of(NULL, 0), span_of(NULL, 0), false);
    for (uint32_t i = 0; i < 20000; i++) {
        if (i % 10 == 0)
            continue;
        snprintf(text, sizeof(text), "k%05u", i);
        assert_true(kv_iterator_next(walk, &key, &value));
        assert_true(span_equal(key, span_text(text)) && span_equal(value, span_text(text)));
    }
    assert_false(kv_iterator_next(walk, &key, &value));
    assert_int_equal(kv_iterator_close(walk, &error), ERROR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(overlay_agrees_with_a_plain_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_group_is_written_whole, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
