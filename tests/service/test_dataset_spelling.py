"""Tables as programs and people write them: one table, spelled in many ways, reads the same or is asked about."""

import csv
import io
import json
import time
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.datasets.errors import BadData
from service.datasets.pool import Pool
from service.datasets.tables import read_csv, read_parquet
from windtunnel.delimited import plain

ROWS = 60
GENERATOR = np.random.Generator(np.random.PCG64(0))
QUARTERS = GENERATOR.integers(-4000, 4000, size=(ROWS, 3)) / 4
"""Numbers that every spelling writes exactly."""


def read(text: str | bytes, target: str | None = None, kind: str | None = None, **options: object) -> Pool:
    return read_csv(io.BytesIO(text if isinstance(text, bytes) else text.encode()), target, kind, **options)


def written(names: list[str], rows: list[list[str]], delimiter: str = ",", **options: object) -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, **options)
    writer.writerows([names, *rows])
    return file.getvalue()


def labels_of(cells: list[str], kind: str | None = None, **options: object) -> Pool:
    """A table of one feature and these labels, as often as it takes to fill it."""
    rows = [[str(index), cells[index % len(cells)]] for index in range(ROWS)]
    return read(written(["x", "y"], rows), kind=kind, **options)


def named(pool: Pool) -> list[str]:
    """The name of the class of each example."""
    return [pool.classes[label] for label in pool.labels]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_separators_in_names_and_cells_do_not_mislead(delimiter, end, quoting):
    names = ["a, b; c|d\te", 'say "x"', "kind"]
    kinds = [["one, two", "one; two", "one|two", "line\nbreak"][index % 3] for index in range(ROWS)]
    rows = [[f"{row[0]}", f"{row[1]}", kind] for row, kind in zip(QUARTERS, kinds, strict=True)]
    names[0] = names[0].replace("\t", " ")  # a name has printable characters alone
    pool = read("\ufeff" + written(names, rows, delimiter, lineterminator=end, quoting=quoting))
    assert (pool.columns, pool.target) == (names[:2], "kind")
    assert np.array_equal(pool.inputs, QUARTERS[:, :2]) and named(pool) == kinds


@pytest.mark.parametrize(
    ("head", "separator"),
    [
        ('"size, net, m2";"age, years";label', ";"),
        ("size (m2, net)\tage (y, approx)\tlabel", "\t"),
        ("a, b, c|d, e|label", "|"),
        ('"x", "y", "label"', ", "),
        ("x ,y ,label", " , "),
        ("a;b|c;d|label", "|"),
    ],
)
def test_the_separator_is_the_one_that_fits_every_row(head, separator):
    rows = "".join(f"{row[0]}{separator}{row[1]}{separator}{'ab'[index % 2]}\n" for index, row in enumerate(QUARTERS))
    pool = read(f"{head}\n{rows}")
    assert np.array_equal(pool.inputs, QUARTERS[:, :2]) and pool.target == "label" and len(pool.columns) == 2
    assert not any('"' in name for name in pool.columns)


def test_a_separator_that_cannot_be_told_is_asked_for_and_taken():
    text = "a,b;c,d\n" + "".join(f"p,{'qr'[index % 2]};s,t\n" for index in range(ROWS))
    with pytest.raises(BadData, match=r"may be separated by comma or semicolon .'a,b;c,d'.; say delimiter") as caught:
        read(text)
    assert caught.value.pointer == "/delimiter"
    table = "a;b,c;d\n" + "".join(f"{index};2,{index % 2};{index}\n" for index in range(ROWS))
    pool = read(table, delimiter=";")
    assert pool.columns == ["a", "b,c"] and set(pool.inputs[:, 1]) == {2, np.float32(2.1)}
    with pytest.raises(BadData, match="column 'a;b' has text in row 2: '0;2'"):
        read(table, delimiter=",")


