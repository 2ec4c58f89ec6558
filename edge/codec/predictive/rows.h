/* Rows of a band: what rows.c offers tile.c, and what both work in. */
#ifndef SP_PREDICTIVE_ROWS_H
#define SP_PREDICTIVE_ROWS_H

#include "residual.h"

typedef struct {
    tile_t tile;
    model_t model[MAX_BANDS];
    int32_t codes[MAX_SIDE];
    uint8_t okay[MAX_SIDE];
    uint32_t above[MAX_SIDE];
    int32_t partial[MAX_SIDE];
    uint8_t class[MAX_SIDE];
} work_t;

/* Codes row y of a band, of which rows up to end - 1 are known in its references; how many pixels are coded: all but
 * after a failure. w->codes and w->okay hold the row. */
int32_t code_row(coder_t *c, work_t *w, const residual_t *r, int32_t band, int32_t y, int32_t end);
/* Which cells of a row hold a valid pixel, and the codes of those; a cell's first valid pixel stands for it. */
void load_validity(work_t *w, int32_t band, int32_t y);
void load_codes(work_t *w, int32_t band, const int32_t *samples, int32_t y);
/* The first `done` cells of a row into the pixels they cover, which are known since the layer after so many. */
void store_row(const work_t *w, int32_t band, int32_t *samples, uint8_t *since, int layer, int32_t y, int32_t done);

#endif
