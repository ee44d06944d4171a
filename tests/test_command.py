import pytest

from skin_lesion.model import ModelError
from train.command import command
from train.data import DataError


@pytest.mark.parametrize(
    ("error", "told", "status"),
    [
        (DataError("There is no folder ham."), "train.it: There is no folder ham.\n", 1),
        (ModelError("There is no model."), "train.it: There is no model.\n", 1),
        (ArithmeticError("Its own."), "train.it: Its own.\n", 1),
        (PermissionError(13, "Permission denied", "/a/b"), "train.it: /a/b: Permission denied. Make room there", 1),
        (OSError("no device"), "train.it: no device. Make room there", 1),
        (KeyboardInterrupt(), "\ntrain.it: interrupted\n", 130),
    ],
)
def test_a_command_ends_with_one_sentence(error, told, status, capsys):
    @command("train.it", ArithmeticError)
    def main() -> int:
        raise error

    assert main() == status
    assert capsys.readouterr().err.startswith(told)


def test_what_nobody_expected_keeps_its_traceback():
    @command("train.it")
    def main(number: int) -> int:
        return 1 // number

    assert main(1) == 1
    with pytest.raises(ZeroDivisionError):
        main(0)
