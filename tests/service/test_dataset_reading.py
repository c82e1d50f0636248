"""What is read from a file: the oracle is the array that was written, the complaint names the cell."""

import io
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from service.datasets.arrays import read_npz
from service.datasets.errors import BadData, TooLarge
from service.datasets.options import UploadOptions, file_name, format_of
from service.datasets.pool import Pool
from service.datasets.tables import read_csv, read_parquet
from service.datasets.text import Windows, read_text
from service.datasets.writing import write
from store.files import FILE, digest

ROWS = 60
GENERATOR = np.random.Generator(np.random.PCG64(0))
NUMBERS = GENERATOR.normal(size=(ROWS, 2))


def table(cells: dict[str, list], separator: str = ",") -> bytes:
    lines = [separator.join(cells), *(separator.join(map(str, row)) for row in zip(*cells.values(), strict=True))]
    return "\n".join(lines).encode()


def good() -> dict[str, list]:
    """Two features and a target of two classes."""
    return {
        "height": list(NUMBERS[:, 0]),
        "weight": list(NUMBERS[:, 1]),
        "kind": ["cat" if index % 3 else "dog" for index in range(ROWS)],
    }


def csv(cells: dict[str, list], target: str | None = None, kind: str | None = None, separator: str = ",") -> Pool:
    return read_csv(io.BytesIO(table(cells, separator)), target, kind)


def npz(context: int | None = None, kind: str | None = None, most_bytes: int = 1 << 20, **arrays: object) -> Pool | Windows:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    file.seek(0)
    return read_npz(file, kind, context, most_bytes)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_is_what_was_written(separator):
    read = csv(good(), separator=separator)
    assert np.array_equal(read.inputs, NUMBERS.astype(np.float32))
    assert (read.columns, read.target, read.classes) == (["height", "weight"], "kind", ("cat", "dog"))
    assert list(read.labels) == [0 if index % 3 else 1 for index in range(ROWS)]


def test_the_target_is_the_one_named_or_called_target_or_last():
    cells = {"target": list(range(ROWS)), **good()}
    del cells["kind"]
    assert csv(cells).target == "target"
    assert csv(cells, "weight").target == "weight"
    assert csv(cells, "weight").columns == ["target", "height"]
    with pytest.raises(BadData, match="no column 'wait'; allowed: target, height, weight") as caught:
        csv(cells, "wait")
    assert caught.value.pointer == "/target"


def test_kinds_are_recognised_and_can_be_said():
    cells = good()
    cells["kind"] = [index % 4 for index in range(ROWS)]
    assert csv(cells).classes == ("0", "1", "2", "3")
    assert csv(cells, kind="regression").classes == ()
    cells["kind"] = list(range(ROWS))
    assert csv(cells).classes == ()
    cells["kind"] = [index % 4 + 0.5 for index in range(ROWS)]
    assert csv(cells).classes == ()
    with pytest.raises(BadData, match=r"0\.5, which is no class") as caught:
        csv(cells, kind="classification")
    assert caught.value.pointer == "/kind"
    with pytest.raises(BadData, match="text such as 'dog', so it is no regression"):
        csv(good(), kind="regression")


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("height", 4, "tall", "column 'height' has text in row 6: 'tall'; allowed: numbers"),
        ("weight", 0, "1_000", "column 'weight' has text in row 2: '1_000'"),
        ("weight", 9, "", "column 'weight' is empty in row 11"),
        ("weight", 9, "nan", "column 'weight' has nan in row 11; allowed: finite"),
        ("weight", 9, "1e300", "column 'weight' has 1e+300 in row 11, beyond single precision"),
        ("kind", 7, "nan", r"column 'kind', the target, has nan in row 9 \(1 rows are like that\)"),
        ("kind", 7, "", "column 'kind', the target, is empty in row 9"),
        ("kind", 7, "bird", "column 'kind' has class 'bird' 1 times; allowed: at least 3 of each"),
        ("kind", 7, "cat,dog", "row 9 has 4 cells; expected 3"),
        ("height", 1, '"oops', "is no CSV"),
    ],
)
def test_a_bad_cell_is_named(column, row, value, message):
    cells = good()
    cells[column][row] = value
    with pytest.raises(BadData, match=message.replace("+", r"\+")):
        csv(cells)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"  \n\n", "the file is empty"),
        (b"a,b\n1,2\n", "has 1 rows; allowed: at least 50"),
        (b"a,b\n", "has 0 rows"),
        (b"1,2\n3,4\n", "the first line has numbers"),
        (b"a,a\n1,2\n", "two columns are called 'a'"),
        (b"a,\n1,2\n", "column 2 has no name"),
        (b"only\n1\n", "the table has one column"),
        (b"a,%b\n1,2\n" % (b"b" * 201), "the name of column 2 has 201 characters"),
        (b"a,b\n\xff\xfe,1\n", "no text in UTF-8"),
        (b"\x00\x01", "the file has NUL bytes, as text in UTF-16"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content, message):
    with pytest.raises(BadData, match=message):
        read_csv(io.BytesIO(content), None, None)


