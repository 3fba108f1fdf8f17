"""From answers to better adapters, in a terminal.

python -m workshop collect                                   # what was disliked or corrected
python -m workshop add reviews.csv --task sentiment --consent
python -m workshop check --task sentiment --judged test.csv  # duplicates, wrong labels, order
python -m workshop list --task sentiment
python -m workshop accept ID [RIGHT ANSWER]
python -m workshop train sentiment                           # then start ID, judge, promote
"""

from __future__ import annotations

import typer

from core import terminal
from workshop import job_commands, review_commands, watch_commands

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for group in (review_commands, job_commands, watch_commands):
    app.add_typer(group.app)
STOPPED = "Stopped. What was decided is kept."

if __name__ == "__main__":
    terminal.run(app, STOPPED)
