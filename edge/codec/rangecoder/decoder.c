/* The decoder: it knows which bits of its window the payload covers. See coder.h. */
#include "adaptive.h"

typedef struct {
    uint64_t lower, range, point;
    uint64_t unknown; /* mask of the low bits of point that the payload does not cover */
    uint64_t words;   /* words taken so far, those past the end included */
    const uint8_t *data;
    size_t size, at;
    int failed; /* once CORRUPT or ENDED, always */
} decoder_t;

static void take_word(decoder_t *d)
{
    size_t left = d->size - d->at, have = left < 4 ? left : 4;
    uint32_t word = 0;
    for (size_t i = 0; i < have; i++) word |= (uint32_t)d->data[d->at + i] << (24 - 8 * i);
    d->at += have;
    d->point = d->point << 32 | word;
    d->unknown = d->unknown << 32 | (have == 4 ? 0 : UINT32_MAX >> (8 * have));
    d->words++;
}

/* The payload is not copied: it must outlive the decoder. */
API int sp_decoder_new(decoder_t **out, const uint8_t *payload, size_t size)
{
    decoder_t *d = calloc(1, sizeof *d);
    *out = d;
    if (!d) return NO_MEMORY;
    d->range = UINT64_MAX;
    d->data = payload;
    d->size = size;
    take_word(d);
    take_word(d);
    return OK;
}

API void sp_decoder_free(decoder_t *d) { free(d); }

/* Words that the interval has left behind: the window of two is ahead of it. */
API uint64_t sp_decoder_position(const decoder_t *d) { return d->words - 2; }

/* Narrow the interval to a slot; ENDED if some continuation of a cut payload lies outside the slot. */
static inline int narrow(decoder_t *d, uint64_t scale, uint32_t left, uint32_t width)
{
    uint64_t inside = d->point - d->lower - scale * left;
    if (UNLIKELY(d->unknown != 0) && (d->unknown >= scale * width || inside >= scale * width - d->unknown))
        return ENDED;
    d->lower += scale * left;
    d->range = scale * width;
    if (d->range < ((uint64_t)1 << 32)) {
        d->lower <<= 32;
        d->range <<= 32;
        take_word(d);
    }
    return OK;
}

/* Position of the payload in [0, 2^24), or CORRUPT: no encoder writes a point past scale * 2^24. */
static inline int quantile(const decoder_t *d, uint64_t scale, uint32_t *out)
{
    uint64_t q = (d->point - d->lower) / scale;
    if (UNLIKELY(q >= TOTAL)) return d->unknown ? ENDED : CORRUPT;
    *out = (uint32_t)q;
    return OK;
}

static int get_bits(decoder_t *d, unsigned n_bits, uint32_t *out)
{
    *out = 0;
    while (n_bits > 0) {
        unsigned take = n_bits % CHUNK_BITS ? n_bits % CHUNK_BITS : CHUNK_BITS;
        uint64_t scale = d->range >> PRECISION;
        uint32_t q;
        int rc = quantile(d, scale, &q);
        if (rc) return rc;
        q >>= PRECISION - take;
        rc = narrow(d, scale, q << (PRECISION - take), 1u << (PRECISION - take));
        if (rc) return rc;
        *out = *out << take | q;
        n_bits -= take;
    }
    return OK;
}

/* The slot of table k that the payload points at. */
static inline int get_slot(decoder_t *d, const tables_t *t, uint32_t k, uint32_t *slot)
{
    const uint32_t *cum = t->cum + t->start[k];
    uint64_t scale = d->range >> PRECISION;
    uint32_t q;
    int rc = quantile(d, scale, &q);
    if (rc) return rc;
    const uint16_t *lut = t->lut + (size_t)k * LUT_SIZE + (q >> (PRECISION - LUT_BITS));
    uint32_t low = lut[0], high = lut[1]; /* cum[low] <= q < cum[high + 1] */
    while (high - low > 8) {
        uint32_t middle = (low + high + 1) / 2;
        if (cum[middle] <= q) low = middle;
        else high = middle - 1;
    }
    while (cum[low + 1] <= q) low++;
    *slot = low;
    return narrow(d, scale, cum[low], cum[low + 1] - cum[low]);
}

/* Slots of the whole batch, in sorted order, written to `out` as v (escape: half + 1). */
static int decode_slots(decoder_t *handle, const tables_t *t, const uint16_t *index, const uint32_t *perm,
                        size_t n, int32_t *out, size_t *rest)
{
    decoder_t d = *handle;
    int rc = OK;
    *rest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t k = index[perm[i]], slot;
        if ((rc = get_slot(&d, t, k, &slot))) break;
        int32_t half = t->half[k];
        *rest += t->shift[k] != 0 || (int32_t)slot > 2 * half;
        out[perm[i]] = (int32_t)slot - half;
    }
    *handle = d;
    return rc;
}

static int get_escape(decoder_t *d, int32_t half, unsigned order, unsigned shift, int32_t *v)
{
    uint32_t negative, bit = 1, suffix, limit = (uint32_t)SYMBOL_LIMIT >> shift;
    unsigned top = order;
    int rc = get_bits(d, 1, &negative);
    if (rc) return rc;
    while (!(rc = get_bits(d, 1, &bit)) && bit)
        if (++top > 17) return CORRUPT; /* bounds a hostile prefix */
    if (rc || (rc = get_bits(d, top, &suffix))) return rc;
    uint32_t magnitude = (1u << top) + suffix - (1u << order) + (uint32_t)half + 1;
    if (magnitude > limit || (magnitude == limit && !negative)) return CORRUPT;
    *v = negative ? -(int32_t)magnitude : (int32_t)magnitude;
    return OK;
}

