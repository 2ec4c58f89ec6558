/* The plan of a tile in the payload, written once for both directions: ranges and grids, order, then predictors. */
#include "predictive.h"

enum { VALUE_OFFSET = 1 << 15, VALUE_LIMIT = 1 << 16, ONE_PIXEL = 0, AS_BEFORE = 1, OTHER = 2 };

/* Bits of the own lanes: row y - 1 in the first byte, y - 2 in the second; then the pixels before. */
const uint32_t OWN_SET[TAP_SETS] = {0x10000, 0x10014, 0x30814, 0x33E36, 0x33E36, 0x77F77};
/* The same of a reference: rows y - 1, y, y + 1. */
const uint32_t REF_SET[TAP_SETS] = {0x00200, 0x00200, 0x20702, 0x20702, 0x70707, 0xF0F0F};

typedef struct {
    number_t low, last, gcd, fine, grid_kind, grid, order, start, n_refs, refs, tap_set, classes, scale, threshold;
    number_t weight_bits, exponent, own_weight, ref_weight, cells;
    bit_t listed, block, used[32], copies, phased;
} models_t;

static void refuse_unless(coder_t *c, int good)
{
    if (!good && !c->failed) c->failed = CORRUPT;
}

/* A number that must not exceed limit. */
static int32_t code_limited(coder_t *c, number_t *n, int32_t value, int32_t limit)
{
    value = (int32_t)code_number(c, n, (uint32_t)value);
    if (c->failed || value < 0 || value > limit) {
        refuse_unless(c, 0);
        return 0;
    }
    return value;
}

static void code_grid(coder_t *c, models_t *m, const tile_t *t, grid_t *g, grid_t *before)
{
    static const grid_t pixel = {1, 1, 0, 0};
    int32_t kind = same_grid(g, &pixel) ? ONE_PIXEL : same_grid(g, before) ? AS_BEFORE : OTHER;
    kind = code_limited(c, &m->grid_kind, kind, OTHER);
    if (kind == OTHER) {
        g->fy = code_limited(c, &m->grid, g->fy - 1, t->height - 1) + 1;
        g->fx = code_limited(c, &m->grid, g->fx - 1, t->width - 1) + 1;
        g->oy = code_limited(c, &m->grid, g->oy, g->fy - 1);
        g->ox = code_limited(c, &m->grid, g->ox, g->fx - 1);
        *before = *g;
    } else {
        *g = kind == AS_BEFORE ? *before : pixel;
    }
}

static void code_range(coder_t *c, models_t *m, band_t *b)
{
    b->low = code_limited(c, &m->low, b->low + VALUE_OFFSET, VALUE_OFFSET + VALUE_LIMIT - 1) - VALUE_OFFSET;
    b->last = code_limited(c, &m->last, b->last, VALUE_LIMIT - 1);
    b->gcd = b->last ? code_limited(c, &m->gcd, b->gcd - 1, VALUE_LIMIT - 1) + 1 : 1;
    refuse_unless(c, (int64_t)b->gcd * b->last + b->low < VALUE_LIMIT);
    b->shift = b->last >> 15 ? 1 : 0;
}

/* Which codes pixels have, block by block where that is worth it. */
static void code_list(coder_t *c, models_t *m, band_t *b)
{
    if (b->last < MAP_LIMIT) b->listed = (uint32_t)code_bit(c, &m->listed, (int)b->listed);
    else b->listed = 0;
    b->last_rank = b->last;
    b->fine = b->last < MAP_LIMIT ? (uint32_t)code_limited(c, &m->fine, (int32_t)b->fine, FINE_LIMIT) : 0;
    b->shared = b->fine ? (uint32_t)code_limited(c, &m->fine, (int32_t)b->shared, SHARED_LIMIT) : 0;
    if (!b->listed) return;
    uint32_t history = 31;
    for (int32_t start = 0; start <= b->last && !c->failed; start += MAP_BLOCK) {
        int32_t end = min32(start + MAP_BLOCK, b->last + 1), all = 1;
        for (int32_t i = start; i < end; i++) all &= b->used[i];
        if (!c->encoding) all = 0;
        int some = code_bit(c, &m->block, !all);
        for (int32_t i = start; i < end; i++) {
            b->used[i] = some ? (uint8_t)code_bit(c, &m->used[history], b->used[i]) : 1;
            history = (2 * history + b->used[i]) & 31;
        }
    }
    if (c->failed) return;
    make_ranks(b);
    refuse_unless(c, b->last_rank >= 0);
}

static void code_order(coder_t *c, models_t *m, tile_t *t)
{
    int32_t left[MAX_BANDS];
    for (int32_t i = 0; i < t->n_bands; i++) left[i] = i;
    for (int32_t i = 0; i < t->n_bands; i++) {
        int32_t n = t->n_bands - i, place = 0;
        if (c->encoding)
            while (left[place] != t->order[i]) place++;
        place = code_limited(c, &m->order, place, n - 1);
        t->order[i] = left[place];
        memmove(left + place, left + place + 1, (size_t)(n - 1 - place) * sizeof *left);
    }
}