def test_a_name_that_promises_tabs_and_a_line_that_tells_the_separator_are_believed():
    tabs = "a,1\tb,2\n" + "".join(f"{index},5\t{index % 2}\n" for index in range(ROWS))
    assert read(tabs, tabs=True).columns == ["a,1"]
    told = "sep=;\r\na;b\r\n" + "".join(f"{index};{index % 2}\r\n" for index in range(ROWS))
    assert read(told).columns == ["a"]


def test_blank_lines_are_passed_over_and_counted():
    rows = [f"{index};{'uv'[index % 2]}" for index in range(ROWS)]
    pool = read("\n  \n" + "a;b\n\n" + "\n   \n".join(rows) + "\n\n \n")
    assert len(pool.labels) == ROWS and np.array_equal(pool.inputs[:, 0], np.arange(ROWS))
    rows[3] = "x;u"
    with pytest.raises(BadData, match="column 'a' has text in row 10: 'x'"):
        read("\na;b\n\n" + "\n \n".join(rows))


def spelled(value: float, decimal: str, group: str) -> str:
    """A number with groups of digits and a decimal sign, as locales write it."""
    return f"{value:,.2f}".replace(",", "G").replace(".", decimal).replace("G", group)


@pytest.mark.parametrize(
    ("decimal", "group", "delimiter"),
    [
        (".", ",", ","),
        (".", ",", ";"),
        (",", ".", ";"),
        (",", ".", ","),
        (",", "", "\t"),
        (",", " ", ";"),
        (".", "'", ","),
        (".", "\u202f", "|"),
        (",", "\u00a0", ";"),
        (".", "\u2019", ","),
    ],
)
def test_decimal_signs_and_groups_of_digits_mean_what_they_mean(decimal, group, delimiter):
    values = QUARTERS * 1000.0
    rows = [[spelled(value, decimal, group) for value in row] for row in values]
    pool = read(written(["a", "b", "c"], rows, delimiter))
    assert pool.classes == ()
    assert np.array_equal(np.column_stack([pool.inputs, pool.labels]), values)


@pytest.mark.parametrize(
    "cell", ["1,000", "-12,345,678.25", "1.5", "0,5", "1 000,25", "1e-3", "+7", ",5", "1.234.567", "12,34", "1'000.5"]
)
def test_a_spelled_number_is_exactly_the_fraction_that_it_says(cell):
    for decimal in ".,":
        text = plain(cell, decimal)
        if text is not None:
            kept = "".join(sign for sign in cell if sign.isdigit() or sign in "+-eE" or sign == decimal).replace(",", ".")
            assert Fraction(text) == Fraction(kept)


@pytest.mark.parametrize(
    "cells", [["1,000", "2,000", "3,500", "12,000"], ["1 000", "2 000"], ["1,5", "2,5"], ["12'000", "3"]]
)
def test_numbers_with_signs_between_their_digits_are_quantities(cells):
    pool = labels_of(cells)
    assert pool.classes == ()
    exact = [float(cell.replace("'", "").replace(" ", "")) if "," not in cell else None for cell in cells]
    by_comma = {"1,000": 1000, "2,000": 2000, "3,500": 3500, "12,000": 12000, "1,5": 1.5, "2,5": 2.5}
    assert set(pool.labels) == {by_comma.get(cell, value) for cell, value in zip(cells, exact, strict=True)}


def test_what_may_be_a_thousand_or_a_one_is_asked_about():
    text = "x;y\n" + "".join(f"{index};{1 + index % 7},{index % 10}00\n" for index in range(ROWS))
    with pytest.raises(BadData, match=r"column 'y', row 2, has '1,000', which is 1000 .* and 1\.000 where") as caught:
        read(text)
    assert caught.value.pointer == "/decimal"
    assert read(text, decimal=".").labels[1] == 2100 and read(text, decimal=",", kind="regression").labels[1] == np.float32(
        2.1
    )
    # Another column settles it.
    settled = "z;" + text.replace("\n", "\n0,25;")[:-5]
    assert read(settled, kind="regression").labels[1] == np.float32(2.1)
    assert read(settled.replace("0,25", "0.25")).labels[1] == 2100


