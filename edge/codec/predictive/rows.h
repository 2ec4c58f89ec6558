/* Rows of a band: what rows.c offers tile.c, and what it and predict.c, exact.c work in. */
#ifndef SP_PREDICTIVE_ROWS_H
#define SP_PREDICTIVE_ROWS_H

#include "refine.h"
#include "residual.h"

#define MOST_BITS 64 /* that a pixel queues, at most: copies 2, sign and zero 2, unary 20, number 25, low bits 3, fine 3 */

typedef struct {
    tile_t tile;
    model_t model[MAX_BANDS];
    int32_t codes[MAX_SIDE];
    uint8_t okay[MAX_SIDE];
    uint32_t above[MAX_SIDE];           /* what the rows above say of the errors */
    int32_t partial[MAX_SIDE];          /* what predictions have but for the pixels before */
    uint8_t class[MAX_SIDE];
    int32_t activity[MAX_SIDE];
    int16_t mean[MAX_REFS][MAX_SIDE];
    int32_t predicted[MAX_SIDE];
    const refine_sums_t *sums;
    refine_t refine;
    uint32_t queue[MAX_SIDE * MOST_BITS];
} work_t;

/* A row of a band with what lies around it. */
typedef struct {
    const int16_t *rows[MAX_REFS][3];
    int16_t *own;
    uint16_t *error;
    const uint16_t *error_above;
    uint8_t *cells;             /* of this row; NULL without copies */
    const uint8_t *other_cells; /* of the band that has the same cells, or NULL */
    int32_t *missed;            /* of this row, where the band is refined; else NULL */
    const int32_t *missed_above;
    int32_t y, width, run;      /* run: pixels of the cell so far in this row */
} row_t;

/* Has a band refined predictions? Not where it has more bits than prediction works on. */
static inline int is_refined(const tile_t *t, const band_t *b)
{
    return t->refined && !b->shift;
}

/* predict.c: w->class and w->partial of a row; the same of the errors above it */
void sum_weights(model_t *m, const band_t *b);
void predict(work_t *w, const band_t *b, const model_t *m, const row_t *row, int32_t stride);
void errors_above(const model_t *m, int32_t width, int phased, const uint16_t *n, const uint16_t *nn,
                  uint32_t *restrict out);

void errors_around(uint32_t *restrict wide, int32_t width, const uint16_t *restrict n, uint32_t *restrict out);

/* refine.c: w->refine of a row from row UNSEEN on, but for what has to be added up */
void refine_row(work_t *w, model_t *m, const band_t *b, const row_t *row, int32_t stride);

/* exact.c: queues a row of which nothing has to be decoded first to encode it, as the plane holds it already */
void queue_exact(coder_t *c, work_t *w, const residual_t *r, const band_t *b, const row_t *row, int32_t stride);

/* Codes row y of a band, of which rows up to end - 1 are known in its references; how many pixels are coded: all but
 * after a failure. w->codes and w->okay hold the row. */
int32_t code_row(coder_t *c, work_t *w, const residual_t *r, int32_t band, int32_t y, int32_t end);
/* Which cells of a row hold a valid pixel, and the codes of those; a cell's first valid pixel stands for it. */
void load_validity(work_t *w, int32_t band, int32_t y);
void load_codes(work_t *w, int32_t band, const int32_t *samples, int32_t y);
/* The first `done` cells of a row into the pixels they cover, which are known since the layer after so many. */
void store_row(const work_t *w, int32_t band, int32_t *samples, uint8_t *since, int layer, int32_t y, int32_t done);

#endif
