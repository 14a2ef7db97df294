"""Tables of tags as people and tools write them: each form is read right, or refused with its name."""

from __future__ import annotations

import pytest

from wsvs.core.errors import UserError
from wsvs.core.tables import TagTable, read_tag_table

RIGHT = {"1.jpg": ("cat",), "2.jpg": ("cat", "dog"), "3.jpg": (), "4.jpg": ("dog",)}
SINGLE = {"1.jpg": ("cat",), "2.jpg": ("cat", "dog"), "4.jpg": ("dog",)}


def read(tmp_path, text: str | bytes, name: str = "t.csv", known=()) -> TagTable:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_tag_table(tmp_path / name, known)


@pytest.mark.parametrize(
    ("heading", "yes", "no"),
    [
        ("image", "1", "0"),
        ("image_id", "1.0", "0.0"),
        ("filename", "True", "False"),
        ("file", "TRUE", "FALSE"),
        ("path", "yes", "no"),
        ("Image Name", "1", ""),
        ("img", "x", ""),
        ("image", "1", "-1"),
        ("Bild", "1", "0"),
        ("image", "y", "n"),
        ("image", "t", "f"),
        ("image", "1", "nan"),
        ("image", " 1", " 0"),
    ],
)
@pytest.mark.parametrize(("suffix", "split"), [("csv", ","), ("csv", ";"), ("tsv", "\t"), ("txt", "|")])
def test_one_hot(tmp_path, heading, yes, no, suffix, split):
    rows = [[heading, "cat", "dog"], ["1.jpg", yes, no], ["2.jpg", yes, yes], ["3.jpg", no, no], ["4.jpg", no, yes]]
    found = read(tmp_path, "".join(split.join(row) + "\n" for row in rows), f"t.{suffix}")
    assert found.tags == RIGHT and found.format.startswith("one-hot columns (")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("image,split,cat,dog,width\n1.jpg,train,1,0,640\n2.jpg,val,1,1,640\n", "'split', 'width'"),
        (",image,cat,dog\n0,1.jpg,1,0\n1,2.jpg,1,1\n", ""),
        ("Unnamed: 0,image,cat,dog\n0,1.jpg,1,0\n1,2.jpg,1,1\n", ""),
        ("id,filename,cat,dog\n1,1.jpg,1,0\n2,2.jpg,1,1\n", ""),
        ("cat,dog,image\n1,0,1.jpg\n1,1,2.jpg\n", ""),
        ('"image","cat","dog",""\n"1.jpg","1","0",""\n"2.jpg","1","1",""\n', ""),
    ],
)
def test_one_hot_among_other_columns(tmp_path, table, told):
    found = read(tmp_path, table)
    assert found.tags == {"1.jpg": ("cat",), "2.jpg": ("cat", "dog")}
    assert told in " ".join(found.notes)


def test_one_class_whose_name_is_the_heading(tmp_path):
    assert read(tmp_path, "image,cat\n1.jpg,1\n3.jpg,0\n").tags == {"1.jpg": ("cat",), "3.jpg": ()}


@pytest.mark.parametrize(
    ("cat", "both", "none"),
    [
        ("cat", "cat;dog", ""),
        ("cat", "cat|dog", ""),
        ("cat", '"cat,dog"', ""),
        ("cat", '"cat, dog"', "nan"),
        ("cat", "cat dog", ""),
        ("['cat']", "\"['cat', 'dog']\"", "[]"),
        ("['cat']", "['cat' 'dog']", "nan"),
        ('"[""cat""]"', '"[""cat"",""dog""]"', "None"),
        ("\"('cat',)\"", "\"('cat', 'dog')\"", "NULL"),
        ("{'cat'}", "\"{'cat', 'dog'}\"", "<NA>"),
        ("[cat]", '"[cat, dog]"', "NA"),
        ("cat", "cat;dog", "none"),
        ("array(['cat'])", "\"array(['cat', 'dog'], dtype=object)\"", "NaN"),
        ("cat", "cat ; dog", "N/A"),
        ('"{""choices"": [""cat""]}"', '"{""choices"": [""cat"", ""dog""]}"', ""),
        ("cat", "cat,dog", "null"),
        ("['cat']", "\"['cat'\n 'dog']\"", "[None]"),
        ("cat", "\"'cat', 'dog'\"", "-"),
    ],
)
@pytest.mark.parametrize("heading", ["image,labels", "image_id,tags", "filename,classes", "path,label", "label_names"])
def test_cells_of_several_tags(tmp_path, heading, cat, both, none):
    heading = heading if "," in heading else f"file,{heading}"
    dog = cat.replace("cat", "dog")
    found = read(tmp_path, f"\ufeff{heading}\r\n1.jpg,{cat}\r\n2.jpg,{both}\r\n3.jpg,{none}\r\n4.jpg,{dog}\r\n")
    assert found.tags == RIGHT
    assert ("empty marker" in " ".join(found.notes)) == bool(none)


