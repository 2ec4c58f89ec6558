/* The encoder's choice of a trellis's indices: least squared error plus what the bits are worth, by Viterbi's algorithm, a subband
 * at a time in the order in which plane 0 codes it. The encoder's half: nobody has to come to the same indices. */
#include "bitplane.h"
#include <math.h>
#include <stdlib.h>

enum { CLASSES = 24, COSTS = 18, LEVELLED = 32 };

/* prices: what an index with its sign costs, in squared steps, by quantiser, class of what stands around, index; worth: squared steps a
 * bit; scale: 1 / step. holes: as in coder_t. */
typedef struct { float prices[2][CLASSES][COSTS]; const uint8_t *holes; float scale, worth; } terms_t;

/* At a value: the index of the first quantiser below its size, `more`: by how much that of the second one is greater; which of its two
 * predecessors every state has, a bit each; for which quantisers an even index is better 0, a bit each. */
typedef struct { int32_t below; uint8_t more, from, zero; } step_t;

/* The two states that lead to one, the lower one first, and the parities by which they do. */
static const uint8_t BEFORE[TRELLIS_STATES][2] = {{0, 4}, {2, 6}, {0, 4}, {2, 6}, {3, 5}, {1, 7}, {3, 5}, {1, 7}};
static const uint8_t PARITY[TRELLIS_STATES][2] = {{0, 1}, {0, 1}, {1, 0}, {1, 0}, {1, 0}, {0, 1}, {0, 1}, {1, 0}};

static inline float size_at(const float *at) { return fabsf(*at); }

/* Mean of the sizes around a value, those beside it twice. s: from row to row. */
static inline float around_at(const float *v, ptrdiff_t s)
{
    return (2 * (size_at(v - 1) + size_at(v + 1) + size_at(v - s) + size_at(v + s))
            + size_at(v - s - 1) + size_at(v - s + 1) + size_at(v + s - 1) + size_at(v + s + 1)) / 12;
}

static inline const float *row_at(const float *values, const subband_t *b, uint32_t y)
{
    return values + b->offset + (size_t)y * b->stride;
}

/* The row of the parent that stands behind a row. */
static inline const float *parent_row(const float *values, const subband_t *parent, uint32_t y)
{
    return row_at(values, parent, y >> 1 < parent->height ? y >> 1 : parent->height - 1);
}

static inline float with_parent(float around, const float *row, const subband_t *parent, uint32_t x)
{
    return 0.85f * around + 0.075f * size_at(row + (x >> 1 < parent->width ? x >> 1 : parent->width - 1));
}

/* Class of what an index is expected to be, in steps: two classes an octave, from 1 / 32 on. */
static inline uint32_t class_of(float expected)
{
    uint32_t bits;
    memcpy(&bits, &expected, sizeof bits); /* exponent, and whether the rest is above the root of two */
    int32_t class = 2 * (int32_t)(bits >> 23) - 2 * 127 + 10 + ((bits & 0x7FFFFF) >= 0x3504F3);
    return class < 0 ? 0 : class > CLASSES - 1 ? CLASSES - 1 : (uint32_t)class;
}

/* (height, width) classes of a subband's values. */
static void classify(const float *values, const subband_t *b, const subband_t *parent, float scale, uint8_t *classes)
{
    float around[MAX_WIDTH];
    for (uint32_t y = 0; y < b->height; y++, classes += b->width) {
        const float *v = row_at(values, b, y);
        for (uint32_t x = 0; x < b->width; x++) around[x] = around_at(v + x, b->stride);
        if (parent) {
            const float *above = parent_row(values, parent, y);
            for (uint32_t x = 0; x < b->width; x++) around[x] = with_parent(around[x], above, parent, x);
        }
        for (uint32_t x = 0; x < b->width; x++) classes[x] = (uint8_t)class_of(around[x] * scale);
    }
}

/* Squared error and price of an index of one of the quantisers. */
static inline float cost_of(const terms_t *t, unsigned q, uint32_t class, float size, int32_t index)
{
    float away = size - (float)(2 * index - (q && index)), price = t->prices[q][class][index < COSTS ? index : COSTS - 1];
    if (index >= COSTS) price += t->worth * 2 * log2f((float)(index + 1) / COSTS);
    return away * away + price;
}

/* The least costs of an even and of an odd index; returns whether the even one is 0 beside nearer ones. */
static inline unsigned weigh(const terms_t *t, unsigned q, uint32_t class, float size, int32_t below, float cost[2])
{
    cost[below & 1] = cost_of(t, q, class, size, below);
    cost[~below & 1] = cost_of(t, q, class, size, below + 1);
    if (below != 1 && below != 2) return 0;
    float zero = cost_of(t, q, class, size, 0);
    if (zero >= cost[0]) return 0;
    cost[0] = zero;
    return 1;
}

