"""Build hooks: the C library of the codec is compiled into the wheel, where there is a compiler.

The library is loaded by ctypes and knows nothing of Python's versions, so the wheel is one for all of them
(py3-none-PLATFORM). Without a compiler the wheel is a pure one, and the slow Python range coder is used.
"""

import subprocess
import sys
from pathlib import Path
from sysconfig import get_platform

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

CODER = "swathpack/edge/codec/rangecoder"


class BuildWithLibrary(build_py):
    """Copies the modules, then runs the checkout's own build of the library into the copy."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            _compile(Path(self.build_lib).resolve())


class PlatformWheel(bdist_wheel):
    """Tags the wheel by what it holds."""

    def get_tag(self) -> tuple:
        python, abi, platform = super().get_tag()
        if any((Path(self.bdist_dir) / CODER).glob("*.so")):
            return "py3", "none", get_platform().replace("-", "_").replace(".", "_")
        return python, abi, platform


def _compile(root: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from swathpack.edge.codec.rangecoder.build import build, BuildError\n"
        f"try: print(build(Path({str(root / CODER)!r})))\n"
        "except BuildError as error: sys.exit(f'no C library in this wheel: {error}')"
    )
    # In a process of its own, from the copy: nothing of the checkout is imported here. It needs numpy.
    done = subprocess.run([sys.executable, "-c", script], cwd=root, check=False)
    if done.returncode:
        print("warning: wheel without the C library; the slow Python range coder will be used", file=sys.stderr)


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel})
