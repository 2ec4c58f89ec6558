/* Probabilities of a symbol that is known to lie in an interval. See coder.h and bounded.py. */
#include "coder.h"

int check_intervals(const tables_t *t, const uint16_t *index, const int32_t *low, const int32_t *high, size_t n)
{
    if (n > MAX_BATCH) return TOO_LONG;
    for (size_t i = 0; i < n; i++) {
        if (index[i] >= t->n_tables) return BAD_TABLE_INDEX;
        if (low[i] <= -SYMBOL_LIMIT || high[i] >= SYMBOL_LIMIT || high[i] < low[i] || high[i] - low[i] >= MAX_SPAN)
            return BAD_SYMBOL;
    }
    return OK;
}

int32_t interval_edges(const tables_t *t, uint32_t k, int32_t low, int32_t high, uint32_t *out)
{
    const int16_t *slope = t->slope + t->start[k];
    uint64_t slopes = 0;
    int32_t count = high - low + 1;
    uint32_t sums[MAX_SPAN + 1];
    sums[0] = 0;
    for (int32_t i = 0; i < count; i++) {
        uint32_t slot = slot_of(t, k, low + i), weight = weight_of(t, k, slot);
        sums[i + 1] = sums[i] + weight;
        slopes += (uint64_t)weight * (uint32_t)(slope[slot] + SLOPE_LIMIT);
    }
    /* The sum stays below 2^25: slots are disjoint, and at most MAX_SPAN values weigh 1 without a slot's width. */
    for (int32_t i = 0; i <= count; i++)
        out[i] = (uint32_t)((uint64_t)sums[i] * (TOTAL - (uint32_t)count) / sums[count]) + (uint32_t)i;
    return (int32_t)(slopes / sums[count]) - SLOPE_LIMIT;
}
