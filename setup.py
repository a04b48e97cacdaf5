"""The part of the build that pyproject.toml cannot say: the compiled kernel."""

from setuptools import setup

setup(
    cffi_modules=["src/orrery/kernel/build.py:ffi"],
    exclude_package_data={"": ["*.c", "*.h"]},
    # One wheel serves this and every later Python.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