/* One value: what every state costs from the start, and from which one it is reached. */
static inline void advance(const terms_t *t, float size, uint32_t class, float total[TRELLIS_STATES], step_t *step)
{
    float cost[2][2], next[TRELLIS_STATES];
    int32_t below = (int32_t)(size * 0.5f), second = (int32_t)((size + 1) * 0.5f);
    step->below = below;
    step->more = (uint8_t)(second - below);
    step->zero = (uint8_t)(weigh(t, 0, class, size, below, cost[0]) | weigh(t, 1, class, size, second, cost[1]) << 1);
    unsigned from = 0;
    for (int to = 0; to < TRELLIS_STATES; to++) {
        const float *of = cost[to >= TRELLIS_STATES / 2]; /* states 0 to 3 are led to by even ones */
        float low = total[BEFORE[to][0]] + of[PARITY[to][0]], high = total[BEFORE[to][1]] + of[PARITY[to][1]];
        next[to] = high < low ? high : low;
        from |= (unsigned)(high < low) << to;
    }
    step->from = (uint8_t)from;
    memcpy(total, next, sizeof next);
}

/* Takes the least from all, so that floats stay exact enough. */
static void level(float total[TRELLIS_STATES])
{
    float least = total[0];
    for (int s = 1; s < TRELLIS_STATES; s++) least = total[s] < least ? total[s] : least;
    for (int s = 0; s < TRELLIS_STATES; s++) total[s] -= least;
}

/* The index at a step by which `state` is reached; state: the one before it, then. */
static inline int32_t index_at(const step_t *step, int *state)
{
    unsigned which = step->from >> *state & 1;
    int32_t parity = PARITY[*state][which];
    *state = BEFORE[*state][which];
    unsigned q = QUANTISER((unsigned)*state);
    int32_t below = step->below + (q ? step->more : 0);
    if (parity == 0 && step->zero >> q & 1) return 0;
    return below + ((below & 1) != parity);
}

/* Does `body` for every value of a subband, at `at`, in the order of plane 0: cell by cell, but for holes. */
#define IN_ORDER(b, holes, body)                                                                                \
    for (uint32_t cy = 0; cy < (b)->height; cy += CELL)                                                         \
        for (uint32_t cx = 0; cx < (b)->width; cx += CELL)                                                      \
            for (uint32_t y = cy; y < cy + CELL && y < (b)->height; y++)                                        \
                for (uint32_t x = cx; x < cx + CELL && x < (b)->width; x++) {                                   \
                    size_t at = (b)->offset + (size_t)y * (b)->stride + x;                                      \
                    if ((holes) && (holes)[at]) continue;                                                       \
                    body                                                                                        \
                }

static void choose_in(const subband_t *bands, const subband_t *b, const float *values, const terms_t *t, step_t *steps,
                      uint8_t *classes, int32_t *indices)
{
    float total[TRELLIS_STATES] = {0};
    step_t *step = steps;
    classify(values, b, b->parent == NONE ? NULL : bands + b->parent, t->scale, classes);
    for (int s = 1; s < TRELLIS_STATES; s++) total[s] = INFINITY;
    IN_ORDER(b, t->holes, {
        advance(t, size_at(values + at) * t->scale, classes[(size_t)y * b->width + x], total, step);
        if ((++step - steps) % LEVELLED == 0) level(total);
    })
    int best = 0;
    for (int s = 1; s < TRELLIS_STATES; s++) best = total[s] < total[best] ? s : best;
    while (step > steps) { /* back along the best path */
        step--;
        step->below = index_at(step, &best);
    }
    IN_ORDER(b, t->holes, {
        indices[at] = values[at] < 0 ? -step->below : step->below;
        step++;
    })
}

API size_t sp_trellis_workspace(uint32_t largest) { return largest * (sizeof(step_t) + 1); }

/* values: n_values, zero outside of subbands. holes: n_values or NULL. step: of the trellis. worth: squared steps a bit. costs: (2, CLASSES,
 * COSTS) bits. work: sp_trellis_workspace bytes of the values of the largest subband. indices: n_values, zero where nothing stands. */
API void sp_trellis_choose(const subband_t *bands, uint32_t n_bands, const float *values, const uint8_t *holes,
                           float step, float worth, const float *costs, uint32_t largest, void *work, int32_t *indices)
{
    terms_t terms = {.holes = holes, .scale = 1 / step, .worth = worth};
    float *prices = &terms.prices[0][0][0];
    for (int i = 0; i < 2 * CLASSES * COSTS; i++) prices[i] = worth * costs[i];
    uint8_t *classes = (uint8_t *)work + largest * sizeof(step_t);
    for (uint32_t i = 0; i < n_bands; i++) choose_in(bands, bands + i, values, &terms, work, classes, indices);
}

/* How often an index stands where: adds to counts (2, CLASSES, COSTS), for whoever fits the costs. */
API void sp_trellis_count(const subband_t *bands, uint32_t n_bands, const float *values, float step,
                          const int32_t *indices, uint64_t *counts)
{
    for (uint32_t i = 0; i < n_bands; i++) {
        const subband_t *b = bands + i, *parent = b->parent == NONE ? NULL : bands + b->parent;
        uint32_t state = 0;
        IN_ORDER(b, (const uint8_t *)NULL, {
            uint32_t index = (uint32_t)abs(indices[at]);
            float around = around_at(values + at, b->stride);
            if (parent) around = with_parent(around, parent_row(values, parent, y), parent, x);
            size_t row = QUANTISER(state) * CLASSES + class_of(around / step);
            counts[row * COSTS + (index < COSTS ? index : COSTS - 1)]++;
            state = NEXT_STATE[state][index & 1];
        })
    }
}
