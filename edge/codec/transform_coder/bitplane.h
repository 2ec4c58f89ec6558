/* Embedded bit-plane coding of subbands, integers only. reference.py is the same in slow Python.
 *
 * Coefficients are signed integers in units of the finest step. Planes go from the highest bit down. What a plane has to
 * code is sorted into segments by expected gain per bit, from what is known before the plane: coefficients that are
 * likely to become significant, then refinement of those that are, then the unlikely ones, over all subbands (the
 * order of Ordentlich, Weinberger and Seroussi 1998 and of EBCOT's passes, Taubman 2000, but by expected magnitude and
 * across components). A coefficient that is still zero and lies in a 4 x 4 cell without any other is coded with its cell.
 *
 * Every decision mixes adaptive states whose contexts are magnitudes known so far: neighbours in the subband, the
 * parent, the same place in earlier components and in the other orientations.
 *
 * With a trellis (trellis.c) the integers are indices of two quantisers that take turns: which one a value belongs to follows
 * from the parities of those before it. So plane 0, which brings the parities, goes through the subbands in scanning order,
 * and its contexts know the quantiser.
 *
 * Where an earlier date of the place is known, its own coefficients stand beside: how large they are tells where something is to be
 * found, and where nothing is predicted from them, on which side of zero and how much of it.
 */
#ifndef SP_BITPLANE_H
#define SP_BITPLANE_H

#include "../../stream/binary_coder.h"

#if defined(__GNUC__)
#define API __attribute__((visibility("default")))
#else
#define API
#endif

enum { OK = 0, BAD_LAYOUT = 2, TOO_LONG = 7 };
enum { LL, HL, LH, HH }; /* kind: low-pass; horizontally high-pass; vertically; both */

#define CELL 4
#define NONE 0xFFFFFFFFu
#define MAX_MARKS 96
#define MAX_WIDTH 4095
#define MIXED_AGES 2 /* bits after the first that are worth a model */
#define MAX_PLANES 23 /* so that sums of doubled magnitudes with weights up to 127 fit 32 bits */
#define FRACTION 3 /* bits of the encoder's values below plane 0: never coded, but known for the error */

/* height x width values of one component. Rows start `stride` apart from `offset`, padded to whole cells, with a border
 * of one around; the same for its cells. Relatives are subbands or NONE: the next coarser level, the component before and
 * the one before that, the other orientations of the level that are coded earlier. */
typedef struct {
    uint32_t offset, stride, height, width, cell_offset, cell_stride;
    uint32_t parent, first, second, sibling, other;
    uint32_t kind, level, component; /* level: 0 finest, at most 2; component: at most 15 */
} subband_t;

/* Segments of a plane in coding order. */
enum { STRONG, LIKELY, GOOD, FAIR, WEAK, REFINE, NEAR, FAR, SEGMENTS };

/* Contexts of every adaptive state: where they start, one kind after another. A group is a kind with a level. */
enum {
    ALL_CLASSES = 24, GROUPS = 9, CROSS_CLASSES = 7 * 7 * 5,
    AT_ALL = 0,                                     /* group, expected magnitude */
    AT_SPACE = AT_ALL + GROUPS * ALL_CLASSES,       /* along, across, diagonal */
    AT_CROSS = AT_SPACE + 7 * 7 * 5,                /* components, space, parent */
    AT_NEW_ALL = AT_CROSS + CROSS_CLASSES,          /* in a new cell: as AT_ALL */
    AT_NEW = AT_NEW_ALL + GROUPS * ALL_CLASSES,     /* found so far, left, level */
    AT_NEW_CROSS = AT_NEW + 3 * 4 * 3,
    AT_CELL_NEAR = AT_NEW_CROSS + CROSS_CLASSES,    /* cells around, parent's, first's, sibling's */
    AT_CELL_FOUR = AT_CELL_NEAR + 5 * 3 * 3 * 2,    /* the four cells beside, parent's, kind */
    AT_CELL_COMPONENT = AT_CELL_FOUR + 16 * 3 * 3,  /* group, component, cells around */
    AT_CELL_SUM = AT_CELL_COMPONENT + GROUPS * 48,  /* level, values around */
    AT_REFINE = AT_CELL_SUM + 3 * ALL_CLASSES,      /* bits known, expected magnitude */
    AT_REFINE_OFFSET = AT_REFINE + MIXED_AGES * 12,         /* group, bits known, where the prediction lies */
    AT_SIGN = AT_REFINE_OFFSET + GROUPS * MIXED_AGES * 16,   /* signs beside, group */
    AT_SIGN_CROSS = AT_SIGN + 9 * GROUPS,           /* signs of first and second, component, level */
    AT_SIGN_PREDICTED = AT_SIGN_CROSS + 9 * 16 * 3, /* group, size of the prediction */
    AT_START = AT_SIGN_PREDICTED + GROUPS * 8,      /* which relatives have started */
    /* In plane 0 of a trellis, besides: by quantiser, and */
    AT_TURN_ALL = AT_START + 8,                     /* group, expected magnitude */
    AT_TURN_NEW = AT_TURN_ALL + 2 * GROUPS * ALL_CLASSES, /* in a new cell: the same */
    AT_TURN_REFINE = AT_TURN_NEW + 2 * GROUPS * ALL_CLASSES, /* bits known, expected magnitude */
    /* Beside an earlier date, besides: twice, where nothing is predicted from it and where something is, and */
    AT_DATE_ALL = AT_TURN_REFINE + 2 * MIXED_AGES * 12, /* group, the date's magnitudes around, expected magnitude */
    AT_DATE_POINT = AT_DATE_ALL + GROUPS * 12 * 12,     /* level, the date's magnitude, those around, expected magnitude */
    AT_DATE_NEW = AT_DATE_POINT + 3 * 12 * 12 * 5,      /* in a new cell: as AT_DATE_ALL */
    AT_DATE_NEW_POINT = AT_DATE_NEW + GROUPS * 12 * 12, /* level, the date's magnitude, those around, found so far */
    AT_DATE_CELL = AT_DATE_NEW_POINT + 3 * 12 * 12 * 3, /* group, the date's cell, cells around */
    AT_DATE_CELL_SUM = AT_DATE_CELL + GROUPS * ALL_CLASSES * 5, /* level, the date's cell, values around */
    AT_DATE_REFINE = AT_DATE_CELL_SUM + 3 * ALL_CLASSES * 12, /* group, bits known, the date's magnitudes around */
    AT_DATE_OFFSET = AT_DATE_REFINE + GROUPS * MIXED_AGES * 12, /* group, bits known, where the date's value lies */
    AT_DATE_SIGN = AT_DATE_OFFSET + GROUPS * MIXED_AGES * 16, /* group, sign and size of the date's value */
    N_DATE = AT_DATE_SIGN + GROUPS * 32 - AT_DATE_ALL,
    N_STATES = AT_DATE_ALL + 2 * N_DATE
};

