/* Edges of masks, range coded. contours_reference.py is the same in slow Python, contours.py tells what is coded. */
#include "contours.h"

enum { OTHER, ENDS, MORE, LONE, MOVES, LEFT, STEP, DOUBLING, BIT, KINDS };
enum { COLUMN, WIDTH, FAR };
enum { GOES_ON, PAIR_ENDS, PAIR_BEGINS, ONE_BEGINS, NOTHING };
enum { LIMIT = 127, LEARNING_SHIFT = 16 };

static const uint16_t START[KINDS] = {1966, 45875, 1311, 6554, 29491, 32768, 32768, 39322, 32768};
static const uint8_t INPUTS[KINDS] = {2, 1, 2, 1, 4, 4, 4, 1, 1};
static const int32_t FIRST_WEIGHT[5] = {0, 16384, 9830, 0, 5734};

static int bit(contours_t *c, int kind, int said, const uint32_t *at)
{
    prob_t *states[4];
    for (int i = 0; i < INPUTS[kind]; i++) states[i] = c->states + at[i];
    if (++c->decisions > c->most && !c->status) c->status = TOO_LONG;
    return mixed_bit(&c->rc, &c->tables, said, states, INPUTS[kind], c->weights[kind], LIMIT, LEARNING_SHIFT);
}

static int one_bit(contours_t *c, int kind, int said, uint32_t at) { return bit(c, kind, said, &at); }

/* Place of the highest one in x > 0. */
static uint32_t top_bit(uint32_t x)
{
    uint32_t n = 0;
    while (x >>= 1) n++;
    return n;
}

static uint32_t gap_class(int64_t columns)
{
    if (columns <= 0) return 0;
    uint32_t x = (uint32_t)columns + 1, n = top_bit(x), found = 2 * n + (x >> (n - 1) & 1);
    return found < GAPS - 1 ? found : GAPS - 1;
}

