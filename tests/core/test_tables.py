"""Tables of tags in three formats, and lists of ids."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from wsvs.core.errors import UserError
from wsvs.core.tables import read_ids, read_table, read_tags

EXPECTED = {"b": ("cat", "dog"), "007": ("cat",), "none": ()}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.tsv", "image_id\tlabels\nb\tcat,dog\n007\tcat\nnone\t\n"),
        ("t.tsv", "\ufeffimage_id\tlabels\textra\nb\t cat, dog,cat \tx\n\n007\tcat\tx\nnone\t\tx\n"),
        ("t.csv", 'id,labels\nb,"cat,dog"\n007,cat\nnone,\n'),
        ("t.csv", "id,first,second\nb,cat,dog\n007,cat,\nnone,,\n"),
        ("t.tsv", "\nImage File\tanimals\nb\tcat,dog\n007\tcat\nnone\t\n"),
        ("t.tsv", "Bild\tframes\tpascal_labels\nb\t1\tcat,dog\n007\t2\tcat\nnone\t3\t\n"),
        ("t.tsv", 'id\ttags\tsaid\n"b"\t"cat,dog"\t"two\n""lines"""\n007\tcat\t5" long\nnone\t\t\n'),
        ("t.json", '{"b": ["cat", "dog"], "007": "cat", "none": []}'),
        ("t.json", '{"b": "cat,dog", "007": ["cat"], "none": ""}'),
    ],
)
def test_formats_agree(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    table = read_tags(tmp_path / name)
    assert table == EXPECTED
    assert list(table) == ["b", "007", "none"]  # order of the file, ids are strings


@pytest.mark.parametrize(
    ("name", "text", "problem", "where"),
    [
        ("t.tsv", "id\ttags\na\tcat\n\tdog\n", "row without an id", "t.tsv:3"),
        ("t.tsv", "id\ttags\na\tcat,dog\na\tdog\n", "id 'a' is in the", "t.tsv:3"),
        ("t.tsv", "id\ttags\na cat\n", "expected an id and tags, got", "t.tsv:2"),
        ("t.tsv", "id\ttags\n", "the table has no rows", "t.tsv"),
        ("t.tsv", "", "the table has no rows", "t.tsv"),
        ("t.tsv", "img 1\ttiger\nimg 2\tpanda\n", "the first line is not a heading: 'img 1.*tiger'", "t.tsv:1"),
        (
            "t.csv",
            "1.jpg,tiger,panda\n2.jpg,panda\n",
            "the first line is not a heading: '1.jpg,tiger,panda'",
            "t.csv:1",
        ),
        ("t.tsv", "image.jpg\ttiger\nb\tpanda\n", "the first line is not a heading", "t.tsv:1"),
        ("t.tsv", "\tclassical\nb\tpanda\n", "the first line is not a heading", "t.tsv:1"),
        ("t.csv", "a;tiger\nb;cat\n", "the first line is not a heading: 'a;tiger'", "t.csv:1"),
        ("t.csv", "id,tags\na\n", "expected an id and tags, got", "t.csv:2"),
        ("t.tsv", 'id\ttags\na\tcat\nb\t"1\nc\tdog\nd\tdog\n', "row cannot be read", "t.tsv:3"),
        ("t.tsv", 'id\ttags\nb\t"1\nc\t5"\nd\tdog\n', "a quote is not closed on its line", "t.tsv:2"),
        ("t.csv", 'id,tags\na,cat\n"b,dog\nc,"cat,dog"\n', "row cannot be read", "t.csv:3"),
        ("t.csv", f"id,tags\na,cat\nb,{'x' * 131073}\n", "row cannot be read: field larger", "t.csv:3"),
        ("t.json", "{", "not JSON", "t.json"),
        ("t.json", "[]", "must be an object", "t.json"),
        ("t.json", '{"a": 3}', "tags of 'a' must be a list or a string", "t.json"),
        ("t.json", "{}", "the table has no rows", "t.json"),
    ],
)
def test_bad_tables_say_where(tmp_path, name, text, problem, where):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=problem) as caught:
        read_tags(tmp_path / name)
    assert caught.value.where == str(tmp_path / where)