def test_the_form_is_reported(tmp_path):
    said = {
        "image,tags\na,cat;dog\n": "tags in 'tags', split by a semicolon",
        "image,tags\na,\"['cat', 'dog']\"\n": "tags in 'tags', Python lists",
        "image,tags\na,['cat' 'dog']\n": "tags in 'tags', NumPy lists",
        "image,tags\na,cat\nb,dog\nc,cat dog\n": "tags in 'tags', split by spaces",
        "image,cat,dog\na,1,0\n": "one-hot columns (1, 0)",
        "image,tag\na,cat\na,dog\n": "one row for each image and tag, tags in 'tag'",
        "image,label_1,label_2\na,cat,dog\n": "tags in 'label_1', 'label_2'",
    }
    assert {text: read(tmp_path, text).format for text in said} == said
    found = read(tmp_path, "image,cat,dog\na,1,0\nb,1,1\n")
    assert found.summary("t.csv") == "t.csv: one-hot columns (1, 0); ids: 2, cat 2, dog 1"


@pytest.mark.parametrize(
    "table",
    [
        "ImageId,Class\n1.jpg,cat\n2.jpg,cat\n2.jpg,dog\n4.jpg,dog\n",
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"  # boxes, two of them of one class
        "1.jpg,9,9,cat,0,0,1,1\n2.jpg,9,9,cat,0,0,1,1\n2.jpg,9,9,dog,0,0,1,1\n4.jpg,9,9,dog,0,0,1,1\n4.jpg,9,9,dog,1,1,2,2\n",
        "ImageID,Source,LabelName,Confidence\n1.jpg,v,cat,1\n1.jpg,v,dog,0\n2.jpg,v,cat,1\n2.jpg,v,dog,1\n4.jpg,v,dog,1\n",
        "label,image\ncat,1.jpg\ncat,2.jpg\ndog,2.jpg\ndog,4.jpg\n",
        ",filename,category\n0,1.jpg,cat\n1,2.jpg,cat\n2,2.jpg,dog\n3,4.jpg,dog\n",
        'annotation_id,annotator,choice,image\n7,1,cat,1.jpg\n8,1,"{""choices"":[""cat"",""dog""]}",2.jpg\n9,1,dog,4.jpg\n',
    ],
)
def test_one_row_for_each_image_and_tag(tmp_path, table):
    assert read(tmp_path, table).tags == SINGLE


def test_several_columns_of_tags(tmp_path):
    right = {"1.jpg": ("cat",), "2.jpg": ("cat", "dog")}
    for heading in ("image,tag1,tag2", "image,label_1,label_2", "id,first,second", "image,split,class 1,class 2"):
        cells = ",train" if "split" in heading else ""
        assert read(tmp_path, f"{heading}\n1.jpg{cells},cat,\n2.jpg{cells},cat,dog\n").tags == right
    assert read(tmp_path, "image\ttag1\ttag2\n1.jpg\tcat\t\n2.jpg\tcat\tdog\n", "t.tsv").tags == right
    assert read(tmp_path, "image,labels\n1.jpg,cat\n2.jpg,cat,dog\n").tags == right  # commas without quotes


@pytest.mark.parametrize(
    ("tags", "split"),
    [
        (["horse person", "cat", "dog person", "horse", "dog", "cat dog"], True),
        (["clear primary", "clear primary water", "cloudy", "primary water"], True),
        (["polar bear", "brown bear", "bear"], False),  # polar is no tag
        (["hot dog", "dog", "traffic light"], False),
    ],
)
def test_spaces_split_where_every_part_is_a_tag(tmp_path, tags, split):
    rows = "".join(f"{number}.jpg,{tag}\n" for number, tag in enumerate(tags))
    found = read(tmp_path, f"image,labels\n{rows}")
    assert list(found.tags.values()) == [tuple(tag.split()) if split else (tag,) for tag in tags]


