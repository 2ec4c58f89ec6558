/* Edges of masks, range coded: see contours.c. */
#ifndef SP_CONTOURS_H
#define SP_CONTOURS_H

#include "binary_coder.h"

#if defined(__GNUC__)
#define API __attribute__((visibility("default")))
#else
#define API
#endif

enum { GOOD, NOT_RISING, ENDED, TOO_LONG, TOO_FAR };
enum { GAPS = 15, CLASSES = 13, SLOPES = 25, NEARS = 15, STILLS = 13, STEPS = 8, DOUBLINGS = 20, NUMBERS = 3 };

/* Where the states of every kind of decision start. Those about a move have four contexts each. */
enum {
    MOVE_LAST = 0, MOVE_NEAR = MOVE_LAST + CLASSES * CLASSES, MOVE_SLOPE = MOVE_NEAR + CLASSES * NEARS,
    MOVE_STILL = MOVE_SLOPE + SLOPES * CLASSES, A_MOVE = MOVE_STILL + STILLS * STILLS * 3,
    AT_OTHER_SOON = 0, AT_OTHER_GAP = AT_OTHER_SOON + GAPS * CLASSES, AT_ENDS = AT_OTHER_GAP + GAPS * GAPS,
    AT_MORE_ROOM = AT_ENDS + GAPS, AT_MORE_FIRST = AT_MORE_ROOM + GAPS * 2, AT_LONE = AT_MORE_FIRST + 2,
    AT_MOVES = AT_LONE + 1, AT_LEFT = AT_MOVES + A_MOVE, AT_STEP = AT_LEFT + A_MOVE, /* by steps and side */
    AT_DOUBLING = AT_STEP + (STEPS - 1) * 2 * A_MOVE, AT_BIT = AT_DOUBLING + NUMBERS * (DOUBLINGS + 1) * GAPS,
    N_STATES = AT_BIT + NUMBERS * (DOUBLINGS + 2)
};

typedef struct { int32_t column, moves[4], side; uint32_t still, before; } edge_t;

typedef struct {
    range_coder_t rc;
    model_tables_t tables;
    uint64_t decisions, most;
    int status;
    uint32_t width, n_above, n_found, n_wanted;
    const uint32_t *wanted; /* encoder only: columns of the row's edges */
    edge_t *above, *found;
    uint32_t *columns;
    int32_t weights[9][4];
    prob_t states[N_STATES];
} contours_t;

#endif
