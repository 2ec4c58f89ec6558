/* Checks and slopes of adaptive batches. See adaptive.h and adaptive.py. */
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

int32_t slope_between(const tables_t *t, uint32_t k, int32_t symbol, int32_t low, int32_t high)
{
    const int16_t *slope = t->slope + t->start[k];
    uint64_t sum = 0, total = 0;
    for (int32_t s = low; s <= high; s++) {
        uint32_t slot = slot_of(t, k, s), weight = weight_of(t, k, slot);
        total += weight;
        sum += (uint64_t)weight * (uint32_t)(slope[slot] + SLOPE_LIMIT);
    }
    return slope[slot_of(t, k, symbol)] + SLOPE_LIMIT - (int32_t)(sum / total);
}
