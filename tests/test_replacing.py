"""Files are replaced as a whole, or not at all."""

import errno
import os
import threading

import pytest

from skhimatch.storage.replacing import replacing


def test_a_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    path.chmod(0o640)
    with replacing(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_behind_a_link_is_replaced(tmp_path):
    (tmp_path / "page.html").write_text("old")
    link = tmp_path / "link.html"
    link.symlink_to("page.html")
    with replacing(link) as unfinished:
        unfinished.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "page.html").read_text() == "new"


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_after_an_error_all_is_as_before(tmp_path, there, error):
    path = tmp_path / "page.html"
    if there:
        path.write_text("old")

    def write_half():
        with replacing(path) as unfinished:
            unfinished.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "old")] * there


def test_a_full_disk(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left"), replacing(path) as unfinished:
        unfinished.write_text("new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "old")]


def test_pipes_and_devices_are_written(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with replacing(pipe) as unfinished:
        unfinished.write_text("page")
    reader.join()
    assert read == ["page"]
    assert pipe.is_fifo()