def test_points_that_may_stand_between_thousands_are_asked_about():
    text = "x;y\n" + "".join(f"{1 + index % 9}.{100 + index};{index},5\n" for index in range(1, ROWS))
    with pytest.raises(BadData, match=r"column 'x', row 2, has '2\.101', which is 2\.101 .* 2101 where") as caught:
        read(text)
    assert caught.value.pointer == "/decimal"
    both = "x;y\n" + "".join(f"{index}.25;{index},5\n" for index in range(ROWS))
    with pytest.raises(BadData, match=r"column 'x', row 2, has '0\.25', .* column 'y', row 2, has '0,5', with"):
        read(both)
    with pytest.raises(BadData, match=r"column 'x' has text in row 2: '0\.25'; allowed: numbers with a decimal comma"):
        read(both, decimal=",")


@pytest.mark.parametrize(
    "cells", [["$1,000", "$2,500"], ["5 %", "12.5%"], ["1_000", "2_000"], ["\u22125", "3"], ["\u20ac5", "7"]]
)
def test_numbers_with_more_about_them_do_not_become_names(cells):
    with pytest.raises(BadData, match=r"column 'y', the target, has '.*' in row 2, a number with more about it") as caught:
        labels_of(cells)
    assert caught.value.pointer == "/target" and caught.value.given == cells[0]
    assert set(labels_of(cells, "classification").classes) == set(cells)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"x": "1e400"}, {}, r"column 'x' has 1e400 in row 5; allowed: finite"),
        ({"x": "-Infinity"}, {}, r"column 'x' has -Infinity in row 5; allowed: finite"),
        ({"x": '"1,5'}, {}, r"is no CSV: unexpected end of data in row 5"),
        ({"x": '"1"5'}, {}, r"is no CSV: .* expected after .* in row 5"),
        ({"x": "1.2.3"}, {}, r"column 'x' has text in row 5: '1\.2\.3'"),
        (
            {"x": "1,5,7"},
            {},
            r"row 5 has 4 cells; expected 2, .* Its last cell is '[0-9]+'; a cell .* a comma, needs quotes",
        ),
        ({"x": "1,5"}, {}, r"row 5 has 3 cells; expected 2"),
        ({"x": "0x1F"}, {}, r"column 'x' has text in row 5: '0x1F'"),
        ({"x": "12:30"}, {"decimal": ","}, r"column 'x' has text in row 5: '12:30'; allowed: numbers with a decimal comma"),
        ({"y": "0.5"}, {"kind": "classification"}, r"column 'y' has 0\.5, which is no class, in row 5"),
        ({"y": "1e39"}, {"kind": "regression"}, r"beyond single precision, such as 1e\+39 in row 5"),
        ({"y": "odd"}, {"kind": "classification"}, r"class 'odd' 1 times; allowed: .*; the first is in row 5"),
        ({"y": "odd"}, {"kind": "regression"}, r"text such as 'odd', .* a number in row 5"),
    ],
)
def test_a_refusal_quotes_the_cell_its_row_and_its_column(columns, options, message):
    rows = [{"x": str(index), "y": str(index % 3), **(columns if index == 3 else {})} for index in range(ROWS)]
    with pytest.raises(BadData, match=message):
        read("x,y\n" + "\n".join(f"{row['x']},{row['y']}" for row in rows) + "\n", **options)


@pytest.mark.parametrize("word", ["<NA>", "NaT", "missing", "n.a.", "#DIV/0!", "(1.5)", "12 kg"])
def test_a_word_among_numbers_is_quoted_and_makes_no_classes_of_them(word):
    cells = [word if index == 3 else repr(index / 7) for index in range(ROWS)]
    with pytest.raises(BadData) as caught:
        labels_of(cells)
    assert f"has '{word}' in row 5 among numbers" in caught.value.message and caught.value.pointer == "/target"
    assert named(labels_of(["1", "2", word]))[:3] == ["1", "2", word]


