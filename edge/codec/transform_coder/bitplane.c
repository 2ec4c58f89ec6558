/* Embedded bit-plane coding of subbands. See bitplane.h. */
#include "bitplane.h"

#define CELL_FLAG 0x80000000u
#define SPLIT(entry, y, x) uint32_t y = (entry) >> 12 & 0xFFF, x = (entry) & 0xFFF
#define SEGMENT_IN(entry) ((entry) >> 24 & 0xF)

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

/* Seven classes of a magnitude in 1/64. */
static inline uint32_t coarse_class(uint32_t x)
{
    static const uint8_t classes[24] = {0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 6};
    return classes[log_class(x, 23)];
}

/* Five of them. */
static inline uint32_t coarser_class(uint32_t x) { return (coarse_class(x) * 4 + 5) / 6; }

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

/* What is known around a place: magnitudes, doubled; `all`, `space`, `cross` and the signed `predicted` weighted. */
typedef struct { uint32_t all, space, cross, along, across, diagonal, parent; int32_t predicted; } around_t;

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
    const int8_t *g = SIGNED_WEIGHTS[kind][view->b->level > 0];
    ptrdiff_t s = view->stride, fs = view->first_stride;
    const int32_t *k = view->known + y * s + x, *f = view->first + y * fs + x;
    int32_t west = k[-1], east = k[1], north = k[-s], south = k[s];
    int32_t nw = k[-s - 1], ne = k[-s + 1], sw = k[s - 1], se = k[s + 1];
    uint32_t h = magnitude(west) + magnitude(east), v = magnitude(north) + magnitude(south);
    around_t a;
    a.along = kind == LH ? h : v;
    a.across = kind == LH ? v : h;
    a.diagonal = magnitude(nw) + magnitude(ne) + magnitude(sw) + magnitude(se);
    a.predicted = g[0] * (west + east) + g[1] * (north + south) + g[2] * (nw + ne + sw + se);
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
static void code_sign(coder_t *c, const subband_t *b, uint32_t at, int32_t predicted)
{
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
    uint32_t all = log_class(a.all >> p, ALL_CLASSES - 1);
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
    if (bit && c->rc.settled) code_sign(c, b, at, a.predicted);
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
                + offset_class(a.predicted, c->known[at], c->plane),
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
                uint32_t found = n < 2 ? n : 2, all = log_class(a.all >> p, ALL_CLASSES - 1);
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
            if (bit && c->rc.settled) code_sign(c, b, at, a.predicted);
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
    uint32_t around = log_class(cell_surroundings(c, b, cy, cx) >> (c->plane + 1), ALL_CLASSES - 1);
    inputs_t i = {{
        c->states + AT_CELL_NEAR + ((near * 3 + parent) * 3 + first) * 2 + sibling,
        c->states + AT_CELL_FOUR + (beside * 3 + parent) * 3 + kind_class(b),
        c->states + AT_CELL_COMPONENT + (group_class(b) * 16 + b->component) * 3 + (near < 2 ? near : 2),
        c->states + AT_CELL_SUM + b->level * ALL_CLASSES + around,
    }, 4, SET_CELL + b->level};
    prob_t *date = beside_date(c, &i, b->offset + cy * CELL * b->stride + cx * CELL);
    if (date) {
        uint32_t there = log_class(c->date_cell[cell] >> (c->plane + 1), ALL_CLASSES - 1);
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

/* Which subbands a plane is the first to find something in. */
static void start_subbands(coder_t *c)
{
    for (uint32_t i = 0; i < c->n_bands; i++) {
        const subband_t *b = c->bands + i;
        if (c->started[i]) continue;
        prob_t *s = c->states + AT_START + (b->parent != NONE && c->started[b->parent])
                  + 2 * (b->first != NONE && c->started[b->first]) + 4 * (b->sibling != NONE && c->started[b->sibling]);
        uint32_t p = s->p < 512 ? 512 : s->p > 65024 ? 65024 : s->p;
        int bit = rc_bit(&c->rc, c->rc.decoding ? 0 : subband_holds(c, b), p);
        if (!c->rc.settled) return;
        prob_update(c->tables, s, bit, 30);
        c->started[i] = (uint8_t)bit;
    }
}

/* Segments by the class of what is expected. Measured gains per bit, in squared thresholds: significance 0.25 to 0.75, rising
 * with the class; refinement 0.25 whatever is expected; cells 0.14 to 0.5. */
static const uint8_t SEGMENT_OF[ALL_CLASSES] = {NEAR, NEAR, NEAR, WEAK, WEAK, WEAK, WEAK, FAIR, FAIR, FAIR, GOOD, GOOD,
                                                LIKELY, LIKELY, LIKELY, STRONG, STRONG, STRONG, STRONG, STRONG, STRONG,
                                                STRONG, STRONG, STRONG};
static const uint8_t CELL_SEGMENT_OF[ALL_CLASSES] = {FAR, FAR, FAR, NEAR, NEAR, NEAR, NEAR, NEAR, WEAK, WEAK, FAIR, FAIR,
                                                     FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR};

static inline uint32_t segment_of(const coder_t *c, const view_t *view, uint32_t y, uint32_t x)
{
    if (view->known[y * view->stride + x]) return REFINE;
    return SEGMENT_OF[log_class(look_around(view, y, x).all >> (c->plane + 1), ALL_CLASSES - 1)];
}

/* Where an entry of a segment is listed: a trellis runs through plane 0 in one go. */
static inline uint32_t list_of(const coder_t *c, uint32_t segment) { return turning(c) ? 0 : segment; }

/* Puts down the segment of every entry of a subband in scanning order and counts them; returns where the notes end. */
static uint8_t *classify_subband(const coder_t *c, const subband_t *b, uint8_t *note, uint32_t *count)
{
    const view_t view = view_of(c, b);
    for (uint32_t cy = 0; cy * CELL < b->height; cy++)
        for (uint32_t cx = 0; cx * CELL < b->width; cx++) {
            if (!c->cell[b->cell_offset + cy * b->cell_stride + cx]) {
                if (!open_places(c, b, cy, cx)) continue;
                *note = CELL_SEGMENT_OF[log_class(cell_surroundings(c, b, cy, cx) >> (c->plane + 1), ALL_CLASSES - 1)];
                count[list_of(c, *note++)]++;
                continue;
            }
            for (uint32_t y = cy * CELL; y < (cy + 1) * CELL && y < b->height; y++)
                for (uint32_t x = cx * CELL; x < (cx + 1) * CELL && x < b->width; x++) {
                    if (hole(c, b->offset + y * b->stride + x)) continue;
                    *note = (uint8_t)segment_of(c, &view, y, x);
                    count[list_of(c, *note++)]++;
                }
        }
    return note;
}

/* Lists the entries of a subband in their segments; returns where its notes end. */
static const uint8_t *list_subband(coder_t *c, const subband_t *b, const uint8_t *note, uint32_t *next)
{
    for (uint32_t cy = 0; cy * CELL < b->height; cy++)
        for (uint32_t cx = 0; cx * CELL < b->width; cx++) {
            if (!c->cell[b->cell_offset + cy * b->cell_stride + cx]) {
                if (!open_places(c, b, cy, cx)) continue;
                c->list[next[list_of(c, *note)]++] = CELL_FLAG | (uint32_t)*note << 24 | cy << 12 | cx;
                note++;
                continue;
            }
            for (uint32_t y = cy * CELL; y < (cy + 1) * CELL && y < b->height; y++)
                for (uint32_t x = cx * CELL; x < (cx + 1) * CELL && x < b->width; x++) {
                    if (hole(c, b->offset + y * b->stride + x)) continue;
                    c->list[next[list_of(c, *note)]++] = (uint32_t)*note << 24 | y << 12 | x;
                    note++;
                }
        }
    return note;
}

static void sort_plane(coder_t *c)
{
    uint32_t next[SEGMENTS] = {0}, start = 0;
    uint8_t *end = c->notes;
    const uint8_t *note = c->notes;
    for (uint32_t i = 0; i < c->n_bands; i++)
        if (c->started[i]) end = classify_subband(c, c->bands + i, end, next);
    for (int s = 0; s < SEGMENTS; s++) {
        uint32_t size = next[s];
        next[s] = start;
        start += size;
    }
    for (uint32_t i = 0; i < c->n_bands; i++) {
        for (int s = 0; s < SEGMENTS; s++) c->spans[i][s].begin = next[s];
        if (c->started[i]) note = list_subband(c, c->bands + i, note, next);
        for (int s = 0; s < SEGMENTS; s++) c->spans[i][s].end = next[s];
    }
}

static void code_segment(coder_t *c, uint32_t listed)
{
    c->segment = listed;
    for (uint32_t i = 0; i < c->n_bands; i++) {
        const view_t view = view_of(c, c->bands + i);
        c->state = 0;
        for (uint32_t n = c->spans[i][listed].begin; n < c->spans[i][listed].end; n++) {
            uint32_t segment = SEGMENT_IN(c->list[n]);
            SPLIT(c->list[n], y, x);
            if (c->list[n] & CELL_FLAG) code_cell(c, &view, y, x);
            else if (segment == REFINE) code_refinement(c, &view, y, x);
            else code_significance(c, &view, y, x, segment);
            if (!c->rc.settled) return;
            c->done = n + 1;
            count(c);
            if (c->stop) return;
        }
    }
}

static void code_planes(coder_t *c, int planes)
{
    c->segment = SEGMENTS;
    for (c->plane = planes - 1; c->plane >= 0; c->plane--) {
        start_subbands(c);
        if (ended(c)) {
            c->plane++;
            return;
        }
        sort_plane(c);
        if (turning(c)) memset(c->turns, 0, c->n_values);
        c->segment = c->done = 0;
        for (uint32_t s = 0; s < SEGMENTS; s++) {
            code_segment(c, s);
            if (ended(c)) return;
        }
        c->segment = SEGMENTS;
    }
    c->plane = 0;
    if (c->rc.decoding) c->marked = c->n_targets + 1; /* nothing is left: every layer is whole */
}

/* ------------------------------------------------------------------ what Python calls */

API void sp_bitplane_constants(uint32_t *out)
{
    out[0] = N_STATES; out[1] = N_SETS * MAX_INPUTS; out[2] = sizeof(model_tables_t);
    out[3] = AT_TURN_ALL; out[4] = SET_TURN_SIGNIFICANCE * MAX_INPUTS;
    out[5] = AT_DATE_ALL; out[6] = SET_DATE * MAX_INPUTS;
}

API void sp_bitplane_tables(model_tables_t *t) { model_tables(t); }

static size_t aligned(size_t n) { return (n + 15) & ~(size_t)15; }

/* Bytes of working memory for a layout; with_date: where an earlier date is known. */
API size_t sp_bitplane_workspace(uint32_t n_values, uint32_t n_cells, uint32_t n_bands, int with_date)
{
    return aligned(sizeof(coder_t)) + 2 * aligned(4 * (size_t)n_values) + aligned(n_values) + aligned(n_cells)
         + aligned(n_bands) + aligned(sizeof(span_t) * SEGMENTS * n_bands) + aligned(sizeof(prob_t) * N_STATES)
         + aligned(sizeof(int32_t) * N_SETS * MAX_INPUTS)
         + (with_date ? aligned(4 * (size_t)n_values) + aligned(4 * (size_t)n_cells) : 0);
}

static void *part(uint8_t **at, size_t size)
{
    void *here = *at;
    *at += aligned(size);
    return here;
}

/* Subbands of a layout with its buffers, and the model that coding starts from. trellis: 1 where values are its indices. */
typedef struct {
    uint32_t n_values, n_cells, n_bands, planes, trellis;
    const subband_t *bands;
    const model_tables_t *tables;
    const prob_t *states;
    const int32_t *weights;
    const uint8_t *holes; /* n_values, or NULL */
    const int32_t *date; /* n_values, at most 2^24, or NULL */
    const uint8_t *predicted; /* n_values where there is a date */
    uint8_t *workspace;
} job_t;

/* What an earlier date's values come to around every value of a subband and in every cell: weights of 16, 8 and 4 in 1/64; half the
 * sum, and twice the largest. */
static void sum_date(coder_t *c, const subband_t *b)
{
    for (uint32_t y = 0; y < b->height; y++)
        for (uint32_t x = 0; x < b->width; x++) {
            uint32_t at = b->offset + y * b->stride + x, s = b->stride;
            const int32_t *d = c->date + at;
            const int32_t *above = d - s, *below = d + s;
            c->date_near[at] = 16 * magnitude(d[0])
                + 8 * (magnitude(d[-1]) + magnitude(d[1]) + magnitude(above[0]) + magnitude(below[0]))
                + 4 * (magnitude(above[-1]) + magnitude(above[1]) + magnitude(below[-1]) + magnitude(below[1]));
        }
    for (uint32_t cy = 0; cy * CELL < b->height; cy++)
        for (uint32_t cx = 0; cx * CELL < b->width; cx++) {
            const int32_t *d = c->date + b->offset + cy * CELL * b->stride + cx * CELL;
            uint32_t sum = 0, most = 0;
            for (uint32_t y = 0; y < CELL; y++, d += b->stride)
                for (uint32_t x = 0; x < CELL; x++) {
                    uint32_t size = magnitude(d[x]);
                    sum += size;
                    most = size > most ? size : most;
                }
            c->date_cell[b->cell_offset + cy * b->cell_stride + cx] = sum / 2 + 2 * most;
        }
}

/* Lays the coder out in the working memory, 16-byte aligned; everything zero but the model, which starts from priors. */
static coder_t *open_coder(const job_t *job)
{
    uint32_t n_values = job->n_values, n_cells = job->n_cells, n_bands = job->n_bands;
    uint8_t *workspace = job->workspace;
    coder_t *c = part(&workspace, sizeof *c);
    memset(c, 0, sizeof *c);
    c->known = part(&workspace, 4 * (size_t)n_values);
    c->list = part(&workspace, 4 * (size_t)n_values);
    c->notes = part(&workspace, n_values);
    c->cell = part(&workspace, n_cells);
    c->started = part(&workspace, n_bands);
    c->spans = part(&workspace, sizeof(span_t) * SEGMENTS * n_bands);
    c->states = part(&workspace, sizeof(prob_t) * N_STATES);
    c->weights = part(&workspace, sizeof(int32_t) * N_SETS * MAX_INPUTS);
    if (job->date != NULL) {
        c->date_near = part(&workspace, 4 * (size_t)n_values);
        c->date_cell = part(&workspace, 4 * (size_t)n_cells);
    }
    memset(c->known, 0, 4 * (size_t)n_values);
    memset(c->cell, 0, n_cells);
    memset(c->started, 0, n_bands);
    memset(c->spans, 0, sizeof(span_t) * SEGMENTS * n_bands);
    memcpy(c->states, job->states, sizeof(prob_t) * N_STATES);
    memcpy(c->weights, job->weights, sizeof(int32_t) * N_SETS * MAX_INPUTS);
    c->bands = job->bands; c->n_bands = n_bands; c->tables = job->tables;
    c->holes = job->holes; c->trellis = job->trellis != 0; c->turns = c->notes; c->n_values = n_values;
    c->date = job->date; c->predicted = job->predicted;
    for (uint32_t i = 0; job->date != NULL && i < n_bands; i++) sum_date(c, c->bands + i);
    return c;
}

/* Codes values, in units of 1 / 2^FRACTION of plane 0's step, until `limit` bytes or all planes are done. sizes and distortion: per target, the bytes that settle
 * everything up to it and the squared error then, in squared units; `last` likewise for the whole stream. */
API int sp_bitplane_encode(const job_t *job, const int32_t *values, uint64_t limit, const uint64_t *targets,
                           uint32_t n_targets, uint8_t *out, size_t capacity, uint64_t *sizes, double *distortion)
{
    if (n_targets > MAX_MARKS || job->planes > MAX_PLANES) return BAD_LAYOUT;
    coder_t *c = open_coder(job);
    c->values = values; c->targets = targets; c->n_targets = n_targets; c->limit = limit;
    c->error = whole_error(c);
    rc_start_encoder(&c->rc, out, capacity);
    code_planes(c, (int)job->planes);
    rc_finish(&c->rc);
    if (c->rc.size > capacity) return TOO_LONG;
    sizes[n_targets] = c->rc.size;
    distortion[n_targets] = c->error;
    for (uint32_t i = 0; i < n_targets; i++) {
        int there = i < c->marked;
        sizes[i] = there ? rc_settled_size(&c->rc, c->marks + i) : c->rc.size;
        distortion[i] = there ? c->distortion[i] : distortion[n_targets];
    }
    return OK;
}

/* What this plane has to code and has not is known a bit less well. */
static void note_pending(const coder_t *c, uint8_t *bits)
{
    for (uint32_t s = c->segment; s < SEGMENTS; s++)
        for (uint32_t i = 0; i < c->n_bands; i++)
            for (uint32_t n = c->spans[i][s].begin; n < c->spans[i][s].end; n++) {
                SPLIT(c->list[n], y, x);
                if (n < c->done) continue;
                uint32_t side = c->list[n] & CELL_FLAG ? CELL : 1, at = place_in(c, i, y * side, x * side);
                for (uint32_t r = 0; r < side; r++, at += c->bands[i].stride)
                    for (uint32_t q = at; q < at + side; q++) /* of the cell that was broken off some are known */
                        if (side == 1 || !c->known[q]) bits[q] = (uint8_t)(c->plane + 1);
            }
}

/* What an index of the trellis stands for, doubled, in its steps: of the first quantiser twice the index, of the second one less;
 * of one whose parity is missing the middle of what both may mean. */
static void draw_indices(coder_t *c, int32_t *values, uint8_t *bits)
{
    for (uint32_t i = 0; i < c->n_values; i++) {
        int32_t twice = values[i], size = twice < 0 ? -twice : twice;
        if (size) size = bits[i] ? 2 * size - 3 : 2 * (size - 1) - (c->turns[i] ? 2 : 0);
        values[i] = twice < 0 ? -size : size;
        bits[i]++;
    }
}

/* Decodes as far as the bytes settle. values: twice the middle of the interval that a value is known to lie in, or 0;
 * bits: log2 of the interval's length. Of a trellis: twice the value, and of what it is known to. layers: targets that were
 * passed, one more at the end. */
API int sp_bitplane_decode(const job_t *job, const uint8_t *in, size_t size, const uint64_t *targets,
                           uint32_t n_targets, int32_t *values, uint8_t *bits, uint32_t *layers)
{
    if (n_targets > MAX_MARKS || job->planes > MAX_PLANES) return BAD_LAYOUT;
    coder_t *c = open_coder(job);
    c->targets = targets; c->n_targets = n_targets;
    rc_start_decoder(&c->rc, in, size);
    code_planes(c, (int)job->planes);
    memset(bits, c->plane, job->n_values);
    if (c->segment < SEGMENTS) note_pending(c, bits);
    memcpy(values, c->known, sizeof *values * job->n_values);
    if (c->trellis) draw_indices(c, values, bits);
    *layers = c->marked;
    return OK;
}

/* What the model had become when a job in this working memory ended; for training. */
API void sp_bitplane_learned(const uint8_t *workspace, prob_t *states, int32_t *weights)
{
    const coder_t *c = (const coder_t *)workspace;
    memcpy(states, c->states, sizeof(prob_t) * N_STATES);
    memcpy(weights, c->weights, sizeof(int32_t) * N_SETS * MAX_INPUTS);
}
