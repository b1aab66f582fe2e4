"""usage: run_notebook.py NOTEBOOK FOLDER [IMAGES]

Runs the code cells of a notebook in order, in one namespace, on a results folder. This is no kernel of Jupyter: magics and
widgets do not work, and what a cell displays is not shown. Figures are written to the folder IMAGES if it is given.
"""

import json
import os
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402: after the choice of what draws

notebook, folder = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
images = pathlib.Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else None
cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
os.environ["WIRELAB_RESULTS"] = str(folder)
# As Jupyter does.
os.chdir(notebook.parent)

namespace = {"__name__": "__main__"}
ran = 0
for number, cell in enumerate(cells):
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"{notebook.name}, cell {number}", "exec"), namespace)
        ran += 1
figures = [plt.figure(number) for number in plt.get_fignums()]
for number, figure in enumerate(figures):
    assert figure.axes and any(axes.has_data() for axes in figure.axes), f"figure {number} is empty"
    if images:
        images.mkdir(parents=True, exist_ok=True)
        figure.savefig(images / f"{number}.png", bbox_inches="tight")
print(f"{notebook.name}: {ran} cells ran, {len(figures)} figures")