def test_points_between_semicolons_that_may_all_stand_between_thousands_are_asked_about():
    def prices(more: str) -> str:
        return "a;y\n" + "".join(f"{more if index == 7 else index};{index + 1}.{index:03d}\n" for index in range(ROWS))

    with pytest.raises(BadData, match=r"column 'y', row 2, has '1\.000', .* 1\.000 where .* and 1000 where") as caught:
        read(prices("7"))
    assert caught.value.pointer == "/decimal"
    assert read(prices("7"), decimal=",").labels[1] == 2001 and read(prices("7"), decimal=".").labels[1] == np.float32(
        2.001
    )
    assert read(prices("0.5")).labels[1] == np.float32(2.001)


@pytest.mark.parametrize(
    ("head", "row", "message"),
    [
        ("a,y,", "{0},{0},", "column 3 has no name .* a line that ends in the separator"),
        ("a,y", "{0},{0},", "row 2 has 3 cells; .* at its end makes another cell"),
        ("a,b,y", "{0},{0}", "row 2 has 2 cells; .* from column 'y' on, cells are missing"),
        ("Unnamed: 0,a,y", "{0},{0},{0}", "column 1 is called 'Unnamed: 0', .* leave it out"),
        (",a,y", "{0},{0},{0}", "column 1 has no name .* leave it out"),
    ],
)
def test_lines_that_other_programs_write_are_named(head, row, message):
    with pytest.raises(BadData, match=message):
        read(f"{head}\n" + "".join(row.format(index) + "\n" for index in range(ROWS)))


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("latin-1", "row 9 has a byte 0xfc at 'für'"),
        ("cp1252", "row 9 has a byte 0xfc at 'für'"),
        ("utf-16", "the file is in UTF-16"),
        ("utf-16-le", "NUL bytes, as text in UTF-16"),
    ],
)
def test_a_table_in_another_encoding_is_named_with_the_row(encoding, message):
    text = "x,y\n" + "".join(f"{index},{'für' if index > 6 else 'vor'}\n" for index in range(ROWS))
    with pytest.raises(BadData, match=f"{message}.*save the table as CSV in UTF-8"):
        read(text.encode(encoding))


@pytest.mark.parametrize("decimal", [".", ","])
def test_time_to_read_grows_with_the_rows_alone(decimal):
    """A look at every pair of 50,000 different targets would take minutes."""
    values = np.arange(50_000) + 0.25
    began = time.process_time()
    pool = read("x;y\n" + "".join(f"{value};{value}\n" for value in values).replace(".", decimal))
    assert time.process_time() - began < 10
    assert np.array_equal(pool.labels, values)


# Names of classes


@pytest.mark.parametrize(
    "cells",
    [
        ["007", "010", "7"],
        ["00", "01", "10"],
        ["1E5", "2E3", "100000"],
        ["True", "False"],
        ["true", "TRUE", "no"],
        ["9007199254740992", "9007199254740993", "9007199254740994"],
        ["18446744073709551615", "18446744073709551616", "-18446744073709551616"],
        ["0", "1", "2"],
        ["a", "7", "07"],
        ["1/2", "3-4", "5+"],
    ],
)
def test_classes_are_the_texts_that_were_written(cells):
    pool = labels_of(cells)
    assert named(pool) == [cells[index % len(cells)] for index in range(ROWS)]


@pytest.mark.parametrize("cells", [["NA", "DE", "FR"], ["None", "Some"], ["nan", "yue"], ["null", "void"], ["inf", "sup"]])
def test_a_word_for_nothing_is_a_name_where_its_sender_says_so(cells):
    with pytest.raises(BadData, match=f"has {cells[0]} in row 2 .* is the name of a class, say kind classification"):
        labels_of(cells)
    assert named(labels_of(cells, "classification")) == [cells[index % len(cells)] for index in range(ROWS)]
    with pytest.raises(BadData, match="is empty in row 5"):
        labels_of([*cells[:2], "x", ""], "classification")


