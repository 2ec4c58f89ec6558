/* What is decided of a place: significance, sign, refinement, and whether a cell holds anything. For bitplane.c alone. */
#ifndef SP_TRANSFORM_DECISIONS_H
#define SP_TRANSFORM_DECISIONS_H

#include "contexts.h"

/* After every decision: is a layer full, or the room? */
static inline void count(coder_t *c)
{
    if (c->marked < c->n_targets && c->rc.position >= c->targets[c->marked]) {
        for (; c->marked < c->n_targets && c->rc.position >= c->targets[c->marked]; c->marked++) {
            c->marks[c->marked] = rc_mark(&c->rc);
            c->distortion[c->marked] = c->error;
        }
    }
    if (!c->rc.decoding && c->rc.position > c->limit) c->stop = 1;
}

/* Is this the plane that a trellis runs through? */
static inline int turning(const coder_t *c) { return c->trellis && c->plane == 0; }

/* The trellis goes on behind a value whose lowest bit is known. */
static inline void turn(coder_t *c, uint32_t at, int bit)
{
    if (!turning(c) || !c->rc.settled) return;
    c->turns[at] = (uint8_t)QUANTISER(c->state);
    c->state = NEXT_STATE[c->state][bit];
}

static inline int ended(const coder_t *c) { return c->stop || !c->rc.settled; }

static inline int magnitude_bit(const coder_t *c, uint32_t at)
{
    if (c->rc.decoding) return 0;
    return (int)(magnitude(c->values[at]) >> (c->plane + FRACTION) & 1);
}

static inline int sign_of(int32_t v) { return (v > 0) - (v < 0); }

/* A coefficient has been found: its sign follows. Contexts are mirrored where the neighbours predict a negative value. */
static void code_sign(coder_t *c, const view_t *view, uint32_t y, uint32_t x)
{
    const subband_t *b = view->b;
    uint32_t at = b->offset + y * b->stride + x;
    int32_t predicted = predicted_value(view, y, x);
    const int32_t *k = c->known + at;
    ptrdiff_t s = b->stride;
    int mirror = predicted < 0 ? -1 : 1;
    int first = b->first == NONE ? 0 : mirror * sign_of(c->known[at - b->offset + c->bands[b->first].offset]);
    int second = b->second == NONE ? 0 : mirror * sign_of(c->known[at - b->offset + c->bands[b->second].offset]);
    int h = mirror * sign_of(sign_of(k[-1]) + sign_of(k[1])), v = mirror * sign_of(sign_of(k[-s]) + sign_of(k[s]));
    inputs_t i = {{
        c->states + AT_SIGN + (b->kind == LH ? (v + 1) * 3 + h + 1 : (h + 1) * 3 + v + 1) * GROUPS + group_class(b),
        c->states + AT_SIGN_CROSS + (((first + 1) * 3 + second + 1) * 16 + b->component) * 3 + b->level,
        c->states + AT_SIGN_PREDICTED + group_class(b) * 8 + log_class(magnitude(predicted) >> (c->plane + 1), 15) / 2,
    }, 3, SET_SIGN + b->level};
    prob_t *date = beside_date(c, &i, at);
    if (date) {
        int32_t there = mirror * c->date[at];
        uint32_t size = log_class(16 * magnitude(there) >> (c->plane + 1), 31) / 2;
        i.states[i.n++] = date + AT_DATE_SIGN + group_class(b) * 32 + (there < 0) * 16 + size;
    }
    int bit = c->rc.decoding ? 0 : (c->values[at] < 0) != (mirror < 0);
    bit = decide(c, bit, &i);
    if (!c->rc.settled) return;
    c->known[at] = (bit != (mirror < 0) ? -3 : 3) * ((int32_t)1 << c->plane);
    if (!c->rc.decoding) c->error += known_error(c, at, c->plane) - missing_error(c, at);
}

static inline uint32_t cross_context(const around_t *a, int plane)
{
    return (coarse_class(a->cross >> plane) * 7 + coarse_class(a->space >> plane)) * 5
         + coarser_class(8 * a->parent >> plane);
}

