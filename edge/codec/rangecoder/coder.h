/* Range coder with integer probability tables: 32-bit words, 64-bit state, 24-bit probabilities.
 *
 * The words are those of constriction 0.5's queue::RangeEncoder (a range coder after Martin 1979 with
 * carries resolved before a word leaves). The state is the interval [lower, lower + range) of 64-bit
 * numbers behind the words already written; range >= 2^32 between symbols, so range >> 24 is never 0.
 *
 * A batch is coded in three runs over its symbols sorted (stably) by table index:
 *   1. one slot per symbol: v = s >> shift as slot v + S, or the escape slot 2S + 1;
 *   2. for every escaped symbol: sign bit, then |v| - S - 1 as Exp-Golomb of the table's order;
 *   3. for every symbol of a table with shift > 0: the low `shift` bits.
 * Sorting costs nothing on the wire and lets a decoder treat all symbols of a table in one go.
 *
 * A bounded batch (bounded.c; bounded.py says how) is coded in its own order, one slot per symbol.
 * So is an adaptive batch (adaptive.c; adaptive.py says how): a symbol whole, with its escape and its low bits,
 * before the next one, because the next one's table depends on it.
 *
 * Every function returns 0 or one of the codes below and never touches memory outside its buffers,
 * whatever the payload. Nothing here keeps global state; one handle must not be used by two threads at once.
 */
#ifndef SP_CODER_H
#define SP_CODER_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define API __attribute__((visibility("default")))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define API
#define UNLIKELY(x) (x)
#endif

#define PRECISION 24
#define TOTAL (1u << PRECISION)
#define SYMBOL_LIMIT (1 << 17)
#define MAX_HALF 1024
#define MAX_SHIFT 8
#define MAX_ORDER 16
#define MAX_TABLES (1u << 15)
#define MAX_BATCH ((size_t)1 << 26)
#define CHUNK_BITS 8
#define MAX_SPAN 16 /* values in an interval of a bounded symbol */
#define SCALE_RANGES 16
#define SLOPE_LIMIT 1024 /* of the change of a cost with the scale, in 1/256 bit */
#define LUT_BITS 8
#define LUT_SIZE ((1 << LUT_BITS) + 1)

enum { OK = 0, NO_MEMORY = 1, BAD_TABLE_INDEX = 2, BAD_SYMBOL = 3, CORRUPT = 4, ENDED = 5, BAD_TABLES = 6,
       TOO_LONG = 7, BAD_CHECKPOINT = 8, BAD_PLACE = 9 };

/* What adaptive.h needs of a table: its scale and range of scales, its fraction in eighths, and the mean distance of a
 * symbol from the predicted mean in 1/256 of 1/8 step. */
typedef struct { uint16_t scale; uint8_t range, eighths; int32_t expected; } info_t;

typedef struct {
    uint32_t n_tables, n_scales;
    uint32_t *cum;   /* per table: n_slots + 1 left edges, the last is TOTAL */
    uint32_t *start; /* first edge of each table in cum */
    uint16_t *half;
    uint8_t *shift, *order;
    uint16_t *lut; /* per table: first slot that reaches into each 1/256 of [0, TOTAL) */
    int16_t *slope; /* per edge but a table's last: how its slot's cost changes with the scale, see tables.py */
    info_t *info;   /* per table */
} tables_t;

/* floor_shift(s, n): s >> n towards minus infinity, for |s| < SYMBOL_LIMIT. */
static inline int32_t floor_shift(int32_t s, unsigned shift)
{
    return (int32_t)((s + SYMBOL_LIMIT) >> shift) - (int32_t)(SYMBOL_LIMIT >> shift);
}

/* Slot of a symbol in table k; the escape slot for what lies beyond it. */
static inline uint32_t slot_of(const tables_t *t, uint32_t k, int32_t symbol)
{
    int32_t half = t->half[k], v = floor_shift(symbol, t->shift[k]) + half;
    return (uint32_t)v > (uint32_t)(2 * half) ? (uint32_t)(2 * half + 1) : (uint32_t)v;
}

/* Weight of a value in a slot of table k among those of an interval, see bounded.py. */
static inline uint32_t weight_of(const tables_t *t, uint32_t k, uint32_t slot)
{
    const uint32_t *cum = t->cum + t->start[k] + slot;
    uint32_t weight = slot <= 2u * t->half[k] ? (cum[1] - cum[0]) >> t->shift[k] : 1;
    return weight ? weight : 1;
}

/* Edges of the values low..high of table k, scaled to TOTAL: out[0] = 0 .. out[high - low + 1] = TOTAL. Returns the mean
 * slope of the values by their weights, rounded down. bounded.c */
int32_t interval_edges(const tables_t *t, uint32_t k, int32_t low, int32_t high, uint32_t *out);

/* Checks a bounded batch: table indexes, symbols' range, spans. bounded.c */
int check_intervals(const tables_t *t, const uint16_t *index, const int32_t *low, const int32_t *high, size_t n);

/* Stable counting sort of 0..n-1 by table index into a fresh array; checks the indexes. tables.c */
int sort_by_table(const tables_t *t, const uint16_t *index, size_t n, uint32_t **out);

#endif