@pytest.mark.parametrize("missing", ["NA", "?", "-", ".", "nan", "inf"])
def test_a_word_for_nothing_among_numbers_is_missing(missing):
    with pytest.raises(BadData, match=r"column 'y', the target, has .* in row 4 \(20 rows are like that\)"):
        labels_of(["1", "2", missing])


def test_leading_zeros_are_asked_about_where_they_may_be_numbers():
    rows = [[str(index), f"{index:05d}"] for index in range(ROWS)]
    text = written(["x", "zip"], rows)
    with pytest.raises(BadData, match=r"column 'zip' has values with leading zeros such as '00000'.* say kind") as caught:
        read(text)
    assert caught.value.pointer == "/kind"
    assert np.array_equal(read(text, kind="regression").labels, np.arange(ROWS))


def test_class_texts_of_a_regression_are_named_by_row():
    with pytest.raises(BadData, match=r"text such as 'low', so it is no regression; allowed: .* a number in row 3"):
        labels_of(["1", "low"], "regression")


# Parquet


def parquet(cells: dict[str, object], metadata: object = None, **options: object) -> Pool:
    table = pa.table(cells)
    if metadata is not None:
        table = table.replace_schema_metadata({"pandas": json.dumps(metadata)})
    file = io.BytesIO()
    pq.write_table(table, file)
    return read_parquet(file, options.pop("target", None), options.pop("kind", None), **options)


def frame(**more: object) -> dict[str, object]:
    return {"area": QUARTERS[:, 0], "price": QUARTERS[:, 1], **more}


@pytest.mark.parametrize(
    ("labels", "metadata", "ignored"),
    [
        ({"__index_level_0__": np.arange(ROWS)}, {"index_columns": ["__index_level_0__"]}, ["__index_level_0__"]),
        ({"id": np.arange(ROWS)}, {"index_columns": ["id"]}, ["id"]),
        ({"day": ["monday"] * ROWS, "hour": np.arange(ROWS)}, {"index_columns": ["day", "hour"]}, ["day", "hour"]),
        ({"__index_level_0__": np.arange(ROWS)}, None, ["__index_level_0__"]),
        ({}, {"index_columns": [{"kind": "range", "name": None, "start": 0, "stop": ROWS, "step": 1}]}, []),
        ({}, {"index_columns": None}, []),
        ({}, [], []),
    ],
)
def test_row_labels_of_pandas_are_left_aside_and_named(labels, metadata, ignored):
    pool = parquet(frame(**labels), metadata)
    assert (pool.columns, pool.target, pool.ignored) == (["area"], "price", ignored)
    assert np.array_equal(pool.labels, QUARTERS[:, 1])


def test_row_labels_that_are_the_target_are_learned():
    assert parquet(frame(id=np.arange(ROWS)), {"index_columns": ["id"]}, target="id").target == "id"


def test_typed_targets_keep_their_names():
    assert set(parquet(frame(kind=["NA", "DE", "None"] * 20)).classes) == {"NA", "DE", "None"}
    assert parquet(frame(kind=[True, False] * 30)).classes == ("False", "True")
    large = [2**53, 2**53 + 1, 2**53 + 2]
    assert named(parquet(frame(kind=pa.array(large * 20)))) == [str(each) for each in large * 20]
    assert named(parquet(frame(kind=["01", "1", "1E5"] * 20))) == ["01", "1", "1E5"] * 20
    with pytest.raises(BadData, match="column 'kind', row 1, has '1,000'") as caught:
        parquet(frame(kind=["1,000", "2,000", "3,500"] * 20))
    assert caught.value.pointer == "/decimal"
    assert set(parquet(frame(kind=["1,000", "2,000"] * 30), decimal=".").labels) == {1000, 2000}