def test_lines_are_counted_as_an_editor_counts_them():
    cells = good()
    cells["weight"][0] = "heavy"
    with pytest.raises(BadData, match="in row 4: 'heavy'"):
        read_csv(io.BytesIO(b"\n\n" + table(cells)), None, None)


def test_names_of_classes_are_short():
    cells = {**good(), "kind": [f"{'long' * 51}{index % 2}" for index in range(ROWS)]}
    with pytest.raises(BadData, match="of 205 characters; allowed: at most 200"):
        csv(cells)


def test_labels_that_never_change_are_refused():
    with pytest.raises(BadData, match="column 'kind' is 'cat' everywhere") as caught:
        csv({**good(), "kind": ["cat"] * ROWS})
    assert caught.value.pointer == "/target"
    with pytest.raises(BadData, match=r"column 'kind' is 1\.5 everywhere"):
        csv({**good(), "kind": [1.5] * ROWS})


def test_parquet_gives_what_csv_gives():
    file = io.BytesIO()
    pq.write_table(pa.table(good()), file)
    read, same = read_parquet(file, None, None), csv(good())
    assert np.array_equal(read.inputs, same.inputs) and np.array_equal(read.labels, same.labels)
    assert (read.columns, read.target, read.classes) == (same.columns, same.target, same.classes)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"height": ["tall"] * ROWS}, "column 'height' has values of type string .row 1: 'tall'.; allowed: numbers"),
        ({"height": [1.0, None] * (ROWS // 2)}, "column 'height' is empty in row 2"),
        ({"height": [float("nan")] * ROWS}, "column 'height' has nan in row 1"),
        ({"kind": ["cat", "dog", None] * (ROWS // 3)}, "column 'kind', the target, is empty in row 3"),
        ({"kind": [[1]] * ROWS}, "column 'kind' has values of type list"),
    ],
)
def test_parquet_names_the_bad_cell(cells, message):
    file = io.BytesIO()
    pq.write_table(pa.table({**good(), **cells}), file)
    with pytest.raises(BadData, match=message):
        read_parquet(file, "kind", None)


def test_a_file_that_is_no_parquet_is_refused():
    with pytest.raises(BadData, match="no parquet"):
        read_parquet(io.BytesIO(b"PAR1 not really PAR1"), None, None)


def test_arrays_are_what_was_written():
    labels = np.arange(ROWS) % 3
    for names in (("inputs", "labels"), ("x", "y"), ("X", "targets")):
        read = npz(**dict(zip(names, (NUMBERS, labels), strict=True)))
        assert np.array_equal(read.inputs, NUMBERS.astype(np.float32)) and np.array_equal(read.labels, labels)


@pytest.mark.parametrize(
    ("shape", "image"), [((8, 8), (1, 8, 8)), ((3, 8, 10), (3, 8, 10)), ((8, 10, 3), (3, 8, 10)), ((1, 4, 4), (1, 4, 4))]
)
def test_images_are_known_by_their_shape(shape, image):
    pixels = GENERATOR.integers(0, 256, size=(ROWS, *shape), dtype=np.uint8)
    read = npz(inputs=pixels, labels=np.arange(ROWS) % 3)
    assert read.image == image
    first = np.moveaxis(pixels, 3, 1) if shape == (8, 10, 3) else pixels
    assert np.array_equal(read.inputs, first.reshape(ROWS, -1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "the archive is empty"),
        ({"inputs": NUMBERS}, "no labels among its arrays .inputs."),
        ({"inputs": NUMBERS, "labels": np.zeros(3)}, r"labels are of shape \[3\]; expected \[60\]"),
        ({"inputs": NUMBERS, "labels": np.zeros(ROWS), "z": np.zeros(1)}, "the archive has 'z.npy'; allowed: arrays"),
        ({"inputs": NUMBERS[:, 0], "labels": np.zeros(ROWS)}, r"inputs are of shape \[60\]; allowed"),
        ({"inputs": NUMBERS.astype(complex), "labels": np.zeros(ROWS)}, "type complex128; allowed: numbers"),
        ({"inputs": NUMBERS, "labels": np.zeros(ROWS)}, "array 'labels' is 0 everywhere"),
        ({"inputs": NUMBERS, "labels": np.full(ROWS, np.nan)}, r"array 'labels' has nan in example 1 \(60 examples"),
        ({"inputs": NUMBERS * np.inf, "labels": np.arange(ROWS)}, "array 'inputs' has -?inf in example 1"),
        ({"inputs": NUMBERS[:4], "labels": np.arange(4)}, "has 4 examples; allowed: at least 50"),
        ({"inputs": np.zeros((ROWS, 9, 4, 9)), "labels": np.arange(ROWS)}, "have 9 channels; allowed: 1 to 4"),
        ({"inputs": np.zeros((0, 2)), "labels": np.arange(ROWS)}, "array 'inputs' is empty"),
        ({"tokens": np.zeros((2, 2), dtype=int)}, "in one dimension"),
        ({"tokens": np.zeros(200, dtype=int)}, "at least two different ones"),
        ({"tokens": np.arange(200)}, "200 tokens make 3 windows of 64; allowed: at least 50"),
    ],
)
def test_arrays_that_make_no_data_set_are_refused(arrays, message):
    with pytest.raises(BadData, match=message):
        npz(**arrays)


class Trap:
    """Unpickling it is noticed."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_a_pickle_in_an_archive_is_never_unpickled():
    with pytest.raises(BadData, match="array 'labels' holds Python objects, which are pickled"):
        npz(inputs=NUMBERS, labels=np.array([Trap()] * ROWS, dtype=object))
    with pytest.raises(BadData, match="no npz archive"):
        read_npz(io.BytesIO(pickle.dumps(Trap())), None, None, 1 << 20)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inputs.npy", pickle.dumps(Trap()))
    file.seek(0)
    with pytest.raises(BadData, match="array 'inputs' has no header that numpy wrote"):
        read_npz(file, None, None, 1 << 20)
    assert not Trap.sprung


def test_a_bomb_is_refused_by_what_it_says_of_itself_and_by_what_it_is():
    with pytest.raises(TooLarge, match=r"unpacks to .* bytes; allowed: 1,000,000"):
        npz(inputs=np.zeros((1000, 1000)), labels=np.arange(1000), most_bytes=1_000_000)
    # A header that promises more than the archive holds allocates nothing.
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 8)})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inputs.npy", header.getvalue())
    file.seek(0)
    with pytest.raises(BadData, match="too few bytes"):
        read_npz(file, None, None, 1 << 20)


def test_text_is_windows_of_bytes_whose_next_one_is_the_label():
    text = ("Über den Wolken muss die Freiheit wohl grenzenlos sein. " * 20).encode()
    read = read_text(io.BytesIO(text), 8)
    count = (len(text) - 1) // 8
    assert (read.symbols, read.inputs.shape) == (256, (count, 8))
    assert read.inputs.tobytes() == text[: count * 8] and read.labels.tobytes() == text[1 : count * 8 + 1]
    same = npz(8, tokens=np.frombuffer(text, dtype=np.uint8).astype(np.int64))
    assert np.array_equal(same.inputs, read.inputs) and same.symbols == max(text) + 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"short", "5 tokens make 0 windows of 64; allowed: at least 50 windows, so 3,201 tokens"),
        (b"\xff" * 4000, "no text in UTF-8"),
        (b"a\0" * 4000, "NUL bytes"),
    ],
)
def test_a_file_that_is_no_text_is_refused(content, message):
    with pytest.raises(BadData, match=message):
        read_text(io.BytesIO(content), None)


@pytest.mark.parametrize(
    ("name", "options", "pointer"),
    [
        ("data.xlsx", {}, "/format"),
        ("", {}, "/file"),
        ("a.txt", {"target": "x"}, "/target"),
        ("a.txt", {"kind": "regression"}, "/kind"),
        ("a.csv", {"context": 8}, "/context"),
        ("a.npz", {"target": "x"}, "/target"),
    ],
)
def test_options_that_say_nothing_of_the_file_are_refused(name, options, pointer):
    with pytest.raises(BadData) as caught:
        format_of(name, UploadOptions(**options))
    assert caught.value.pointer == pointer


def test_formats_are_known_by_names_or_said():
    for name, kind in (("A.CSV", "csv"), ("a.tsv", "csv"), ("a.pq", "parquet"), ("a.b.npz", "npz"), ("README.md", "text")):
        assert format_of(name, UploadOptions()) == kind
    assert format_of("blob", UploadOptions(format="text")) == "text"


def test_file_names_lose_their_folders_and_what_cannot_be_shown():
    for given in ("C:\\data\\a.csv", "/etc/../data/a.csv", "a\n.csv", "a\x00\u202e.csv", "a.csv"):
        assert file_name(given) == "a.csv"
    assert file_name(None) == ""


# What is written


def written(read, folder):
    folder.mkdir()
    known = write(read, folder)
    return known, load_file(folder / FILE)


def test_three_parts_share_no_example_and_leave_none_out(tmp_path):
    labels = np.repeat(np.arange(3), (100, 40, 10))
    inputs = GENERATOR.normal(size=(150, 2)).astype(np.float32)
    known, arrays = written(npz(inputs=inputs, labels=labels), tmp_path / "a")
    parts = [arrays[f"{part}.inputs"] for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [90, 30, 30]
    assert {tuple(row) for part in parts for row in part} == {tuple(row) for row in inputs}
    of = dict(zip(map(tuple, inputs), labels, strict=True))
    for part, counts in (("train", [60, 24, 6]), ("validation", [20, 8, 2]), ("test", [20, 8, 2])):
        assert [of[tuple(row)] for row in arrays[f"{part}.inputs"]] == list(arrays[f"{part}.labels"])
        assert list(np.bincount(arrays[f"{part}.labels"])) == counts
    sizes = (known["task"]["train_examples"], known["task"]["validation_examples"], known["task"]["test_examples"])
    assert sizes == (90, 30, 30)


def test_scaling_is_fitted_on_the_training_part_alone(tmp_path):
    cells = {**good(), "constant": [7] * ROWS, "kind": list(NUMBERS.sum(1) * 100)}
    known, arrays = written(csv(cells, "kind"), tmp_path / "a")
    train, targets = arrays["train.inputs"].astype(float), arrays["train.labels"].astype(float)
    assert np.allclose(known["scaling"]["mean"], train.mean(0)) and known["scaling"]["mean"][2] == 7
    assert np.allclose(known["scaling"]["deviation"][:2], train.std(0)[:2]) and known["scaling"]["deviation"][2] == 1e-6
    assert known["scaling"]["target_mean"] == pytest.approx(targets.mean())
    assert known["scaling"]["target_deviation"] == pytest.approx(targets.std())


def test_the_digest_stands_for_the_content(tmp_path):
    first, _ = written(csv(good()), tmp_path / "a")
    again, _ = written(csv(good(), separator=";"), tmp_path / "b")
    renamed, _ = written(csv({name.upper(): values for name, values in good().items()}), tmp_path / "c")
    other, _ = written(csv({**good(), "weight": list(NUMBERS[:, 0])}), tmp_path / "d")
    assert first["sha256"] == again["sha256"] == digest(tmp_path / "a" / FILE)
    assert len({first["sha256"], renamed["sha256"], other["sha256"]}) == 3


@pytest.mark.parametrize(
    ("shape", "families"), [((8, 8), ("mlp", "resnet")), ((18, 18), ("mlp",)), ((3, 20, 20), ("mlp", "resnet"))]
)
def test_a_residual_network_is_offered_where_its_stem_covers_the_image(tmp_path, shape, families):
    read = npz(inputs=GENERATOR.normal(size=(ROWS, *shape)), labels=np.arange(ROWS) % 3, most_bytes=1 << 30)
    known, _ = written(read, tmp_path / "a")
    assert known["task"]["families"] == families
    assert np.ndim(known["scaling"]["mean"]) == 1 and len(known["scaling"]["mean"]) == 1


def test_text_is_split_by_position(tmp_path):
    text = GENERATOR.integers(97, 123, size=10_001, dtype=np.uint8).tobytes()
    known, arrays = written(read_text(io.BytesIO(text), 10), tmp_path / "a")
    parts = [arrays[f"{part}.inputs"] for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [800, 100, 100]
    assert b"".join(part.tobytes() for part in parts) == text[:-1]
    assert known["task"]["families"] == ("transformer", "llama") and known["scaling"] is None
