import pytest

from tests.data.clips import numbered
from tests.video.videos import write


@pytest.fixture
def folder(tmp_path):
    """Two videos: 30 frames numbered from 0, and 12 numbered from 100."""
    (tmp_path / "videos").mkdir()
    write(tmp_path / "videos" / "a.npy", numbered(30))
    write(tmp_path / "videos" / "b.npy", numbered(12, 100))
    return tmp_path / "videos"
