/* Refined predictions: a small fixed network moves a prediction and says how much less, or more, is expected of its error.
 *
 * It sees pixels and errors around in units of the errors in the rows above, so that one table (refine_table.c, in integers) does
 * for all bands and places. What the rows above give is summed for a row at once (refine.c); what the pixels before give is added
 * here, pixel by pixel.
 */
#ifndef SP_PREDICTIVE_REFINE_H
#define SP_PREDICTIVE_REFINE_H

#include "predictive.h"

#define HIDDEN 32
#define ROW_INPUTS 32   /* known with the rows above */
#define NEAR_INPUTS 8   /* only with the pixels before */
#define INPUT_BITS 6    /* an input of 1 is 2^6 */
#define HIDDEN_SHIFT 8  /* weights of the hidden units are in 1/2^8 */
#define OUTPUT_SHIFT 6  /* those of the outputs in 1/2^10; outputs are left in 1/2^10 */
#define INVERSE_BITS 20
#define FURTHEST 6      /* differences count up to so many times the scale, errors up to 4 times */
#define FURTHEST_ERROR 4
#define LARGEST_GAIN 32 /* of the expected error: two octaves, in 1/16 */
#define UNSEEN 2        /* rows that must be known */
#define AHEAD 32        /* pixels whose sums are made at once where the others have to be decoded first */

/* What is known of a row. Inputs stand in pairs, the first in the lower half: those of the rows above, then those near. */
typedef struct {
    uint32_t pair[(ROW_INPUTS + NEAR_INPUTS) / 2][MAX_SIDE];
    int32_t scale[MAX_SIDE], inverse[MAX_SIDE];
    int32_t partial[AHEAD][HIDDEN];    /* sums of the hidden units over the inputs from the rows above, for the pixels up to */
    int32_t summed, width;             /* `summed` alone */
    uint64_t out[MAX_SIDE];            /* outputs, the first in the lower half */
    uint32_t around[MAX_SIDE];
    uint16_t size[2][MAX_SIDE + 4]; /* |errors| of the rows above, and 2 on each side */
} refine_t;

/* What is known of a pixel before the one left of it, in 1/16 of a code: the one before that and the one above that, less the one
 * above, and the error of the one before that. */
typedef struct { int32_t second, corner, missed; } near_t;

/* The two weights of inputs that stand together, by hidden unit. */
typedef struct {
    int16_t row[ROW_INPUTS / 2][HIDDEN][2], near[NEAR_INPUTS / 2][HIDDEN][2], out[2][HIDDEN];
    int32_t bias[HIDDEN], out_bias[2];
} network_t;
extern const network_t REFINE_NETWORK;

/* 2^12 times 2^(i/16). */
extern const uint16_t GAIN[2 * LARGEST_GAIN + 1];

INLINE uint32_t paired(int32_t first, int32_t second) { return (uint32_t)(uint16_t)first | (uint32_t)second << 16; }

/* By which the expected error is multiplied, 2^12 for 1, as the second output says. */
INLINE uint32_t gain_of(uint64_t out)
{
    const int32_t log = (int32_t)(out >> 32) >> (OUTPUT_SHIFT + 6);
    return GAIN[LARGEST_GAIN + (log < -LARGEST_GAIN ? -LARGEST_GAIN : min32(log, LARGEST_GAIN))];
}

/* How far a prediction moves, in 1/16 of a code, as the first output says. */
INLINE int32_t move_of(uint64_t out, int32_t scale)
{
    return (int32_t)((int64_t)((int32_t)(out & UINT32_MAX) >> OUTPUT_SHIFT) * scale >> 10);
}

/* The same sums of integers in vectors of what the processor has (refine_sums.h); one table for all processors. */
typedef struct {
    void (*put_inputs)(refine_t *f, const int16_t *own, int32_t stride, const int32_t *n, const int32_t *nn, int32_t width,
                       int has_refs);
    void (*put_near)(refine_t *f, const int16_t *own, int32_t stride, const int32_t *predicted, const int32_t *missed,
                     int32_t width);
    void (*put_outputs)(refine_t *f, int32_t width); /* of a row whose inputs are all known */
    /* Outputs of a pixel, given the prediction and the pixel before, less the one above, and the error before. */
    uint64_t (*pixel)(refine_t *f, int32_t x, int32_t predicted, int32_t left, int32_t missed, const near_t *near);
} refine_sums_t;

extern const refine_sums_t REFINE_SUMS;
#if defined(WIDE_VECTORS)
extern const refine_sums_t REFINE_SUMS_WIDE; /* needs AVX2 */
#endif

#endif
