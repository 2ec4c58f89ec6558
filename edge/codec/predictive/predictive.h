/* Predictive lossless and near-lossless coding of one tile. docs/codec.md says why, docs/stream.md the format.
 *
 * A band is coded on its own grid as differences from a linear prediction over its own causal neighbours and those
 * of up to three earlier bands; the weights are in the payload, one set per class of local activity. All arithmetic
 * is in integers. Nothing here allocates: the caller gives the memory (sp_predictive_memory).
 */
#ifndef SP_PREDICTIVE_H
#define SP_PREDICTIVE_H

#include "bits.h"

#if defined(__GNUC__)
#define API __attribute__((visibility("default")))
#else
#define API
#endif

enum { BAD_INPUT = 1, NO_ROOM = 2 };

#define LAYERS 16
#define MAX_BANDS 16
#define MAX_SIDE 256
#define MAX_REFS 3
#define MAX_CLASSES 4
#define OWN_TAPS 24                               /* three rows of 8 */
#define REF_TAPS 12                               /* three rows of 4 */
#define MAX_TAPS (OWN_TAPS + MAX_REFS * REF_TAPS) /* 60 */
#define LANES 64                                  /* whole vectors of 8; those behind the taps are 0 */
#define GROUPS (1 + MAX_REFS)                     /* of taps: own, and one per reference */
#define TAP_SETS 6
#define WEIGHT_BITS 13     /* 1 is 2^13 */
#define WEIGHT_LIMIT 65535 /* sum of magnitudes of a set: |difference| < 2^15 keeps sums inside 32 bits */
#define FRACTION 4         /* predictions and errors are in 1/16 */
#define PAD 8              /* pixels left and right of a row */

/* Pixels per sample of a band's own grid, and where the first whole cell starts (each way). */
typedef struct { int32_t fy, fx, oy, ox; } grid_t;

typedef struct {
    int16_t *at;              /* row 0, pixel 0; two rows above it and PAD pixels around belong to it */
    int32_t height, width, stride;
} plane_t;

typedef struct {
    int32_t low, gcd, last;   /* value = low + gcd * code, code 0..last */
    uint32_t shift;           /* of codes to the 15 bits that prediction works on */
    int32_t start;            /* stands for the pixels before the first, in those 15 bits */
    grid_t grid;
    uint32_t n_refs, refs[MAX_REFS];
    uint32_t tap_set, classes; /* classes: 1, 2 or 4 */
    uint32_t scale;            /* ilog2 of the expected error in 1/16, for the first row's contexts */
    uint32_t threshold[MAX_CLASSES - 1]; /* activity8 indexes at which the next class starts */
    uint32_t exponent[GROUPS]; /* weights are multiples of 2^exponent */
    int16_t weight[MAX_CLASSES][LANES];
} band_t;

typedef struct {
    int32_t n_bands, height, width;
    const uint8_t *valid;     /* (height, width), 0 where there is no data */
    int32_t order[MAX_BANDS];
    band_t band[MAX_BANDS];
    plane_t plane[MAX_BANDS];
    plane_t ref[MAX_BANDS][MAX_REFS]; /* the references on the band's own grid */
} tile_t;

/* Which of the taps a set uses, own (bit i: tap i) and of each reference. */
extern const uint32_t OWN_SET[TAP_SETS], REF_SET[TAP_SETS];

static inline int32_t min32(int32_t a, int32_t b) { return a < b ? a : b; }
static inline int32_t max32(int32_t a, int32_t b) { return a > b ? a : b; }
static inline uint32_t ilog2(uint32_t v) /* v > 0 */
{
#if defined(__GNUC__)
    return 31u - (uint32_t)__builtin_clz(v);
#else
    uint32_t n = 0;
    while (v >>= 1) n++;
    return n;
#endif
}

/* Eight steps an octave, 0 for 0..7: monotone, so that classes are intervals of activity. */
static inline uint32_t activity8(uint32_t v)
{
    if (v < 16) return v;
    uint32_t top = ilog2(v);
    return 8 * (top - 2) + ((v >> (top - 3)) & 7);
}

/* |differences| around a pixel; p: the pixel, r: samples from a row to the next. */
static inline uint32_t activity(const int16_t *p, int32_t r)
{
    int32_t w = p[-1], n = p[-r], nw = p[-r - 1], ne = p[-r + 1], ww = p[-2], nn = p[-2 * r];
    uint32_t sum = 0;
    const int32_t d[5] = {w - nw, n - nw, n - ne, w - ww, n - nn};
    for (int i = 0; i < 5; i++) sum += (uint32_t)(d[i] < 0 ? -d[i] : d[i]);
    return sum;
}

/* The weighted mean of the causal neighbours that differences are taken from; the same place in a reference. */
static inline int32_t centre(const int16_t *p, int32_t r)
{
    return (3 * (p[-1] + p[-r]) + p[-r - 1] + p[-r + 1] + 4) >> 3;
}

/* Taps of one pixel: `own` at the pixel, refs[i][0..2] at the same place of a reference, a row above, in it, below. */
INLINE int32_t gather(const int16_t *own, int32_t stride, const int16_t *const (*refs)[3], uint32_t n_refs, int32_t x,
                      int16_t *out)
{
    const int16_t *p = own + x;
    int32_t m = centre(p, stride);
    for (int i = 0; i < 8; i++) {
        out[i] = (int16_t)(p[i - 8] - m);
        out[8 + i] = (int16_t)(p[i - 3 - stride] - m);
        out[16 + i] = (int16_t)(p[i - 3 - 2 * stride] - m);
    }
    for (uint32_t k = 0; k < n_refs; k++) {
        const int16_t *up = refs[k][0] + x, *at = refs[k][1] + x, *down = refs[k][2] + x;
        int32_t mr = (3 * (at[-1] + up[0]) + up[-1] + up[1] + 4) >> 3;
        for (int i = 0; i < 4; i++) {
            out[OWN_TAPS + REF_TAPS * k + i] = (int16_t)(up[i - 1] - mr);
            out[OWN_TAPS + REF_TAPS * k + 4 + i] = (int16_t)(at[i - 1] - mr);
            out[OWN_TAPS + REF_TAPS * k + 8 + i] = (int16_t)(down[i - 1] - mr);
        }
    }
    return m;
}

/* Rows y - 1, y, y + 1 of a reference; those outside 0..end - 1 are replaced by row y. */
INLINE void ref_rows(const plane_t *ref, int32_t y, int32_t end, const int16_t *rows[3])
{
    rows[1] = ref->at + (size_t)y * (size_t)ref->stride;
    rows[0] = y > 0 ? rows[1] - ref->stride : rows[1];
    rows[2] = y + 1 < end ? rows[1] + ref->stride : rows[1];
}

/* grid.c */
void find_grid(grid_t *g, const int32_t *samples, const uint8_t *valid, int32_t height, int32_t width);
int32_t grid_rows(const grid_t *g, int32_t height, int32_t done); /* rows whose last pixel lies in the first `done` */
void build_refs(tile_t *t, int32_t b, int32_t from, int32_t to);
void start_plane(plane_t *p, int32_t value);
void start_row(plane_t *p, int32_t y);
void end_row(plane_t *p, int32_t y);

/* header.c: the plan in the payload; CORRUPT in c->failed where no encoder writes such a one */
void code_plan(coder_t *c, tile_t *t);

#endif
