"""Coverage-guided fuzzing of every parser (atheris, libFuzzer), with a small committed corpus.

    python -m tests.fuzz                         every target, 600 seconds in all; prints a table
    python -m tests.fuzz --seconds 60 stream     one target
    python -m tests.fuzz --keep                  what was found joins the committed corpus, minimised

Where atheris is not installed (it has wheels for Linux on x86-64), the fuzzer of `swathpack.hil_tests.promises fuzz` tries the same
targets, its checksums on, guided by the lines of Python that an input reaches.

Checksums are off (`unchecked`): a mutant would else end at the first one. `swathpack.hil_tests.promises fuzz` runs the same
parsers with checksums on. `test_fuzz.py` runs the corpus through every parser without atheris.
"""