static void code_significance(coder_t *c, const view_t *view, uint32_t y, uint32_t x, uint32_t segment)
{
    const subband_t *b = view->b;
    uint32_t at = b->offset + y * b->stride + x;
    around_t a = look_around(view, y, x);
    int p = c->plane + 1; /* what is known is doubled */
    uint32_t all = fine_class(a.all >> p);
    inputs_t i = {{
        c->states + AT_ALL + group_class(b) * ALL_CLASSES + all,
        c->states + AT_SPACE + (coarse_class(8 * a.along >> p) * 7 + coarse_class(8 * a.across >> p)) * 5
            + coarser_class(8 * a.diagonal >> p),
        c->states + AT_CROSS + cross_context(&a, p),
    }, 3, SET_SIGNIFICANCE + b->level * SEGMENTS + segment};
    if (turning(c)) {
        uint32_t q = QUANTISER(c->state);
        i.states[i.n++] = c->states + AT_TURN_ALL + (q * GROUPS + group_class(b)) * ALL_CLASSES + all;
        i.set += SET_TURN_SIGNIFICANCE - SET_SIGNIFICANCE + q * 3 * SEGMENTS;
    }
    prob_t *date = beside_date(c, &i, at);
    if (date) {
        uint32_t there = date_class(c, at, p);
        i.states[i.n++] = date + AT_DATE_ALL + (group_class(b) * 12 + there % 12) * 12 + all / 2;
        i.states[i.n++] = date + AT_DATE_POINT + (b->level * 144 + there) * 5 + coarser_class(a.all >> p);
    }
    int bit = decide(c, magnitude_bit(c, at), &i);
    if (bit && c->rc.settled) code_sign(c, view, y, x);
    turn(c, at, bit);
}

/* How far the prediction is above the middle of what is known, in halves of the threshold, 16 classes. */
static inline uint32_t offset_class(int32_t predicted, int32_t known, int plane)
{
    int64_t away = (int64_t)(known < 0 ? -predicted : predicted) - 64 * (int64_t)magnitude(known);
    int64_t halves = (away + ((int64_t)512 << plane)) / ((int64_t)64 << plane);
    return away < -((int64_t)512 << plane) ? 0 : halves > 15 ? 15 : (uint32_t)halves;
}

static void code_refinement(coder_t *c, const view_t *view, uint32_t y, uint32_t x)
{
    const subband_t *b = view->b;
    uint32_t at = b->offset + y * b->stride + x, top = top_bit(magnitude(c->known[at])) - 1;
    uint32_t age = top - (uint32_t)c->plane - 1;
    int bit;
    if (age >= MIXED_AGES) { /* hardly better than a coin */
        bit = rc_bit(&c->rc, magnitude_bit(c, at), 32768);
    } else {
        around_t a = look_around(view, y, x);
        inputs_t i = {{
            c->states + AT_REFINE + age * 12 + log_class(a.all >> (top + 1), 11),
            c->states + AT_REFINE_OFFSET + (group_class(b) * MIXED_AGES + age) * 16
                + offset_class(predicted_value(view, y, x), c->known[at], c->plane),
        }, 2, SET_REFINE + age};
        if (turning(c)) {
            uint32_t turned = QUANTISER(c->state) * MIXED_AGES;
            i.states[i.n++] = c->states + AT_TURN_REFINE + (turned + age) * 12 + log_class(a.all >> (top + 1), 11);
            i.set += SET_TURN_REFINE - SET_REFINE + turned;
        }
        prob_t *date = beside_date(c, &i, at);
        if (date) {
            uint32_t place = group_class(b) * MIXED_AGES + age;
            i.states[i.n++] = date + AT_DATE_REFINE + place * 12 + log_class(c->date_near[at] >> (top + 1), 23) / 2;
            i.states[i.n++] = date + AT_DATE_OFFSET + place * 16 + offset_class(64 * c->date[at], c->known[at], c->plane);
        }
        bit = decide(c, magnitude_bit(c, at), &i);
    }
    if (!c->rc.settled) return;
    if (!c->rc.decoding) c->error -= known_error(c, at, c->plane + 1);
    c->known[at] += (bit == (c->known[at] > 0) ? 1 : -1) * ((int32_t)1 << c->plane);
    if (!c->rc.decoding) c->error += known_error(c, at, c->plane);
    turn(c, at, bit);
}

/* Of a cell: 0 empty, 1 something was found in this plane or the last, 2 before. */
static inline uint32_t cell_age(const coder_t *c, const subband_t *b, uint32_t cy, uint32_t cx)
{
    uint32_t v = c->cell[b->cell_offset + cy * b->cell_stride + cx];
    return v == 0 ? 0 : v <= (uint32_t)c->plane + 2 ? 1 : 2;
}

