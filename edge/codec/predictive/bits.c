/* The adaptive binary range coder's slow parts: words, carries, closing, numbers. See bits.h. */
#include "bits.h"

void bits_reset(bit_t *b, size_t n)
{
    static const bit_t even = {32768, 0};
    for (size_t i = 0; i < n; i++) b[i] = even;
}

void coder_start_encoding(coder_t *c, uint8_t *out, size_t capacity)
{
    *c = (coder_t){.range = UINT64_MAX, .bytes = out, .size = capacity, .encoding = ENCODING};
}

/* The interval passed 2^64: one more for the bytes already written. It cannot run past the first of them, because
 * the whole run stays below 1. */
void carry_into(uint8_t *bytes, size_t size)
{
    while (size > 0 && ++bytes[--size] == 0) {}
}

uint64_t last_word(const uint8_t *bytes, size_t left)
{
    uint32_t word = 0;
    for (size_t i = 0; i < left; i++) word |= (uint32_t)bytes[i] << (24 - 8 * i);
    return (uint64_t)(UINT32_MAX >> (8 * left)) << 32 | word;
}

/* The state in registers, as nothing takes its address but a word that leaves. */
void coder_drain(coder_t *outer, const uint32_t *from, const uint32_t *end)
{
    coder_t c = *outer;
    c.encoding = ENCODING;
    for (; from < end; from++) {
        uint32_t entry = *from;
        if (entry & RAW) code_raw(&c, entry >> 16 & 31, entry & 65535);
        else put_bit(&c, c.base + (entry >> 1), (uint64_t)(entry & 1) - 1);
    }
    *outer = c;
}

/* Shortest n such that every continuation of n bytes stays in the interval; the interval is at least 2^32 wide. */
size_t coder_finish(coder_t *c)
{
    if (c->failed || c->size - c->at < 8) return 0;
    for (unsigned n = 0; n <= 8; n++) {
        uint64_t unit = n ? (uint64_t)1 << (64 - 8 * n) : 0; /* 2^64 for n = 0 */
        uint64_t up = (0 - c->lower) & (unit - 1);
        if (n == 0 ? c->range != UINT64_MAX : up + unit > c->range) continue;
        if (n == 0) break; /* nothing was coded */
        uint64_t value = c->lower + up;
        if (value < c->lower) carry_into(c->bytes, c->at);
        for (unsigned i = 0; i < n; i++) c->bytes[c->at++] = (uint8_t)(value >> (56 - 8 * i));
        break;
    }
    return c->at;
}

size_t coder_prefix(const mark_t *m, const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    if (m->range == UINT64_MAX) return 0;
    for (unsigned n = 1; n <= 8; n++) {
        if (m->at + n <= size) value |= (uint64_t)bytes[m->at + n - 1] << (64 - 8 * n);
        uint64_t unknown = n == 8 ? 0 : UINT64_MAX >> (8 * n), inside = value - m->lower;
        if (inside < m->range && unknown < m->range - inside) return m->at + n < size ? m->at + n : size;
    }
    return size;
}

void coder_start_decoding(coder_t *c, const uint8_t *payload, size_t size)
{
    *c = (coder_t){.limit = LEAST_RANGE, .bytes = (uint8_t *)(uintptr_t)payload, .size = size, .encoding = DECODING};
    for (int i = 0; i < 2; i++) take_word(c);
    c->range = UINT64_MAX;
}

uint32_t code_number(coder_t *c, number_t *n, uint32_t value)
{
    unsigned top = 0;
    if (c->encoding)
        while ((value + 1) >> (top + 1)) top++;
    unsigned length = 0;
    while (length < NUMBER_BITS - 1 && code_bit(c, &n->more[length], length < top)) length++;
    uint32_t low = (value + 1) & (((uint32_t)1 << length) - 1);
    unsigned high_part = length > MAX_RAW_BITS ? length - MAX_RAW_BITS : 0;
    uint32_t high = code_raw(c, high_part, low >> MAX_RAW_BITS);
    low = code_raw(c, length - high_part, low & 0xFFFF);
    return (((uint32_t)1 << length) | high << (length - high_part) | low) - 1;
}

int32_t code_signed(coder_t *c, number_t *n, int32_t value)
{
    uint32_t v = code_number(c, n, value < 0 ? (uint32_t)(-(value + 1)) * 2 + 1 : (uint32_t)value * 2);
    return v & 1 ? -(int32_t)(v >> 1) - 1 : (int32_t)(v >> 1);
}
