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
 * Every function returns 0 or one of the codes below and never touches memory outside its buffers,
 * whatever the payload. Nothing here keeps global state; one handle must not be used by two threads at once.
 */
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
#define LUT_BITS 8
#define LUT_SIZE ((1 << LUT_BITS) + 1)

enum { OK = 0, NO_MEMORY = 1, BAD_TABLE_INDEX = 2, BAD_SYMBOL = 3, CORRUPT = 4, ENDED = 5, BAD_TABLES = 6,
       TOO_LONG = 7, BAD_CHECKPOINT = 8 };

#ifndef SP_SOURCE_DIGEST
#define SP_SOURCE_DIGEST "unknown"
#endif

/* Which source this library was built from; the loader refuses another one. */
API const char *sp_source_digest(void) { return SP_SOURCE_DIGEST; }

/* ------------------------------------------------------------------ tables */

typedef struct {
    uint32_t n_tables;
    uint32_t *cum;   /* per table: n_slots + 1 left edges, the last is TOTAL */
    uint32_t *start; /* first edge of each table in cum */
    uint16_t *half;
    uint8_t *shift, *order;
    uint16_t *lut; /* per table: first slot that reaches into each 1/256 of [0, TOTAL) */
} tables_t;

API void sp_tables_free(tables_t *t)
{
    if (!t) return;
    free(t->cum); free(t->start); free(t->half); free(t->shift); free(t->order); free(t->lut);
    free(t);
}

static int fill_table(tables_t *t, uint32_t index, const uint32_t *widths)
{
    uint32_t *cum = t->cum + t->start[index], slots = 2u * t->half[index] + 2, i;
    uint16_t *lut = t->lut + (size_t)index * LUT_SIZE;
    uint64_t sum = 0;
    for (i = 0; i < slots; i++) {
        cum[i] = (uint32_t)sum;
        if (widths[i] == 0) return BAD_TABLES;
        sum += widths[i];
        if (sum > TOTAL) return BAD_TABLES;
    }
    if (sum != TOTAL) return BAD_TABLES;
    cum[slots] = TOTAL;
    uint32_t slot = 0;
    for (i = 0; i < LUT_SIZE - 1; i++) {
        while (cum[slot + 1] <= (i << (PRECISION - LUT_BITS))) slot++;
        lut[i] = (uint16_t)slot;
    }
    lut[LUT_SIZE - 1] = (uint16_t)(slots - 1);
    return OK;
}

/* Copies and checks the tables. widths: the tables one after another, n_widths in all. */
API int sp_tables_new(tables_t **out, const uint32_t *widths, size_t n_widths, const uint16_t *half,
                      const uint8_t *shift, const uint8_t *order, uint32_t n_tables)
{
    size_t need = 0;
    *out = NULL;
    if (n_tables == 0 || n_tables > MAX_TABLES) return BAD_TABLES;
    for (uint32_t i = 0; i < n_tables; i++) {
        if (half[i] > MAX_HALF || shift[i] > MAX_SHIFT || order[i] > MAX_ORDER) return BAD_TABLES;
        need += 2u * half[i] + 2;
    }
    if (need != n_widths) return BAD_TABLES;
    tables_t *t = calloc(1, sizeof *t);
    if (!t) return NO_MEMORY;
    t->n_tables = n_tables;
    t->cum = malloc((need + n_tables) * sizeof *t->cum);
    t->start = malloc(n_tables * sizeof *t->start);
    t->half = malloc(n_tables * sizeof *t->half);
    t->shift = malloc(n_tables);
    t->order = malloc(n_tables);
    t->lut = malloc((size_t)n_tables * LUT_SIZE * sizeof *t->lut);
    if (!t->cum || !t->start || !t->half || !t->shift || !t->order || !t->lut) {
        sp_tables_free(t);
        return NO_MEMORY;
    }
    memcpy(t->half, half, n_tables * sizeof *half);
    memcpy(t->shift, shift, n_tables);
    memcpy(t->order, order, n_tables);
    uint32_t edge = 0;
    for (uint32_t i = 0; i < n_tables; i++) {
        t->start[i] = edge;
        int rc = fill_table(t, i, widths);
        if (rc) {
            sp_tables_free(t);
            return rc;
        }
        widths += 2u * half[i] + 2;
        edge += 2u * half[i] + 3;
    }
    *out = t;
    return OK;
}