static uint32_t cell_sum(const coder_t *c, const subband_t *b, uint32_t cy, uint32_t cx)
{
    uint32_t sum = 0;
    if (cy * CELL >= b->height || cx * CELL >= b->width) return 0;
    const int32_t *k = c->known + b->offset + cy * CELL * b->stride + cx * CELL;
    for (uint32_t y = 0; y < CELL; y++, k += b->stride)
        sum += magnitude(k[0]) + magnitude(k[1]) + magnitude(k[2]) + magnitude(k[3]);
    return sum;
}

/* Magnitudes around an empty cell, above it in the pyramid and beside it in other subbands, weighted. */
static uint32_t cell_surroundings(const coder_t *c, const subband_t *b, uint32_t cy, uint32_t cx)
{
    ptrdiff_t s = b->stride;
    const int32_t *k = c->known + b->offset + cy * CELL * b->stride + cx * CELL;
    uint32_t sum = 0;
    for (ptrdiff_t i = 0; i < CELL; i++)
        sum += magnitude(k[i - s]) + magnitude(k[i + CELL * s]) + magnitude(k[i * s - 1]) + magnitude(k[i * s + CELL]);
    if (b->parent != NONE) {
        const subband_t *o = c->bands + b->parent;
        const int32_t *q = c->known + o->offset + cy * 2 * o->stride + cx * 2;
        sum += magnitude(q[0]) + magnitude(q[1]) + magnitude(q[o->stride]) + magnitude(q[o->stride + 1]);
    }
    if (b->first != NONE) sum += cell_sum(c, c->bands + b->first, cy, cx);
    sum *= 2;
    if (b->sibling != NONE) sum += cell_sum(c, c->bands + b->sibling, cy, cx);
    return sum;
}

/* Whether both sides know that nothing is in a cell. */
static inline int hole(const coder_t *c, uint32_t at) { return c->holes != NULL && c->holes[at]; }

static uint32_t open_places(const coder_t *c, const subband_t *b, uint32_t cy, uint32_t cx)
{
    uint32_t y0 = cy * CELL, x0 = cx * CELL, y1 = y0 + CELL < b->height ? y0 + CELL : b->height,
             x1 = x0 + CELL < b->width ? x0 + CELL : b->width, n = (y1 - y0) * (x1 - x0);
    if (c->holes == NULL) return n;
    for (uint32_t y = y0; y < y1; y++)
        for (uint32_t x = x0; x < x1; x++) n -= c->holes[b->offset + y * b->stride + x];
    return n;
}

/* The coefficients of a cell in which something is known to be found in this plane. */
static void code_new_cell(coder_t *c, const view_t *view, uint32_t cy, uint32_t cx)
{
    const subband_t *b = view->b;
    uint32_t y0 = cy * CELL, x0 = cx * CELL, y1 = y0 + CELL < b->height ? y0 + CELL : b->height,
             x1 = x0 + CELL < b->width ? x0 + CELL : b->width, left = open_places(c, b, cy, cx), n = 0;
    for (uint32_t y = y0; y < y1; y++)
        for (uint32_t x = x0; x < x1; x++) {
            uint32_t at = b->offset + y * b->stride + x;
            if (hole(c, at)) continue;
            int bit = 1, p = c->plane + 1; /* the last one must be it when no other was */
            around_t a = look_around(view, y, x);
            if (left > 1 || n > 0) {
                uint32_t found = n < 2 ? n : 2, all = fine_class(a.all >> p);
                inputs_t i = {{
                    c->states + AT_NEW_ALL + group_class(b) * ALL_CLASSES + all,
                    c->states + AT_NEW + (found * 4 + (left - 1) / 4) * 3 + b->level,
                    c->states + AT_NEW_CROSS + cross_context(&a, p),
                }, 3, SET_NEW + found};
                if (turning(c)) {
                    uint32_t q = QUANTISER(c->state);
                    i.states[i.n++] = c->states + AT_TURN_NEW + (q * GROUPS + group_class(b)) * ALL_CLASSES + all;
                    i.set += SET_TURN_NEW - SET_NEW + q * 3;
                }
                prob_t *date = beside_date(c, &i, at);
                if (date) {
                    uint32_t there = date_class(c, at, p);
                    i.states[i.n++] = date + AT_DATE_NEW + (group_class(b) * 12 + there % 12) * 12 + all / 2;
                    i.states[i.n++] = date + AT_DATE_NEW_POINT + (b->level * 144 + there) * 3 + found;
                }
                bit = decide(c, magnitude_bit(c, at), &i);
            }
            if (bit && c->rc.settled) code_sign(c, view, y, x);
            turn(c, at, bit);
            if (!c->rc.settled) return;
            n += (uint32_t)bit;
            left--;
        }
}

