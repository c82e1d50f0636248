"""What is printed is what was given: no markup, no cut ids, errors as a table."""

from windtunnel.cli import output
from windtunnel.client._errors import api_error
from windtunnel.types import FieldError, Problem


def test_text_in_a_table_is_never_read_as_markup(capsys):
    output.show(output.table(("name",), [("[red]alarm[/]",)]))
    assert capsys.readouterr().out == "name\n[red]alarm[/]\n"


def test_nothing_is_cut_in_a_pipe(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    output.show(output.table(("id", "name"), [("job_" + "x" * 26, "n" * 120)]))
    assert "job_" + "x" * 26 + "  " + "n" * 120 in capsys.readouterr().out


def test_bad_fields_are_a_table_on_standard_error(capsys):
    errors = [
        FieldError(pointer="/model/width", message="width is -3; allowed: 4 to 8192", given=-3),
        FieldError(pointer="", message="the request has no body"),
    ]
    problem = Problem(type="validation", title="t", status=422, detail="2 fields are wrong", errors=errors)
    output.explain(api_error(problem, None))
    out, err = capsys.readouterr()
    assert out == ""
    assert "2 fields are wrong" in err
    rows = [line.split() for line in err.splitlines()]
    assert ["/model/width", "-3", "width", "is", "-3;", "allowed:", "4", "to", "8192"] in rows
    assert ["(request)", "-", "the", "request", "has", "no", "body"] in rows


def test_numbers_have_four_digits():
    assert [output.number(value) for value in (0.0123456, 12345.6, None)] == ["0.01235", "1.235e+04", "-"]