/* Sets of mixing weights. */
enum { SET_SIGNIFICANCE = 0, SET_CELL = 3 * SEGMENTS, SET_NEW = SET_CELL + 3, SET_REFINE = SET_NEW + 3,
       SET_SIGN = SET_REFINE + MIXED_AGES, SET_TURN_SIGNIFICANCE = SET_SIGN + 3, /* the same by quantiser */
       SET_TURN_NEW = SET_TURN_SIGNIFICANCE + 2 * 3 * SEGMENTS, SET_TURN_REFINE = SET_TURN_NEW + 2 * 3,
       SET_DATE = SET_TURN_REFINE + 2 * MIXED_AGES, /* all of them beside a date, twice as its states */
       N_SETS = 3 * SET_DATE };

/* The trellis: states 0 to 7, odd ones have the second quantiser; a value's parity leads on to the next. (The eight states of
 * trellis-coded quantisation, Ungerboeck 1982 and Marcellin and Fischer 1990, driven by parities as in Schwarz et al.,
 * "Hybrid video coding with trellis-coded quantization", 2019.) */
enum { TRELLIS_STATES = 8 };
static const uint8_t NEXT_STATE[TRELLIS_STATES][2] = {{0, 2}, {5, 7}, {1, 3}, {6, 4}, {2, 0}, {4, 6}, {3, 1}, {7, 5}};
#define QUANTISER(state) ((state) & 1u)

typedef struct { uint32_t begin, end; } span_t;

typedef struct {
    range_coder_t rc;
    const subband_t *bands;
    uint32_t n_bands, n_values;
    const int32_t *values;  /* encoder only: signed coefficients, in 1 / 2^FRACTION of plane 0's step */
    const uint8_t *holes;   /* 1 where a value is 0 and both sides know it: nothing is coded there; NULL: nowhere */
    const int32_t *date;    /* an earlier date's values, doubled, in plane 0's step; NULL: none is known */
    const uint8_t *predicted; /* 1 where something was taken of the date before */
    uint32_t *date_near, *date_cell; /* the date's magnitudes around every value, weighted as `all` is; in every cell, weighted */
    int32_t *known;         /* twice the middle of the interval that a value is known to lie in; 0: not found yet */
    uint8_t *cell;          /* 0 while nothing is found in it, else 1 + the plane in which something was */
    uint8_t *started;       /* per subband: something may be found in it */
    uint32_t *list;         /* what the plane has to code, by segment and subband: CELL_FLAG | segment << 24 | y << 12 | x */
    uint8_t *notes;         /* the entries' segments in scanning order */
    span_t (*spans)[SEGMENTS]; /* per subband */
    prob_t *states;
    int32_t (*weights)[MAX_INPUTS];
    const model_tables_t *tables;
    int plane, trellis;
    uint32_t state;         /* of the trellis, in plane 0 */
    uint8_t *turns;         /* which values have the second quantiser; plane 0 of a trellis has no use for the notes */
    uint32_t segment, done; /* what is being coded, and the list's entries up to which it is done */
    const uint64_t *targets; /* bytes after which a layer ends */
    uint32_t n_targets, marked;
    rc_mark_t marks[MAX_MARKS];
    double distortion[MAX_MARKS], error; /* squared error at the marks; now */
    uint64_t limit; /* bytes after which the encoder stops */
    int stop;
} coder_t;

#endif
