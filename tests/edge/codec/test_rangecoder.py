"""All range coders write and read the same words, cut payloads give exact prefixes, hostile ones an error."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.clibrary import SOURCES, source_digest
from swathpack.edge.codec import rangecoder
from swathpack.edge.codec.rangecoder import PayloadEnded, RangeCoderError, native, new_decoder, new_encoder
from swathpack.edge.codec.rangecoder.build import BuildError, build, find_compiler
from swathpack.edge.codec.tables import SYMBOL_LIMIT, ProbabilityTables
from swathpack.edge.codec.tables import build as build_tables

TABLES = build_tables()
ODD = ProbabilityTables(  # an escape half of the time, an escape almost always, the largest order and shift
    widths=np.array([1, 1 << 23, 1, (1 << 23) - 2, 1, (1 << 24) - 1], np.uint32),
    half=np.array([1, 0], np.uint16),
    shift=np.array([0, 8], np.uint8),
    escape_order=np.array([0, 16], np.uint8),
    n_fractions=1,
    sigmas=np.ones(2),
)
ON_X86 = platform.machine() in ("x86_64", "AMD64")


@pytest.fixture(scope="module", autouse=True)
def built():
    """These tests are about the C coder too: build it if the set-up has not."""
    if not native.available():
        build()
        native.library.cache_clear()
    assert rangecoder.backend() == "native"


def decoders():
    if not ON_X86:
        return ("native", "reference")
    return ("native", "reference", "constriction")


def batches_of(seed: int, tables: ProbabilityTables = TABLES, escapes: bool = True, n_max: int = 60):
    """A few random batches; symbols are about three sigmas wide, so that some escape."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(int(rng.integers(1, 5))):
        n = int(rng.integers(0, n_max))
        index = rng.integers(0, tables.n_tables, n)
        if not escapes:
            index = index[tables.shift[index] == 0]
        sigma = tables.sigmas[index % tables.n_scales]
        symbols = np.rint(rng.standard_normal(index.size) * sigma * 3).astype(np.int64)
        if escapes and index.size:
            symbols[rng.integers(index.size)] = rng.integers(-SYMBOL_LIMIT + 1, SYMBOL_LIMIT)
        else:
            half = tables.half[index].astype(np.int64)
            symbols = np.clip(symbols, -half, half)
        out.append((symbols, index))
    return out


def encoded(batches, name: str, tables: ProbabilityTables = TABLES):
    encoder = new_encoder(tables, name)
    marks = []
    for symbols, index in batches:
        encoder.encode(symbols, index)
        marks.append(encoder.checkpoint())
    return encoder, marks


def whole_batches(payload: bytes, batches, name: str, tables: ProbabilityTables = TABLES) -> int:
    """How many batches come out of a payload; each that does must be right."""
    decoder = new_decoder(tables, payload, name)
    for done, (symbols, index) in enumerate(batches):
        try:
            found = decoder.decode(index)
        except PayloadEnded:
            assert decoder.overran
            return done
        assert np.array_equal(found, symbols)
    return len(batches)


@pytest.mark.parametrize("seed", range(12))
def test_native_and_reference_write_the_same(seed):
    tables = ODD if seed % 3 == 2 else TABLES
    batches = batches_of(seed, tables)
    (a, a_marks), (b, b_marks) = encoded(batches, "native", tables), encoded(batches, "reference", tables)
    assert np.array_equal(a.words(), b.words()) and a.payload() == b.payload()
    for x, y in zip(a_marks, b_marks):
        assert x.size_bytes == y.size_bytes == len(a.payload(x)) and x.symbols == y.symbols
        assert a.payload(x) == b.payload(y) and np.array_equal(a.words(x), b.words(y))


@pytest.mark.parametrize("seed", range(12))
def test_every_decoder_reads_both_forms(seed):
    tables = ODD if seed % 3 == 2 else TABLES
    batches = batches_of(100 + seed, tables)
    encoder, _ = encoded(batches, "native", tables)
    for payload in (encoder.payload(), encoder.words().astype(">u4").tobytes()):
        for name in decoders():
            assert whole_batches(payload, batches, name, tables) == len(batches)


