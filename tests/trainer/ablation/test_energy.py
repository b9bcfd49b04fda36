"""Energy by counters: RAPL's in a made folder, NVML's in a made library, and nothing made up where there is none."""

import ctypes
import os
import shutil
import subprocess
import time

import pytest

from pipelines.store.files import read_json, write_json
from trainer.ablation.energy import ENERGY_FILE, Meter, train_metered
from trainer.ablation.run_record import training_joules

RANGE = 262_143_328_850
NVML_SOURCE = """
static unsigned long long told = 5000000;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) { *device = 0; return index != 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) { *device = 0; return uuid[0] != 'G'; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) { *energy = told += 1500; return 0; }
"""


class Machine:
    """A powercap folder and a /proc/stat of one's own."""

    def __init__(self, folder):
        self.powercap, self.stat = folder / "powercap", folder / "stat"
        self.work(0)

    def add(self, domain, name, microjoules):
        path = self.powercap / domain
        path.mkdir(parents=True)
        (path / "name").write_text(name + "\n")
        (path / "max_energy_range_uj").write_text(f"{RANGE}\n")
        self.use(domain, microjoules)

    def use(self, domain, microjoules):
        (self.powercap / domain / "energy_uj").write_text(f"{microjoules}\n")

    def work(self, seconds):
        ticks = round(seconds * os.sysconf("SC_CLK_TCK"))
        self.stat.write_text(f"cpu  {ticks} 0 0 999999 0 0 0 0 0 0\ncpu0 1 0 0 0 0 0 0 0 0 0\n")

    def meter(self, gpu=False, nvml="no-such-library.so"):
        return Meter(gpu, str(self.powercap), str(self.stat), nvml)


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    machine.add("intel-rapl:0", "package-0", 1_000_000)
    machine.add("intel-rapl:0:0", "core", 1)  # within the package
    machine.add("intel-rapl:0:1", "dram", RANGE - 1_000_000)
    machine.add("intel-rapl:1", "psys", 7)  # has the package within it
    return machine


def burn(seconds):
    started = time.process_time()
    while time.process_time() - started < seconds:
        pass


def test_packages_and_memory_are_counted_once_and_over_the_end_of_a_counter(machine):
    with machine.meter() as meter:
        machine.use("intel-rapl:0", 31_000_000)
        machine.use("intel-rapl:0:0", 20_000_000)
        machine.use("intel-rapl:0:1", 500_000)
        machine.use("intel-rapl:1", 90_000_000)
    assert meter.joules == pytest.approx(30 + 1.5)  # nobody else worked: all of it


def test_a_process_is_charged_with_its_share_of_the_time_that_the_processors_worked(machine):
    with machine.meter() as meter:
        burn(0.05)
        machine.work(1000)
        machine.use("intel-rapl:0", 1_000_000 + 2_000_000_000)
    assert 2000 * 0.05 / 1000 <= meter.joules < 2000 * 2 / 1000


def test_a_long_work_is_added_up_in_parts(machine):
    with machine.meter() as meter:
        machine.use("intel-rapl:0", RANGE - 1)
        meter.move()
        machine.use("intel-rapl:0", 500_000)
    assert meter.joules == pytest.approx((RANGE - 1_000_000 + 500_000) / 1e6, rel=1e-6)


def test_a_machine_without_counters_tells_nothing(tmp_path):
    machine = Machine(tmp_path)
    with machine.meter() as meter:
        burn(0.01)
    assert meter.joules is None


def test_a_counter_that_may_not_be_read_is_none(machine):
    shutil.rmtree(machine.powercap / "intel-rapl:0:1")
    (machine.powercap / "intel-rapl:0" / "energy_uj").unlink()
    (machine.powercap / "intel-rapl:0" / "energy_uj").mkdir()
    with machine.meter() as meter:
        pass
    assert meter.joules is None


@pytest.fixture(scope="module")
def nvml(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(NVML_SOURCE)
    library = str(folder / "nvml.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, str(folder / "nvml.c")], check=True)
    ctypes.CDLL(library)
    return library


@pytest.mark.parametrize(("visible", "found"), [(None, True), ("0,1", True), ("GPU-5", True), ("3", False)])
def test_a_gpu_is_charged_whole_and_with_the_processors_share(machine, nvml, monkeypatch, visible, found):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with machine.meter(gpu=True, nvml=nvml) as meter:
        machine.use("intel-rapl:0", 3_000_000)
    assert meter.joules == (pytest.approx(1.5 + 2) if found else None)


def test_without_nvidias_library_a_gpu_process_has_no_figure(machine):
    with machine.meter(gpu=True) as meter:
        machine.use("intel-rapl:0", 3_000_000)
    assert meter.joules is None


def test_a_training_notes_what_was_measured_and_a_part_stands_for_the_whole(machine, tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.ablation.energy.Meter", lambda gpu: machine.meter(gpu))
    run_dir, told = str(tmp_path / "run"), []

    def train(on_step):
        machine.use("intel-rapl:0", 11_000_000)
        on_step(1, 2, {})
        machine.use("intel-rapl:0", 16_000_000)

    train_metered(run_dir, False, lambda *step: told.append(step), train)
    noted = read_json(f"{run_dir}/{ENERGY_FILE}")
    assert noted["joules"] == pytest.approx(15)
    assert told == [(1, 2, {})]
    write_json(f"{run_dir}/{ENERGY_FILE}", {"joules": 15.0, "seconds": 10.0})
    assert training_joules(run_dir, 40.0) == 60.0  # it was stopped, and this was its last quarter
    assert training_joules(str(tmp_path), 40.0) is None


def test_a_finished_run_is_not_trained_to_be_measured(tmp_path):
    write_json(str(tmp_path / "run.json"), {"finished": True})
    train_metered(str(tmp_path), False, lambda *_: None, lambda _: pytest.fail("trained again"))
