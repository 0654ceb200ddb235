import pytest

from jaxgan.core import command
from jaxgan.core.errors import UserError


def test_run_returns_the_exit_status_and_prints_one_line(capsys):
    done = []
    assert command.run(lambda: done.append(1)) == 0
    assert done == [1]

    def mistaken():
        raise UserError("--rate=0: give a rate")

    def cut():
        raise KeyboardInterrupt

    assert command.run(mistaken) == 2
    assert capsys.readouterr().err == "--rate=0: give a rate\n"
    assert command.run(cut) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_other_exceptions_are_not_caught():
    with pytest.raises(ZeroDivisionError):
        command.run(lambda: print(1 / 0))


def test_a_mistake_in_the_flags_points_to_the_help():
    parser = command.Parser("does nothing")
    parser.prog = "nothing.py"
    with pytest.raises(UserError, match=r"unrecognized arguments: --all; see nothing\.py --help"):
        parser.parse_args(["--all"])


@pytest.mark.parametrize("value", ["", 0.0, False, "x"])
def test_a_flag_that_was_given_is_refused_whatever_its_value(value):
    command.refuse_flags("a clause", bias=None)
    with pytest.raises(UserError, match=rf"--bias={value}: a clause; leave --bias out"):
        command.refuse_flags("a clause", text=None, bias=value)
