/* What is known around a place of a subband, the classes that it falls into, and decisions by them. For bitplane.c alone. */
#ifndef SP_TRANSFORM_CONTEXTS_H
#define SP_TRANSFORM_CONTEXTS_H

#include "bitplane.h"

enum { LIMIT = 255, LEARNING_SHIFT = 16 };

/* Coefficients that are missing go together: their errors add up to 1.08 of what the 9/7 wavelet's norms say, and what is told
 * of them by their neighbours (estimate.c) takes 0.04 off. Means over training scenes. */
#define MISSING 1.04

static inline uint32_t top_bit(uint32_t x)
{
#if defined(__GNUC__)
    return 31u - (uint32_t)__builtin_clz(x);
#else
    uint32_t n = 0;
    while (x >>= 1) n++;
    return n;
#endif
}

/* Two classes an octave: 0, 1, 2, 3, 4-5, 6-7, 8-11, ... are 0, 1, 3, 4, 5, 6, 7, ..., at most `most`. */
static inline uint32_t log_class(uint32_t x, uint32_t most)
{
    if (x == 0) return 0;
    uint32_t n = top_bit(x), c = 1 + 2 * n + (n ? x >> (n - 1) & 1 : 0);
    return c < most ? c : most;
}

/* The same of a sum of magnitudes in 1/64 from tables, as most decisions ask for several: log_class itself (at most 23), one of
 * seven classes and one of five. */
#define T2(v) v, v
#define T4(v) T2(v), T2(v)
#define T8(v) T4(v), T4(v)
#define T16(v) T8(v), T8(v)
#define T32(v) T16(v), T16(v)
#define T64(v) T32(v), T32(v)
#define T128(v) T64(v), T64(v)
#define T256(v) T128(v), T128(v)
#define T512(v) T256(v), T256(v)
#define BY_CLASS(f) f(0), f(1), f(3), f(4), T2(f(5)), T2(f(6)), T4(f(7)), T4(f(8)), T8(f(9)), T8(f(10)), T16(f(11)), T16(f(12)), \
    T32(f(13)), T32(f(14)), T64(f(15)), T64(f(16)), T128(f(17)), T128(f(18)), T256(f(19)), T256(f(20)), T512(f(21)), T512(f(22)), f(23)
#define FINE_OF(c) c
#define COARSE_OF(c) ((c) < 1 ? 0 : (c) < 7 ? 1 : (c) < 11 ? 2 : (c) < 14 ? 3 : (c) < 17 ? 4 : (c) < 20 ? 5 : 6)
#define COARSER_OF(c) ((COARSE_OF(c) * 4 + 5) / 6)
#define MOST_SUM 2048u /* from here on every class is the last one */
static const uint8_t FINE[] = {BY_CLASS(FINE_OF)}, COARSE[] = {BY_CLASS(COARSE_OF)}, COARSER[] = {BY_CLASS(COARSER_OF)};
_Static_assert(sizeof FINE == MOST_SUM + 1, "a class for every sum");

static inline uint32_t in_table(const uint8_t *classes, uint32_t x) { return classes[x < MOST_SUM ? x : MOST_SUM]; }
static inline uint32_t fine_class(uint32_t x) { return in_table(FINE, x); }
static inline uint32_t coarse_class(uint32_t x) { return in_table(COARSE, x); }
static inline uint32_t coarser_class(uint32_t x) { return in_table(COARSER, x); }

/* Weights of magnitudes in what is expected, in 1/64, sum <= 127: two along the edges of a kind, two across, four
 * diagonal, parent, first, its four neighbours, second, sibling, other. Least squares on training scenes. */
static const uint8_t WEIGHTS[4][9] = {
    {8, 9, 4, 0, 2, 1, 1, 0, 0},
    {8, 9, 4, 4, 5, 2, 3, 5, 0},
    {8, 9, 4, 4, 5, 2, 3, 5, 0},
    {8, 7, 4, 3, 4, 2, 4, 6, 6},
};

/* Weights of signed neighbours in the value they predict, in 1/64: two beside, two above and below, four diagonal; for
 * the finest level and the others. High-pass coefficients alternate, because the spectrum falls within their octave. */
static const int8_t SIGNED_WEIGHTS[4][2][3] = {
    {{21, 16, -2}, {21, 16, -2}},
    {{-20, 10, 3}, {-12, 5, 0}},
    {{9, -19, 3}, {5, -12, -1}},
    {{-19, -20, -8}, {-6, -4, 0}},
};

/* What is known around a place: magnitudes, doubled; `all`, `space` and `cross` weighted. */
typedef struct { uint32_t all, space, cross, along, across, diagonal, parent; } around_t;

static inline uint32_t magnitude(int32_t v) { return (uint32_t)(v < 0 ? -v : v); }

static inline uint32_t place_in(const coder_t *c, uint32_t band, uint32_t y, uint32_t x)
{
    const subband_t *b = c->bands + band;
    return b->offset + y * b->stride + x;
}

/* A subband with its relatives, found once. One that is missing is a row of zeros, which every row is. */
typedef struct {
    const subband_t *b;
    const int32_t *known, *first, *second, *parent, *sibling, *other; /* at row 0, column 0 */
    ptrdiff_t stride, first_stride, second_stride, parent_stride, sibling_stride, other_stride;
} view_t;

