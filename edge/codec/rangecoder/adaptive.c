/* Checks of adaptive batches. See adaptive.h and adaptive.py. */
#include "adaptive.h"

int check_adaptive(const tables_t *t, const adapt_t *a, const uint16_t *index, const uint32_t *places, size_t n)
{
    uint32_t stride = a->width + 2;
    if (n > (size_t)a->height * a->width || a->n_channels > MAX_BATCH / stride / (a->height + 2)) return TOO_LONG;
    for (size_t i = 0; i < n; i++) {
        uint32_t row = places[i] / stride, column = places[i] % stride;
        if (row < 1 || row > a->height || column < 1 || column > a->width) return BAD_PLACE;
    }
    for (size_t i = 0; i < n * a->n_channels; i++)
        if (index[i] >= t->n_tables) return BAD_TABLE_INDEX;
    return OK;
}
