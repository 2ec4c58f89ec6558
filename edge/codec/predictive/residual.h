/* One sample: what is left of it after the prediction, in adaptive bits whose contexts are the errors around it. */
#ifndef SP_PREDICTIVE_RESIDUAL_H
#define SP_PREDICTIVE_RESIDUAL_H

#include "predictive.h"
#include "prior.h"

#define LEVELS 64
#define UNARY 20
#define SIGN_FIRST 20 /* levels from here on code the sign first, those below whether there is a residual at all */
#define ERROR_PAD 2
#define WIDE 4          /* columns each way of the slow mean of errors */

typedef struct {
    bit_t zero[3], sign[5], more[UNARY], low[3][2];
} level_t;

typedef struct {
    level_t level[LEVELS];
    number_t beyond;
    bit_t left[8][2][2][4], above[8][2][4]; /* of code_copy: by cell so far, cells above, other band */
    uint8_t *heights;     /* rows of the cell so far; that of the row above until a pixel is coded */
    int32_t *given, *coded; /* the same of codes as they were and as they are decoded */
    uint32_t *wide;     /* by column, 8 times a mean of the errors above that forgets slowly */
    int32_t sums[MAX_CLASSES][GROUPS]; /* of the weights of a class, by group */
    uint16_t *error[3]; /* |errors| in 1/16 of the rows y - 2, y - 1, y in turns */
    int32_t *missed[3]; /* refined: codes less their predictions before that, in 1/16, in the same turns */
    uint32_t *spread;   /* refined: as wide, of those */
} model_t;

typedef struct { int32_t width, reached; } run_t; /* pixels of the cell so far in this row */

static const uint8_t FRACTION_CONTEXT[16] = {0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4};

/* inverse: 2^16 / step, rounded down; reciprocal: 2^36 / step, rounded up. */
typedef struct { model_t *m; int32_t step, last; uint32_t inverse; uint64_t reciprocal; } residual_t;

#define TRUST 14 /* how many values the prior counts for */

static inline void start_level(level_t *l, uint32_t level)
{
    const uint16_t *prior = PRIOR[level < SIGN_FIRST ? level : SIGN_FIRST + (level & 3)];
    bit_t *bits = (bit_t *)(void *)l;
    for (uint32_t i = 0; i < sizeof *l / sizeof *bits; i++) bits[i] = (bit_t){prior[i], TRUST};
}

/* Four steps an octave of the expected error; t is 2^11 for 1. */
INLINE uint32_t level_of(uint32_t t)
{
    uint32_t top = ilog2(t + 64), level = ((top - 6) << 2) + (((t + 64) >> (top - 2)) & 3);
    return level < LEVELS ? level : LEVELS - 1;
}

/* 0.. coded in units of 2^k: unary, then the highest low bit, then the others as they are. */
INLINE uint32_t code_magnitude(coder_t *c, const residual_t *r, level_t *l, uint32_t k, uint32_t e)
{
    uint32_t units = e >> k, n = 0;
    while (n < UNARY && code_branch(c, &l->more[n], n < units)) n++;
    if (UNLIKELY(n == UNARY)) {
        coder_t copy = *c;
        n += code_number(&copy, &r->m->beyond, units - UNARY);
        *c = copy;
        if (n > 1u << 17) { /* no encoder writes it */
            if (!c->failed) c->failed = CORRUPT;
            return 0;
        }
    }
    if (k == 0) return n;
    uint32_t high = (uint32_t)code_bit(c, &l->low[n < 2 ? n : 2][0], (int)(e >> (k - 1) & 1));
    if (k == 1) return n << k | high;
    uint32_t next = (uint32_t)code_bit(c, &l->low[n < 2 ? n : 2][1], (int)(e >> (k - 2) & 1));
    return n << k | high << (k - 1) | next << (k - 2) | code_raw(c, k - 2, e & ((1u << (k - 2)) - 1));
}

/* To the nearest number of steps. Without a division: its result is off by less than 1 / step, as |d| + step / 2 is below
 * 2^18 and step below 2^18. */
INLINE int32_t divide_rounded(const residual_t *r, int32_t d)
{
    if (r->step == 1) return d;
    uint64_t away = (uint64_t)((d < 0 ? -d : d) + (r->step >> 1));
    int32_t q = (int32_t)(away * r->reciprocal >> 36);
    return d < 0 ? -q : q;
}

/* One sample: its code, given the prediction (1/16) and the context's sum of errors. */
INLINE int32_t code_sample(coder_t *c, const residual_t *r, int32_t predicted, uint32_t sum, int32_t code)
{
    int32_t nearest = (predicted + 8) >> FRACTION, fraction = predicted - nearest * 16, q = 0;
    uint32_t context = r->step == 1 ? FRACTION_CONTEXT[fraction + 8] : 2;
    uint32_t t = r->step == 1 ? sum : (uint32_t)(((uint64_t)sum * r->inverse) >> 16);
    uint32_t level = level_of(t);
    level_t *l = &r->m->level[level];
    if (c->encoding) q = divide_rounded(r, code - nearest);
    if (level < SIGN_FIRST) {
        uint32_t away = context < 2 ? 2 - context : context - 2;
        if (code_branch(c, &l->zero[away], q != 0)) {
            int negative = code_bit(c, &l->sign[context], q < 0);
            uint32_t e = code_magnitude(c, r, l, 0, (uint32_t)(negative ? -q : q) - 1);
            q = negative ? -(int32_t)e - 1 : (int32_t)e + 1;
        }
    } else {
        uint32_t k = (level >> 2) - 4;
        int negative = code_bit(c, &l->sign[context], q < 0);
        uint32_t e = code_magnitude(c, r, l, k, (uint32_t)(negative ? -q - 1 : q));
        q = negative ? -(int32_t)e - 1 : (int32_t)e;
    }
    int64_t value = nearest + (int64_t)q * r->step;
    if (value < 0 || value > r->last) {
        if (!c->encoding && (r->step == 1 || value < -r->last - r->step || value > 2 * (int64_t)r->last + r->step)) {
            if (!c->failed) c->failed = CORRUPT;
        }
        value = value < 0 ? 0 : r->last;
    }
    return (int32_t)value;
}

#endif
