/* The encoder: interval arithmetic, carries, and closing a stream. See coder.h. */
#include "adaptive.h"

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

/* Append a whole number of at most 16 bits, all equally likely. On any error the encoder is as before. */
API int sp_encode_bits(encoder_t *e, uint32_t value, uint32_t n_bits)
{
    if (n_bits > 16 || value >> n_bits) return BAD_SYMBOL;
    if (reserve(e, 2)) return NO_MEMORY;
    put_bits(&e->s, e->words, value, n_bits);
    return OK;
}

/* Words that the interval has left behind, held ones included: as many as the decoder has then moved on. */
API uint64_t sp_encoder_position(const encoder_t *e) { return e->s.n_words + e->s.pending; }

/* Append a batch of symbols known to lie in [low, high]. On any error the encoder is as before. */
API int sp_encode_bounded(encoder_t *e, const tables_t *t, const int32_t *symbols, const uint16_t *index,
                          const int32_t *low, const int32_t *high, size_t n)
{
    int rc = check_intervals(t, index, low, high, n);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++)
        if (symbols[i] < low[i] || symbols[i] > high[i]) return BAD_SYMBOL;
    if ((rc = reserve(e, n))) return rc;
    for (size_t i = 0; i < n; i++) {
        uint32_t edges[MAX_SPAN + 1];
        if (low[i] == high[i]) continue;
        interval_edges(t, index[i], low[i], high[i], edges);
        const uint32_t *at = edges + (symbols[i] - low[i]);
        put(&e->s, e->words, at[0], at[1] - at[0]);
    }
    return OK;
}

static void put_symbol(encoder_t *e, const tables_t *t, uint32_t k, int32_t symbol)
{
    const uint32_t *cum = t->cum + t->start[k] + slot_of(t, k, symbol);
    int32_t half = t->half[k], v = floor_shift(symbol, t->shift[k]);
    put(&e->s, e->words, cum[0], cum[1] - cum[0]);
    if (v > half || v < -half) put_escape(&e->s, e->words, v, half, t->order[k]);
    put_bits(&e->s, e->words, (uint32_t)(symbol + SYMBOL_LIMIT) & ((1u << t->shift[k]) - 1), t->shift[k]);
}

/* Returns the mean slope of the interval. */
static int32_t put_between(encoder_t *e, const tables_t *t, uint32_t k, int32_t symbol, int32_t low, int32_t high)
{
    uint32_t edges[MAX_SPAN + 1];
    int32_t mean = interval_edges(t, k, low, high, edges);
    if (low < high) put(&e->s, e->words, edges[symbol - low], edges[symbol - low + 1] - edges[symbol - low]);
    return mean;
}

static int check_symbols(const tables_t *t, const uint16_t *index, const int32_t *symbols, const int32_t *low,
                         const int32_t *high, size_t n)
{
    int rc = low ? check_intervals(t, index, low, high, n) : OK;
    for (size_t i = 0; !rc && i < n; i++) {
        if (symbols[i] <= -SYMBOL_LIMIT || symbols[i] >= SYMBOL_LIMIT) rc = BAD_SYMBOL;
        if (low && (symbols[i] < low[i] || symbols[i] > high[i])) rc = BAD_SYMBOL;
    }
    return rc;
}

/* Append an adaptive batch: n symbols of each channel, one channel after the other; low and high as in a bounded
 * batch, or NULL. On any error the encoder is as before; NO_MEMORY may leave the adaptation ahead of it. */
API int sp_encode_adaptive(encoder_t *e, const tables_t *t, const adapt_t *a, const int32_t *symbols,
                           const uint16_t *index, const int32_t *low, const int32_t *high, const uint32_t *places,
                           size_t n)
{
    int rc = check_adaptive(t, a, index, places, n);
    if (!rc) rc = check_symbols(t, index, symbols, low, high, n * a->n_channels);
    state_t before = e->s;
    for (size_t channel = 0, i = 0; !rc && channel < a->n_channels; channel++) {
        rc = reserve(e, n * (low ? 1 : ESCAPE_STEPS + 1));
        for (size_t at = 0; !rc && at < n; at++, i++) {
            choice_t choice = choose_table(t, a, (uint32_t)channel, places[at], index[i]);
            int32_t slope = slope_of(t, choice.table, symbols[i]);
            if (low) slope -= put_between(e, t, choice.table, symbols[i], low[i], high[i]);
            else put_symbol(e, t, choice.table, symbols[i]);
            learn(t, a, &choice, index[i], symbols[i], slope);
        }
    }
    if (rc) e->s = before;
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
