"""Tests of published lists of files."""

import pytest

from common.data.builders import file_list
from tests.common.data.builders.class_folders_test import write_picture


@pytest.mark.parametrize(
    "text, said",
    [
        ("a.jpg 2\n", "line 1, reads 'a.jpg 2'; .* from 0 to 1"),
        ("a.jpg 0\n\nb.jpg\n", "line 3, reads 'b.jpg'"),
        ("a.jpg 0\na.jpg 1\n", "line 2, names a.jpg a second time"),
        ("a.jpg -1\n", "line 1, reads 'a.jpg -1'"),
        ("\udcff\n", "line 1, reads '\ufffd'"),
    ],
)
def test_a_list_of_another_form_is_refused(text, said, tmp_path):
    (tmp_path / "list.txt").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=said):
        file_list.read_list(tmp_path / "list.txt", ["a", "b"], first=0)


def test_names_in_a_list_may_hold_spaces_and_lines_may_end_as_on_windows(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"x/a 1.jpg 2\r\nb.jpg 1")
    listed = file_list.read_list(tmp_path / "list.txt", ["a", "b"], first=1)
    assert listed == {"x/a 1.jpg": "b", "b.jpg": "a"}


def test_a_listed_name_leads_nowhere_but_into_the_folder(tmp_path):
    write_picture(tmp_path / "secret.jpg")
    write_picture(tmp_path / "manual" / "t" / "1.jpg")
    listed = {name: "a" for name in ("1.jpg", "2.jpg", "../../secret.jpg", "/etc/hostname")}
    (tmp_path / "manual" / "t" / "3.jpg").write_text("text")
    with pytest.raises(ValueError) as raised:
        file_list.listed_pictures(
            tmp_path / "manual" / "t", listed | {"3.jpg": "a"}, tmp_path / "manual"
        )
    assert str(raised.value).endswith(
        "lacks: 2.jpg; it holds what is no picture: 3.jpg; it is left, out of the manual folder, "
        "by: ../../secret.jpg, /etc/hostname"
    )
