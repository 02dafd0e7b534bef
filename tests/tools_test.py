"""The tools that are cheap to run."""

import PIL.Image

from tests.models.conftest import awaken, make_regen
from tests.video.videos import CLIP, read
from tools.draw_readme import LABEL, draw


def test_draw_readme(tmp_path):
    regen = make_regen()
    awaken(regen)
    regen.save_to_preset(tmp_path / "preset")
    video = read(CLIP)[:6, :40, :48]
    draw(tmp_path / "out.webp", video, [tmp_path / "preset"])
    with PIL.Image.open(tmp_path / "out.webp") as picture:
        assert picture.is_animated
        assert picture.n_frames == len(video)
        assert picture.size == (2 * 48, LABEL + 40)
