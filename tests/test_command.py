import re
import subprocess
import sys
from pathlib import Path

import pytest

from skin_lesion.model import ModelError
from train.command import command
from train.data import DataError

FOLDER = Path(__file__).parents[1] / "train"


@pytest.mark.parametrize(
    ("error", "told", "status"),
    [
        (DataError("There is no folder ham."), "train.it: There is no folder ham.\n", 1),
        (ModelError("There is no model."), "train.it: There is no model.\n", 1),
        (ArithmeticError("Its own."), "train.it: Its own.\n", 1),
        (
            PermissionError(13, "Permission denied", "/a/b"),
            "train.it: /a/b: Permission denied. Change who may",
            1,
        ),
        (OSError(28, "No space left on device", "/a/b"), "train.it: /a/b: No space left on device. Make room there", 1),
        (OSError("no device"), "train.it: no device.\n", 1),
        (KeyboardInterrupt(), "\ntrain.it: interrupted\n", 130),
    ],
)
def test_a_command_ends_with_one_sentence(error, told, status, capsys):
    @command("train.it", ArithmeticError)
    def main() -> int:
        raise error

    assert main() == status
    assert capsys.readouterr().err.startswith(told)


@pytest.mark.parametrize("name", sorted(p.stem for p in FOLDER.glob("*.py") if "__main__" in p.read_text()))
def test_every_command_ends_so(name):
    if name == "fit":  # it says what is kept of a run, and imports torch late
        return
    assert re.search(rf'^@command\("train.{name}"(, \w+)?\)\ndef main\(', (FOLDER / f"{name}.py").read_text(), re.M)


def test_a_reader_that_had_enough_is_no_error():
    code = "from train.command import command\n@command('x')\ndef main():\n  while True: print('y' * 9999)\n"
    script = f"{code}import sys; sys.exit(main())"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 141


def test_what_nobody_expected_keeps_its_traceback():
    @command("train.it")
    def main(number: int) -> int:
        return 1 // number

    assert main(1) == 1
    with pytest.raises(ZeroDivisionError):
        main(0)