/* Stable counting sort of 0..n-1 by table index into a fresh array. */
static int sort_by_table(const tables_t *t, const uint16_t *index, size_t n, uint32_t **out)
{
    *out = NULL;
    if (n > MAX_BATCH) return TOO_LONG;
    uint32_t *perm = malloc((n + 1) * sizeof *perm);
    uint32_t *place = calloc((size_t)t->n_tables + 1, sizeof *place);
    if (!perm || !place) {
        free(perm); free(place);
        return NO_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        if (index[i] >= t->n_tables) {
            free(perm); free(place);
            return BAD_TABLE_INDEX;
        }
        place[index[i] + 1]++;
    }
    for (uint32_t k = 0; k < t->n_tables; k++) place[k + 1] += place[k];
    for (size_t i = 0; i < n; i++) perm[place[index[i]]++] = (uint32_t)i;
    free(place);
    *out = perm;
    return OK;
}

/* ----------------------------------------------------------------- encoder */

typedef struct {
    uint64_t lower, range;
    uint64_t n_words; /* words written and final */
    uint64_t pending; /* words held back because a carry may still reach them */
    uint32_t held;    /* the first held word; those after it are 0xFFFFFFFF */
    uint32_t reserved;
} state_t;

typedef struct {
    state_t s;
    uint32_t *words;
    size_t capacity;
} encoder_t;

API int sp_encoder_new(encoder_t **out)
{
    encoder_t *e = calloc(1, sizeof *e);
    *out = e;
    if (!e) return NO_MEMORY;
    e->s.range = UINT64_MAX;
    return OK;
}

API void sp_encoder_free(encoder_t *e)
{
    if (!e) return;
    free(e->words);
    free(e);
}

/* Room for `extra` more coding steps: each step adds at most one word, held ones included. */
static int reserve(encoder_t *e, size_t extra)
{
    size_t need = e->s.n_words + e->s.pending + extra + 4;
    if (need <= e->capacity) return OK;
    size_t capacity = e->capacity + e->capacity / 2 + 64;
    if (capacity < need) capacity = need;
    uint32_t *words = realloc(e->words, capacity * sizeof *words);
    if (!words) return NO_MEMORY;
    e->words = words;
    e->capacity = capacity;
    return OK;
}

static void release_pending(state_t *s, uint32_t *words, int carry)
{
    words[s->n_words++] = s->held + (uint32_t)carry;
    for (uint64_t i = 1; i < s->pending; i++) words[s->n_words++] = carry ? 0u : UINT32_MAX;
    s->pending = 0;
}

/* One coding step. The caller has reserved a word. */
static inline void put(state_t *s, uint32_t *words, uint32_t left, uint32_t width)
{
    uint64_t scale = s->range >> PRECISION;
    uint64_t lower = s->lower + scale * left;
    s->range = scale * width; /* <= the old range, so no overflow */
    /* Held words wait while the interval straddles 2^64; it has left it when its end no longer wraps. */
    if (UNLIKELY(s->pending != 0) && lower + s->range > lower)
        release_pending(s, words, lower < s->lower);
    s->lower = lower;
    if (s->range < ((uint64_t)1 << 32)) {
        uint32_t word = (uint32_t)(s->lower >> 32);
        s->lower <<= 32;
        s->range <<= 32; /* >= 2^40: before the shift it was at least 2^(32 - 24) */
        if (UNLIKELY(s->pending != 0)) {
            s->pending++; /* still straddling, so this word is 0xFFFFFFFF */
        } else if (s->lower + s->range > s->lower) {
            words[s->n_words++] = word;
        } else {
            s->pending = 1;
            s->held = word;
        }
    }
}

static void put_bits(state_t *s, uint32_t *words, uint32_t value, unsigned n_bits)
{
    while (n_bits > 0) { /* high chunk first */
        unsigned take = n_bits % CHUNK_BITS ? n_bits % CHUNK_BITS : CHUNK_BITS;
        n_bits -= take;
        uint32_t chunk = (value >> n_bits) & ((1u << take) - 1);
        put(s, words, chunk << (PRECISION - take), 1u << (PRECISION - take));
    }
}

