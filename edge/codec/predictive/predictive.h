/* Predictive lossless and near-lossless coding of one tile. docs/predictive.md says why, docs/stream.md the format.
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

/* Can code for AVX2 be compiled beside that for all processors, and be chosen when it runs? */
#if defined(__GNUC__) && defined(__x86_64__)
#define WIDE_VECTORS
#endif

enum { BAD_INPUT = 1, NO_ROOM = 2 };

#define LAYERS 16
#define MAX_BANDS 16
#define MAX_SIDE 256
#define MAX_REFS 3
#define MAX_CLASSES 4
#define OWN_LANES 16                              /* rows y - 1 and y - 2 from x - 3 to x + 4 */
#define REF_LANES 24                              /* rows y - 1, y, y + 1 of a reference from x - 1 to x + 6 */
#define LANES (OWN_LANES + MAX_REFS * REF_LANES)  /* 88: whole vectors of 8 */
#define LEFT_TAPS 3                               /* pixels x - 1, x - 2, x - 3; their weights stand behind the lanes */
#define WEIGHTS (LANES + LEFT_TAPS)
#define OWN_TAPS (OWN_LANES + LEFT_TAPS)          /* bits of a set: lanes, then pixels before */
#define MOST_TAPS 52                              /* that any set has */
#define GROUPS (1 + MAX_REFS)                     /* of taps: own, and one per reference */
#define TAP_SETS 6
#define WEIGHT_BITS 13     /* 1 is 2^13, or less where a band has large weights */
#define LEAST_WEIGHT_BITS 8
#define WEIGHT_LIMIT 65535 /* sum of magnitudes of a set: |difference| < 2^15 keeps sums inside 32 bits */
#define FRACTION 4         /* predictions and errors are in 1/16 */
#define PAD 8              /* pixels left and right of a row */
#define MAP_LIMIT 16384    /* codes of a band whose values may be listed */
#define FINE_LIMIT 3
#define SHARED_LIMIT 3
#define MAP_BLOCK 64       /* codes that are listed, or not, together */

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
    uint32_t listed;          /* are codes that no pixel has left out of the count? Then these hold: */
    int32_t last_rank;        /* greatest rank of a code among those that pixels have; without a list, last */
    uint16_t *code_of;        /* by rank */
    uint32_t *rank16;         /* by code, in 1/16; of codes that no pixel has, in between */
    uint32_t fine;            /* lowest bits of a rank that are coded by how often its neighbours occur */
    uint32_t shared;          /* 2^shared values of the bits above have one tree of those bits: */
    bit_t *often;             /* 2^fine nodes a tree */
    uint8_t *used;            /* by code; whole blocks of MAP_BLOCK are 1 where nothing is listed */
    uint32_t copies;          /* do pixels repeat the one before or above, as cells of a coarser grid do? */
    int32_t cells_from;       /* the earlier band whose cells are likely these, or -1 */
    uint32_t n_refs, refs[MAX_REFS];
    uint32_t tap_set, classes; /* classes: 1, 2 or 4 */
    uint32_t phased;           /* classes are the places in cells of 2 x 2 pixels, not activity */
    uint32_t scale;            /* ilog2 of the expected error in 1/16, for the first row's contexts */
    uint32_t threshold[MAX_CLASSES - 1]; /* activity8 indexes at which the next class starts */
    uint32_t weight_bits;      /* a weight of 1 is 2^weight_bits */
    uint32_t exponent[GROUPS]; /* weights are multiples of 2^exponent */
    int16_t weight[MAX_CLASSES][WEIGHTS];
} band_t;

typedef struct {
    int32_t n_bands, height, width;
    const uint8_t *valid;     /* (height, width), 0 where there is no data */
    int all_valid, exact;     /* exact: references need not be built again to encode */
    int simple;               /* encoder: no more than the first two tap sets and one class */
    int refined;              /* are predictions refined? */
    int wide;                 /* is AVX2 used? */
    uint8_t column[MAX_BANDS][MAX_SIDE]; /* cell of a band's own grid by pixel */
    int32_t order[MAX_BANDS];
    band_t band[MAX_BANDS];
    plane_t plane[MAX_BANDS];
    plane_t ref[MAX_BANDS][MAX_REFS]; /* the references on the band's own grid */
    uint8_t *cells[MAX_BANDS];        /* of bands with copies, (height, width) of the band's grid: NEW .. HOLE */
} tile_t;

/* Where a pixel's value comes from: coded, the pixel before, the pixel above, or nothing valid there. */
enum { NEW = 0, LEFT = 1, ABOVE = 2, HOLE = 3 };

/* Which taps a set has: own, and of each reference. */
extern const uint32_t OWN_SET[TAP_SETS], REF_SET[TAP_SETS];

/* Codes from one decoded value to the next: errors up to half of that. */
static inline int32_t step_of(const band_t *b, int32_t max_error) { return 2 * (max_error / b->gcd) + 1; }

/* Index of a tap's weight. */
static inline uint32_t lane_of(uint32_t group, uint32_t bit)
{
    if (group) return OWN_LANES + REF_LANES * (group - 1) + bit;
    return bit < OWN_LANES ? bit : LANES + bit - OWN_LANES;
}

static inline uint32_t group_of(uint32_t lane)
{
    return lane < OWN_LANES || lane >= LANES ? 0 : 1 + (lane - OWN_LANES) / REF_LANES;
}

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

/* Least activity with an index of activity8. */
static inline uint32_t activity_from8(uint32_t index)
{
    return index < 16 ? index : (8 + (index & 7)) << (index / 8 - 1);
}

/* |differences| between the pixels above one; p: the pixel, r: samples from a row to the next. */
static inline uint32_t activity(const int16_t *p, int32_t r)
{
    int32_t n = p[-r], nw = p[-r - 1], ne = p[-r + 1], left = n - nw, right = n - ne;
    int32_t up = n - p[-2 * r], west = nw - p[-2 * r - 1], east = ne - p[-2 * r + 1];
    return (uint32_t)((left < 0 ? -left : left) + (right < 0 ? -right : right) + (up < 0 ? -up : up) +
                      (west < 0 ? -west : west) + (east < 0 ? -east : east));
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
void make_ranks(band_t *b); /* code_of and rank16 from used */
int same_grid(const grid_t *a, const grid_t *b);

/* header.c: the plan in the payload; CORRUPT in c->failed where no encoder writes such a one */
void code_plan(coder_t *c, tile_t *t);

#endif