def test_names_of_classes_that_are_given_decide(tmp_path):
    table = "image,labels\na,fire truck\nb,fire\nc,truck\nd,polar bear\n"
    with pytest.raises(UserError, match="'fire truck' may be one tag or 2"):
        read(tmp_path, table)
    known = ("fire truck", "fire", "truck", "polar bear")
    assert read(tmp_path, table, known=known).tags["a"] == ("fire truck",)
    assert read(tmp_path, "image,labels\na,cat dog\n", known=("cat", "dog")).tags == {"a": ("cat", "dog")}
    assert read(tmp_path, "image,labels\na,none\nb,nan\n", known=("none",)).tags == {"a": ("none",), "b": ()}
    assert read(tmp_path, "image,labels\na,0\nb,1\n", known=("0", "1")).tags == {"a": ("0",), "b": ("1",)}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("image,cat,dog\na,1,-1\nb,0,1\n", "one-hot columns with 1, 0 and -1"),
        ("image,cat,dog\na,3,0\nb,0,1\n", "columns of numbers other than 1 and 0: 'cat', 'dog'"),
        ("image,cat,dog\na,0.9,0.1\nb,0.2,0.3\n", "columns of numbers"),
        ("image,animal,checked\na,cat,1\nb,dog,0\n", "it is unclear which columns are tags: 'checked'"),
        ("image,label\na,1\nb,0\n", "column 'label' contains only 0 and 1, not names of classes"),
        ("image,label\na,True\nb,False\n", "column 'label' contains only false and true"),
        ("image,label,confidence\na,cat,0.3\n", "column 'confidence' has values other than 1 and 0"),
        ('image,labels\na,"[1, 0, 1]"\n', "a list of numbers without names"),
        ("image,labels\na,\"['cat', 'dog'\"\n", "a list that cannot be parsed"),
        ("image,labels\na,\"{'cat': 1}\"\n", "a list that cannot be parsed"),
        ("image,labels\na,cat;dog\nb,cat|dog\n", "tags are separated by a semicolon and by a vertical bar"),
        ('image,labels\na,"""dog, domestic"""\n', "quoted commas: the tag 'dog, domestic' has a comma"),
        ("image,labels\na,cat+dog\nb,cat\nc,dog\n", r"'cat\+dog' may be one tag or 2"),
        ("image,labels\na,red car\nb,blue car\nc,red bus\nd,blue bus\n", "may be one tag or 2"),
        ("image,cat,dog\na,1\n", "a row of 2 cells under a heading of 3"),
        ("image,cat,dog\na,1,0,1\n", "a row of 4 cells under a heading of 3"),
        ("image,labels,split\na,cat,dog,train\n", "a row of 4 cells under a heading of 3"),
        ('image,labels\na,"cat,dog"\na,cat\n', "id 'a' is in the"),
        ("image,annotator,label\na,1,cat\na,2,dog\n", "annotators disagree on a"),
        (b"PK\x03\x04 workbook", "an Excel or zip file, not a text table"),
        (b"\x80\x04pickle", "a pickle, not a text table"),
    ],
)
def test_what_is_not_certain_is_refused(tmp_path, table, problem):
    with pytest.raises(UserError, match=problem) as caught:
        read(tmp_path, table)
    assert caught.value.remedy and str(tmp_path / "t.csv") in str(caught.value.where)


def test_spreadsheets(tmp_path):
    right = {"1.jpg": ("cat",), "2.jpg": ("cat", "dog")}
    assert read(tmp_path, 'sep=;\r\nimage;tags\r\n1.jpg;cat\r\n2.jpg;"cat,dog"\r\n;\r\n').tags == right
    assert read(tmp_path, "image\ttags\r\n1.jpg\tcat\r\n2.jpg\tcat,dog\r\n".encode("utf-16"), "t.txt").tags == right
    assert read(tmp_path, '\nimage,tags,,\n1.jpg,cat,,\n2.jpg,"cat,dog",,\n,,,\n').tags == right


def test_numbers_as_tags_are_reported(tmp_path):
    found = read(tmp_path, "image,label\na,3\nb,7\n")
    assert found.tags == {"a": ("3",), "b": ("7",)} and "the tags are numbers" in found.notes[0]
    assert read(tmp_path, "image,label,label_name\na,3,cat\nb,7,dog\n").tags == {"a": ("cat",), "b": ("dog",)}