@pytest.mark.skipif(not ON_X86, reason="constriction has no wheel here")
@pytest.mark.parametrize("seed", range(12))
def test_words_are_those_of_constriction(seed):
    import constriction

    from swathpack.edge.codec.rangecoder.constriction_decoder import Models

    batches, models = batches_of(200 + seed, escapes=False), Models.of(TABLES)
    oracle = constriction.stream.queue.RangeEncoder()
    for symbols, index in batches:
        for i in np.argsort(index, kind="stable"):
            oracle.encode(int(symbols[i]) + int(TABLES.half[index[i]]), models.slots(int(index[i])))
    encoder, _ = encoded(batches, "native")
    assert np.array_equal(encoder.words(), oracle.get_compressed())


def _symbols_that_hug_a_point(tables: ProbabilityTables, n: int) -> np.ndarray:
    """What a short number followed by zeros decodes to; numbers that no encoder writes are passed over."""
    for head in range(1, 100):
        try:
            payload = head.to_bytes(4, "little") + bytes(400)
            return new_decoder(tables, payload, "reference").decode(np.zeros(n, int))
        except RangeCoderError:
            continue
    raise AssertionError("no number found")


@pytest.mark.skipif(not ON_X86, reason="constriction has no wheel here")
@pytest.mark.parametrize("last", [-1, 1])
def test_long_carries_are_those_of_constriction(last):
    """Symbols that hug a point hold many words back, until the last ones settle the carry."""
    import constriction

    widths = np.array([5592405, 5592406, 5592404, 1], np.uint32)
    tables = ProbabilityTables(
        widths, np.array([1], np.uint16), np.array([0], np.uint8), np.array([0], np.uint8), 1, np.ones(1)
    )
    symbols = np.concatenate([_symbols_that_hug_a_point(tables, 300), np.full(40, last)]).astype(np.int32)
    oracle = constriction.stream.queue.RangeEncoder()
    model = constriction.stream.model.Categorical(tables.to_constriction(0), perfect=False)
    oracle.encode(symbols + 1, model)
    words = oracle.get_compressed()
    assert np.isin(words[1:12], [0, 0xFFFFFFFF]).all()  # the carry did run through
    for name in ("native", "reference"):
        encoder, _ = encoded([(symbols, np.zeros(340, int))], name, tables)
        assert np.array_equal(encoder.words(), words)
        assert whole_batches(encoder.payload(), [(symbols, np.zeros(340, int))], name, tables) == 1


@pytest.mark.parametrize("seed", range(6))
def test_every_cut_gives_an_exact_prefix_and_all_decoders_agree_how_long(seed):
    batches = batches_of(300 + seed, n_max=25)
    encoder, marks = encoded(batches, "native")
    payload = encoder.payload()
    for cut in range(len(payload)):
        found = [whole_batches(payload[:cut], batches, name) for name in ("native", "reference")]
        assert found[0] == found[1]
        assert found[0] >= sum(mark.size_bytes + 4 <= cut for mark in marks)
    if ON_X86:
        for cut in range(0, len(payload), 7):
            try:
                found_there = whole_batches(payload[:cut], batches, "constriction")
            except RangeCoderError:
                continue
            assert found_there == whole_batches(payload[:cut], batches, "native")


def test_any_continuation_of_a_payload_decodes_the_same():
    batches = batches_of(7)
    encoder, marks = encoded(batches, "native")
    for k, mark in enumerate(marks):
        for tail in (b"", b"\x00" * 9, b"\xff" * 9, b"\x80\x01\xfe"):
            assert whole_batches(encoder.payload(mark) + tail, batches[: k + 1], "native") == k + 1