static int get_low_bits(decoder_t *d, unsigned shift, int32_t *symbol)
{
    uint32_t low;
    int rc = get_bits(d, shift, &low);
    if (rc) return rc;
    int32_t s = *symbol * (int32_t)(1u << shift) + (int32_t)low;
    if (s <= -SYMBOL_LIMIT || s >= SYMBOL_LIMIT) return CORRUPT;
    *symbol = s;
    return OK;
}

static int decode_rest(decoder_t *d, const tables_t *t, const uint16_t *index, const uint32_t *perm, size_t n,
                       int32_t *out)
{
    int rc;
    for (size_t i = 0; i < n; i++) {
        uint32_t k = index[perm[i]];
        if (out[perm[i]] <= t->half[k]) continue;
        if ((rc = get_escape(d, t->half[k], t->order[k], t->shift[k], &out[perm[i]]))) return rc;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t shift = t->shift[index[perm[i]]];
        if (shift && (rc = get_low_bits(d, shift, &out[perm[i]]))) return rc;
    }
    return OK;
}

/* Decode the next batch into out. On any error out is all zero; CORRUPT and ENDED are final. */
API int sp_decode(decoder_t *d, const tables_t *t, const uint16_t *index, size_t n, int32_t *out)
{
    uint32_t *perm;
    size_t rest = 0;
    if (d->failed) return d->failed;
    int rc = sort_by_table(t, index, n, &perm);
    if (rc) return rc;
    rc = decode_slots(d, t, index, perm, n, out, &rest);
    if (!rc && rest) rc = decode_rest(d, t, index, perm, n, out);
    if (rc) {
        d->failed = rc;
        memset(out, 0, n * sizeof *out);
    }
    free(perm);
    return rc;
}

/* mean: slope of the interval. */
static int get_between(decoder_t *d, const tables_t *t, uint32_t k, int32_t low, int32_t high, int32_t *out,
                       int32_t *mean)
{
    uint32_t edges[MAX_SPAN + 1], q, rank = 0;
    *out = low;
    *mean = interval_edges(t, k, low, high, edges);
    if (low == high) return OK;
    uint64_t scale = d->range >> PRECISION;
    int rc = quantile(d, scale, &q);
    if (rc) return rc;
    while (edges[rank + 1] <= q) rank++;
    *out += (int32_t)rank;
    return narrow(d, scale, edges[rank], edges[rank + 1] - edges[rank]);
}

static int decode_intervals(decoder_t *d, const tables_t *t, const uint16_t *index, const int32_t *low,
                            const int32_t *high, size_t n, int32_t *out)
{
    int rc = OK;
    int32_t mean;
    for (size_t i = 0; !rc && i < n; i++) rc = get_between(d, t, index[i], low[i], high[i], &out[i], &mean);
    return rc;
}

/* Decode the next batch of symbols known to lie in [low, high]. Errors as in sp_decode. */
API int sp_decode_bounded(decoder_t *d, const tables_t *t, const uint16_t *index, const int32_t *low,
                          const int32_t *high, size_t n, int32_t *out)
{
    if (d->failed) return d->failed;
    int rc = check_intervals(t, index, low, high, n);
    if (rc) return rc;
    rc = decode_intervals(d, t, index, low, high, n, out);
    if (rc) {
        d->failed = rc;
        memset(out, 0, n * sizeof *out);
    }
    return rc;
}

static int get_symbol(decoder_t *d, const tables_t *t, uint32_t k, int32_t *out)
{
    uint32_t slot;
    int32_t half = t->half[k];
    int rc = get_slot(d, t, k, &slot);
    if (rc) return rc;
    *out = (int32_t)slot - half;
    if (*out > half && (rc = get_escape(d, half, t->order[k], t->shift[k], out))) return rc;
    return t->shift[k] ? get_low_bits(d, t->shift[k], out) : OK;
}

static int decode_adaptive(decoder_t *d, const tables_t *t, const adapt_t *a, const uint16_t *index,
                           const int32_t *low, const int32_t *high, const uint32_t *places, size_t n, int32_t *out)
{
    for (size_t channel = 0, i = 0; channel < a->n_channels; channel++) {
        for (size_t at = 0; at < n; at++, i++) {
            choice_t choice = choose_table(t, a, (uint32_t)channel, places[at], index[i]);
            uint32_t k = choice.table;
            int32_t mean = 0;
            int rc = low ? get_between(d, t, k, low[i], high[i], &out[i], &mean) : get_symbol(d, t, k, &out[i]);
            if (rc) return rc;
            learn(t, a, &choice, index[i], out[i], slope_of(t, k, out[i]) - mean);
        }
    }
    return OK;
}

/* Decode the next adaptive batch, see sp_encode_adaptive. Errors as in sp_decode. */
API int sp_decode_adaptive(decoder_t *d, const tables_t *t, const adapt_t *a, const uint16_t *index,
                           const int32_t *low, const int32_t *high, const uint32_t *places, size_t n, int32_t *out)
{
    if (d->failed) return d->failed;
    int rc = check_adaptive(t, a, index, places, n);
    if (!rc && low) rc = check_intervals(t, index, low, high, n * a->n_channels);
    if (rc) return rc;
    rc = decode_adaptive(d, t, a, index, low, high, places, n, out);
    if (rc) {
        d->failed = rc;
        memset(out, 0, n * a->n_channels * sizeof *out);
    }
    return rc;
}

/* Decode a whole number of at most 16 bits. Errors as in sp_decode. */
API int sp_decode_bits(decoder_t *d, uint32_t n_bits, uint32_t *out)
{
    if (d->failed) return d->failed;
    if (n_bits > 16) return BAD_SYMBOL;
    d->failed = get_bits(d, n_bits, out);
    return d->failed;
}
