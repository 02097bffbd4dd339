"""Images and figures, with what their libraries keep beside the notebook's names."""

from __future__ import annotations

import pytest

from libraries.life import Life, live
from support.notebooks import Lab

PIL = Life(
    make="from PIL import Image\nim = Image.new('RGB', (4, 3))\nim.putpixel((1, 1), (1, 2, 3))\npal = im.convert('P')\n"
    "im.save('a.jpg')\njpg = Image.open('a.jpg')\njpg.load()\nlist_ = [im]",
    change="im.putpixel((0, 0), (9, 9, 9))\nim.info['k'] = 1\njpg.putpixel((0, 0), (7, 7, 7))",
    look="print(im.tobytes(), im.info, pal.getpalette()[:9], jpg.format, jpg.quantization[0][:3], jpg.getpixel((0, 0)))",
    other_change="im.paste((5, 5, 5), (0, 0, 2, 2))",
    other_look="list_[0].putpixel((2, 2), (8, 8, 8))\njpg.putpixel((1, 1), (0, 0, 0))\nprint(im.tobytes(), jpg.tobytes(), jpg.filename.endswith('a.jpg'), pal.mode)",
)

LAZY = Life(
    make="from PIL import Image\nImage.new('RGB', (4, 3), (1, 2, 3)).save('a.png')\nim = Image.open('a.png')",
    change="size = im.size",
    look="print(size, im.getpixel((0, 0)), im.format)",
    other_change="size = im.size[::-1]",
    other_look="im.putpixel((0, 0), (4, 4, 4))\nprint(im.getpixel((0, 0)), size)",
    because="reads its open file",
)

LENT = Life(
    make="import numpy as np\nfrom PIL import Image\nn = np.zeros((4, 4), 'u1')\nim = Image.fromarray(n)\nfree = Image.fromarray(np.ones((4, 4), 'u1'))",
    change="n[0, 0] = 9",
    look="print(im.getpixel((0, 0)), free.getpixel((0, 0)))",
    other_change="n[0, 0] = 8",
    other_look="n[1, 0] = 7\nprint(im.getpixel((0, 1)), n.sum(), free.getpixel((1, 1)))",
    because="shares memory with an array",
)

FIGURES = Life(
    make="import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\nfig, (left, right) = plt.subplots(1, 2, num='both')\n"
    "line, = left.plot([1, 2, 3])\nother = plt.figure(7)\nplt.plot([5, 6])",
    change="line.set_ydata([3, 2, 1])\nplt.figure('both')\nplt.sca(right)\nplt.title('now')",
    look="print(plt.get_fignums(), plt.gcf().number, right.get_title(), left.lines[0] is line, line.get_ydata(), plt.gca() is right)",
    other_change="plt.figure(7)\nplt.title('seven')",
    other_look="plt.plot([8, 9])\nprint(len(right.lines), len(left.lines), [len(f.axes) for f in (fig, other)], plt.gcf() is fig, right.get_title())\nplt.close(7)\nprint(plt.get_fignums())",
)

LIVES = {"PIL": PIL, "PIL lazy": LAZY, "PIL over numpy": LENT, "matplotlib": FIGURES}


@pytest.mark.parametrize("name", LIVES)
def test_life(lab: Lab, name: str) -> None:
    library = name.partition(" ")[0]
    pytest.importorskip(library, reason=f"{library} is not installed")
    live(lab, LIVES[name])