def test_no_shorter_payload_would_do():
    for seed in range(20):
        batches = batches_of(400 + seed)
        encoder, _ = encoded(batches, "native")
        payload = encoder.payload()
        words = encoder.words()
        assert len(payload) <= 4 * words.size
        if payload and batches[-1][0].size:
            assert whole_batches(payload[:-1], batches, "reference") < len(batches)


def test_asking_for_sizes_does_not_disturb_the_encoder():
    batches = batches_of(9)
    plain = new_encoder(TABLES)
    for symbols, index in batches:
        plain.encode(symbols, index)
    watched, marks = encoded(batches, "native")
    for mark in marks:
        watched.payload(mark)
        watched.words(mark)
    assert plain.payload() == watched.payload()


def test_length_is_the_cost_within_a_few_bits():
    rng = np.random.default_rng(5)
    index = rng.integers(0, 512, 20000)
    symbols = np.rint(index // 64 / 8 + rng.logistic(0, 0.55, 20000) * TABLES.sigmas[index % 64]).astype(int)
    encoder = new_encoder(TABLES)
    encoder.encode(symbols, index)
    bits = TABLES.cost_bits(index, symbols)
    assert bits - 8 < 8 * len(encoder.payload()) < bits * 1.0005 + 48


@pytest.mark.parametrize("tables", [TABLES, ODD])
@pytest.mark.parametrize("name", ["native", "reference"])
def test_extreme_symbols_round_trip(name, tables):
    limit = SYMBOL_LIMIT - 1
    symbols = np.array([limit, -limit, 32767, -32768, 65535, 0, -1, 1] * tables.n_tables)
    index = np.repeat(np.arange(tables.n_tables), 8)
    if name == "reference":
        symbols, index = symbols[::7], index[::7]
    encoder = new_encoder(tables, name)
    encoder.encode(symbols, index)
    assert np.array_equal(new_decoder(tables, encoder.payload(), name).decode(index), symbols)


@pytest.mark.parametrize("name", ["native", "reference"])
@pytest.mark.parametrize(
    ("symbols", "index"),
    [
        ([SYMBOL_LIMIT], [0]),
        ([-SYMBOL_LIMIT], [0]),
        ([0], [512]),
        ([0], [-1]),
        ([0], [65536]),
        ([0, 1], [0]),
        ([0.5], [0]),
        ([0], [0.0]),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(name, symbols, index):
    encoder = new_encoder(TABLES, name)
    encoder.encode(np.array([1, 2]), np.array([5, 6]))
    before = encoder.payload()
    with pytest.raises(RangeCoderError):
        encoder.encode(np.array(symbols), np.array(index))
    assert encoder.payload() == before


@pytest.mark.parametrize("name", decoders())
def test_bad_index_on_decoding_is_refused(name):
    with pytest.raises(RangeCoderError):
        new_decoder(TABLES, b"abcd" * 4, name).decode(np.array([512]))


def test_a_checkpoint_of_another_encoder_is_refused():
    for name in ("native", "reference"):
        mark = new_encoder(TABLES, name).checkpoint()
        with pytest.raises(RangeCoderError):
            new_encoder(TABLES, name).payload(mark)


def test_empty_stream():
    for name in ("native", "reference"):
        encoder = new_encoder(TABLES, name)
        encoder.encode(np.zeros(0, int), np.zeros(0, int))
        assert encoder.payload() == b"" and encoder.words().size == 0 and encoder.checkpoint().size_bytes == 0


@settings(max_examples=150, deadline=None)
@given(payload=st.binary(max_size=80), seed=st.integers(0, 2**32 - 1), odd=st.booleans())
def test_hostile_payloads_give_bounded_symbols_or_one_error(payload, seed, odd):
    tables = ODD if odd else TABLES
    index = np.random.default_rng(seed).integers(0, tables.n_tables, 40)
    outcomes = []
    for name in ("native", "reference"):
        decoder = new_decoder(tables, payload, name)
        try:
            symbols = decoder.decode(index)
            assert np.abs(symbols).max() < SYMBOL_LIMIT
            outcomes.append(symbols.tolist())
        except PayloadEnded:
            outcomes.append("ended")
        except RangeCoderError:
            outcomes.append("corrupt")
            with pytest.raises(RangeCoderError):
                decoder.decode(index)
    assert outcomes[0] == outcomes[1]


@pytest.mark.skipif(not ON_X86, reason="constriction has no wheel here")
@settings(max_examples=30, deadline=None)
@given(payload=st.binary(max_size=80), seed=st.integers(0, 2**32 - 1))
def test_constriction_never_leaks_another_error(payload, seed):
    index = np.random.default_rng(seed).integers(0, TABLES.n_tables, 40)
    try:
        expected = new_decoder(TABLES, payload, "native").decode(index)
    except RangeCoderError:
        with pytest.raises(RangeCoderError):
            new_decoder(TABLES, payload, "constriction").decode(index)
    else:
        assert np.array_equal(new_decoder(TABLES, payload, "constriction").decode(index), expected)


def test_golden_words():
    """Pinned: a change of these words is a change of format."""
    tables = ProbabilityTables(
        widths=np.array([1 << 20, 3 << 20, 7 << 20, 3 << 20, 1 << 20, 1 << 20] + [1 << 22] * 4, np.uint32),
        half=np.array([2, 1], np.uint16),
        shift=np.array([0, 3], np.uint8),
        escape_order=np.array([1, 2], np.uint8),
        n_fractions=1,
        sigmas=np.ones(2),
    )
    symbols = np.array([0, 1, -2, 7, 300, -9, 0, 0, -40000, 15, -1, 2])
    index = np.array([0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0])
    for name in ("native", "reference"):
        encoder = new_encoder(tables, name)
        encoder.encode(symbols, index)
        assert [f"{word:08x}" for word in encoder.words()] == GOLDEN_WORDS
        assert encoder.payload().hex() == GOLDEN_PAYLOAD


GOLDEN_WORDS = ["8e4f26cc", "f8136b7d", "f3c5ac71"]
GOLDEN_PAYLOAD = "8e4f26ccf8136b7df3c5ac71"


def test_unknown_backends_are_refused():
    with pytest.raises(RangeCoderError):
        new_encoder(TABLES, "fast")
    with pytest.raises(RangeCoderError):
        new_decoder(TABLES, b"", "fast")


def test_build_without_a_compiler_says_what_to_do(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BuildError, match="install one"):
        find_compiler()
    monkeypatch.setenv("CC", "no-such-cc -O1")
    with pytest.raises(BuildError, match="no-such-cc"):
        find_compiler()


def test_build_is_atomic_and_leaves_nothing_behind(tmp_path, monkeypatch):
    """Of two of the sources: all take 20 s."""
    monkeypatch.setattr("swathpack.edge.codec.rangecoder.build.SOURCES", SOURCES[:2])
    made = build(tmp_path)
    assert [p.name for p in made.parent.iterdir()] == [made.name] and made.stat().st_size > 1000


def test_a_failing_compiler_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "false")
    with pytest.raises(BuildError):
        build(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "used"), [("same", True), ("other", False)])
def test_a_library_of_another_source_is_not_used(name, used, tmp_path, monkeypatch):
    """The library as it is, but for what it says that it was made of."""
    digest, path, data = source_digest().encode(), tmp_path / f"{name}.so", native.library_path().read_bytes()
    assert digest in data
    path.write_bytes(data if used else data.replace(digest, b"0" * len(digest)))
    monkeypatch.setattr(native, "library_path", lambda: path)
    native.library.cache_clear()
    try:
        assert native.available() == used and rangecoder.backend() == ("native" if used else "reference")
    finally:
        monkeypatch.undo()
        native.library.cache_clear()


def test_importing_the_coder_loads_no_constriction():
    code = "import sys, swathpack.edge.codec.rangecoder, swathpack.edge.stream; print('constriction' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