def test_a_table_of_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('note,url,class\n"two\nlines",http://a,"a ""b"""\nx,http://b\n')
    assert [(row["url"], row["class"]) for row in read_table(path, ("url", "class"))] == [
        ("http://a", 'a "b"'),
        ("http://b", ""),
    ]
    path.write_text('url,class\nhttp://a,cat\nhttp://b,"dog\nhttp://c,dog\n')
    with pytest.raises(UserError, match="row cannot be read") as caught:
        list(read_table(path, ("url", "class")))
    assert caught.value.where == f"{path}:3"
    with pytest.raises(UserError, match="has no column 'frame'"):
        list(read_table(path, ("frame",)))


@pytest.mark.parametrize(("name", "line"), [("t.tsv", "id<TAB>tags"), ("t.csv", "id,tags")])
def test_a_missing_heading_is_reported_with_the_line_to_add(tmp_path, name, line):
    row = "img 1,tiger" if name == "t.csv" else "img 1\ttiger"
    (tmp_path / name).write_text(f"{row}\n")
    with pytest.raises(UserError) as caught:
        read_tags(tmp_path / name)
    assert f"insert a line above it: {line}" in str(caught.value.remedy)
    (tmp_path / name).write_text(f"{line.replace('<TAB>', chr(9))}\n{row}\n")
    assert read_tags(tmp_path / name) == {"img 1": ("tiger",)}


@pytest.mark.parametrize(
    "heading", ["id", "ID", "image", "image_id", "Image Name", "filename", "file", "video", "video id", "sequence"]
)
def test_headings_of_ids(tmp_path, heading):
    (tmp_path / "t.tsv").write_text(f"{heading}\tshows\na\tcat\n")
    assert read_tags(tmp_path / "t.tsv") == {"a": ("cat",)}


def test_missing_and_binary_tables(tmp_path):
    with pytest.raises(UserError, match="table of tags not found"):
        read_tags(tmp_path / "t.tsv")
    (tmp_path / "t.tsv").write_bytes(b"id\ttags\n\xff\xfe\tcat\n")
    with pytest.raises(UserError, match="not UTF-8"):
        read_tags(tmp_path / "t.tsv")


def test_ids(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("2007_000032  1\n2007_000033 -1\n\n007\nmy cat 1\n")  # VOC's lists per class have a second column
    assert read_ids(path) == ["2007_000032", "2007_000033", "007", "my cat 1"]
    path.write_text("a\nb\na\n")
    with pytest.raises(UserError, match="id 'a' is in the"):
        read_ids(path)
    path.write_text("\n")
    with pytest.raises(UserError, match="list of ids is empty"):
        read_ids(path)
    path.write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match="list of ids is not UTF-8 text") as caught:
        read_ids(path)
    assert caught.value.where == str(path)
    with pytest.raises(UserError, match="list of ids not found"):
        read_ids(tmp_path / "none.txt")


@pytest.mark.parametrize("name", ["../a", "cat/../../a", "/tmp/a"])
def test_ids_that_lead_out_of_their_folder(tmp_path, name):
    table, ids = tmp_path / "tags.tsv", tmp_path / "ids.txt"
    table.write_text(f"id\ttags\nb\tcat\n{name}\tcat\n")
    ids.write_text(f"b\n{name}\n")
    for read, where in ((lambda: read_tags(table), f"{table}:3"), (lambda: read_ids(ids), str(ids))):
        with pytest.raises(UserError, match="is outside its folder") as caught:
            read()
        assert caught.value.where == where
    ids.write_text("b..c/d\n")
    assert read_ids(ids) == ["b..c/d"]  # a name, no way


def given(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"no {path.name} in WSVS_REAL_DATA")
    return path


def test_real_list_of_ids(real_data):
    ids = read_ids(given(real_data / "data/voc_lists/train_aug.txt"))
    assert len(ids) == 10582
    digest = hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
    assert digest == "855dff350b7f447bf43cb98ea626a32e0d0b3b7c5786e03b2712a21355b635bf"


def test_real_table_of_tags(real_data):
    tags = read_tags(given(real_data / "data/voc_animals/labels.tsv"))
    assert len(tags) == 3134 and tags["2007_000392"] == ("horse", "person")
    assert set(tags) <= set(read_ids(given(real_data / "data/voc_lists/train_aug.txt")))