static int cell_holds(const coder_t *c, const subband_t *b, uint32_t cy, uint32_t cx)
{
    const int32_t *v = c->values + b->offset + cy * CELL * b->stride + cx * CELL;
    uint32_t any = 0;
    for (uint32_t y = 0; y < CELL; y++, v += b->stride)
        for (uint32_t x = 0; x < CELL; x++) any |= magnitude(v[x]);
    return any >> (c->plane + FRACTION) != 0;
}

/* The trellis goes on behind an empty cell: a zero each value. */
static void turn_cell(coder_t *c, const subband_t *b, uint32_t cy, uint32_t cx)
{
    for (uint32_t y = cy * CELL; y < (cy + 1) * CELL && y < b->height; y++)
        for (uint32_t x = cx * CELL; x < (cx + 1) * CELL && x < b->width; x++)
            if (!hole(c, b->offset + y * b->stride + x)) turn(c, b->offset + y * b->stride + x, 0);
}

static void code_cell(coder_t *c, const view_t *view, uint32_t cy, uint32_t cx)
{
    const subband_t *b = view->b;
    uint32_t cell = b->cell_offset + cy * b->cell_stride + cx, parent = 0, first = 0, sibling = 0;
    ptrdiff_t s = b->cell_stride;
    const uint8_t *e = c->cell + cell;
    uint32_t beside = (e[-1] != 0) + 2u * (e[1] != 0) + 4u * (e[-s] != 0) + 8u * (e[s] != 0);
    uint32_t n = (e[-1] != 0) + (e[1] != 0) + (e[-s] != 0) + (e[s] != 0)
               + (e[-s - 1] != 0) + (e[-s + 1] != 0) + (e[s - 1] != 0) + (e[s + 1] != 0);
    uint32_t near = n < 3 ? n : n < 6 ? 3 : 4;
    if (b->parent != NONE) parent = cell_age(c, c->bands + b->parent, cy >> 1, cx >> 1);
    if (b->first != NONE) first = cell_age(c, c->bands + b->first, cy, cx);
    if (b->sibling != NONE) sibling = cell_age(c, c->bands + b->sibling, cy, cx) != 0;
    uint32_t around = fine_class(cell_surroundings(c, b, cy, cx) >> (c->plane + 1));
    inputs_t i = {{
        c->states + AT_CELL_NEAR + ((near * 3 + parent) * 3 + first) * 2 + sibling,
        c->states + AT_CELL_FOUR + (beside * 3 + parent) * 3 + kind_class(b),
        c->states + AT_CELL_COMPONENT + (group_class(b) * 16 + b->component) * 3 + (near < 2 ? near : 2),
        c->states + AT_CELL_SUM + b->level * ALL_CLASSES + around,
    }, 4, SET_CELL + b->level};
    prob_t *date = beside_date(c, &i, b->offset + cy * CELL * b->stride + cx * CELL);
    if (date) {
        uint32_t there = fine_class(c->date_cell[cell] >> (c->plane + 1));
        i.states[i.n++] = date + AT_DATE_CELL + (group_class(b) * ALL_CLASSES + there) * 5 + near;
        i.states[i.n++] = date + AT_DATE_CELL_SUM + (b->level * ALL_CLASSES + there) * 12 + around / 2;
    }
    int bit = decide(c, c->rc.decoding ? 0 : cell_holds(c, b, cy, cx), &i);
    if (!c->rc.settled) return;
    if (!bit) {
        turn_cell(c, b, cy, cx);
        return;
    }
    c->cell[cell] = (uint8_t)(c->plane + 1);
    code_new_cell(c, view, cy, cx);
}

static int subband_holds(const coder_t *c, const subband_t *b)
{
    for (uint32_t cy = 0; cy * CELL < b->height; cy++)
        for (uint32_t cx = 0; cx * CELL < b->width; cx++)
            if (cell_holds(c, b, cy, cx)) return 1;
    return 0;
}

#endif
