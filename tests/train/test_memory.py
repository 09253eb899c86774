"""What is freed is kept: asked of the kernel, in a process of its own, for it lasts as long as that."""

import os
import platform
import subprocess
import sys

import pytest

from facecycle.train.memory import CHOSEN

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")

# Pages that the kernel had to fill to write 64 MB ten times more, freed each time; and what the call said.
AGAIN = """
import resource, torch
from facecycle.train.launch import build_fabric
from facecycle.train.memory import keep_freed_memory
if {trains}: build_fabric("cpu", "32-true")
said = keep_freed_memory() if {asked} else None
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(1 << 24)
before = faults()
for _ in range(10): torch.ones(1 << 24)
print(said, faults() - before)
"""
PAGES = 10 * (1 << 26) // os.sysconf("SC_PAGE_SIZE")


def again(trains: bool = False, asked: bool = False, **chosen: str) -> tuple[str, int]:
    environment = {name: value for name, value in os.environ.items() if name not in CHOSEN} | chosen
    code = AGAIN.format(trains=trains, asked=asked)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    said, faults = done.stdout.split()
    return said, int(faults)


def test_memory_that_a_step_has_freed_is_not_filled_again_by_the_system():
    assert again()[1] > PAGES / 2  # else there would be nothing to gain
    assert again(trains=True)[1] < PAGES / 3  # something small may lie in the way at first


def test_what_the_environment_has_chosen_stays():
    said, faults = again(asked=True, MALLOC_MMAP_THRESHOLD_="1000000")
    assert said == "False"
    assert faults > PAGES / 2
    assert again(asked=True)[0] == "True"