/* References of the i-th band in order: how far back in the order. */
static void code_references(coder_t *c, models_t *m, tile_t *t, int32_t i)
{
    band_t *b = &t->band[t->order[i]];
    b->n_refs = (uint32_t)code_limited(c, &m->n_refs, (int32_t)b->n_refs, min32(i, MAX_REFS));
    for (uint32_t k = 0; k < b->n_refs; k++) {
        int32_t back = 1;
        if (c->encoding)
            while (t->order[i - back] != (int32_t)b->refs[k]) back++;
        back = 1 + code_limited(c, &m->refs, back - 1, i - 1);
        b->refs[k] = (uint32_t)t->order[i - back];
        refuse_unless(c, t->band[b->refs[k]].last != 0);
    }
}

/* Do pixels repeat their neighbours, and like those of which earlier band? */
static void code_copies(coder_t *c, models_t *m, tile_t *t, int32_t i)
{
    band_t *b = &t->band[t->order[i]];
    b->copies = (uint32_t)code_bit(c, &m->copies, (int)b->copies);
    if (!b->copies) return;
    int32_t back = 0;
    if (c->encoding && b->cells_from >= 0)
        while (t->order[i - back] != b->cells_from) back++;
    back = code_limited(c, &m->cells, back, i);
    b->cells_from = back ? t->order[i - back] : -1;
    if (back) refuse_unless(c, t->band[b->cells_from].copies && same_grid(&b->grid, &t->band[b->cells_from].grid));
}

/* A weight, in the second class and later as its difference from the class before. */
static uint32_t code_weight(coder_t *c, number_t *m, band_t *b, uint32_t class, uint32_t lane, uint32_t exponent)
{
    int32_t unit = 1 << exponent, before = class ? b->weight[class - 1][lane] : 0;
    int32_t step = code_signed(c, m, (b->weight[class][lane] - before) / unit);
    int64_t w = before + (int64_t)step * unit;
    refuse_unless(c, w >= -32767 && w <= 32767);
    if (c->failed) return 0;
    b->weight[class][lane] = (int16_t)w;
    return (uint32_t)(w < 0 ? -w : w);
}

static void code_weights(coder_t *c, models_t *m, band_t *b, uint32_t class)
{
    uint32_t sum = 0;
    for (uint32_t group = 0; group <= b->n_refs; group++) {
        uint32_t set = group ? REF_SET[b->tap_set] : OWN_SET[b->tap_set];
        for (uint32_t bit = 0; set >> bit; bit++)
            if (set >> bit & 1)
                sum += code_weight(c, group ? &m->ref_weight : &m->own_weight, b, class, lane_of(group, bit),
                                   b->exponent[group]);
    }
    refuse_unless(c, sum <= WEIGHT_LIMIT);
}

static void code_predictor(coder_t *c, models_t *m, band_t *b)
{
    b->start = code_limited(c, &m->start, b->start, b->last >> b->shift);
    b->scale = (uint32_t)code_limited(c, &m->scale, (int32_t)b->scale, 15);
    b->tap_set = (uint32_t)code_limited(c, &m->tap_set, (int32_t)b->tap_set, TAP_SETS - 1);
    uint32_t log = (uint32_t)code_limited(c, &m->classes, b->classes == 4 ? 2 : (int32_t)b->classes - 1, 2);
    b->classes = 1u << log;
    b->phased = b->classes > 1 ? (uint32_t)code_bit(c, &m->phased, (int)b->phased) : 0;
    for (uint32_t i = 0; i + 1 < b->classes && !b->phased; i++)
        b->threshold[i] = (uint32_t)code_limited(c, &m->threshold, (int32_t)b->threshold[i], 127);
    b->weight_bits = WEIGHT_BITS - (uint32_t)code_limited(c, &m->weight_bits, WEIGHT_BITS - (int32_t)b->weight_bits,
                                                          WEIGHT_BITS - LEAST_WEIGHT_BITS);
    for (uint32_t g = 0; g <= b->n_refs; g++)
        b->exponent[g] = (uint32_t)code_limited(c, &m->exponent, (int32_t)b->exponent[g], WEIGHT_BITS);
    for (uint32_t class = 0; class < b->classes && !c->failed; class++) code_weights(c, m, b, class);
}

void code_plan(coder_t *c, tile_t *t)
{
    models_t m;
    bits_reset((bit_t *)&m, sizeof m / sizeof(bit_t));
    grid_t before = {1, 1, 0, 0};
    for (int32_t i = 0; i < t->n_bands; i++) {
        code_range(c, &m, &t->band[i]);
        if (!t->band[i].last || c->failed) continue;
        code_grid(c, &m, t, &t->band[i].grid, &before);
        code_list(c, &m, &t->band[i]);
    }
    if (c->failed) return;
    code_order(c, &m, t);
    for (int32_t i = 0; i < t->n_bands && !c->failed; i++) {
        band_t *b = &t->band[t->order[i]];
        if (!b->last) continue;
        code_references(c, &m, t, i);
        if (!c->failed) code_copies(c, &m, t, i);
        if (!c->failed) code_predictor(c, &m, b);
    }
}