/* -6 to 6, from 0. */
static uint32_t move_class(int32_t move)
{
    int32_t size = move < 0 ? -move : move, found = size < 4 ? size : size < 6 ? 4 : size < 10 ? 5 : 6;
    return (uint32_t)(6 + (move < 0 ? -found : found));
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static edge_t new_edge(int32_t column)
{
    edge_t e = {column, {0, 0, 0, 0}, 0, 15, 15};
    return e;
}

static edge_t moved(edge_t e, int32_t by)
{
    for (int i = 3; i > 0; i--) e.moves[i] = e.moves[i - 1];
    e.moves[0] = by;
    e.column += by;
    if (by == 0) {
        e.still++;
    } else {
        e.before = e.still; e.still = 0; e.side = by > 0 ? 1 : -1;
    }
    return e;
}

static int32_t last_column(const contours_t *c) { return c->n_found ? c->found[c->n_found - 1].column : -1; }

/* An Exp-Golomb code of order 0 with adaptive states. */
static uint32_t number(contours_t *c, uint32_t said, uint32_t which, uint32_t room)
{
    uint32_t bits = top_bit(said + 1), n = 0, value = 1;
    while (one_bit(c, DOUBLING, bits > n, AT_DOUBLING + (which * (DOUBLINGS + 1) + n) * GAPS + room)) {
        if (++n > DOUBLINGS) {
            if (!c->status) c->status = TOO_FAR;
            return 0;
        }
    }
    for (uint32_t place = n; place-- > 0;) {
        uint32_t at = AT_BIT + which * (DOUBLINGS + 2) + (place + 1 == n ? n : 0);
        value = 2 * value + (uint32_t)one_bit(c, BIT, (said + 1) >> place & 1, at);
    }
    return value - 1;
}

static int32_t move(contours_t *c, int32_t said, const uint32_t *contexts)
{
    uint32_t at[4], size = (uint32_t)(said < 0 ? -said : said);
    for (int i = 0; i < 4; i++) at[i] = AT_MOVES + contexts[i];
    if (!bit(c, MOVES, said != 0, at)) return 0;
    for (int i = 0; i < 4; i++) at[i] = AT_LEFT + contexts[i];
    int left = bit(c, LEFT, said < 0, at);
    for (uint32_t steps = 1; steps < STEPS; steps++) {
        for (int i = 0; i < 4; i++) at[i] = AT_STEP + ((steps - 1) * 2 + (uint32_t)left) * A_MOVE + contexts[i];
        if (!bit(c, STEP, size > steps, at)) return left ? -(int32_t)steps : (int32_t)steps;
    }
    int32_t far = STEPS + (int32_t)number(c, size - STEPS, FAR, 0);
    return left ? -far : far;
}

/* Columns from an edge of the row above to the next one. */
static int32_t gap_behind(const contours_t *c, uint32_t at)
{
    return (at + 1 < c->n_above ? c->above[at + 1].column : (int32_t)c->width) - c->above[at].column;
}

static void goes_on(contours_t *c, uint32_t at)
{
    const edge_t *e = c->above + at;
    int32_t last = last_column(c), before = at == 0 ? 0 : c->n_found ? e->column - last : 2;
    int32_t slope = e->moves[0] + e->moves[1] + e->moves[2] + e->moves[3];
    before = before < 0 ? 0 : before > 2 ? 2 : before;
    slope = slope < -12 ? -12 : slope > 12 ? 12 : slope;
    uint32_t m = move_class(e->moves[0]), near = 3 * least((uint32_t)gap_behind(c, at), 4) + (uint32_t)before;
    uint32_t contexts[4] = {
        MOVE_LAST + m * CLASSES + move_class(e->moves[1]),
        MOVE_NEAR + m * NEARS + near,
        MOVE_SLOPE + (uint32_t)(slope + 12) * CLASSES + m,
        MOVE_STILL + (least(e->still, 12) * STILLS + least(e->before, 12)) * 3 + (uint32_t)(e->side + 1),
    };
    int32_t said = c->rc.decoding ? 0 : (int32_t)c->wanted[c->n_found] - e->column;
    edge_t to = moved(*e, move(c, said, contexts));
    if (c->n_found && to.column <= last && !c->status) c->status = NOT_RISING;
    c->found[c->n_found++] = to;
}

static void begin(contours_t *c, uint32_t at, int edges)
{
    int32_t last = last_column(c);
    uint32_t end = at < c->n_above ? (uint32_t)c->above[at].column : c->width;
    uint32_t room = gap_class((int64_t)end - (last > 0 ? last : 0));
    uint32_t said = c->rc.decoding ? 0 : c->wanted[c->n_found] - (uint32_t)(last + 1);
    c->found[c->n_found++] = new_edge(last + 1 + (int32_t)number(c, said, COLUMN, room));
    if (edges == 1) return;
    int32_t start = last_column(c);
    said = c->rc.decoding ? 0 : c->wanted[c->n_found] - (uint32_t)(start + 1);
    c->found[c->n_found++] = new_edge(start + 1 + (int32_t)number(c, said, WIDTH, 0));
}

/* What is said of the next edges above and those wanted. A pair that no other column overlaps ends or begins. */
static int following(const contours_t *c, uint32_t at)
{
    static const int behind_all[3] = {NOTHING, ONE_BEGINS, PAIR_BEGINS};
    uint32_t left = c->n_wanted - c->n_found;
    const uint32_t *w = c->wanted + c->n_found;
    if (at >= c->n_above) return behind_all[least(left, 2)];
    if (left == 0 || (at + 1 < c->n_above && c->above[at + 1].column < (int32_t)w[0])) return PAIR_ENDS;
    return left > 1 && (int32_t)w[1] < c->above[at].column ? PAIR_BEGINS : GOES_ON;
}

static int next(contours_t *c, uint32_t at)
{
    int said = c->rc.decoding ? NOTHING : following(c, at);
    int32_t last = last_column(c);
    if (at >= c->n_above) {
        uint32_t room = gap_class((int64_t)c->width - (last > 0 ? last : 0));
        uint32_t places[2] = {AT_MORE_ROOM + room * 2 + (c->n_found & 1), AT_MORE_FIRST + (c->n_above == 0)};
        if (!bit(c, MORE, said != NOTHING, places)) return NOTHING;
        return one_bit(c, LONE, said == ONE_BEGINS, AT_LONE) ? ONE_BEGINS : PAIR_BEGINS;
    }
    const edge_t *e = c->above + at;
    int32_t gap = gap_behind(c, at), closing = (at + 1 < c->n_above ? e[1].moves[0] : 0) - e->moves[0];
    uint32_t soon = gap_class((int64_t)gap + closing), before = gap_class((int64_t)e->column + e->moves[0] - last);
    uint32_t places[2] = {AT_OTHER_SOON + soon * CLASSES + move_class(closing), AT_OTHER_GAP + gap_class(gap) * GAPS + before};
    if (!bit(c, OTHER, said != GOES_ON, places)) return GOES_ON;
    return one_bit(c, ENDS, said == PAIR_ENDS, AT_ENDS + soon) ? PAIR_ENDS : PAIR_BEGINS;
}

/* The next row into `found`, which is then the row above. */
static void code_row(contours_t *c)
{
    uint32_t at = 0;
    c->n_found = 0;
    for (int what; !c->status && (what = next(c, at)) != NOTHING;) {
        if (what == GOES_ON) goes_on(c, at++);
        else if (what == PAIR_ENDS) at += 2;
        else begin(c, at, what == ONE_BEGINS ? 1 : 2);
        int32_t last = last_column(c);
        if (c->n_found && (last < 0 || last >= (int32_t)c->width) && !c->status) c->status = NOT_RISING;
        if (!c->rc.settled && !c->status) c->status = ENDED;
    }
    if (!c->rc.settled && !c->status) c->status = ENDED;
    edge_t *above = c->above;
    c->above = c->found; c->found = above;
    c->n_above = c->n_found;
}

/* Bytes that a mask of so many columns needs to be coded in. A row never has more edges than columns, and two at most come before
 * that is seen. */
API size_t sp_contours_size(uint32_t width)
{
    return sizeof(contours_t) + ((size_t)width + 4) * (2 * sizeof(edge_t) + sizeof(uint32_t));
}

static void start(contours_t *c, uint32_t width, uint64_t most)
{
    static const uint32_t ends[KINDS] = {AT_ENDS, AT_MORE_ROOM, AT_LONE, AT_MOVES, AT_LEFT, AT_STEP, AT_DOUBLING, AT_BIT, N_STATES};
    model_tables(&c->tables);
    c->decisions = 0; c->most = most; c->status = GOOD; c->width = width; c->n_above = 0;
    c->above = (edge_t *)(c + 1);
    c->found = c->above + width + 4;
    c->columns = (uint32_t *)(c->found + width + 4);
    c->wanted = c->columns;
    uint32_t at = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        for (int i = 0; i < 4; i++) c->weights[kind][i] = FIRST_WEIGHT[INPUTS[kind]];
        for (; at < ends[kind]; at++) {
            c->states[at].p = START[kind];
            c->states[at].n = 0;
        }
    }
}

