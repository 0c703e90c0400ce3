import gzip

import pytest

from skhimatch import LabelHierarchy, as_hierarchy, read_taxonomy

NEWS = LabelHierarchy(
    [("science", "physics"), ("physics", "optics"), ("science", "life science"), ("sport", "tennis")]
)
SHAPES = {
    "children": "Root\tscience\tsport\nscience\tphysics\tlife science\nphysics\toptics\nsport\ttennis\n",
    "padded": "science\tphysics\tlife science\nphysics\toptics\t\nsport\ttennis\t\n",
    "commas": "parent,child\n,science\nscience,physics\nscience,life science\nphysics,optics\nsport,tennis\n",
    "semicolons": "id; Child ;PARENT\n1;physics;science\n2;life science;science\n3;optics;physics\n"
    "4;tennis;sport\n",
    "tabs": "parent\tchild\nRoot\tscience\nscience\tphysics\nscience\tlife science\nphysics\toptics\n"
    "sport\ttennis\n",
    "paths": "science > physics > optics\nscience > life science\nsport\nsport > tennis\n",
    "paths with slashes": "science/physics/optics\nscience/life science\nsport/tennis\n",
    "paths from a virtual node": "Root > science > physics > optics\nRoot > science > life science\n"
    "Root > sport > tennis\n",
    "spaces": "science\n  physics\n     optics\n  life science\n\nsport\n    tennis\n",
    "indented tabs": "science\n\tphysics\n\t\toptics\n\tlife science\nsport\n\ttennis\n",
    "all indented": "  science\n    physics\n      optics\n    life science\n  sport\n    tennis\n",
    "under a virtual node": "Root\n  science\n    physics\n      optics\n    life science\n  sport\n"
    "    tennis\n",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(tmp_path, shape):
    file = tmp_path / "taxonomy"
    file.write_text(SHAPES[shape], encoding="utf-8")
    assert as_hierarchy(file) == NEWS


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_other_encodings_and_line_ends(tmp_path, shape, encoding, compress):
    file = tmp_path / "taxonomy"
    file.write_bytes(compress(SHAPES[shape].replace("\n", "\r\n").encode(encoding)))
    assert read_taxonomy(file) == NEWS


def test_a_label_with_the_separator_is_quoted(tmp_path):
    file = tmp_path / "taxonomy.csv"
    file.write_text('parent,child\n"arts, media","film, tv"\n', encoding="utf-8")
    assert as_hierarchy(file) == LabelHierarchy([("arts, media", "film, tv")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n", "has no labels"),
        ("science\nsport\n", "no line of .* has a parent and a child"),
        ("science,physics\nscience,biology\n", "no line of .* has a parent and a child"),
        ("C15\tPerformance\nC17\tFunding\nE11\tEconomic performance\n", "a table of codes and names"),
        ("code\tname\nC15\tPerformance\n", "line 1 of .* header of a table.* lacks the columns parent"),
        ("id,name,parent_id\n1,science,\n", "line 1 of .* header of a table"),
        ('<?xml version="1.0"?>\n<rdf:RDF>\n</rdf:RDF>', "line 1 of .*xml.* begins another format"),
        ("@prefix skos: <http://www.w3.org/2004/02/skos/core#> .\n", "begins another format"),
        ('{"science": ["physics"]}\n', "begins another format"),
        ("science\n├── physics\n", "line 2 of .* is a drawing"),
    ],
)
def test_other_shapes_are_refused_with_those_that_are_read(tmp_path, content, message):
    file = tmp_path / "taxonomy"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{message}.*separated by tabs; .*parent,child; .*indented"):
        as_hierarchy(file)


@pytest.mark.parametrize("suffix", ["xml", "rdf", "yaml", "xlsx", "XML.gz"])
def test_other_formats_are_refused_by_name(tmp_path, suffix):
    file = tmp_path / f"taxonomy.{suffix}"
    file.write_text("science\tphysics\n")
    with pytest.raises(ValueError, match="is not a taxonomy file: convert it; the shapes"):
        as_hierarchy(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("parent,child\na,b,c\n", "line 2 of .* has 3 fields, but the header has 2.*quotes"),
        ("parent,child\na,b\na,\n", "the child in line 3 of .* is empty"),
        ("parent,child\na,Root\n", "line 2 .* virtual node 'Root' under 'a'"),
        ("a > b\na >  > c\n", "a label in line 2 of .* is empty"),
        ("a > c\nb > c\n", "line 2 of .*: label 'c' occurs both under 'a' and under 'b'"),
        ("a > Root\n", "line 1 .* virtual node 'Root' under 'a'"),
        ("a\n  b\nc\n  b\n", "line 4 of .*: label 'b' occurs both under 'a' and under 'c'"),
        ("a\n    b\n  c\n", "line 3 of .*, 'c', is indented by 2, but no label above it is"),
        ("  a\n    b\nc\n", "line 3 of .*, 'c', is indented by 0"),
        ("a\n\tb\n  c\n", "line 3 of .* is indented with .*: use tabs only, or spaces only"),
        ("a\n  Root\n", "line 2 .* virtual node 'Root' under 'a'"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, message):
    file = tmp_path / "taxonomy"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        as_hierarchy(file)


def test_a_chain_is_no_table_of_codes(tmp_path):
    file = tmp_path / "taxonomy"
    file.write_text("a\tb\nb\tc\nc\td\n", encoding="utf-8")
    assert as_hierarchy(file).depth == 4


def test_two_lines_of_pairs_are_a_hierarchy(tmp_path):
    file = tmp_path / "taxonomy"
    file.write_text("a\tb\nc\td\n", encoding="utf-8")
    assert as_hierarchy(file) == LabelHierarchy([("a", "b"), ("c", "d")])
    file.write_text("parent\tchild\na\tb\nc\td\ne\tf\n", encoding="utf-8")
    assert as_hierarchy(file) == LabelHierarchy([("a", "b"), ("c", "d"), ("e", "f")])