static inline int32_t floor_shift(int32_t s, unsigned shift)
{
    return (int32_t)((s + SYMBOL_LIMIT) >> shift) - (int32_t)(SYMBOL_LIMIT >> shift);
}

static void put_escape(state_t *s, uint32_t *words, int32_t v, int32_t half, unsigned order)
{
    uint32_t raised = (uint32_t)((v < 0 ? -v : v) - half - 1) + (1u << order);
    unsigned top = order;
    while (raised >> (top + 1)) top++;
    put_bits(s, words, v < 0, 1);
    for (unsigned i = order; i < top; i++) put_bits(s, words, 1, 1);
    put_bits(s, words, 0, 1);
    put_bits(s, words, raised & ((1u << top) - 1), top);
}

#define ESCAPE_STEPS 32 /* sign, at most 18 prefix bits, at most 3 chunks, low bits */

static size_t encode_slots(encoder_t *e, const tables_t *t, const int32_t *symbols, const uint16_t *index,
                           const uint32_t *perm, size_t n)
{
    state_t s = e->s; /* a local copy stays in registers */
    size_t rest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t k = index[perm[i]];
        int32_t half = t->half[k], v = floor_shift(symbols[perm[i]], t->shift[k]) + half;
        if ((uint32_t)v > (uint32_t)(2 * half)) {
            v = 2 * half + 1;
            rest++;
        } else if (t->shift[k]) {
            rest++;
        }
        const uint32_t *cum = t->cum + t->start[k] + v;
        put(&s, e->words, cum[0], cum[1] - cum[0]);
    }
    e->s = s;
    return rest;
}

static int encode_rest(encoder_t *e, const tables_t *t, const int32_t *symbols, const uint16_t *index,
                       const uint32_t *perm, size_t n)
{
    for (int run = 2; run <= 3; run++) {
        for (size_t i = 0; i < n; i++) {
            int32_t s = symbols[perm[i]];
            uint32_t k = index[perm[i]], shift = t->shift[k];
            int32_t half = t->half[k], v = floor_shift(s, shift);
            int escaped = v > half || v < -half;
            if (run == 2 ? !escaped : !shift) continue;
            if (reserve(e, ESCAPE_STEPS)) return NO_MEMORY;
            if (run == 2) put_escape(&e->s, e->words, v, half, t->order[k]);
            else put_bits(&e->s, e->words, (uint32_t)(s + SYMBOL_LIMIT) & ((1u << shift) - 1), shift);
        }
    }
    return OK;
}

/* Append a batch. On any error the encoder is as before. */
API int sp_encode(encoder_t *e, const tables_t *t, const int32_t *symbols, const uint16_t *index, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (symbols[i] <= -SYMBOL_LIMIT || symbols[i] >= SYMBOL_LIMIT) return BAD_SYMBOL;
    uint32_t *perm;
    int rc = sort_by_table(t, index, n, &perm);
    if (rc) return rc;
    state_t before = e->s;
    rc = reserve(e, n);
    if (!rc && encode_slots(e, t, symbols, index, perm, n))
        rc = encode_rest(e, t, symbols, index, perm, n);
    if (rc) e->s = before; /* words below n_words are never changed, so this one copy goes back */
    free(perm);
    return rc;
}

API size_t sp_state_size(void) { return sizeof(state_t); }

API void sp_encoder_save(const encoder_t *e, state_t *out) { *out = e->s; }

/* How a stream that ends here is closed: `bytes` more bytes of `value` (high first), after a carry or not. */
typedef struct { uint64_t value; unsigned bytes; int carry; } tail_t;

static tail_t seal_words(const state_t *s)
{
    tail_t tail = {0, 0, 0};
    if (s->range == UINT64_MAX) return tail; /* only before the first step */
    uint64_t point = s->lower + UINT32_MAX;
    uint32_t word = (uint32_t)(point >> 32), upper = (uint32_t)((s->lower + s->range) >> 32);
    tail.value = (uint64_t)word << 32;
    tail.bytes = word == upper ? 8 : 4;
    tail.carry = point < s->lower;
    return tail;
}