/* All rows of (height, width) bytes, 0 where there are no data; returns how long the packed edges are, of which no more than
 * `capacity` bytes are written. */
API size_t sp_contours_encode(contours_t *c, const uint8_t *valid, uint32_t height, uint32_t width, uint8_t *out,
                              size_t capacity, uint64_t *decisions)
{
    start(c, width, ~(uint64_t)0);
    rc_start_encoder(&c->rc, out, capacity);
    for (uint32_t y = 0; y < height; y++) {
        int before = 1;
        c->n_wanted = 0;
        for (uint32_t x = 0; x < width; x++) {
            int now = valid[(size_t)y * width + x] != 0;
            if (now != before) c->columns[c->n_wanted++] = x;
            before = now;
        }
        code_row(c);
    }
    rc_finish(&c->rc);
    *decisions = c->decisions;
    return c->rc.size;
}

API void sp_contours_start(contours_t *c, uint32_t width, const uint8_t *in, size_t size, uint64_t most)
{
    start(c, width, most);
    rc_start_decoder(&c->rc, in, size);
}

/* The next rows: (rows, width) bytes, 1 where there are data. Returns a status. */
API int sp_contours_decode(contours_t *c, uint32_t rows, uint8_t *valid)
{
    for (uint32_t y = 0; y < rows && !c->status; y++, valid += c->width) {
        code_row(c);
        if (c->status) break;
        uint32_t x = 0;
        int now = 1;
        for (uint32_t i = 0; i < c->n_above; i++, now = !now)
            for (uint32_t end = (uint32_t)c->above[i].column; x < end; x++) valid[x] = (uint8_t)now;
        for (; x < c->width; x++) valid[x] = (uint8_t)now;
    }
    return c->status;
}

/* Bytes of the content that no decision so far has to do with. */
API size_t sp_contours_left(const contours_t *c, size_t size)
{
    return size > c->rc.position + 4 ? size - c->rc.position - 4 : 0;
}