static const int32_t *relative(const coder_t *c, uint32_t band, ptrdiff_t *stride)
{
    static const int32_t zeros[MAX_WIDTH + 2];
    if (band == NONE) {
        *stride = 0;
        return zeros + 1;
    }
    *stride = c->bands[band].stride;
    return c->known + c->bands[band].offset;
}

static view_t view_of(const coder_t *c, const subband_t *b)
{
    view_t v;
    v.b = b; v.known = c->known + b->offset; v.stride = b->stride;
    v.first = relative(c, b->first, &v.first_stride);
    v.second = relative(c, b->second, &v.second_stride);
    v.parent = relative(c, b->parent, &v.parent_stride);
    v.sibling = relative(c, b->sibling, &v.sibling_stride);
    v.other = relative(c, b->other, &v.other_stride);
    return v;
}

static inline around_t look_around(const view_t *view, ptrdiff_t y, ptrdiff_t x)
{
    uint32_t kind = view->b->kind;
    const uint8_t *w = WEIGHTS[kind];
    ptrdiff_t s = view->stride, fs = view->first_stride;
    const int32_t *k = view->known + y * s + x, *f = view->first + y * fs + x;
    uint32_t h = magnitude(k[-1]) + magnitude(k[1]), v = magnitude(k[-s]) + magnitude(k[s]);
    around_t a;
    a.along = kind == LH ? h : v;
    a.across = kind == LH ? v : h;
    a.diagonal = magnitude(k[-s - 1]) + magnitude(k[-s + 1]) + magnitude(k[s - 1]) + magnitude(k[s + 1]);
    a.parent = magnitude(view->parent[(y >> 1) * view->parent_stride + (x >> 1)]);
    a.space = w[0] * a.along + w[1] * a.across + w[2] * a.diagonal;
    a.cross = w[4] * magnitude(f[0])
            + w[5] * (magnitude(f[-1]) + magnitude(f[1]) + magnitude(f[-fs]) + magnitude(f[fs]))
            + w[6] * magnitude(view->second[y * view->second_stride + x]);
    a.all = a.space + a.cross + w[3] * a.parent
          + w[7] * magnitude(view->sibling[y * view->sibling_stride + x])
          + w[8] * magnitude(view->other[y * view->other_stride + x]);
    return a;
}

/* The value that signed neighbours predict, in 1/64 of what is doubled. */
static inline int32_t predicted_value(const view_t *view, ptrdiff_t y, ptrdiff_t x)
{
    const int8_t *g = SIGNED_WEIGHTS[view->b->kind][view->b->level > 0];
    ptrdiff_t s = view->stride;
    const int32_t *k = view->known + y * s + x;
    return g[0] * (k[-1] + k[1]) + g[1] * (k[-s] + k[s]) + g[2] * (k[-s - 1] + k[-s + 1] + k[s - 1] + k[s + 1]);
}

static inline uint32_t kind_class(const subband_t *b) { return b->kind == LL ? 0 : b->kind == HH ? 2 : 1; }

static inline uint32_t group_class(const subband_t *b) { return kind_class(b) * 3 + b->level; }

/* Up to MAX_INPUTS adaptive states of a decision, and its set of mixing weights. */
typedef struct { prob_t *states[MAX_INPUTS]; int n; uint32_t set; } inputs_t;

static inline int decide(coder_t *c, int bit, const inputs_t *i)
{
    return mixed_bit(&c->rc, c->tables, bit, i->states, i->n, c->weights[i->set], LIMIT, LEARNING_SHIFT);
}

/* The first of the states that decisions about a place have beside an earlier date, whose set of weights they then have too; NULL
 * where no date is known. */
static inline prob_t *beside_date(const coder_t *c, inputs_t *i, uint32_t at)
{
    if (c->date == NULL) return NULL;
    i->set += SET_DATE * (1u + c->predicted[at]);
    return c->states + c->predicted[at] * N_DATE;
}

/* Classes of the date's magnitudes at a place, twelve each: its own, and those around. */
static inline uint32_t date_class(const coder_t *c, uint32_t at, int plane)
{
    return log_class(16 * magnitude(c->date[at]) >> plane, 23) / 2 * 12 + log_class(c->date_near[at] >> plane, 23) / 2;
}

/* Squared error of a value of which nothing is known, and of one that is known to lie in an interval of 2^plane, in squared
 * units of plane 0; encoder only. */
static inline double missing_error(const coder_t *c, uint32_t at)
{
    double v = c->values[at] ? (magnitude(c->values[at]) + .5) / (1 << FRACTION) : 0;
    return v * v * MISSING;
}

static inline double known_error(const coder_t *c, uint32_t at, int plane)
{
    /* Where in its interval a value is expected, in 1/64: lower the fewer of its bits are known. */
    uint32_t twice = magnitude(c->known[at]), intervals = twice >> (plane + 1);
    uint32_t inside = intervals < 2 ? 27 : intervals < 4 ? 29 : 30;
    double middle = .5 * twice - (double)((uint32_t)1 << plane) * (32 - inside) / 64;
    double error = (magnitude(c->values[at]) + .5) / (1 << FRACTION) - middle;
    return error * error;
}

static double whole_error(const coder_t *c)
{
    double sum = 0;
    for (uint32_t i = 0; i < c->n_bands; i++) {
        const subband_t *b = c->bands + i;
        for (uint32_t y = 0; y < b->height; y++)
            for (uint32_t x = 0; x < b->width; x++) sum += missing_error(c, b->offset + y * b->stride + x);
    }
    return sum;
}

#endif
