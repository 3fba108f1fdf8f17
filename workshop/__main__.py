"""From answers to better adapters, in a terminal.

python -m workshop collect                                   # what was disliked or corrected
python -m workshop add reviews.csv --task sentiment --consent
python -m workshop check --task sentiment --judged test.csv  # duplicates, wrong labels, order
python -m workshop list --task sentiment
python -m workshop accept ID [RIGHT ANSWER]
"""

from __future__ import annotations

import typer

from core import terminal
from workshop import review_commands

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(review_commands.app)
STOPPED = "Stopped. What was decided is kept."

if __name__ == "__main__":
    terminal.run(app, STOPPED)
