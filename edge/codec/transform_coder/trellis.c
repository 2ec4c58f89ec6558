/* The encoder's choice of a trellis's indices: least squared error plus what the bits are worth, by Viterbi's algorithm, a subband
 * at a time in the order in which plane 0 codes it. The encoder's half: nobody has to come to the same indices. */
#include "bitplane.h"
#include <math.h>
#include <stdlib.h>

enum { CLASSES = 24, COSTS = 18, CANDIDATES = 3 };

/* costs: bits of an index with its sign, by quantiser, class of what stands around, index; scale: 1 / step. holes: as in coder_t. */
typedef struct { const float *costs; const uint8_t *holes; float scale, worth; } terms_t;

typedef struct { uint8_t from; int32_t index; } step_t;

static inline float size_at(const float *at) { return fabsf(*at); }

/* Class of what an index is expected to be: magnitudes around in steps, two classes an octave. */
static unsigned class_of(const float *values, const subband_t *b, const subband_t *parent, uint32_t y, uint32_t x, float scale)
{
    const float *v = values + b->offset + (size_t)y * b->stride + x;
    ptrdiff_t s = b->stride;
    float around = (2 * (size_at(v - 1) + size_at(v + 1) + size_at(v - s) + size_at(v + s))
                    + size_at(v - s - 1) + size_at(v - s + 1) + size_at(v + s - 1) + size_at(v + s + 1)) / 12;
    if (parent) {
        uint32_t py = y >> 1 < parent->height ? y >> 1 : parent->height - 1;
        uint32_t px = x >> 1 < parent->width ? x >> 1 : parent->width - 1;
        around = 0.85f * around + 0.075f * size_at(values + parent->offset + (size_t)py * parent->stride + px);
    }
    float octaves = around * scale > 1e-6f ? 2 * log2f(around * scale) + 10 : 0;
    return octaves < 0 ? 0 : octaves > CLASSES - 1 ? CLASSES - 1 : (unsigned)octaves;
}

static inline float bits_of(const float *costs, int32_t index)
{
    return index < COSTS ? costs[index] : costs[COSTS - 1] + 2 * log2f((float)(index + 1) / COSTS);
}

/* One value: where every state leads, and what it costs from the start. */
static void advance(const terms_t *t, float size, unsigned class, float *total, step_t *steps)
{
    float next[TRELLIS_STATES];
    for (int s = 0; s < TRELLIS_STATES; s++) next[s] = INFINITY;
    for (int q = 0; q < 2; q++) {
        const float *costs = t->costs + ((size_t)q * CLASSES + class) * COSTS;
        int32_t below = (int32_t)((size + (float)q) * 0.5f), index[CANDIDATES] = {below, below + 1, 0};
        int n = below > 0 && below < 3 ? 3 : 2;
        float price[CANDIDATES];
        for (int i = 0; i < n; i++) {
            float away = size - (float)(2 * index[i] - (q && index[i]));
            price[i] = away * away + t->worth * bits_of(costs, index[i]);
        }
        for (int s = q; s < TRELLIS_STATES; s += 2) /* odd states have the second quantiser */
            for (int i = 0; i < n; i++) {
                float sum = total[s] + price[i];
                int to = NEXT_STATE[s][index[i] & 1];
                if (sum < next[to]) {
                    next[to] = sum;
                    steps[to].from = (uint8_t)s;
                    steps[to].index = index[i];
                }
            }
    }
    float least = next[0];
    for (int s = 1; s < TRELLIS_STATES; s++) least = next[s] < least ? next[s] : least;
    for (int s = 0; s < TRELLIS_STATES; s++) total[s] = next[s] - least; /* so that floats stay exact enough */
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
                      int32_t *indices)
{
    const subband_t *parent = b->parent == NONE ? NULL : bands + b->parent;
    float total[TRELLIS_STATES] = {0};
    step_t *step = steps;
    for (int s = 1; s < TRELLIS_STATES; s++) total[s] = INFINITY;
    IN_ORDER(b, t->holes, {
        advance(t, size_at(values + at) * t->scale, class_of(values, b, parent, y, x, t->scale), total, step);
        step += TRELLIS_STATES;
    })
    int best = 0;
    for (int s = 1; s < TRELLIS_STATES; s++) best = total[s] < total[best] ? s : best;
    while (step > steps) { /* back along the best path */
        step -= TRELLIS_STATES;
        int32_t index = step[best].index;
        best = step[best].from;
        step->index = index;
    }
    IN_ORDER(b, t->holes, {
        indices[at] = values[at] < 0 ? -step->index : step->index;
        step += TRELLIS_STATES;
    })
}

/* values: n_values, zero outside of subbands. holes: n_values or NULL. step: of the trellis. worth: squared steps a bit. costs: (2, CLASSES, COSTS).
 * work: TRELLIS_STATES step_t a value of the largest subband. indices: n_values, zero where nothing stands. */
API void sp_trellis_choose(const subband_t *bands, uint32_t n_bands, const float *values, const uint8_t *holes,
                           float step, float worth, const float *costs, void *work, int32_t *indices)
{
    terms_t terms = {costs, holes, 1 / step, worth};
    for (uint32_t i = 0; i < n_bands; i++) choose_in(bands, bands + i, values, &terms, work, indices);
}

/* How often an index stands where: adds to counts (2, CLASSES, COSTS), for whoever fits the costs. */
API void sp_trellis_count(const subband_t *bands, uint32_t n_bands, const float *values, float step,
                          const int32_t *indices, uint64_t *counts)
{
    for (uint32_t i = 0; i < n_bands; i++) {
        const subband_t *b = bands + i, *parent = b->parent == NONE ? NULL : bands + b->parent;
        uint32_t state = 0;
        IN_ORDER(b, (const uint8_t *)NULL, {
            int32_t index = abs(indices[at]);
            size_t row = QUANTISER(state) * CLASSES + class_of(values, b, parent, y, x, 1 / step);
            counts[row * COSTS + (index < COSTS ? index : COSTS - 1)]++;
            state = NEXT_STATE[state][index & 1];
        })
    }
}