/* The fewest bytes such that whatever follows them decodes to the same symbols. */
static tail_t seal_bytes(const state_t *s)
{
    tail_t tail = {0, 0, 0};
    if (s->range == UINT64_MAX) return tail;
    for (unsigned bytes = 1; bytes <= 8; bytes++) {
        uint64_t unit = (uint64_t)1 << (64 - 8 * bytes);
        uint64_t up = (0 - s->lower) & (unit - 1); /* to the next multiple of unit */
        if (up + unit > s->range) continue;        /* fits at 5 bytes at the latest: range >= 2^32 */
        tail.value = s->lower + up;
        tail.bytes = bytes;
        tail.carry = tail.value < s->lower;
        break;
    }
    return tail;
}

static tail_t seal(const state_t *s, int whole_words) { return whole_words ? seal_words(s) : seal_bytes(s); }

/* Exact length in bytes of the stream if it ended at a saved state; nothing is disturbed. */
API uint64_t sp_sealed_size(const state_t *at, int whole_words)
{
    return 4 * (at->n_words + at->pending) + seal(at, whole_words).bytes;
}

static void write_word(uint8_t *out, uint32_t word)
{
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(word >> (24 - 8 * i));
}

/* Write the stream as if it had ended at a state saved from this encoder, words big-endian.
 * Words below at->n_words have not changed since: an encoder only ever appends. */
API int sp_sealed_copy(const encoder_t *e, const state_t *at, int whole_words, uint8_t *out, uint64_t size)
{
    tail_t tail = seal(at, whole_words);
    if (at->n_words > e->s.n_words) return BAD_CHECKPOINT;
    if (size != sp_sealed_size(at, whole_words)) return TOO_LONG;
    for (uint64_t i = 0; i < at->n_words; i++, out += 4) write_word(out, e->words[i]);
    for (uint64_t i = 0; i < at->pending; i++, out += 4) {
        uint32_t word = i ? UINT32_MAX : at->held;
        write_word(out, word + (uint32_t)tail.carry);
    }
    for (unsigned i = 0; i < tail.bytes; i++) out[i] = (uint8_t)(tail.value >> (56 - 8 * i));
    return OK;
}

/* ----------------------------------------------------------------- decoder */

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

API uint64_t sp_decoder_words(const decoder_t *d) { return d->words; }

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

/* Slots of the whole batch, in sorted order, written to `out` as v (escape: half + 1). */
static int decode_slots(decoder_t *handle, const tables_t *t, const uint16_t *index, const uint32_t *perm,
                        size_t n, int32_t *out, size_t *rest)
{
    decoder_t d = *handle;
    int rc = OK;
    *rest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t k = index[perm[i]], q;
        const uint32_t *cum = t->cum + t->start[k];
        uint64_t scale = d.range >> PRECISION;
        if ((rc = quantile(&d, scale, &q))) break;
        const uint16_t *lut = t->lut + (size_t)k * LUT_SIZE + (q >> (PRECISION - LUT_BITS));
        uint32_t low = lut[0], high = lut[1]; /* cum[low] <= q < cum[high + 1] */
        while (high - low > 8) {
            uint32_t middle = (low + high + 1) / 2;
            if (cum[middle] <= q) low = middle;
            else high = middle - 1;
        }
        while (cum[low + 1] <= q) low++;
        if ((rc = narrow(&d, scale, cum[low], cum[low + 1] - cum[low]))) break;
        int32_t half = t->half[k];
        *rest += t->shift[k] != 0 || (int32_t)low > 2 * half;
        out[perm[i]] = (int32_t)low - half;
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
        uint32_t shift = t->shift[index[perm[i]]], low;
        if (!shift) continue;
        if ((rc = get_bits(d, shift, &low))) return rc;
        int32_t s = out[perm[i]] * (int32_t)(1u << shift) + (int32_t)low;
        if (s <= -SYMBOL_LIMIT || s >= SYMBOL_LIMIT) return CORRUPT;
        out[perm[i]] = s;
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
